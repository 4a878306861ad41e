"""A station that stands by: whatever is mounted below a folder, and whatever appears in it, is docked, again and again until stopped.

Every volume and every folder is a place of its own with a run of its own, several at a time; a place that goes away in the middle of its
run is told and forgotten, and taken up where it was when it is back. Mounts are noticed at once (the kernel says when the mount table
changes, proc(5)), folders by looking. Nothing is remembered between two watches but the journal, so one that ends, however it ends, is
gone on with by the next.

Invariants: one run at a time for a place; a place is looked at again only when its files differ from those of its last good run, or when
that run had troubles and some time has gone by; the first SIGTERM lets every run stop at its next step.

Not guaranteed: that a file put into the watched folder itself is taken. It belongs to no place, and is told of.
"""

from __future__ import annotations

import hashlib
import select
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archive.core.errors import LiuhenError
from archive.dock import carrier, places, receipts, scanner, telling
from archive.dock.pace import Stopped
from archive.dock.session import now
from archive.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archive.core.instant import Instant
    from archive.dock.board import Board
    from archive.dock.journal import Entry
    from archive.dock.pace import Stop
    from archive.dock.places import Place, Rule
    from archive.dock.scan import Scan
    from archive.dock.session import Session

AT_ONCE = 4
"""Places that are docked at the same time; more of them wait their turn, so that every recorder gets on."""
AGAIN_S = 60.0
"""After a run with troubles, before the next: long enough not to hammer an archive that is away."""
_GLANCE_S = 0.5
_RECEIPTS_EVERY_S = 2.0


@dataclass(slots=True)
class _Standing:
    """A place as the watch knows it."""

    root: Path
    place: Place
    stop: Stop
    device: int
    seen_at: Instant | None
    """When it came, None if it was there when the watch began."""
    still: scanner.Stillness
    mounted: bool
    run: Future[None] | None = None
    done: str | None = None
    """What its files were when it was last docked without trouble."""
    not_before: float = 0.0
    identity: str | None = None
    measured: bool = False
    to_release: bool = False
    settling: bool = False
    """Whether it was told that files are waited for."""


