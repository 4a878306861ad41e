"""The geometry of a page's tiles, and an index that is believed in nothing."""

from __future__ import annotations

import io
import itertools
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.errors import Mismatch
from archive.core.media import tiles

SIDES = st.integers(1, 40_000)


def packed(width: int, height: int, *, method: int = zipfile.ZIP_STORED, spare: tuple[int, int, int] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for level, x, y in sorted(tiles.places(width, height)):
            if (level, x, y) != spare:
                archive.writestr(f"tiles_files/{level}/{x}_{y}.jpg", f"{level} {x} {y}" * 9)
        archive.writestr("tiles.dzi", "<Image/>")
    return out.getvalue()


def index(raw: bytes, width: int, height: int) -> dict[tiles.Place, tiles.Entry]:
    stretch = tiles.directory(raw[-tiles.END_SIZE :], len(raw))
    return tiles.entries(raw[stretch.start : stretch.stop], len(raw), width=width, height=height)


@given(SIDES, SIDES)
def test_a_pyramid_begins_with_one_tile_and_ends_with_the_page(width: int, height: int):
    sizes = tiles.levels(width, height)
    assert max(sizes[0]) <= tiles.TILE
    assert sizes[-1] == (width, height)
    for (wide, high), (wider, higher) in itertools.pairwise(sizes):
        assert (wide, high) == ((wider + 1) // 2, (higher + 1) // 2)


def test_every_tile_is_found_again_in_the_file_that_holds_it():
    raw = packed(1500, 2100)
    found = index(raw, 1500, 2100)
    for (level, x, y), entry in found.items():
        assert tiles.tile(raw[entry.stretch.start : entry.stretch.stop], entry) == (f"{level} {x} {y}" * 9).encode()


@pytest.mark.parametrize(
    "raw",
    [
        packed(1500, 2100, spare=(2, 1, 1)),
        packed(1500, 3000),
        packed(1500, 2100, method=zipfile.ZIP_DEFLATED),
        b"",
        b"PK\x05\x06",
    ],
    ids=["a tile is missing", "another page's", "compressed", "nothing", "only a mark"],
)
def test_an_index_that_is_not_exactly_this_pages_is_none(raw: bytes):
    with pytest.raises(Mismatch):
        index(raw, 1500, 2100)


@given(st.data())
def test_whatever_is_changed_in_the_file_no_read_goes_outside_it_and_no_other_bytes_are_a_tile(data: st.DataObject):
    raw = bytearray(packed(700, 600))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[at] ^= data.draw(st.integers(1, 255))
    try:
        found = index(bytes(raw), 700, 600)
    except Mismatch:
        return
    for (level, x, y), entry in found.items():
        assert entry.offset >= 0
        assert entry.offset + entry.size <= len(raw)
        assert entry.size <= tiles.MAX_TILE
        try:
            content = tiles.tile(bytes(raw[entry.stretch.start : entry.stretch.stop]), entry)
        except Mismatch:
            continue
        assert content == (f"{level} {x} {y}" * 9).encode()


def test_a_pdfs_points_become_pixels_at_three_hundred_to_the_inch():
    assert tiles.scanned(595_200, 841_800, points=True) == (2480, 3507)
    assert tiles.scanned(1654, 2339, points=False) == (1654, 2339)
    assert not tiles.worth(1600, 1200)
    assert tiles.worth(1200, 1601)
