"""`liuhen dock`: what a docking station runs. Exit codes: 0 done, 1 refused or flawed, 2 misuse, 3 fault (run it again)."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console

from archive import failpoints
from archive.core.errors import Fault, Malformed, Refusal, Unavailable
from archive.core.instant import iso
from archive.dock import places, session, telling, words
from archive.dock.board import Board, Hear
from archive.dock.describe import parse_clock_offset
from archive.dock.pace import Stop, Stopped, parse_rate
from archive.dock.places import Place, Rule
from archive.dock.session import Wishes
from archive.dock.watch import AT_ONCE, Watch

if TYPE_CHECKING:
    from types import FrameType

    from archive.dock.report import Report

REFUSED, MISUSE, FAULT = 1, 2, 3


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
_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option("--server", help="The archive's address, such as https://archive.example.")
@click.option("--credential", "credential_file", type=_FILE, help="The station's credential, from `liuhen station enrol`.")
@click.option("--journal", "journal_file", type=_FILE, help="What this station did so far; default: beside the credential.")
@click.option(
    "--jobs", type=click.IntRange(1, 32), default=8, show_default=True, help="Files of a source, or of a place, at once."
)
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
@click.option(
    "--clock-of",
    metavar="COMMAND",
    help="Ask a recorder its time with this; {mount} is its mount point. Measures its clock's offset.",
)
@click.option("--room", "room", metavar="NAME", help="SOURCES were exported from this fixed room (询问室, 听证室, 办案场所).")
@click.option("--rooms", is_flag=True, help="SOURCES hold a folder for each fixed room, by its name.")
@click.option("--scanner", is_flag=True, help="SOURCES are a scanner's output: each subfolder of images is one document.")
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(0, 3600),
    default=places.SETTLE_S,
    show_default=True,
    help="Seconds for which files of a scanner, a room, or a folder of --watch must have held still; a mounted volume waits for none.",
)
@click.option(
    "--watch", "watched", type=_FOLDER, help="Dock whatever is mounted below this folder or appears in it, until stopped."
)
@click.option("--places", "places_file", type=_FILE, help="With --watch: which folders are scanners and rooms (TOML).")
@click.option(
    "--poll",
    "poll_s",
    type=click.FloatRange(0.1, 3600),
    default=5,
    show_default=True,
    help="With --watch: seconds between looks.",
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
    clock_of: str | None,
    room: str | None,
    rooms: bool,
    scanner: bool,
    settle_s: float,
    watched: Path | None,
    places_file: Path | None,
    poll_s: float,
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
    tongue = words.language(os.environ)
    _any_name_can_be_told(as_json=as_json)
    if journal_file is None:
        if credential_file is None:
            raise click.UsageError("--credential is missing")
        journal_file = credential_file.with_suffix(".journal")
    if status:
        telling.show_journal(journal_file, tongue=tongue, as_json=as_json)
        return
    if not sources and watched is None:
        raise click.UsageError("name at least one SOURCE, or ask for --watch or --status")
    if server is None or credential_file is None:
        raise click.UsageError("--server or --credential is missing")
    place = _place(room=room, rooms=rooms, scanner=scanner, settle_s=settle_s)
    if watched is not None and (sources or place is not places.RECORDER):
        raise click.UsageError("--watch goes without SOURCES; --places says which folders are scanners and rooms")
    _require_there(sources, tongue)
    failpoints.arm(os.environ.get("LIUHEN_FAILPOINT"))
    wishes = Wishes(
        server=server,
        credential=credential_file,
        journal=journal_file,
        jobs=jobs,
        limit=limit,
        patterns=patterns_file,
        zone=zone,
        clock_offsets=dict(clock_offsets),
        clock_of=clock_of,
        carrier=carrier_label,
        ca=ca,
        patience_s=patience_s,
        wait_s=wait_limit_s if wait else None,
        retry_refused=retry_refused,
        release=release,
        handed_over=str(credential_file.parent) == os.environ.get("CREDENTIALS_DIRECTORY"),
    )
    told = Console(stderr=True)
    try:
        if watched is not None:
            rules = (*places.load(places_file), Rule("*", Place("recorder", settle_s=settle_s)))
            _watch(wishes, watched, rules, poll_s, Board(told, tongue=tongue, hear=_json_lines() if as_json else None))
            return
        report = _run(wishes, sources, place, Board(told, tongue=tongue))
    except OSError as why:
        raise Unavailable(what="source", reason=str(why)[:200]) from why
    telling.tell(report, told, tongue=tongue, as_json=as_json)
    if report.exit_code:
        sys.exit(report.exit_code)


def _any_name_can_be_told(*, as_json: bool) -> None:
    """Let a name that the system's encoding lacks be written all the same; JSON is UTF-8 wherever it is written (RFC 8259)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if as_json:
            sys.stdout.reconfigure(encoding="utf-8")
        else:
            sys.stdout.reconfigure(errors="backslashreplace")


def _require_there(sources: tuple[Path, ...], tongue: str) -> None:
    for source in sources:
        if not os.path.exists(source):  # noqa: PTH110 - Path.exists raises where a folder above may not be entered
            raise click.UsageError(words.say("no_source", tongue, path=source))


def _place(*, room: str | None, rooms: bool, scanner: bool, settle_s: float) -> Place:
    """Return what kind of place the sources were said to be."""
    if sum([room is not None, rooms, scanner]) > 1:
        raise click.UsageError("--room, --rooms and --scanner exclude each other")
    if room is not None:
        return Place("room", places.room_name(room), settle_s)
    if rooms or scanner:
        return Place("rooms" if rooms else "scanner", None, settle_s)
    return places.RECORDER


def _run(wishes: Wishes, sources: tuple[Path, ...], place: Place, board: Board) -> Report:
    stop = Stop()
    with session.opened(wishes, board=board, stop=stop) as station, _stopping(stop):
        scans = []
        try:
            for source in sources:
                scans.append(session.settled(station, source.resolve(), place))
                if wishes.clock_of is not None or station.patterns.clock_files:
                    station.measure(scans[-1], seen_at=None)
        except Stopped:
            pass  # the run tells that it was stopped
        failpoints.failpoint("dock.scanned")
        for row in (row for found in scans for row in found.passed):
            style = "red" if row.is_flaw else "dim"
            board.tell("passed", path=row.path, reason=row.reason, detail=row.detail, style=style)
        return station.dock(scans, wait_s=wishes.wait_s, release=wishes.release)


def _watch(wishes: Wishes, folder: Path, rules: Sequence[Rule], poll_s: float, board: Board) -> None:
    stop = Stop()
    with session.opened(wishes, board=board, stop=stop, runs=AT_ONCE) as station, _stopping(stop):
        Watch(station, folder.resolve(), rules, poll_s).run()


def _json_lines() -> Hear:
    """Return what writes an event as a line of JSON to standard output."""
    lock = threading.Lock()

    def hear(event: str, facts: Mapping[str, object]) -> None:
        line = json.dumps({"at": iso(session.now()), "event": event, **facts}, ensure_ascii=False)
        with lock:
            click.echo(line)

    return hear


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


def main() -> None:
    """Run the dock by itself and end with its code, as `liuhen dock` does."""
    try:
        dock.main(prog_name="liuhen dock", standalone_mode=False)
    except click.ClickException as why:
        why.show()
        sys.exit(MISUSE)
    except Refusal as why:
        click.echo(words.ending(why, words.language(os.environ)), err=True)
        sys.exit(REFUSED)
    except Fault as why:
        click.echo(words.ending(why, words.language(os.environ)), err=True)
        sys.exit(FAULT)