@dataclass(slots=True)
class Watch:
    """One watch over a folder; `poll_s` is how often folders are looked at."""

    session: Session
    folder: Path
    rules: Sequence[Rule]
    poll_s: float
    mounts: Path = carrier.MOUNTS
    again_s: float = AGAIN_S
    _standing: dict[Path, _Standing] = field(default_factory=dict)
    _leaving: list[Future[None]] = field(default_factory=list)
    _loose: bool = False
    _receipts_at: float = 0.0
    _receipts: Future[None] | None = None

    def run(self) -> None:
        """Watch until asked to stop; every run has ended when this returns.

        Raises:
            OSError: the watched folder is not there.
        """
        board, stop = self.session.board, self.session.stop
        with ExitStack() as stack:
            table = stack.enter_context(self.mounts.open("rb"))
            stack.enter_context(board.shown())
            pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE + 1, thread_name_prefix="watch"))
            stack.callback(stop.ask)
            board.tell("watching", folder=str(self.folder), style="bold")
            failpoint("dock.watching")
            changed = select.poll()
            changed.register(table.fileno(), select.POLLPRI | select.POLLERR)
            first = True
            while not stop.asked:
                self._round(pool, first=first)
                first = False
                self._wait(changed)
                # reading it again is what arms the poll anew
                table.seek(0)
                table.read()
        board.tell("ended", style="bold")

    def _wait(self, changed: select.poll) -> None:
        """Wait for the next look: till the mount table changes, the time is up, or somebody asks to stop."""
        until = time.monotonic() + self.poll_s
        while not self.session.stop.asked and time.monotonic() < until:
            if changed.poll(int(min(_GLANCE_S, self.poll_s) * 1000)):
                return

    def _round(self, pool: ThreadPoolExecutor, *, first: bool) -> None:
        found = self._found()
        for root in self._standing.keys() - found.keys():
            self._left(self._standing.pop(root))
        for root, (place, mounted) in found.items():
            standing = self._standing.get(root)
            if standing is not None and standing.device != _device(root):  # another card in the same reader
                self._left(self._standing.pop(root))
                standing = None
            if standing is None:
                standing = self._appeared(root, place, mounted=mounted, first=first)
                if standing is None:
                    continue
            if standing.run is not None and standing.run.done():
                _raised(standing.run)
                standing.run = None
            if standing.run is None and time.monotonic() >= standing.not_before:
                standing.run = pool.submit(self._dock, standing)
        for run in [run for run in self._leaving if run.done()]:
            self._leaving.remove(run)
            _raised(run)
        self._fetch_receipts(pool)

    def _found(self) -> dict[Path, tuple[Place, bool]]:
        """Return the places there are now, with whether they are mounted."""
        mounted = {
            point for point in carrier.mount_points(self.mounts) if point.is_relative_to(self.folder) and point != self.folder
        }
        found = {point: (places.place_of(point.name, self.rules, mounted=True), True) for point in sorted(mounted)}
        loose = False
        for path in sorted(self.folder.iterdir()):
            junk = self.session.patterns.junk(path.name, folder=path.is_dir())
            if path.is_symlink() or junk or path in mounted or any(point.is_relative_to(path) for point in mounted):
                continue
            if path.is_dir():
                found[path] = (places.place_of(path.name, self.rules, mounted=False), False)
            else:
                loose = True
        if loose and not self._loose:
            self.session.board.tell("loose", folder=str(self.folder), style="yellow")
        self._loose = loose
        return {root: (place, is_mounted) for root, (place, is_mounted) in found.items() if place.kind != "ignore"}

    def _appeared(self, root: Path, place: Place, *, mounted: bool, first: bool) -> _Standing | None:
        device = _device(root)
        if device is None:
            return None
        standing = _Standing(
            root,
            place,
            self.session.stop.below(),
            device,
            None if first else now(),
            scanner.Stillness(place.settle_s, clock=time.monotonic, wall=time.time),
            mounted,
        )
        self._standing[root] = standing
        self.session.board.tell("appeared", place=self._name(root), kind=place.kind, mounted=mounted)
        return standing

    def _left(self, standing: _Standing) -> None:
        standing.stop.ask()
        self.session.stop.forget(standing.stop)
        if standing.identity is not None:
            self.session.forget(standing.identity)
        if standing.run is not None:
            self._leaving.append(standing.run)
        self.session.board.tell("left", place=self._name(standing.root), in_the_middle=standing.run is not None)

    def _name(self, root: Path) -> str:
        return places.room_name(str(root.relative_to(self.folder)))

    def _dock(self, standing: _Standing) -> None:
        """Dock a place once, if there is anything new in it."""
        board = self.session.board.of(place=self._name(standing.root))
        try:
            found = self.session.look(standing.root, standing.place)
            standing.identity = found.volume.carrier.identity
            if standing.place.settle_s:
                found = standing.still.settled(found)
                self._tell_settling(standing, found, board)
            state = _state(found)
            if state != standing.done and found.files:
                self._dock_files(standing, found, board, state)
            elif standing.to_release and not self._waiting(found):
                report = self.session.dock([found], wait_s=None, release=True, stop=standing.stop, board=board)
                # what a fault kept from going is asked for again; what a rule keeps stays
                standing.to_release = bool(report.ended_by) or any(row.fault for row in report.releases)
                standing.not_before = time.monotonic() + (self.again_s if standing.to_release else 0)
        except Stopped:
            pass
        except LiuhenError as why:  # such as a journal that cannot be read on a full disk
            standing.not_before = time.monotonic() + self.again_s
            board.tell("trouble", place=self._name(standing.root), trouble=str(why), style="red")
        except OSError as why:
            standing.not_before = time.monotonic() + self.poll_s
            if not standing.stop.asked:
                board.tell("trouble", place=self._name(standing.root), trouble=why.strerror or str(why), style="red")

    def _tell_settling(self, standing: _Standing, found: Scan, board: Board) -> None:
        """Tell once that files are waited for until they hold still, so that nobody takes the silence for a dock that hangs."""
        early = sum(row.is_early for row in found.passed)
        if early and not standing.settling:
            board.tell("settling", count=early, settle_s=standing.place.settle_s)
        standing.settling = early > 0

    def _dock_files(self, standing: _Standing, found: Scan, board: Board, state: str) -> None:
        name = self._name(standing.root)
        if standing.mounted and standing.place.kind == "recorder" and not standing.measured:
            standing.measured = True
            self.session.measure(found, seen_at=standing.seen_at)
        board.tell("docking", place=name, count=len(found.files))
        placed = self.session.placed(found, standing.root, standing.place)
        report = self.session.dock([placed], wait_s=None, release=False, stop=standing.stop, board=board)
        if standing.stop.asked:
            return
        summary = telling.summary(report, board.tongue)
        trouble = report.ended_by or report.refused or any(row.trouble for row in report.outcomes)
        board.tell("docked", place=name, summary=summary, exit_code=report.exit_code, style="red" if trouble else "green")
        if report.ended_by:
            board.tell("trouble", place=name, trouble=report.ended_by, style="red")
        if report.ended_by or report.gone or any(row.fault for row in report.outcomes):
            standing.not_before = time.monotonic() + self.again_s
            return
        standing.done = state
        standing.to_release = self.session.wishes.release

    def _waiting(self, found: Scan) -> list[Entry]:
        """Return the files of a carrier that have no receipt yet."""
        identity = found.volume.carrier.identity
        return [row for row in self.session.journal.waiting(self.session.credential.archive) if row.carrier == identity]

    def _fetch_receipts(self, pool: ThreadPoolExecutor) -> None:
        if self._receipts is not None and self._receipts.done():
            _raised(self._receipts)
            self._receipts = None
        if self._receipts is None and self.session.wishes.wait_s is not None and time.monotonic() >= self._receipts_at:
            self._receipts_at = time.monotonic() + _RECEIPTS_EVERY_S
            self._receipts = pool.submit(self._collect)

    def _collect(self) -> None:
        session = self.session

        def told(entry: Entry, trouble: str | None) -> None:
            if trouble is None:
                session.board.tell("receipt", number=entry.number, path=entry.shown, style="green")
            else:
                session.board.tell("receipt_flawed", number=entry.number, trouble=trouble, style="bold red")

        try:
            receipts.collect(
                journal=session.journal,
                server=session.server,
                credential=session.credential,
                within_s=0,
                stop=session.stop,
                clock=time.monotonic,
                now=now,
                told=told,
            )
        except Stopped:
            pass
        except LiuhenError as why:
            session.board.tell("trouble", place="-", trouble=str(why), style="red")
            self._receipts_at = time.monotonic() + self.again_s


def _state(found: Scan) -> str:
    """Return what a place's files are, in one value."""
    told = hashlib.sha256()
    for source in found.files:
        told.update(repr((source.key, source.size, source.mtime_ns)).encode())
    return told.hexdigest()


def _device(root: Path) -> int | None:
    try:
        return root.stat().st_dev
    except OSError:
        return None


def _raised(run: Future[None]) -> None:
    """Raise what a run raised, which is nothing but a mistake of ours: a watch must not go on as if nothing were."""
    run.result()
