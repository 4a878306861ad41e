"""Runs (连续段): what one recorder recorded without stopping, put together again from the files it was split into.

Recorders begin a new file every few minutes. `runs` finds which files follow one another, from what is known of each, and says what lies at
every join: a gap (nothing is on record there) or an overlap (both files hold it). Neither is rounded away.

Invariants: every recording given stands in exactly one run, once, as a member or beside one as the same bytes docked again; the order in
which they are given changes nothing; a run's members share recorder, officer, kind and clock offset, begin and end one after another, and
what lies between two is no longer than the join gap asked for; the run's length is its members' lengths plus its gaps, to the microsecond.

A run is what facts say today. It is computed and not stored: a file that is docked a day later, or a length that examination corrects,
joins or parts files without anything having to be kept in step.

Not guaranteed: that a recorder's numbers or clock tell the truth; a join of files without numbers rests on time alone, and says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from archive.core.accession import Kind
from archive.core.errors import Malformed
from archive.core.instant import SECOND, Instant
from archive.core.timeline import Span

JOIN_GAP = 2 * SECOND
"""The join gap as it is shipped; an agency's own is a setting."""
PRE_RECORD = 30 * SECOND
"""How far a file may reach back into the one before it when their numbers say that it follows: recorders keep what their buffer held before
the button was pressed (half a minute is what makers ship), and let a file overrun while the next one has begun."""

_LEAST_WRAP = 999
"""The lowest number after which counting is taken to begin anew: a counter has at least three digits."""


class By(StrEnum):
    """What a join rests on, beside time."""

    SEQUENCE = "sequence"
    TIME = "time"


class Apart(StrEnum):
    """Why one recording does not follow another."""

    UNDATED = "undated"
    RECORDER = "recorder"
    OFFICER = "officer"
    CLOCK = "clock"
    SEQUENCE = "sequence"
    GAP = "gap"
    OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class Recording:
    """What is known of one file. `id` is its place in the order of accession; times are corrected ones, lengths real ones, microseconds.

    `clock_offset` is what `start` was corrected by; None where nobody compared the clock.
    """

    id: int
    number: str
    sha256: str
    kind: Kind
    recorder: str | None
    officer: str | None
    sequence: int | None
    start: Instant | None
    length: int | None
    clock_offset: int | None

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 0:
            raise Malformed(what="length", value=self.length)

    @property
    def span(self) -> Span | None:
        """When it was recorded; None where its start or its length is not known."""
        return None if self.start is None or self.length is None else Span(self.start, Instant(self.start + self.length))


@dataclass(frozen=True, slots=True)
class Join:
    """What lies between two members: `gap` microseconds of which nothing is on record, or, below zero, which both hold."""

    gap: int
    by: By


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a run; `also` are the numbers under which the same bytes were taken in again."""

    recording: Recording
    also: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[str, ...]:
        """Every number it has, the first accession's first."""
        return (self.recording.number, *self.also)


@dataclass(frozen=True, slots=True)
class Run:
    """Members in their order and what lies between them: one join fewer than members."""

    members: tuple[Member, ...]
    joins: tuple[Join, ...]

    @property
    def span(self) -> Span | None:
        """From the first member's start to the last one's end; None for a single file without start or length."""
        first, last = self.members[0].recording.span, self.members[-1].recording.span
        return None if first is None or last is None else Span(first.start, last.end)

    @property
    def recorded(self) -> int:
        """Microseconds of its members together; what two hold counts twice."""
        return sum(member.recording.length or 0 for member in self.members)

    def place(self, number: str) -> int | None:
        """Return the place of the member of this number, from 0; None if it is no member's."""
        return next((place for place, member in enumerate(self.members) if number in member.numbers), None)


