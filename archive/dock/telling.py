"""What the command says at the end of a run, and what it shows of the journal: to people and to scripts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from archive.core.instant import iso
from archive.dock import words
from archive.dock.board import size_text
from archive.dock.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from archive.dock.report import Report

_WITH_RECEIPT = frozenset({"verified", "releasing", "released", "kept"})


def summary(report: Report, tongue: str) -> str:
    """Return a run in one line."""
    counts = {
        "sent": sum(row.sent for row in report.outcomes),
        "before": sum(row.number is not None and not row.sent for row in report.outcomes),
        "with_receipt": sum(row.state in _WITH_RECEIPT for row in report.outcomes),
        "removed": sum(row.state == "released" for row in report.releases),
        "kept_on": sum(row.state == "kept" for row in report.releases),
        "to_go_on": sum(row.state == "waiting" for row in report.outcomes),
        "in_trouble": sum(row.trouble is not None and row.state != "waiting" for row in report.outcomes),
        "passed_over": len(report.passed),
        "no_receipt": report.unverified,
    }
    size = size_text(sum(row.sent_bytes for row in report.outcomes))
    whole = words.say("files", tongue, count=len(report.outcomes), size=size)
    parts = (words.say(name, tongue, count=count) for name, count in counts.items() if count)
    return (
        "; ".join(filter(None, [whole, ", ".join(parts)]))
        if tongue == "en"
        else "；".join(filter(None, [whole, "，".join(parts)]))
    )


def tell(report: Report, told: Console, *, tongue: str, as_json: bool) -> None:
    """Tell what a run came to."""
    if as_json:
        click.echo(json.dumps(report.facts(), ensure_ascii=False, indent=2))
    style = "bold red" if report.exit_code else "bold"
    told.print(summary(report, tongue), style=style, markup=False, highlight=False, soft_wrap=True)
    if report.stopped:
        told.print(words.say("stopped", tongue), markup=False, highlight=False)
    if report.ended_by:
        told.print(words.trouble(report.ended_by, tongue), style="bold red", markup=False, highlight=False, soft_wrap=True)


def show_journal(path: Path, *, tongue: str, as_json: bool) -> None:
    """Show what the station did so far: a table on a terminal, whole lines with tabs into a pipe, or JSON.

    Raises:
        Malformed: there is no journal.
    """
    with Journal.reading(path) as journal:
        rows = journal.entries()
    if as_json:
        told = [
            {
                "carrier": row.carrier,
                "path": row.shown,
                "size": row.size,
                "sha256": row.sha256.hex,
                "sm3": row.sm3,
                "state": row.state.value,
                "number": row.number,
                "again": row.again,
                "same_bytes_as": row.same_bytes_as,
                "offset": row.offset,
                "trouble": row.trouble,
                "receipt": row.receipt,
                "changed_at": iso(row.changed_at),
            }
            for row in rows
        ]
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    if not sys.stdout.isatty():
        # a pipe has no width to fit into: nothing is cut, and a script may split at the tabs
        for row in rows:
            again = "again" if row.again else ""
            cells = [row.state.value, row.number or "", again, row.shown, str(row.size), row.sha256.hex, row.trouble or ""]
            click.echo("\t".join(" ".join(cell.split()) for cell in cells))
        return
    heads = ("state", "number", "file", "size", "sha256", "trouble")
    if tongue == "zh":
        heads = ("状态", "编号", "文件", "大小", "SHA-256", "问题")
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, no_wrap=head in heads[:2], overflow="fold")
    for row in rows:
        number = f"{row.number or ''}{' ' + words.say('again', tongue) if row.again else ''}"
        state = words.say(row.state.value, tongue)
        table.add_row(state, number, row.shown, size_text(row.size), row.sha256.short, row.trouble or "")
    Console().print(table)
