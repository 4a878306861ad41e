"""Runs (连续段) out of what is on record: an item's own run, found by looking at its neighbours in time.

Looks at files of one recorder only, through the index of recorder and start, outwards from the item until the run has ended on both
sides; a day of five hundred files is a handful of queries. Nothing about a run is stored (docs/decisions/0018).

Not guaranteed: that a run of more than `MOST` files is seen whole; then it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from archive.core.accession import Kind
from archive.core.errors import NotFound
from archive.core.instant import Instant
from archive.core.runs import Apart, Recording, Run, apart, runs
from archive.records.items import Item

MOST = 2000
"""Files looked at on each side of an item: a week without a pause in files of five minutes."""
_CHUNK = 250
_BEYOND = 8
"""Files looked at beyond a run's ends, so that one that begins before its neighbour has ended is seen."""
_TOLD = (Apart.OFFICER, Apart.CLOCK, Apart.SEQUENCE, Apart.OVERLAP)
_MOVING = (Kind.RECORDING.value, Kind.AUDIO.value)


@dataclass(frozen=True, slots=True)
class Beside:
    """A file that comes right before or after a run in time and is no part of it, and why not."""

    number: str
    gap: int
    why: Apart


@dataclass(frozen=True, slots=True)
class RunView:
    """An item's run and the item's place in it, from 0; `before` and `after` are files that nearly were part of it.

    `whole` is False for a run so long that not all of it was looked at.
    """

    run: Run
    place: int
    whole: bool
    before: Beside | None
    after: Beside | None


def run_of(session: Session, number: str, *, join_gap: int) -> RunView:
    """Return the run an item is part of; an item that nothing joins is a run of its own.

    `join_gap` is the longest pause joined over, in microseconds.

    Raises:
        NotFound: there is no such item.
    """
    row = session.execute(_columns().where(Item.number == number)).first()
    if row is None:
        raise NotFound(what="item", number=number[:64])
    own = _recording(row)
    if own.recorder is None or own.start is None:
        return RunView(Run(runs([own], join_gap=join_gap)[0].members, ()), 0, whole=True, before=None, after=None)
    around, near, whole = _around(session, own, join_gap)
    place = around.place(number)
    assert place is not None
    return RunView(
        around,
        place,
        whole=whole,
        before=_beside(near, around, join_gap, after=False),
        after=_beside(near, around, join_gap, after=True),
    )


def runs_of(session: Session, numbers: Iterable[str], *, join_gap: int) -> list[Run]:
    """Return the runs these items are part of, each once, in order of time; members that are not among the numbers are in them too."""
    found: list[Run] = []
    known: set[str] = set()
    for number in numbers:
        if number not in known:
            run = run_of(session, number, join_gap=join_gap).run
            found.append(run)
            known.update(each for member in run.members for each in member.numbers)
    return sorted(
        found, key=lambda run: (run.span is None, 0 if run.span is None else run.span.start, run.members[0].recording.id)
    )


def _columns() -> Select[int, str, str, str, str | None, str | None, int | None, int | None, int | None, int | None]:
    return select(
        Item.id,
        Item.number,
        Item.kind,
        Item.sha256,
        Item.recorder,
        Item.officer,
        Item.sequence,
        Item.started_at,
        Item.duration_us,
        Item.clock_offset_us,
    )


def _recording(row: Sequence[object]) -> Recording:
    item_id, number, kind, sha256, recorder, officer, sequence, start, length, offset = row
    assert isinstance(item_id, int)
    return Recording(
        id=item_id,
        number=str(number),
        sha256=str(sha256),
        kind=Kind(str(kind)),
        recorder=recorder if isinstance(recorder, str) else None,
        officer=officer if isinstance(officer, str) else None,
        sequence=sequence if isinstance(sequence, int) else None,
        start=Instant(start) if isinstance(start, int) else None,
        length=length if isinstance(length, int) else None,
        clock_offset=offset if isinstance(offset, int) else None,
    )


def _around(session: Session, own: Recording, join_gap: int) -> tuple[Run, list[Recording], bool]:
    """Return the run around a recording, what was looked at, and whether both of the run's ends were seen."""
    earlier = _Side(session, own, backwards=True)
    later = _Side(session, own, backwards=False)
    while True:
        near = [*reversed(earlier.found), own, *later.found]
        run = next(one for one in runs(near, join_gap=join_gap) if one.place(own.number) is not None)
        first, last = run.members[0].recording, run.members[-1].recording
        # Both sides are read before either is judged: what is read on one side may lengthen the run on the other.
        grew = [earlier.reach_past(first), later.reach_past(last)]
        if not any(grew):
            return run, near, earlier.seen and later.seen


class _Side:
    """The files of a recorder that begin before, or after, one of its files, read outwards as far as is needed."""

    def __init__(self, session: Session, own: Recording, *, backwards: bool) -> None:
        self._session, self._own, self._backwards = session, own, backwards
        self.found: list[Recording] = []
        self.ended = False
        self.seen = True
        self._read()

    def reach_past(self, edge: Recording) -> bool:
        """Read on if fewer than `_BEYOND` files were seen past the run's edge; whether anything was read."""
        at = next((place for place, each in enumerate(self.found) if each.number == edge.number), -1)
        self.seen = self.ended or len(self.found) - 1 - at >= _BEYOND
        if self.seen or len(self.found) >= MOST:
            return False
        read = self._read()
        self.seen = self.ended and not read
        return read

    def _read(self) -> bool:
        edge = self.found[-1] if self.found else self._own
        start, by_id = Item.started_at, Item.id
        if self._backwards:
            past = (start < edge.start) | ((start == edge.start) & (by_id < edge.id))
            order = (start.desc(), by_id.desc())
        else:
            past = (start > edge.start) | ((start == edge.start) & (by_id > edge.id))
            order = (start.asc(), by_id.asc())
        query = (
            _columns()
            # The bound on the start alone is what the index is read by; the whole condition settles those of the same start.
            .where(Item.recorder == self._own.recorder, start <= edge.start if self._backwards else start >= edge.start)
            .where(past, Item.kind.in_(_MOVING))
            .order_by(*order)
            .limit(_CHUNK)
        )
        rows = [_recording(row) for row in self._session.execute(query)]
        self.found += rows
        self.ended = len(rows) < _CHUNK
        return bool(rows)


def _beside(near: Iterable[Recording], run: Run, join_gap: int, *, after: bool) -> Beside | None:
    """Return the file whose time would have joined it to the run and which another fact keeps apart, the nearest one."""
    members = {each for member in run.members for each in member.numbers}
    edge = run.members[-1 if after else 0].recording
    found: list[Beside] = []
    for other in near:
        if other.number in members or other.span is None or edge.span is None:
            continue
        first, second = (edge, other) if after else (other, edge)
        why = apart(first, second, join_gap=join_gap)
        assert first.span is not None
        assert second.span is not None
        gap = second.span.start - first.span.end
        if why in _TOLD and abs(gap) <= join_gap:
            found.append(Beside(other.number, gap, why))
    return min(found, key=lambda each: abs(each.gap), default=None)
