"""`liuhen store prepare`: the buckets of the production profile, made as they have to be."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from archive.adapters import s3_buckets
from archive.commands.common import DATA, log_plainly, settings_of
from archive.resources import object_stores


@click.command("prepare")
@DATA
def prepare(data_dir: Path | None) -> None:
    """Make the buckets that are not there, versioned and, for originals, with Object Lock. Exit code 1 if one that is there is wrong.

    Run a second time it changes nothing. A bucket gets Object Lock when it is made and never afterwards: one without it is named, and
    somebody has to replace it. The keys need the right to make buckets for this command only.
    """
    log_plainly()
    settings = settings_of(data_dir=data_dir)
    if not settings.production:
        raise click.UsageError("the embedded profile keeps its bytes in a directory; there is nothing to prepare")
    wrong = 0
    for name, store in object_stores(settings).items():
        try:
            for bucket in s3_buckets.make(store.client, store.buckets):
                click.echo(f"{name}: made {bucket}")
            flaws = s3_buckets.flaws(store.client, store.buckets)
        finally:
            store.close()
        for flaw in flaws:
            click.echo(f"{name}: {flaw}", err=True)
        wrong += len(flaws)
        if not flaws:
            click.echo(f"{name}: as it has to be")
    sys.exit(bool(wrong))
