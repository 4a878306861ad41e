"""`liuhen admin buckets`: the buckets of the production profile, made as they have to be."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from archive.commands.common import DATA, log_plainly, settings_of
from archive.resources import bucketed


@click.command("buckets")
@DATA
def buckets(data_dir: Path | None) -> None:
    """Make the buckets that are not there, versioned and, for originals, with Object Lock. Exit code 1 if one that is there is wrong.

    Run a second time it changes nothing. A bucket gets Object Lock when it is made and never afterwards: one without it is named, and
    somebody has to replace it. The keys need the right to make buckets for this command only.
    """
    log_plainly()
    settings = settings_of(data_dir=data_dir)
    if not settings.production:
        raise click.UsageError("the embedded profile keeps its bytes in a directory and has no buckets")
    made, flaws = bucketed(settings)
    for name in made:
        click.echo(f"made: {name}")
    for flaw in flaws:
        click.echo(flaw, err=True)
    if not flaws:
        click.echo("the buckets are as they have to be")
    sys.exit(bool(flaws))
