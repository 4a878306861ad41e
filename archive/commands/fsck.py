"""`liuhen fsck`: what must be true whatever crashed when."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from archive.actions import fsck as fsck_action
from archive.commands.common import DATA, REFUSED, settings_of
from archive.resources import opened


@click.command()
@click.option("--deep", is_flag=True, help="Re-read and re-hash every original and rendition.")
@click.option("--json", "as_json", is_flag=True, help="One finding a line, for programs.")
@DATA
def fsck(deep: bool, as_json: bool, data_dir: Path | None) -> None:  # noqa: FBT001 - flags
    """Check that everything acknowledged is there, once, and unchanged. Exit code 1 if it is not."""
    found = 0
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.reading() as session, _bar() as bar:
        settings, name = resources.settings, resources.settings.replica_name
        second = None if resources.replica is None else fsck_action.Second(name, resources.replica)
        looked_at = ("originals", "renditions") if second is None else ("originals", "renditions", "copies")
        tasks = {name: bar.add_task(name, total=None) for name in looked_at}
        counted = dict.fromkeys(tasks, 0)

        def progress(what: str, done: int, total: int) -> None:
            counted[what] = done
            bar.update(tasks[what], completed=done, total=total)

        for finding in fsck_action.check(
            session,
            resources.store,
            deep=deep,
            now=resources.now(),
            progress=progress,
            locks=settings.production,
            second=second,
        ):
            found += finding.flaw
            if as_json:
                facts = {"code": finding.code, "subject": finding.subject, "detail": finding.detail, "flaw": finding.flaw}
                click.echo(json.dumps(facts, ensure_ascii=False))
            else:
                click.echo(f"{'flaw' if finding.flaw else 'note'}\t{finding.code}\t{finding.subject}\t{finding.detail}")
    if not as_json:
        looked = ", ".join(f"{counted[name]} {name}" for name in counted)
        where = settings.store_name if settings.production else settings.data_dir.absolute()
        click.echo(
            f"{'clean' if not found else f'{found} flaws'}: {looked} in {where}, {'read and hashed' if deep else 'sizes compared'}"
        )
    sys.exit(REFUSED if found else 0)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
    )
