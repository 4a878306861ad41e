"""`liuhen dock`: what a docking station runs. Exit codes: 0 done, 1 refused or flawed, 2 misuse, 3 fault (run it again)."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console
from rich.table import Table

from archive import failpoints
from archive.core.errors import Fault, Malformed, Refusal, Unavailable
from archive.core.instant import Instant, iso
from archive.dock import carrier, credential, patterns
from archive.dock.board import Board, size_text
from archive.dock.client import Server
from archive.dock.describe import Reading, parse_clock_offset
from archive.dock.journal import Journal
from archive.dock.pace import Limit, Stop, parse_rate
from archive.dock.run import Dock, Plan
from archive.dock.scan import Scan, scan
from archive.dock.sending import Means

if TYPE_CHECKING:
    from types import FrameType

    from archive.dock.report import Report

REFUSED, MISUSE, FAULT = 1, 2, 3
_WITH_RECEIPT = frozenset({"verified", "releasing", "released", "kept"})


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command line of one run."""

    sources: tuple[Path, ...]
    server: str
    credential: Path
    journal: Path
    jobs: int
    limit: int | None
    patterns: Path | None
    zone: ZoneInfo | None
    clock_offsets: dict[str, int]
    carrier: str | None
    ca: Path | None
    patience_s: float
    wait_s: float | None
    retry_refused: bool
    release: bool


