"""Peaks do not depend on how the sound was cut."""

import json
import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from archive.core.media.waveform import SAMPLE_RATE, SAMPLES_PER_PEAK, Peaks


def peaks_of(*pieces: bytes) -> dict:
    peaks = Peaks()
    for piece in pieces:
        peaks.feed(piece)
    return peaks.finish().as_json()


@given(st.lists(st.integers(-32768, 32767), max_size=1300), st.lists(st.integers(0, 2600), max_size=5))
def test_cutting_the_stream_anywhere_changes_nothing(samples: list[int], cuts: list[int]):
    pcm = struct.pack(f"<{len(samples)}h", *samples)
    marks = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]
    found = peaks_of(*(pcm[a:b] for a, b in pairwise(marks)))
    assert found == peaks_of(pcm)
    expected = []
    for start in range(0, len(samples), SAMPLES_PER_PEAK):
        bucket = samples[start : start + SAMPLES_PER_PEAK]
        expected += [min(bucket) >> 8, max(bucket) >> 8]
    assert found["data"] == expected


def test_half_a_sample_at_the_end_is_dropped():
    assert peaks_of(b"\x00\x10\x33")["data"] == [16, 16]


def test_the_shape_is_the_one_players_read():
    found = peaks_of(struct.pack("<2h", -32768, 32767))
    assert json.dumps(found) == (
        '{"version": 2, "channels": 1, "sample_rate": 8000, "samples_per_pixel": 400, "bits": 8, "length": 1, "data": [-128, 127]}'
    )


def test_minutes_fed_one_by_one_have_a_peak_for_every_step():
    minute = struct.pack("<8000h", *(index * 7 % 65536 - 32768 for index in range(8000))) * 60
    peaks = Peaks()
    for _ in range(5):
        peaks.feed(minute)
    assert peaks.finish().as_json()["length"] == 5 * 60 * SAMPLE_RATE // SAMPLES_PER_PEAK
