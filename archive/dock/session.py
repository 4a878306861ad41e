"""What every run of a station needs, opened once: credential, patterns, journal, connection, and the screen."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from archive.core.errors import Malformed, Unavailable
from archive.core.instant import Instant
from archive.dock import clock, credential, patterns, places, scanner
from archive.dock.client import Server
from archive.dock.describe import Reading
from archive.dock.direct import Way
from archive.dock.journal import Entry, Journal
from archive.dock.pace import Limit, Stop, Turns
from archive.dock.run import Dock, Plan
from archive.dock.sending import Means

if TYPE_CHECKING:
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from archive.dock.board import Board
    from archive.dock.clock import Measured
    from archive.dock.credential import Credential
    from archive.dock.patterns import Patterns
    from archive.dock.places import Place
    from archive.dock.report import Report
    from archive.dock.scan import Scan

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command line of one run; `wait_s` for receipts, None for not at all."""

    server: str
    credential: Path
    journal: Path
    jobs: int
    limit: int | None
    patterns: Path | None
    zone: ZoneInfo | None
    clock_offsets: Mapping[str, int]
    clock_of: str | None
    carrier: str | None
    ca: Path | None
    patience_s: float
    wait_s: float | None
    retry_refused: bool
    release: bool
    handed_over: bool = False
    """Whether systemd handed the credential over (LoadCredential=)."""


@dataclass(slots=True)
class Session:
    """A station at work: everything its runs share."""

    wishes: Wishes
    credential: Credential
    patterns: Patterns
    journal: Journal
    server: Server
    stop: Stop
    board: Board
    limit: Limit
    way: Way
    turns: Turns = field(default_factory=Turns)
    _measured: dict[str, Measured] = field(default_factory=dict)
    _measuring: threading.Lock = field(default_factory=threading.Lock)

    @property
    def zone(self) -> ZoneInfo:
        """The zone recorders' clocks show."""
        return self.wishes.zone or self.credential.zone

    def look(self, root: Path, place: Place) -> Scan:
        """Return what lies in a place.

        Raises:
            OSError: it is not there.
        """
        return places.look(root, place, label=self.wishes.carrier, patterns=self.patterns)

    def placed(self, scan: Scan, root: Path, place: Place) -> Scan:
        """Return the scan with the pages of a scanner's documents in their order."""
        if place.kind != "scanner":
            return scan
        return scanner.documents(
            scan, root, station=self.credential.station, archive=self.credential.archive, journal=self.journal
        )

    def measure(self, scan: Scan, *, seen_at: Instant | None) -> None:
        """Measure the recorder's clock where it lets itself be measured, for the runs that follow; once for each time it comes.

        Raises:
            Stopped: somebody asked.
        """
        identity, label = scan.volume.carrier.identity, scan.volume.carrier.label
        try:
            if self.wishes.clock_of is not None:
                measured: Measured | None = clock.by_command(self.wishes.clock_of, scan, zone=self.zone, now=now)
            else:
                files = self.patterns.clock_files
                measured = clock.by_file(files, scan.volume.root, zone=self.zone, seen_at=seen_at, now=now, wait=self.stop.wait)
        except (Unavailable, Malformed) as why:
            self.board.tell("clock_unknown", carrier=label, trouble=str(why), style="yellow")
            return
        if measured is not None:
            with self._measuring:
                self._measured[identity] = measured
            offset, uncertain = (f"{value / 1e6:.3f}" for value in (measured.offset_us, measured.uncertainty_us))
            self.board.tell("clock", carrier=label, offset_s=offset, uncertainty_s=uncertain, how=measured.how)

    def forget(self, identity: str) -> None:
        """Forget what was measured of a carrier that went away: it may come back in another recorder."""
        with self._measuring:
            self._measured.pop(identity, None)

    def dock(
        self,
        scans: Sequence[Scan],
        *,
        wait_s: float | None,
        release: bool,
        stop: Stop | None = None,
        board: Board | None = None,
    ) -> Report:
        """Dock what was found and tell what came of it; `stop` and `board` where several runs go at once."""
        with self._measuring:
            measured = dict(self._measured)
        own = stop or self.stop
        shown = board or self.board

        def detour(entry: Entry, reason: str) -> None:
            self.journal.troubled(entry, f"detour: {reason}", now=now())
            shown.tell("detour", path=entry.shown, trouble=reason, style="yellow")

        means = Means(
            server=self.server,
            journal=self.journal,
            limit=self.limit,
            stop=own,
            now=now,
            turns=self.turns,
            way=self.way,
            detour=detour,
        )
        plan = Plan(
            reading=Reading(self.patterns, self.zone, self.wishes.clock_offsets, measured),
            jobs=self.wishes.jobs,
            patience_s=self.wishes.patience_s,
            retry_refused=self.wishes.retry_refused,
            chance=random.Random(),  # noqa: S311 - spreads waits, guards nothing
            release=release,
        )
        at_work = Dock(means=means, credential=self.credential, plan=plan, board=shown)
        return at_work.run(scans, wait_s=wait_s)


@contextmanager
def opened(wishes: Wishes, *, board: Board, stop: Stop, runs: int = 1) -> Iterator[Session]:
    """Open everything; `runs` says how many may go at once.

    Raises:
        JournalBusy: another run of this station is at work.
        Malformed: credential, patterns or journal are not what they must be.
    """
    station = credential.load(wishes.credential, handed_over=wishes.handed_over)
    known = patterns.load(wishes.patterns)
    where = urlsplit(wishes.server)
    if where.scheme == "http" and where.hostname not in _LOOPBACK:
        board.tell("not_encrypted", style="yellow")
    with (
        Journal.locked(wishes.journal) as journal,
        Server(wishes.server, station, ca=wishes.ca, connections=wishes.jobs * runs + 1) as server,
        Way(secure=where.scheme == "https", ca=wishes.ca) as way,
    ):
        journal.rename_archive(station.earlier_archives, station.archive)
        limit = Limit(wishes.limit, stop=stop)
        yield Session(wishes, station, known, journal, server, stop, board, limit, way)


def settled(session: Session, root: Path, place: Place) -> Scan:
    """Return what lies in a place and has held still, after waiting once for what has not.

    Raises:
        OSError: the place is not there.
        Stopped: somebody asked.
    """
    scan = session.look(root, place)
    if not place.settle_s:
        return session.placed(scan, root, place)
    still = scanner.Stillness(place.settle_s, clock=time.monotonic, wall=time.time)
    found = still.settled(scan)
    early = sum(row.is_early for row in found.passed)
    if early:
        session.board.tell("settling", count=early, settle_s=place.settle_s)
        session.stop.wait(place.settle_s)
        found = still.settled(session.look(root, place))
    return session.placed(found, root, place)


def now() -> Instant:
    """Return the station's clock."""
    return Instant(time.time_ns() // 1000)
