"""The outline of a file: top-level boxes of MP4/MOV, chunks of RIFF, the segment of Matroska; declared sizes against real ones.

Invariants: reads nothing itself, but asks a function for a few bytes at a time; ends after `MAX_BOXES` headers whatever the bytes say;
never raises on hostile bytes. Recorders lose power: then the index (`moov`, `idx1`) was never written, or the last box is longer than the
file, or it is followed by room that was taken beforehand and never filled.

Not guaranteed: anything about what is inside a box. A transport stream has no outline: `archive.core.media.transport` walks its packets.

Sources: ISO/IEC 14496-12 4.2; Microsoft's RIFF and OpenDML AVI 2.0 documents; RFC 9559 (Matroska).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.core.media import tiff

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BOXES = 100_000
"""Enough for a day of fragments of two seconds."""
_FOLLOWING = frozenset({"moov", "free", "skip", "wide", "mdat", "moof", "uuid", "udta", "meta", "sidx", "mfra", "styp"})
_FRAGMENT_BOXES = frozenset({"moof", "sidx", "styp"})


@dataclass(frozen=True, slots=True)
class Box:
    """One box or chunk: where it starts, how long it says it is, header included."""

    name: str
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What the walk found.

    `missing` is how many bytes the last box promises beyond the file's end; `stray` how many bytes at the end belong to no box; `unclosed`
    that a size which is written at the end of recording was not.
    """

    boxes: tuple[Box, ...]
    missing: int
    stray: int = 0
    unclosed: bool = False

    def has(self, name: str) -> bool:
        """Whether a box of this name was met."""
        return any(box.name == name for box in self.boxes)

    @property
    def fragmented(self) -> bool:
        """Whether the file is made of fragments, so that it may end anywhere and still play."""
        return any(box.name in _FRAGMENT_BOXES for box in self.boxes)

    def whole(self, name: str, size: int) -> bool:
        """Whether a box of this name is there to its last byte in a file of `size` bytes."""
        return any(box.name == name and box.start + box.size <= size for box in self.boxes)

    def count(self, name: str) -> int:
        """How many boxes have this name."""
        return sum(box.name == name for box in self.boxes)


def outline(container: str, size: int, read_at: Callable[[int, int], bytes]) -> Outline | None:
    """Walk a file's top level.

    Args:
        container: as `archive.core.media.sniff` names it.
        size: bytes the file really has.
        read_at: gives up to so many bytes from an offset (offset, count).

    Returns:
        The outline of a `mov`, `avi`, `wav` or `matroska`, of a `tiff` only what is missing; None for other containers.
    """
    if container == "mov":
        return _iso(size, read_at)
    if container in ("avi", "wav"):
        return _riff(size, read_at)
    if container == "matroska":
        return _matroska(size, read_at)
    if container == "tiff":
        return Outline((), max(0, tiff.stated_end(size, read_at) - size))
    return None


def media_span(found: Outline, size: int, read_at: Callable[[int, int], bytes]) -> tuple[int, int] | None:
    """Return where an MP4's samples lie without an index to say so: the first `mdat`'s body, to the next box or the file's end.

    Without a box after it its size is not believed: recorders fill it in later, and some not at all or wrongly.
    """
    box = next((box for box in found.boxes if box.name == "mdat"), None)
    if box is None:
        return None
    head = 16 if read_at(box.start, 4) == b"\0\0\0\x01" else 8
    start, end = box.start + head, box.start + box.size
    followed = any(other.start == end and other.name in _FOLLOWING for other in found.boxes)
    return start, end if followed and start < end <= size else size


def empty_tail(start: int, end: int, read_at: Callable[[int, int], bytes]) -> int:
    """Return how many of the bytes before `end` are zero: room that a recorder took beforehand and never filled."""
    at = end
    while at > start:
        step = min(_PIECE, at - start)
        filled = read_at(at - step, step).rstrip(b"\0")
        if filled:
            return end - (at - step + len(filled))
        at -= step
    return end - start


_PIECE = 1 << 20


def _iso(size: int, read_at: Callable[[int, int], bytes]) -> Outline:
    found: list[Box] = []
    offset = 0
    while offset + 8 <= size and len(found) < MAX_BOXES:
        header = read_at(offset, 16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            length = size - offset
        name = header[4:8]
        if length < 8 or not name.isascii() or not all(0x20 <= byte < 0x7F for byte in name):  # noqa: PLR2004  not a box: junk follows
            break
        found.append(Box(name.decode("ascii"), offset, length))
        offset += length
    return Outline(tuple(found), max(0, offset - size), max(0, size - offset))


def _riff(size: int, read_at: Callable[[int, int], bytes]) -> Outline:
    found: list[Box] = []
    offset, unclosed = 0, False
    while offset + 12 <= size and len(found) < MAX_BOXES:
        header = read_at(offset, 12)
        if header[:4] != b"RIFF":
            break
        length = int.from_bytes(header[4:8], "little")
        found.append(Box(header[8:12].decode("latin-1").strip(), offset, 8 + length))
        if length in (0, 0xFFFFFFFF):  # never closed: the recorder lost power, or wrote to a pipe
            unclosed = True
            break
        offset += 8 + length + (length & 1)
    found += _riff_chunks(size, read_at) if found else []
    if unclosed:
        return Outline(tuple(found), 0, unclosed=True)
    return Outline(tuple(found), max(0, offset - size), max(0, size - offset))


def _riff_chunks(size: int, read_at: Callable[[int, int], bytes]) -> list[Box]:
    """The chunks of the first RIFF: lists by their form (`hdrl`, `movi`), others by name (`idx1`, `fmt`, `data`)."""
    found: list[Box] = []
    offset = 12
    while offset + 8 <= size and len(found) < _MAX_CHUNKS:
        header = read_at(offset, 12)
        length = int.from_bytes(header[4:8], "little")
        name = header[8:12] if header[:4] == b"LIST" else header[:4]
        if header[:4] == b"RIFF" or not name.isascii() or not name.decode("ascii").isprintable():
            break
        found.append(Box(name.decode("ascii").strip(), offset, 8 + length))
        offset += 8 + length + (length & 1)
    return found


_MAX_CHUNKS = 1000
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def _matroska(size: int, read_at: Callable[[int, int], bytes]) -> Outline:
    """The EBML header and the segment; a segment of unknown size was never closed, or was meant to stream."""
    found: list[Box] = []
    offset = 0
    for name, mark in (("EBML", _EBML), ("Segment", _SEGMENT)):
        header = read_at(offset, 12)
        if header[:4] != mark or len(header) < 5:  # noqa: PLR2004 - a mark and a length
            break
        width = 9 - header[4].bit_length()
        if width > 8:  # noqa: PLR2004 - RFC 8794, 4.1: at most eight
            break
        length = int.from_bytes(header[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if length == (1 << 7 * width) - 1:
            found.append(Box(name, offset, size - offset))
            return Outline(tuple(found), 0, unclosed=True)
        found.append(Box(name, offset, 4 + width + length))
        offset += 4 + width + length
    return Outline(tuple(found), max(0, offset - size), max(0, size - offset))
