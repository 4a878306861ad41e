"""The outline of a file: top-level boxes of MP4/MOV and chunks of RIFF, declared sizes against real ones.

Invariants: reads nothing itself, but asks a function for a few bytes at a time; ends after `MAX_BOXES` headers whatever the bytes say;
never raises on hostile bytes. Recorders lose power: then the index (`moov`) was never written, or the last box is longer than the file.

Not guaranteed: anything about what is inside a box. A transport stream has no outline, so nothing is said of it.

Sources: ISO/IEC 14496-12 4.2; Microsoft's RIFF and OpenDML AVI 2.0 documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BOXES = 10_000
_FRAGMENT_BOXES = frozenset({"moof", "sidx", "styp"})


@dataclass(frozen=True, slots=True)
class Box:
    """One box or chunk: where it starts, how long it says it is, header included."""

    name: str
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What the walk found. `missing` is how many bytes the last box promises beyond the file's end."""

    boxes: tuple[Box, ...]
    missing: int

    def has(self, name: str) -> bool:
        """Whether a box of this name was met."""
        return any(box.name == name for box in self.boxes)

    @property
    def fragmented(self) -> bool:
        """Whether the file is made of fragments, so that it may end anywhere and still play."""
        return any(box.name in _FRAGMENT_BOXES for box in self.boxes)


def outline(container: str, size: int, read_at: Callable[[int, int], bytes]) -> Outline | None:
    """Walk a file's top level.

    Args:
        container: as `archive.core.sniff` names it.
        size: bytes the file really has.
        read_at: gives up to so many bytes from an offset (offset, count).

    Returns:
        The outline of a `mov`, `avi` or `wav`; None for other containers.
    """
    if container == "mov":
        return _iso(size, read_at)
    if container in ("avi", "wav"):
        return _riff(size, read_at)
    return None


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
    return Outline(tuple(found), max(0, offset - size))


def _riff(size: int, read_at: Callable[[int, int], bytes]) -> Outline:
    found: list[Box] = []
    offset = 0
    while offset + 12 <= size and len(found) < MAX_BOXES:
        header = read_at(offset, 12)
        if header[:4] != b"RIFF":
            break
        length = int.from_bytes(header[4:8], "little")
        found.append(Box(header[8:12].decode("latin-1").strip(), offset, 8 + length))
        if length in (0, 0xFFFFFFFF):  # never closed: the recorder lost power, or wrote to a pipe
            return Outline(tuple(found), 0)
        offset += 8 + length + (length & 1)
    return Outline(tuple(found), max(0, offset - size))