class _Parsed(click.ParamType[object]):
    """A click parameter read by one of our own parsers, so that misuse is told as misuse."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        try:
            return {"rate": parse_rate, "device=seconds": parse_clock_offset, "zone": ZoneInfo}[self.name](value)
        except (Malformed, ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"{value!r} is no {self.name}", param, ctx)


_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--server", help="The archive's address, such as https://archive.example.")
@click.option("--credential", "credential_file", type=_FILE, help="The station's credential, from `liuhen station enrol`.")
@click.option("--journal", "journal_file", type=_FILE, help="What this station did so far; default: beside the credential.")
@click.option("--jobs", type=click.IntRange(1, 32), default=4, show_default=True, help="Files at once.")
@click.option("--limit", type=_Parsed("rate"), help="At most this many bytes a second in all, such as 20M or 512Ki.")
@click.option("--patterns", "patterns_file", type=_FILE, help="More file-name patterns (TOML), tried before the shipped ones.")
@click.option("--zone", type=_Parsed("zone"), help="The zone the recorders' clocks show; default: the agency's.")
@click.option(
    "--clock-offset",
    "clock_offsets",
    multiple=True,
    type=_Parsed("device=seconds"),
    help="Station clock minus recorder clock, for one device or * for all others; repeatable.",
)
@click.option("--carrier", "carrier_label", help="The carrier's label; default: the volume's own.")
@click.option("--ca", type=_FILE, help="The certificate authority of the archive (PEM), where it is not a public one.")
@click.option(
    "--patience", "patience_s", type=click.FloatRange(0, 86400), default=900, show_default=True, help="Seconds without progress."
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until every file has its verified receipt.")
@click.option(
    "--wait-limit", "wait_limit_s", type=click.FloatRange(0, 86400), default=600, show_default=True, help="Seconds to wait so."
)
@click.option("--retry-refused", is_flag=True, help="Hash and send again what was refused or flawed.")
@click.option("--release", is_flag=True, help="Remove from the recorder what the archive provably has, and has given leave for.")
@click.option("--status", is_flag=True, help="Show the journal and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Tell the result as JSON on standard output.")
def dock(
    *,
    sources: tuple[Path, ...],
    server: str | None,
    credential_file: Path | None,
    journal_file: Path | None,
    jobs: int,
    limit: int | None,
    patterns_file: Path | None,
    zone: ZoneInfo | None,
    clock_offsets: tuple[tuple[str, int], ...],
    carrier_label: str | None,
    ca: Path | None,
    patience_s: float,
    wait: bool,
    wait_limit_s: float,
    retry_refused: bool,
    release: bool,
    status: bool,
    as_json: bool,
) -> None:
    """Take everything the recorders mounted at SOURCES hold into the archive.

    Every file is hashed and its manifest signed before a byte leaves. The journal keeps what was done: a second run, after whatever
    ended the first, sends nothing twice and forgets nothing.
    """
    if journal_file is None:
        if credential_file is None:
            raise click.UsageError("--credential is missing")
        journal_file = credential_file.with_suffix(".journal")
    if status:
        _show_journal(journal_file, as_json=as_json)
        return
    if not sources:
        raise click.UsageError("name at least one SOURCE, or ask for --status")
    if server is None or credential_file is None:
        raise click.UsageError("--server or --credential is missing")
    failpoints.arm(os.environ.get("LIUHEN_FAILPOINT"))
    wishes = Wishes(
        sources=sources,
        server=server,
        credential=credential_file,
        journal=journal_file,
        jobs=jobs,
        limit=limit,
        patterns=patterns_file,
        zone=zone,
        clock_offsets=dict(clock_offsets),
        carrier=carrier_label,
        ca=ca,
        patience_s=patience_s,
        wait_s=wait_limit_s if wait else None,
        retry_refused=retry_refused,
        release=release,
    )
    told = Console(stderr=True)
    try:
        report = _run(wishes, told)
    except OSError as why:
        raise Unavailable(what="source", reason=str(why)[:200]) from why
    _tell(report, told, as_json=as_json)
    if report.exit_code:
        sys.exit(report.exit_code)


def _run(wishes: Wishes, told: Console) -> Report:
    station = credential.load(wishes.credential)
    known = patterns.load(wishes.patterns)
    stop = Stop()
    if urlsplit(wishes.server).scheme == "http" and urlsplit(wishes.server).hostname not in {"127.0.0.1", "::1", "localhost"}:
        told.print("this address is not encrypted: anyone on the way can read what is sent", style="yellow", highlight=False)
    with (
        Journal.locked(wishes.journal) as journal,
        Server(wishes.server, station, ca=wishes.ca, connections=wishes.jobs + 1) as server,
        _stopping(stop),
    ):
        journal.rename_archive(station.earlier_archives, station.archive)
        scans = [_scanned(source.resolve(), wishes, known) for source in wishes.sources]
        failpoints.failpoint("dock.scanned")
        board = Board(told)
        for row in (row for found in scans for row in found.passed):
            board.line(f"passed     {row.path}  {row.reason} {row.detail}".rstrip(), style="red" if row.is_flaw else "dim")
        means = Means(server=server, journal=journal, limit=Limit(wishes.limit, stop=stop), stop=stop, now=_now)
        plan = Plan(
            reading=Reading(known, wishes.zone or station.zone, wishes.clock_offsets),
            jobs=wishes.jobs,
            patience_s=wishes.patience_s,
            retry_refused=wishes.retry_refused,
            chance=random.Random(),  # noqa: S311 - spreads waits, guards nothing
            release=wishes.release,
        )
        return Dock(means=means, credential=station, plan=plan, board=board).run(scans, wait_s=wishes.wait_s)


def _scanned(source: Path, wishes: Wishes, known: patterns.Patterns) -> Scan:
    return scan(source, volume=carrier.identify(source, label=wishes.carrier), patterns=known)


@contextmanager
def _stopping(stop: Stop) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM stop the run at its next step, and the second end it as it always would."""

    def asked(number: int, _frame: FrameType | None) -> None:
        stop.ask()
        signal.signal(number, signal.SIG_DFL)

    before = [(number, signal.signal(number, asked)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _tell(report: Report, told: Console, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.facts(), ensure_ascii=False, indent=2))
    sent = [row for row in report.outcomes if row.sent]
    counts = {
        "sent": len(sent),
        "docked before": sum(row.number is not None and not row.sent for row in report.outcomes),
        "with receipt": sum(row.state in _WITH_RECEIPT for row in report.outcomes),
        "removed from the recorder": sum(row.state == "released" for row in report.releases),
        "kept on it": sum(row.state == "kept" for row in report.releases),
        "in trouble": sum(row.trouble is not None for row in report.outcomes),
        "passed over": len(report.passed),
        "waiting for a receipt": report.unverified,
    }
    line = f"{len(report.outcomes)} files, {size_text(sum(row.sent_bytes for row in sent))} sent; "
    line += ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    told.print(line, style="bold red" if report.exit_code else "bold", markup=False, highlight=False, soft_wrap=True)
    if report.stopped:
        told.print("stopped; the next run goes on from here", markup=False, highlight=False)
    if report.ended_by:
        told.print(report.ended_by, style="bold red", markup=False, highlight=False, soft_wrap=True)


def _show_journal(path: Path, *, as_json: bool) -> None:
    with Journal.reading(path) as journal:
        rows = journal.entries()
    if as_json:
        told = [
            {
                "carrier": row.carrier,
                "path": row.shown,
                "size": row.size,
                "sha256": row.sha256.hex,
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
    table = Table("state", "number", "file", "size", "sha256", "trouble", box=None, pad_edge=False)
    for row in rows:
        number = f"{row.number or ''}{' (again)' if row.again else ''}"
        table.add_row(row.state.value, number, row.shown, size_text(row.size), row.sha256.short, row.trouble or "")
    Console(soft_wrap=True).print(table)


def main() -> None:
    """Run the dock by itself and end with its code, as `liuhen dock` does."""
    try:
        dock.main(prog_name="liuhen dock", standalone_mode=False)
    except click.ClickException as why:
        why.show()
        sys.exit(MISUSE)
    except Refusal as why:
        click.echo(f"refused: {why}", err=True)
        sys.exit(REFUSED)
    except Fault as why:
        click.echo(f"fault: {why}" + (" (try again)" if why.again else ""), err=True)
        sys.exit(FAULT)


def _now() -> Instant:
    return Instant(time.time_ns() // 1000)