def runs(recordings: Iterable[Recording], *, join_gap: int) -> list[Run]:
    """Return the runs that these recordings make, in order of time; those without a time come last, by accession.

    A recording follows another of the same recorder, officer, kind and clock offset if it begins within `join_gap` microseconds of that
    one's end and its number, where both have one, is the next (or the first again after 999, 9999, …). Where files reach into one another
    it follows the one that fits best: by number before by time, then the one whose end is nearest. A recording whose recorder, start or
    length is not known stands alone.

    Raises:
        Malformed: the join gap is below zero.
    """
    if join_gap < 0:
        raise Malformed(what="join_gap", value=join_gap)
    alone: list[Run] = []
    alike: dict[object, list[Recording]] = defaultdict(list)
    for each in recordings:
        if each.span is None or each.recorder is None:
            alone.append(Run((Member(each),), ()))
        else:
            alike[each.kind, each.recorder, each.officer, each.clock_offset].append(each)
    found = [run for group in alike.values() for run in _chained(_once(group), join_gap)]
    return sorted(found + alone, key=_order)


def apart(before: Recording, after: Recording, *, join_gap: int) -> Apart | None:
    """Return why `after` does not follow `before` in one run: what time says first, then what else is known; None if it does."""
    if before.span is None or after.span is None or before.recorder is None:
        return Apart.UNDATED
    if (before.kind, before.recorder) != (after.kind, after.recorder):
        return Apart.RECORDER
    return _apart_in_time(before.span, after.span, join_gap, by_number=follows(before, after)) or _apart_in_facts(before, after)


def follows(before: Recording, after: Recording) -> bool:
    """Whether the second's number is the one after the first's; a counter of nines goes on with 0 or 1."""
    if before.sequence is None or after.sequence is None:
        return False
    wraps = before.sequence >= _LEAST_WRAP and set(str(before.sequence)) == {"9"} and after.sequence in (0, 1)
    return after.sequence == before.sequence + 1 or wraps


def _apart_in_time(first: Span, second: Span, join_gap: int, *, by_number: bool) -> Apart | None:
    gap = second.start - first.end
    if gap > join_gap:
        return Apart.GAP
    reach = max(PRE_RECORD, join_gap) if by_number else join_gap
    within = second.start <= first.start or second.end <= first.end
    return Apart.OVERLAP if gap < -reach or within else None


def _apart_in_facts(before: Recording, after: Recording) -> Apart | None:
    if before.sequence is not None and after.sequence is not None and not follows(before, after):
        return Apart.SEQUENCE
    if before.officer != after.officer:
        return Apart.OFFICER
    return Apart.CLOCK if before.clock_offset != after.clock_offset else None


def _order(run: Run) -> tuple[bool, int, int]:
    first = run.members[0].recording
    return run.span is None, first.start or 0, first.id


def _once(group: Iterable[Recording]) -> list[Member]:
    """Return the group in order of time, with the same bytes of the same time as one member: that of the first accession."""
    same: dict[object, list[Recording]] = defaultdict(list)
    for each in sorted(group, key=lambda recording: recording.id):
        same[each.sha256, each.start].append(each)
    members = [Member(first, tuple(other.number for other in others)) for first, *others in same.values()]
    return sorted(members, key=lambda m: (m.recording.start or 0, m.recording.sequence or -1, m.recording.id))


def _chained(members: Sequence[Member], join_gap: int) -> list[Run]:
    chains: list[tuple[list[Member], list[Join]]] = []
    open_from = 0  # chains before it ended too long ago to go on
    longest = max((member.recording.length or 0 for member in members), default=0)
    for member in members:
        start = member.recording.start or 0
        while open_from < len(chains) and (chains[open_from][0][-1].recording.start or 0) + longest + join_gap < start:
            open_from += 1
        fitting = [
            (by is By.TIME, abs(gap), index, Join(gap, by))
            for index, (links, _joins) in enumerate(chains[open_from:], open_from)
            if apart(links[-1].recording, member.recording, join_gap=join_gap) is None
            for gap, by in [_between(links[-1].recording, member.recording)]
        ]
        if fitting:
            *_rank, index, join = min(fitting, key=lambda each: each[:3])
            chains[index][0].append(member)
            chains[index][1].append(join)
        else:
            chains.append(([member], []))
    return [Run(tuple(links), tuple(joins)) for links, joins in chains]


def _between(before: Recording, after: Recording) -> tuple[int, By]:
    first, second = before.span, after.span
    assert first is not None
    assert second is not None
    return second.start - first.end, By.SEQUENCE if follows(before, after) else By.TIME
