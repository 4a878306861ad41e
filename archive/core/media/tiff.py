"""How long a TIFF says it is: the ends of its pages' directories and of the strips and tiles these name.

Invariants: reads nothing itself, but asks for a few bytes at a time; ends after `MAX_PAGES` directories, and never visits one twice; never
raises on hostile bytes. A scan cut short on its way then shows: its last pages lie beyond the file's end.

Not guaranteed: anything about the pictures. Source: TIFF 6.0, sections 2 and 15.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PAGES = 4096
MAX_STRIPS = 100_000
_ENTRY = 12
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips, of tiles
_WIDTHS = {3: "H", 4: "I"}


def stated_end(size: int, read_at: Callable[[int, int], bytes]) -> int:
    """Return the offset behind the last byte that the file says it has; at most `size` where nothing is missing."""
    head = read_at(0, 8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None or len(head) < 8:  # noqa: PLR2004 - the header
        return 0
    offset: int = struct.unpack_from(order + "I", head, 4)[0]
    end, seen = 8, set[int]()
    while offset and offset not in seen and len(seen) < MAX_PAGES:
        seen.add(offset)
        count = read_at(offset, 2)
        if offset + 2 > size or len(count) < 2:  # noqa: PLR2004 - a count
            return max(end, offset + 2)
        entries: int = struct.unpack(order + "H", count)[0]
        table = read_at(offset + 2, entries * _ENTRY + 4)
        end = max(end, offset + 2 + entries * _ENTRY + 4)
        if len(table) < entries * _ENTRY + 4:
            return end
        end = max(end, _data_end(table, order, read_at))
        offset = struct.unpack_from(order + "I", table, entries * _ENTRY)[0]
    return end


def _data_end(table: bytes, order: str, read_at: Callable[[int, int], bytes]) -> int:
    """Where the last strip or tile of a directory ends; 0 if it names none."""
    found: dict[int, tuple[int, ...]] = {}
    for at in range(0, len(table) - _ENTRY, _ENTRY):
        tag, kind, count = struct.unpack_from(order + "HHI", table, at)
        width = _WIDTHS.get(kind)
        if tag not in _OFFSETS + _COUNTS or width is None or not 0 < count <= MAX_STRIPS:
            continue
        form = f"{order}{count}{width}"
        length = struct.calcsize(form)
        place = struct.unpack_from(order + "I", table, at + 8)[0]
        raw = table[at + 8 : at + 8 + length] if length <= 4 else read_at(place, length)  # noqa: PLR2004  what fits stands in the entry
        if len(raw) == length:
            found[tag] = struct.unpack(form, raw)
    pairs = zip(_OFFSETS, _COUNTS, strict=True)
    ends = (
        start + length for tag, counts in pairs for start, length in zip(found.get(tag, ()), found.get(counts, ()), strict=False)
    )
    return max(ends, default=0)
