"""A file of nothing but tiny units, and fragments that list samples without end: both would be walked for hours and held in memory."""

from __future__ import annotations

import pytest

from archive.core.media import packets, rebuild
from archive.core.media.boxes import outline
from tests.core.test_rebuild import likeness
from tests.damage import recorded


def test_a_walk_over_tiny_units_ends_at_its_bounds(monkeypatch: pytest.MonkeyPatch):
    like = likeness(recorded("silent.mp4"))
    tiny = b"\0\0\0\x08\x65\x88\x84\x21\xff\xff\xff\xff"
    monkeypatch.setattr(rebuild, "MAX_PICTURES", 500)
    found = rebuild.walk(like, 0, 1 << 40, lambda offset, count: (tiny * 64)[offset % 12 :][:count])
    assert len(found.offsets) <= 500
    monkeypatch.setattr(rebuild, "MAX_UNITS", 300)
    assert len(rebuild.walk(like, 0, 1 << 40, lambda offset, count: (tiny * 64)[offset % 12 :][:count]).offsets) <= 300


def test_fragments_that_list_without_end_are_not_counted_out(monkeypatch: pytest.MonkeyPatch):
    whole = recorded("aac.mp4").read_bytes()
    at = whole.rindex(b"moov") - 4
    index = whole[at : at + int.from_bytes(whole[at : at + 4], "big")]
    list_of_samples = (1 << 20).to_bytes(4, "big") + b"moof" + bytes((1 << 20) - 8)
    data = index + list_of_samples * 8
    monkeypatch.setattr(packets, "_MOST_SAMPLES", 1_000_000)

    def read_at(offset: int, count: int) -> bytes:
        return data[offset : offset + count]

    assert packets.measured(outline("mov", len(data), read_at), len(data), read_at) is None
