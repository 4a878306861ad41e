"""Measured series become spans: half-open, in order, within the recording, and only of what was measured."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from archive.core.media.disturbance import Heard, Look, integrated, pictures, read_heard, read_looks, sound

S = 1_000_000


def looks(*kinds: str, step: int = S) -> list[Look]:
    """`b` black, `m` moving, `s` still; one a step."""
    light = {"b": 20, "m": 150, "s": 150}
    return [Look(place * step, light[kind], 0 if kind == "s" else 5000) for place, kind in enumerate(kinds)]


def spans(notes) -> list[tuple[str, int, int]]:
    return [(span.kind, span.start_us // S, span.end_us // S) for span in notes.spans]


def test_black_reaches_to_the_first_key_frame_that_is_not():
    assert spans(pictures(looks(*"mbbbm"), 5 * S)) == [("black", 1, 4)]
    assert spans(pictures(looks(*"mmbbb"), 5 * S + 500_000)) == [("black", 2, 5)]
    assert spans(pictures(looks(*"mbmmm"), 5 * S)) == [], "one dark second is a shadow"


def test_an_unchanging_picture_begins_at_the_look_before():
    assert spans(pictures(looks(*"mm" + "s" * 10 + "mm"), 14 * S)) == [("still", 1, 11)]
    assert spans(pictures(looks(*"mm" + "s" * 8 + "mm"), 12 * S)) == [], "eight seconds of nothing are not worth a line"


def test_black_is_not_also_called_unchanging():
    dark = [Look(place * S, 16, 0) for place in range(20)]
    assert spans(pictures(dark, 20 * S)) == [("black", 0, 20)]


def test_sound_that_begins_late_is_muted_until_then_and_a_hole_is_muted_too():
    late = [Heard(30 * S + place * 100_000, -2300) for place in range(100)]
    assert spans(sound(late, 40 * S)) == [("muted", 0, 30)]
    holed = [block for block in [Heard(place * 100_000, -2300) for place in range(100)] if not 3 * S <= block.at_us < 7 * S]
    assert spans(sound(holed, 10 * S)) == [("muted", 3, 7)]


def test_digital_silence_is_muted_and_a_quiet_room_is_silent():
    def level(place: int) -> int:
        return -2300 if place < 50 else -12_000 if place < 100 else -6500

    notes = sound([Heard(place * 100_000, level(place)) for place in range(150)], 15 * S)
    assert spans(notes) == [("muted", 4, 10), ("silent", 10, 15)]


def test_loudness_leaves_the_pauses_out():
    talk = [Heard(place * 100_000, -2300) for place in range(100)]
    assert integrated(talk) == -2300
    assert integrated([*talk, *(Heard(10 * S + place * 100_000, -12_000) for place in range(500))]) == -2300
    assert integrated([]) is None


@given(
    st.lists(st.tuples(st.integers(0, 5 * S), st.integers(0, 255), st.integers(0, 300)), max_size=60),
    st.lists(st.tuples(st.integers(1, 3 * S), st.integers(-12_000, 0)), max_size=80),
    st.integers(0, 400 * S),
)
def test_spans_are_in_order_within_the_recording_and_apart(seen, heard, duration):
    at, series = 0, []
    for step, light, moved in seen:
        at += step
        series.append(Look(at, light, moved))
    blocks, moment = [], 0
    for step, loudness in heard:
        moment += step
        blocks.append(Heard(moment, loudness))
    end = max(duration, at, moment + 100_000)
    for notes in (pictures(series, duration), sound(blocks, duration)):
        for span in notes.spans:
            assert 0 <= span.start_us < span.end_us <= end
        for kind in {span.kind for span in notes.spans}:
            own = [span for span in notes.spans if span.kind == kind]
            assert all(before.end_us <= after.start_us for before, after in pairwise(own))


def test_what_the_tool_prints_is_read_and_what_is_no_number_is_left_out():
    printed = "frame:0    pts:0       pts_time:0\nlavfi.signalstats.YHIGH=16\nlavfi.signalstats.YDIF=0.25\n"
    assert list(read_looks((printed + "frame:1 pts:NOPTS pts_time:NOPTS\nlavfi.signalstats.YHIGH=1\n").splitlines())) == [
        Look(0, 16, 250)
    ]
    sounds = "frame:0 pts:0 pts_time:0\nlavfi.r128.M=-inf\n"
    sounds += "frame:1 pts:100000 pts_time:0.1\nlavfi.r128.M=nan\nframe:2 pts:200000\nlavfi.r128.M=-20.5"
    assert list(read_heard(sounds.splitlines())) == [Heard(0, -12_000), Heard(200_000, -2050)]


@given(st.text(max_size=300))
def test_no_print_makes_the_readers_fail(text: str):
    assert isinstance([*read_looks(text.splitlines()), *read_heard(text.splitlines())], list)
