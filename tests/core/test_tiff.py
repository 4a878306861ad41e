"""What a TIFF says of its own length, held against where it is cut."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from archive.core.media import boxes, tiff


def scan(pages: int, **options: object) -> bytes:
    out = io.BytesIO()
    leaves = [Image.linear_gradient("L").resize((120, 80)).convert("1" if options else "L") for _ in range(pages)]
    leaves[0].save(out, "TIFF", save_all=True, append_images=leaves[1:], **options)
    return out.getvalue()


def missing(data: bytes) -> int:
    found = boxes.outline("tiff", len(data), lambda offset, count: data[offset : offset + count])
    assert found is not None
    return found.missing


@pytest.mark.parametrize("options", [{}, {"compression": "group4"}])
def test_a_whole_scan_misses_nothing_and_a_cut_one_does(options: dict[str, str]):
    whole = scan(3, **options)
    assert missing(whole) == 0
    for cut in range(9, len(whole) - 8, 97):
        assert missing(whole[:cut]) > 0, cut


def test_directories_in_a_circle_end():
    data = bytearray(scan(1))
    start = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[start : start + 2], "little")
    at = start + 2 + entries * 12
    data[at : at + 4] = start.to_bytes(4, "little")
    assert missing(bytes(data)) == 0


@pytest.mark.parametrize("value", [0, 1, 2**31, 2**32 - 1])
def test_no_number_makes_it_raise_or_ask_for_much(value: int):
    whole = scan(2)
    asked = []

    def read_at(offset: int, count: int) -> bytes:
        asked.append(count)
        return data[offset : offset + count]

    for at in range(4, 600):
        data = whole[:at] + value.to_bytes(4, "little") + whole[at + 4 :]
        assert tiff.stated_end(len(data), read_at) >= 0
    assert max(asked) <= 12 * 65_535 + 4


def test_what_is_no_tiff_says_nothing():
    assert tiff.stated_end(4, lambda _offset, _count: b"II*") == 0
