"""The flaw: sizes, counts and depths that a file states are believed, and a parser of ours loops, recurses or allocates by them.

Safeguards: every walk of ours asks for a few bytes at a time, ends after a stated number of headers, moves forward at each, and is no
recursion (`boxes`, `capture_time` and `telemetry` in `archive.core.media`). Without `MAX_BOXES` the file of two hundred
thousand boxes is walked to its end by two hundred thousand reads.
"""

from __future__ import annotations

import struct
import time

import pytest

from archive.core.media import boxes, capture_time, telemetry
from archive.core.media.sniff import sniff
from tests.corpus import crafted
from tests.corpus.inputs import input_file


class Counting:
    """A file that counts how often it is read, and how much."""

    def __init__(self, data: bytes) -> None:
        self.data, self.reads, self.bytes = data, 0, 0

    def __call__(self, offset: int, count: int) -> bytes:
        self.reads += 1
        found = self.data[offset : offset + count]
        self.bytes += len(found)
        return found


@pytest.mark.parametrize("name", ["boxes.mp4", "nested.mp4", "index-2gb.mp4", "counts.mp4", "circles.mp4", "tracks.mp4"])
def test_an_outline_costs_no_more_than_its_bound(name: str):
    data = input_file(name).read_bytes()
    file = Counting(data)
    started = time.process_time()
    found = boxes.outline("mov", len(data), file)
    assert found is not None
    assert len(found.boxes) <= boxes.MAX_BOXES
    assert file.reads <= 4 * boxes.MAX_BOXES
    assert file.bytes <= 64 * 1024 * 1024
    assert time.process_time() - started < 5


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 15, 16, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("wide", [0, 1, 7, 2**63, 2**64 - 1])
def test_no_size_makes_a_walk_stand_still_or_go_back(size: int, wide: int):
    data = crafted.box(b"ftyp", b"isom") + struct.pack(">I4sQ", size, b"moov", wide) + b"\0" * 64
    found = boxes.outline("mov", len(data), Counting(data))
    assert found is not None
    starts = [box.start for box in found.boxes]
    assert starts == sorted(set(starts))
    assert found.missing >= 0


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**32 - 1])
def test_no_chunk_size_makes_a_walk_of_riff_stand_still(size: int):
    data = bytearray(input_file("mjpeg.avi").read_bytes())
    struct.pack_into("<I", data, 4, size)
    found = boxes.outline("avi", len(data), Counting(bytes(data)))
    assert found is not None
    assert found.missing >= 0
    assert capture_time.head_created(bytes(data[:100_000])) is None


def test_telemetry_nested_in_itself_is_no_recursion():
    """GPMF: a `DEVC` in a `DEVC` in a … 10,000 deep, each saying that it holds all the rest."""
    depth = 10_000
    data = b"".join(b"DEVC" + bytes([0, 1]) + struct.pack(">H", min(65_535, (depth - at) * 8)) for at in range(depth))
    assert telemetry.points([telemetry.Packet(0, 1_000_000, data)]) == []


@pytest.mark.parametrize("name", ["huge.mp4", "tracks.mkv", "overlap.docx", "bomb.ofd", "circular.pdf", "huge.webp"])
def test_what_a_bomb_is_is_told_from_its_first_bytes(name: str):
    data = input_file(name).read_bytes()
    started = time.process_time()
    sniff(data[:65_536], data[-65_536:])
    assert time.process_time() - started < 0.5


def test_words_of_a_movie_header_that_lies_are_none():
    film = input_file("plain.mp4").read_bytes()
    for value in (0, 1, 0xFFFFFFFF):
        lied = crafted.rewritten(film, b"mvhd", lambda content, value=value: content[:4] + struct.pack(">I", value) + content[8:])
        moov = dict(crafted.boxes(lied))[b"moov"]
        moment = capture_time.movie_created(moov)
        assert moment is None or 1904 <= moment.wall.year <= 2041
