"""The case timeline: what stands where, and which idle stretches are folded.

A case spans weeks, its recordings minutes. Stretches in which nothing stands and that are longer than `FOLD` are folded to a mark with
their length, so that the rest stays readable. Positions along the axis are integers (permyriad of the width), for a page to scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archive.core.errors import Malformed
from archive.core.instant import MINUTE, Instant

FOLD = 30 * MINUTE
MARGIN = 2 * MINUTE
WIDTH = 10_000
FOLD_WIDTH = 250


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open stretch of wall time, `start <= t < end`; an instant is a span of no length."""

    start: Instant
    end: Instant

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise Malformed(what="span", start=self.start, end=self.end)

    @property
    def length(self) -> int:
        """Microseconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of the axis: shown time, or a folded idle stretch."""

    span: Span
    folded: bool
    left: int
    right: int


def stretches(spans: Iterable[Span], *, fold: int = FOLD, margin: int = MARGIN) -> list[Stretch]:
    """Return the axis for these spans: shown stretches with a margin around what stands there, folds between; empty for no spans."""
    shown: list[Span] = []
    for span in sorted(spans):
        start, end = Instant(span.start - margin), Instant(span.end + margin)
        if shown and start - shown[-1].end <= fold:
            shown[-1] = Span(shown[-1].start, max(shown[-1].end, end))
        else:
            shown.append(Span(start, end))
    if not shown:
        return []
    total = sum(span.length for span in shown)
    room = max(WIDTH - FOLD_WIDTH * (len(shown) - 1), WIDTH // 4)
    axis: list[Stretch] = []
    left = 0
    passed = 0
    for index, span in enumerate(shown):
        if index:
            axis.append(Stretch(Span(shown[index - 1].end, span.start), folded=True, left=left, right=left + FOLD_WIDTH))
            left += FOLD_WIDTH
        before, passed = passed, passed + span.length
        right = left + room * passed // total - room * before // total
        axis.append(Stretch(span, folded=False, left=left, right=right))
        left = right
    return axis


def position(axis: Sequence[Stretch], instant: Instant) -> int:
    """Return where an instant stands on the axis; what lies outside stands at the nearer edge."""
    for stretch in axis:
        if instant < stretch.span.end:
            into = max(instant - stretch.span.start, 0)
            return stretch.left + (stretch.right - stretch.left) * into // max(stretch.span.length, 1)
    return axis[-1].right if axis else 0


def rows(spans: Sequence[Span]) -> list[int]:
    """Return a row for each span (in the order given) so that no two in a row overlap, using as few rows as there are overlaps."""
    chosen = [0] * len(spans)
    free_from: list[int] = []
    for index in sorted(range(len(spans)), key=lambda i: spans[i]):
        span = spans[index]
        for row, end in enumerate(free_from):
            if end <= span.start:
                chosen[index] = row
                free_from[row] = span.end
                break
        else:
            chosen[index] = len(free_from)
            free_from.append(span.end)
    return chosen
