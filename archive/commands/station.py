"""`liuhen station`: enrol, list, revoke."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import click

from archive.actions import station
from archive.adapters import signing
from archive.commands.common import DATA, settings_of
from archive.core.canonical import Json, encode
from archive.core.instant import iso
from archive.resources import opened


@click.group("station")
def station_group() -> None:
    """Docking stations: enrol, list, revoke."""


@station_group.command("enrol")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the credential here; default NAME.credential.json."
)
@click.option("--sm3", is_flag=True, help="Hash what it brings with SM3 as well, beside SHA-256.")
@DATA
def enrol(name: str, out: Path | None, sm3: bool, data_dir: Path | None) -> None:  # noqa: FBT001 - a flag
    """Enrol a station and write its credential, which is shown nowhere else.

    NAME has letters (A-Z, a-z), digits and . _ - only, at most 64, a letter or digit first and last.
    """
    settings = settings_of(data_dir=data_dir)
    path = out or Path(f"{name}.credential.json")
    seed = signing.new_seed()
    with opened(settings, new=False) as resources, resources.transaction() as session:
        station.enrol(session, name=name, public_key=signing.public_of(seed), by="operator", now=resources.now(), sm3=sm3)
        facts: dict[str, Json] = {
            "type": "liuhen.credential",
            "v": 1,
            "station": name,
            "private_key": base64.b64encode(seed).decode(),
            "server_keys": [str(resources.signer.key)],
            "agency": settings.agency,
            "zone": settings.zone,
        }
        if sm3:  # a dock of the first release takes a field that it does not know for a spoilt credential
            facts["sm3"] = True
        credential = encode(facts)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as why:
            raise click.ClickException(f"{path} is there already; give another --out") from why
        with os.fdopen(descriptor, "wb") as file:
            file.write(credential + b"\n")
            file.flush()
            os.fsync(file.fileno())
    click.echo(f"{name}: {path}")


@station_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@DATA
def list_stations(as_json: bool, data_dir: Path | None) -> None:  # noqa: FBT001 - a flag
    """List enrolled stations."""
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.reading() as session:
        found = station.stations(session)
    if as_json:
        for each in found:
            revoked_at = None if each.revoked_at is None else iso(each.revoked_at)
            facts = {"station": each.name, "enrolled_at": iso(each.enrolled_at), "revoked_at": revoked_at, "sm3": each.sm3}
            click.echo(json.dumps(facts))
        return
    width = max([len("station"), *(len(each.name) for each in found)])
    click.echo(f"{'station':<{width}}  {'enrolled':<27}  {'revoked':<27}  hashes")
    for each in found:
        revoked = "" if each.revoked_at is None else iso(each.revoked_at)
        hashes = "SHA-256, SM3" if each.sm3 else "SHA-256"
        click.echo(f"{each.name:<{width}}  {iso(each.enrolled_at):<27}  {revoked:<27}  {hashes}")


@station_group.command("revoke")
@click.argument("name")
@DATA
def revoke(name: str, data_dir: Path | None) -> None:
    """Stop accepting a station's key and tokens."""
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.transaction() as session:
        station.revoke(session, name=name, by="operator", now=resources.now())
