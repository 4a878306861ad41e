"""`liuhen store`: the object stores tried out now, by somebody who wants to know, and locks of what the database forgot extended."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from archive.actions import fsck_bytes, jobs
from archive.adapters import s3_probe
from archive.adapters.s3_store import S3Store
from archive.commands.buckets import prepare
from archive.commands.common import DATA, log_plainly, settings_of
from archive.core import worm
from archive.core.canonical import Json
from archive.core.errors import Fault
from archive.core.instant import iso
from archive.core.worm import Standing
from archive.records.session import patiently
from archive.resources import opened, tried

_STANDING = {
    Standing.HOLDS: "keeps what is written once",
    Standing.UNPROVED: "part of it was not shown",
    Standing.BROKEN: "DOES NOT KEEP WHAT IS WRITTEN ONCE",
    Standing.NOTHING: "a directory: it enforces nothing",
}


@click.group("store")
def store_group() -> None:
    """Object stores: their buckets, and what they enforce."""


store_group.add_command(prepare)


@store_group.command("probe")
@click.option("--json", "as_json", is_flag=True, help="One store a line, for programs.")
@DATA
def probe(as_json: bool, data_dir: Path | None) -> None:  # noqa: FBT001 - a flag
    """Try the object stores out: delete, shorten and overwrite what is locked, on objects made for that. Exit code 1 if one gives way.

    Each trial leaves about ten small objects under canary/, which are locked for a day and removed by a trial after that. A worker repeats
    it and puts it on record, as it does every day.
    """
    log_plainly()
    settings = settings_of(data_dir=data_dir)
    with opened(settings, new=False) as resources:
        targets = tried(settings)
        shown = {
            name: s3_probe.try_out(target, token=secrets.token_hex(8), clock=resources.now) for name, target in targets.items()
        } or {settings.store_name: s3_probe.directory()}
        if targets:
            now = resources.now()
            with resources.transaction() as session:
                jobs.enqueue(session, kind="canary", payload={"asked": iso(now)}, now=now)
    for name, facts in shown.items():
        if as_json:
            click.echo(json.dumps(_as_json(name, facts), ensure_ascii=False))
        else:
            _print(name, facts)
    sys.exit(any(worm.standing(facts) is Standing.BROKEN for facts in shown.values()))


@store_group.command("extend-unknown")
@DATA
def extend_unknown(data_dir: Path | None) -> None:
    """Lock originals that no row knows for as long as new ones. Exit code 1 if one could not be locked.

    After a restore these are what came in since the restored moment. Nothing else extends their locks: repeat it until they are taken in
    again, more often than LIUHEN_LOCK_DAYS.
    """
    log_plainly()
    settings = settings_of(data_dir=data_dir)
    refused = 0
    with opened(settings, new=False) as resources, resources.reading() as session:
        patiently(session)
        for name, held in (("", resources.store), (settings.replica_name, resources.replica)):
            if not isinstance(held, S3Store):
                continue
            done = 0
            for kept in fsck_bytes.unknown(session, held, copies_in=name):
                try:
                    held.relock(kept.key, kept.version)
                    done += 1
                except Fault as why:
                    click.echo(f"{name or settings.store_name}: {kept.key} version {kept.version}: {why}", err=True)
                    refused += 1
            click.echo(f"{name or settings.store_name}: {done} versions that no row knows are locked")
    sys.exit(bool(refused))


def _as_json(name: str, facts: Mapping[str, Json]) -> dict[str, object]:
    judged = worm.judge(facts)
    return {
        "store": name,
        "standing": worm.standing(facts).value,
        "alarming": [each.trial.value for each in judged if each.alarming],
        "shown": worm.outcomes(judged),
        "facts": facts,
    }


def _print(name: str, facts: Mapping[str, Json]) -> None:
    standing = worm.standing(facts)
    click.echo(f"{name}: {_STANDING[standing]}")
    if standing is Standing.NOTHING:
        return
    for each in worm.judge(facts):
        note = " ALARM" if each.alarming else " (known limitation: nothing relies on it)" if _limits(each) else ""
        click.echo(f"  {each.trial.value:<18}{each.outcome.value.replace('_', ' ')}{note}")


def _limits(each: worm.Judgement) -> bool:
    return each.trial in worm.KNOWN and each.outcome is worm.Outcome.NOT_ENFORCED
