"""How long a recording really is, from the packets that are there and not from what its header claims.

An MP4 in fragments that was cut still claims its whole length in `sidx` or `mvhd`; one with its index in front still lists every sample.
Both are walked here: samples whose last byte lies beyond the file's end are not counted.

Invariants: reads headers only (the index, and each `moof`), through a function, a few at a time; bounded by the boxes it is given and by
`MAX_MOOF` each; never raises on hostile bytes.

Not guaranteed: that what is there decodes. Edit lists are not applied.

Source: ISO/IEC 14496-12:2022, 8.8 (movie fragments).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archive.core.media.movie import MAX_MOOV, Movie, children, movie

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.core.media.boxes import Outline

    ReadAt = Callable[[int, int], bytes]

MAX_MOOF: Final = 4 * 1024 * 1024
_MAX_RUN: Final = 1_000_000
_LEAST_SAMPLE: Final = 4
_MOST_SAMPLES: Final = 32_000_000
"""Samples that all fragments may list, by their size: more is a file of lists and no recording, and would be walked for hours."""
_MAX_LENGTH_US: Final = 400 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What an MP4 claims and what it holds, in microseconds; `whole` says that every sample it speaks of is there."""

    claimed_us: int
    held_us: int


def index_of(outline: Outline, size: int, read_at: ReadAt) -> Movie | None:
    """Read the first index that is wholly in the file; None if there is none that can be read."""
    for box in outline.boxes:
        if box.name == "moov" and box.start + box.size <= size and box.size <= MAX_MOOV:
            head = 16 if read_at(box.start, 4) == b"\0\0\0\x01" else 8
            try:
                return movie(read_at(box.start + head, box.size - head))
            except ValueError:
                continue
    return None


def measured(outline: Outline, size: int, read_at: ReadAt) -> Measured | None:
    """Measure an MP4 or MOV; None where it has no index to go by, or lists without end."""
    index = index_of(outline, size, read_at)
    if index is None:
        return None
    claimed = max(index.duration_us, _stated_by_sidx(outline, read_at))
    if not (index.fragmented or outline.fragmented):
        return Measured(claimed, index.held_us(size))
    ends: dict[int, int] = {}
    samples = 0
    for box in outline.boxes:
        if box.name == "moof" and box.start + min(box.size, MAX_MOOF) <= size:
            samples += min(box.size, MAX_MOOF) // _LEAST_SAMPLE
            if samples > _MOST_SAMPLES:
                return None
            _fragment(read_at(box.start, min(box.size, MAX_MOOF)), box.start, size, index, ends)
    clocks = {track.number: track.timescale for track in index.tracks if track.handler in ("vide", "soun")}
    held = max((ticks * 1_000_000 // clocks[number] for number, ticks in ends.items() if number in clocks), default=0)
    return Measured(claimed, min(max(held, index.held_us(size)), _MAX_LENGTH_US))


def _stated_by_sidx(outline: Outline, read_at: ReadAt) -> int:
    """The length that the first segment index adds up to: claims of `sidx` outlive a cut."""
    box = next((box for box in outline.boxes if box.name == "sidx"), None)
    if box is None:
        return 0
    data = read_at(box.start + 8, min(box.size, 1 << 20))
    long = data[:1] == b"\x01"
    timescale, count_at = int.from_bytes(data[8:12], "big"), 30 if long else 22
    count = int.from_bytes(data[count_at : count_at + 2], "big")
    at = count_at + 2
    ticks = sum(int.from_bytes(data[at + 12 * each + 4 : at + 12 * each + 8], "big") for each in range(count))
    return min(ticks * 1_000_000 // timescale, _MAX_LENGTH_US) if timescale else 0


def _fragment(moof: bytes, start: int, size: int, index: Movie, ends: dict[int, int]) -> None:
    """Note in `ends` how far each track reaches with this fragment."""
    for name, begin, end in children(moof, 8):
        if name == "traf":
            _track_fragment(moof, (begin, end), start, size, index, ends)


def _track_fragment(  # noqa: PLR0917 - a walk's state, passed down
    moof: bytes, place: tuple[int, int], start: int, size: int, index: Movie, ends: dict[int, int]
) -> None:
    boxes = list(children(moof, *place))
    head = next((at for name, at, _ in boxes if name == "tfhd"), None)
    if head is None:
        return
    flags, number, at = _word(moof, head) & 0xFFFFFF, _word(moof, head + 4), head + 8
    base = start
    if flags & 1:
        base, at = int.from_bytes(moof[at : at + 8], "big"), at + 8
    at += 4 if flags & 2 else 0
    duration, length = index.defaults.get(number, (0, 0))
    if flags & 8:
        duration, at = _word(moof, at), at + 4
    if flags & 0x10:
        length = _word(moof, at)
    ticks = ends.get(number, 0)
    for name, begin, _ in boxes:
        if name == "tfdt":
            ticks = (
                int.from_bytes(moof[begin + 4 : begin + 12], "big")
                if moof[begin : begin + 1] == b"\x01"
                else _word(moof, begin + 4)
            )
    where = base
    for name, begin, end in boxes:
        if name == "trun":
            where, ticks = _run(moof, (begin, end), base, where, size, (duration, length), ticks)
    ends[number] = max(ends.get(number, 0), ticks)


def _run(  # noqa: PLR0917 - a walk's state, passed down
    moof: bytes, place: tuple[int, int], base: int, where: int, size: int, defaults: tuple[int, int], ticks: int
) -> tuple[int, int]:
    """Walk one run of samples; return the byte after it and the time after its last whole sample."""
    at, end = place
    flags, count = _word(moof, at) & 0xFFFFFF, min(_word(moof, at + 4), _MAX_RUN)
    at += 8
    if flags & 1:
        where, at = base + int.from_bytes(moof[at : at + 4], "big", signed=True), at + 4
    at += 4 if flags & 4 else 0
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    if not fields:  # every sample alike: no need to count them one by one
        whole = count if not defaults[1] else max(0, min(count, (size - where) // defaults[1]))
        return where + count * defaults[1], ticks + whole * defaults[0]
    for _ in range(count):
        if at + 4 * len(fields) > end:
            break
        stated = {bit: _word(moof, at + 4 * place) for place, bit in enumerate(fields)}
        at += 4 * len(fields)
        where += stated.get(0x200, defaults[1])
        if where > size:
            break
        ticks += stated.get(0x100, defaults[0])
    return where, ticks


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
