"""A page at full resolution: a pyramid of tiles in one file, and how a tile is found in it without trusting the file.

The file is an uncompressed ZIP that holds a Deep Zoom pyramid (`tiles_files/<level>/<x>_<y>.jpg`, level 0 one tile, each next level twice
as large), so that one rendition row names a whole page by one digest, any ZIP tool can open it, and a tile is one read in its middle.

Invariants: geometry is a pure function of a page's size; an index that does not hold exactly the tiles of that geometry is no index; no
number in the file makes us read outside it or more than `MAX_TILE` bytes at once; a tile's bytes are held against their CRC.

Not guaranteed: that a tile is a JPEG, or shows the page. Whoever made the file looked; the browser opens it as a picture and nothing else.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from archive.core.errors import Mismatch

TILE: Final = 512
"""Pixels of a tile's side: a screen needs a dozen, and one of them is 20 to 80 kB."""

VIEW_SIDE: Final = 1600
"""A page whose longer side is no larger than its view's needs no tiles: the view has every pixel."""

MAX_PIXELS: Final = 1_500_000_000
"""The largest picture opened: 35,000 × 35,000 and a little more. More is a bomb or a map, and takes minutes to decode once."""

MAX_PAGES: Final = 2000
"""The most pages drawn of one document; a bound volume of scans has a few hundred."""

MAX_TILE: Final = 4 * 1024 * 1024
"""The most bytes of one tile: 512 × 512 pixels of noise in JPEG's best quality take a fifth of it."""

MAX_FILE: Final = 1024 * 1024 * 1024
"""The largest pyramid, in bytes: 35,000 × 35,000 pixels of dense small print take 190 MB."""

POINTS_PER_INCH: Final = 72
PDF_DPI: Final = 300
"""What a PDF's page is drawn at, unless an image on it has more: the resolution that records are scanned with."""

_END: Final = struct.Struct("<4s4H2LH")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_MAX_EXTRA: Final = 256
_NAME: Final = re.compile(rb"tiles_files/([0-9]{1,2})/([0-9]{1,4})_([0-9]{1,4})\.jpg")
END_SIZE: Final = _END.size + 64
"""How much of a file's end `directory` wants: our maker writes no comment of its own."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A half-open range of a file's bytes."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tile stands: its local header's offset, its name's length, its size and its CRC-32."""

    offset: int
    name: bytes
    size: int
    crc: int

    @property
    def stretch(self) -> Stretch:
        """What to read of the file to get the tile."""
        return Stretch(self.offset, self.offset + _LOCAL.size + len(self.name) + _MAX_EXTRA + self.size)


Place = tuple[int, int, int]
"""A tile: level, column, row."""


def levels(width: int, height: int) -> list[tuple[int, int]]:
    """Return the pyramid's sizes in pixels, the smallest first: halved and rounded up until one tile holds the page.

    Source: Deep Zoom, whose levels below one tile are left out.
    """
    assert width >= 1
    assert height >= 1
    sizes = [(width, height)]
    while max(sizes[-1]) > TILE:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes[::-1]


def places(width: int, height: int) -> set[Place]:
    """Return every tile that a page of this size has."""
    return {
        (level, x, y)
        for level, (wide, high) in enumerate(levels(width, height))
        for x in range(-(-wide // TILE))
        for y in range(-(-high // TILE))
    }


def worth(width: int, height: int) -> bool:
    """Say whether a page has more pixels than its view shows."""
    return max(width, height) > VIEW_SIDE


def scanned(width: int, height: int, *, points: bool) -> tuple[int, int]:
    """Return a page's size in pixels at full resolution; PDF states thousandths of a point."""
    if not points:
        return width, height
    per = POINTS_PER_INCH * 1000
    return max(1, width * PDF_DPI // per), max(1, height * PDF_DPI // per)


def directory(tail: bytes, size: int) -> Stretch:
    """Return where the index of the file stands, from the file's last `END_SIZE` bytes.

    Raises:
        Mismatch: it is no ZIP of our making.
    """
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise Mismatch(what="tiles", why="no_end")
    _, disk, first, here, count, length, offset, _ = _END.unpack_from(tail, at)
    if disk or first or here != count or offset + length > size or length < count * _ENTRY.size:
        raise Mismatch(what="tiles", why="end")
    return Stretch(offset, offset + length)


def entries(raw: bytes, size: int, *, width: int, height: int) -> dict[Place, Entry]:
    """Return where each tile of the page stands, from the index's bytes.

    Raises:
        Mismatch: the index is not exactly that of a page of this size, or points outside the file.
    """
    found: dict[Place, Entry] = {}
    at = 0
    while at + _ENTRY.size <= len(raw):
        fields = _ENTRY.unpack_from(raw, at)
        mark, flags, method, crc, packed, plain = fields[0], fields[3], fields[4], fields[7], fields[8], fields[9]
        named, extra, comment, offset = fields[10], fields[11], fields[12], fields[16]
        name = raw[at + _ENTRY.size : at + _ENTRY.size + named]
        at += _ENTRY.size + named + extra + comment
        if mark != b"PK\x01\x02" or at > len(raw):
            raise Mismatch(what="tiles", why="entry")
        matched = _NAME.fullmatch(name)
        if matched is None:
            continue  # the pyramid's own description and the maker's notes
        entry = Entry(offset, name, plain, crc)
        if method or flags & 1 or packed != plain or plain > MAX_TILE or offset + _LOCAL.size + plain > size:
            raise Mismatch(what="tiles", why="entry")
        found[int(matched[1]), int(matched[2]), int(matched[3])] = entry
    if found.keys() != places(width, height):
        raise Mismatch(what="tiles", why="geometry")
    return found


def tile(raw: bytes, entry: Entry) -> bytes:
    """Return a tile from the bytes of its `stretch`.

    Raises:
        Mismatch: what stands there is not that tile.
    """
    if len(raw) < _LOCAL.size:
        raise Mismatch(what="tiles", why="local")
    fields = _LOCAL.unpack_from(raw)
    mark, named, extra = fields[0], fields[9], fields[10]
    start = _LOCAL.size + named + extra
    content = raw[start : start + entry.size]
    if mark != b"PK\x03\x04" or raw[_LOCAL.size : _LOCAL.size + named] != entry.name or zlib.crc32(content) != entry.crc:
        raise Mismatch(what="tiles", why="local")
    return content
