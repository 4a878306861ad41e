"""Where things stand on a case's timeline."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from archive.core.instant import DAY, HOUR, MINUTE, Instant
from archive.core.timeline import WIDTH, Span, position, rows, stretches

SPANS = st.lists(
    st.tuples(st.integers(0, 30 * DAY), st.integers(0, 3 * HOUR)).map(lambda pair: Span(Instant(pair[0]), Instant(sum(pair)))),
    min_size=1,
    max_size=20,
)


def test_nothing_has_no_axis():
    assert stretches([]) == []


def test_an_idle_day_between_two_recordings_is_folded():
    axis = stretches([Span(Instant(0), Instant(HOUR)), Span(Instant(DAY), Instant(DAY + HOUR))])
    assert [stretch.folded for stretch in axis] == [False, True, False]
    assert axis[0].right == axis[1].left
    assert axis[-1].right == WIDTH


def test_a_pause_of_ten_minutes_is_not_folded():
    assert len(stretches([Span(Instant(0), Instant(HOUR)), Span(Instant(HOUR + 10 * MINUTE), Instant(2 * HOUR))])) == 1


@given(SPANS)
def test_the_axis_is_whole_and_every_span_lies_on_a_shown_stretch(spans):
    axis = stretches(spans)
    assert axis[0].left == 0
    for before, after in itertools.pairwise(axis):
        assert before.right == after.left
        assert before.span.end == after.span.start
    for span in spans:
        assert any(not s.folded and s.span.start <= span.start and span.end <= s.span.end for s in axis)


@given(SPANS, st.lists(st.integers(-DAY, 31 * DAY), min_size=2, max_size=10))
def test_later_never_stands_left_of_earlier(spans, instants):
    axis = stretches(spans)
    placed = [position(axis, Instant(i)) for i in sorted(instants)]
    assert placed == sorted(placed)


@given(SPANS)
def test_no_two_spans_of_a_row_overlap(spans):
    chosen = rows(spans)
    for i, a in enumerate(spans):
        for j, b in enumerate(spans[:i]):
            if chosen[i] == chosen[j] and a.length and b.length:
                assert a.end <= b.start or b.end <= a.start
