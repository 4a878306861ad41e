"""The outline tells a missing index and missing bytes."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from archive.core.media.boxes import MAX_BOXES, outline


def walk(container: str, data: bytes):
    return outline(container, len(data), lambda offset, count: data[offset : offset + count])


def box(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def test_a_whole_file_lacks_nothing():
    found = walk("mov", box(b"ftyp", b"isom") + box(b"mdat", b"x" * 100) + box(b"moov", b"y" * 20))
    assert [item.name for item in found.boxes] == ["ftyp", "mdat", "moov"]
    assert found.missing == 0
    assert found.has("moov")
    assert not found.fragmented


def test_a_cut_file_says_how_much_is_missing_and_that_its_index_was_never_written():
    whole = box(b"ftyp", b"isom") + box(b"mdat", b"x" * 1000)
    found = walk("mov", whole[:500])
    assert found.missing == len(whole) - 500
    assert not found.has("moov")


def test_sixty_four_bit_sizes_and_to_the_end_are_understood():
    wide = b"\0\0\0\x01mdat" + struct.pack(">Q", 16 + 50) + b"x" * 50
    assert walk("mov", wide + b"\0\0\0\0moov" + b"y" * 9).missing == 0
    assert walk("mov", wide + b"\0\0\0\0moov").has("moov")


def test_a_riff_that_was_cut_is_noticed_and_one_that_was_never_closed_is_not_blamed():
    body = b"AVI " + b"x" * 96
    assert walk("avi", b"RIFF" + struct.pack("<I", 100) + body).missing == 0
    assert walk("avi", b"RIFF" + struct.pack("<I", 5000) + body).missing == 4900
    assert walk("avi", b"RIFF" + struct.pack("<I", 0) + body).missing == 0


def test_other_containers_have_no_outline():
    assert walk("mpegts", b"\x47" * 500) is None


@given(st.binary(max_size=512), st.sampled_from(["mov", "avi"]))
def test_no_bytes_make_it_fail_or_run_on(data: bytes, container: str):
    found = walk(container, data)
    assert len(found.boxes) <= MAX_BOXES
    assert found.missing >= 0
