"""The index of an MP4 or MOV (`moov`): which tracks there are, and where each of their samples lies.

Invariants: pure; never raises but `ValueError`, whatever the bytes say; bounded by what it is given: a table is read only as far as its
bytes reach, and counts that no bytes stand behind are kept as numbers and never spread out. Times are integers of the track's own
timescale.

Not guaranteed: that the index is true. Edit lists are not applied: a length told here may differ from a player's by what a list cuts.

Source: ISO/IEC 14496-12:2022, 8.2 to 8.8.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MOOV: Final = 64 * 1024 * 1024
"""Bytes of an index that are read: twenty hours of pictures and sound need as many."""
MAX_BOXES: Final = 4096
_ENTRY_HEADER: Final = 8
_VIDEO_ENTRY: Final = 8 + 78
_AUDIO_ENTRY: Final = 8 + 28


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of samples that lie one after another: where, how many, how long in bytes, and the number of the first."""

    offset: int
    first: int
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Track:
    """One track. `sizes` is empty where all samples are `fixed_size` bytes; `durations` and `shifts` are runs of (count, ticks)."""

    number: int
    handler: str
    timescale: int
    header: bytes
    entry: bytes
    count: int
    fixed_size: int
    sizes: array[int]
    durations: tuple[tuple[int, int], ...]
    shifts: tuple[tuple[int, int], ...]
    per_chunk: tuple[tuple[int, int], ...]
    offsets: array[int]

    @property
    def codec(self) -> str:
        """The four letters of the sample entry."""
        return self.entry[4:8].decode("latin-1")

    def size_of(self, first: int, count: int) -> int:
        """Bytes of so many samples from one on."""
        return self.fixed_size * count if self.fixed_size else sum(self.sizes[first : first + count])

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks in the order of the index; those that no sample is left for are not."""
        first, runs, per = 0, iter((*self.per_chunk, (1 << 62, 0))), 0
        start, following = next(runs)
        for number, offset in enumerate(self.offsets, 1):
            while number >= start:
                per = following
                start, following = next(runs)
            count = min(per, self.count - first)
            if count <= 0:
                return
            yield Chunk(offset, first, count, self.size_of(first, count))
            first += count

    def held(self, size: int) -> int:
        """How many samples, from the first on, lie wholly within a file of `size` bytes."""
        held = 0
        for chunk in self.chunks():
            if chunk.offset + chunk.size <= size:
                held = chunk.first + chunk.count
                continue
            left = size - chunk.offset
            for index in range(chunk.first, chunk.first + chunk.count):
                if self.fixed_size:
                    return held + max(0, left // self.fixed_size)
                left -= self.sizes[index]
                if left < 0:
                    break
                held = index + 1
            break
        return held

    def length_us(self, count: int) -> int:
        """The length of the first `count` samples in microseconds."""
        ticks = 0
        for run, each in self.durations:
            taken = min(run, count)
            ticks += taken * each
            count -= taken
            if count <= 0:
                break
        return ticks * 1_000_000 // self.timescale


@dataclass(frozen=True, slots=True)
class Movie:
    """An index. `defaults` are, of a fragmented file, each track's (duration, size) of samples that state none."""

    tracks: tuple[Track, ...]
    duration_us: int
    fragmented: bool
    defaults: dict[int, tuple[int, int]] = field(default_factory=dict)

    def first(self, handler: str) -> Track | None:
        """The first track of a kind (`vide`, `soun`) that has samples or may get some."""
        return next((track for track in self.tracks if track.handler == handler), None)

    def held_us(self, size: int) -> int:
        """How much of the longest track a file of `size` bytes really holds, in microseconds."""
        return max((track.length_us(track.held(size)) for track in self.tracks if track.handler in ("vide", "soun")), default=0)

    def end_of_samples(self) -> int:
        """The byte after the last sample that the index speaks of."""
        return max((chunk.offset + chunk.size for track in self.tracks for chunk in track.chunks()), default=0)


def children(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[str, int, int]]:
    """Yield (name, start, end) of the boxes' bodies between two places; a box longer than its parent ends with it."""
    end = len(data) if end is None else min(end, len(data))
    for _ in range(MAX_BOXES):
        if start + _ENTRY_HEADER > end:
            return
        length, body = int.from_bytes(data[start : start + 4], "big"), start + 8
        if length == 1:
            length, body = int.from_bytes(data[start + 8 : start + 16], "big"), start + 16
        elif length == 0:
            length = end - start
        if length < body - start:
            return
        yield data[start + 4 : start + 8].decode("latin-1"), body, min(start + length, end)
        start += length


def find(data: bytes, path: str, start: int = 0, end: int | None = None) -> tuple[int, int] | None:
    """Return the body of the first box at a path such as `mdia/minf/stbl`."""
    name, _, rest = path.partition("/")
    for found, begin, stop in children(data, start, end):
        if found == name:
            return find(data, rest, begin, stop) if rest else (begin, stop)
    return None


def movie(moov: bytes) -> Movie:
    """Read an index.

    Args:
        moov: the box's body, without its header.

    Raises:
        ValueError: it has no header, or no track that can be read.
    """
    header = find(moov, "mvhd")
    if header is None:
        raise ValueError("no mvhd")
    timescale, duration = _clock(moov, *header)
    tracks = [track for name, start, end in children(moov) if name == "trak" and (track := _track(moov, start, end)) is not None]
    if not tracks:
        raise ValueError("no track")
    extends = find(moov, "mvex")
    defaults: dict[int, tuple[int, int]] = {}
    if extends is not None:
        for name, start, end in children(moov, *extends):
            if name == "trex" and end - start >= 24:  # noqa: PLR2004 - the box's size
                number, _, length, size = (_u32(moov, start + at) for at in (4, 8, 12, 16))
                defaults[number] = (length, size)
    return Movie(tuple(tracks), duration * 1_000_000 // timescale, extends is not None, defaults)


def _track(data: bytes, start: int, end: int) -> Track | None:
    places = {
        name: find(data, path, start, end)
        for name, path in (
            ("tkhd", "tkhd"),
            ("mdhd", "mdia/mdhd"),
            ("hdlr", "mdia/hdlr"),
            *((leaf, f"mdia/minf/stbl/{leaf}") for leaf in ("stsd", "stts", "stsz", "stsc", "stco", "co64", "ctts")),
        )
    }
    tkhd, mdhd, hdlr, stsd = (places[name] for name in ("tkhd", "mdhd", "hdlr", "stsd"))
    if tkhd is None or mdhd is None or hdlr is None or stsd is None:
        return None
    try:
        timescale, _ = _clock(data, *mdhd)
    except ValueError:
        return None
    entry = next(children(data, stsd[0] + 8, stsd[1]), None)
    long = data[tkhd[0] : tkhd[0] + 1] == b"\x01"
    count, fixed, sizes = _sizes(data, places["stsz"])
    return Track(
        number=_u32(data, tkhd[0] + (20 if long else 12)),
        handler=data[hdlr[0] + 8 : hdlr[0] + 12].decode("latin-1"),
        timescale=timescale,
        header=data[tkhd[0] : tkhd[1]],
        entry=b"" if entry is None else data[entry[1] - 8 : entry[2]],
        count=count,
        fixed_size=fixed,
        sizes=sizes,
        durations=_runs(data, places["stts"]),
        shifts=_runs(data, places["ctts"]),
        per_chunk=_per_chunk(data, places["stsc"]),
        offsets=_table(data, places["co64"], "Q") if places["stco"] is None else _table(data, places["stco"], "I"),
    )


def _clock(data: bytes, start: int, _end: int) -> tuple[int, int]:
    """Timescale and duration of a `mvhd` or `mdhd`."""
    long = data[start : start + 1] == b"\x01"
    timescale = _u32(data, start + (20 if long else 12))
    if not timescale:
        raise ValueError("no timescale")
    at, width = (start + 24, 8) if long else (start + 16, 4)
    duration = int.from_bytes(data[at : at + width], "big")
    return timescale, 0 if duration == (1 << 8 * width) - 1 else duration


def _sizes(data: bytes, place: tuple[int, int] | None) -> tuple[int, int, array[int]]:
    if place is None:
        return 0, 0, array("I")
    fixed, count = _u32(data, place[0] + 4), _u32(data, place[0] + 8)
    if fixed:
        return count, fixed, array("I")
    sizes = _numbers(data[place[0] + 12 : min(place[1], place[0] + 12 + 4 * count)], "I")
    return len(sizes), 0, sizes


def _runs(data: bytes, place: tuple[int, int] | None) -> tuple[tuple[int, int], ...]:
    flat = (
        array("I")
        if place is None
        else _numbers(data[place[0] + 8 : min(place[1], place[0] + 8 + 8 * _u32(data, place[0] + 4))], "I")
    )
    return tuple(zip(flat[::2], flat[1::2], strict=False))


def _per_chunk(data: bytes, place: tuple[int, int] | None) -> tuple[tuple[int, int], ...]:
    flat = (
        array("I")
        if place is None
        else _numbers(data[place[0] + 8 : min(place[1], place[0] + 8 + 12 * _u32(data, place[0] + 4))], "I")
    )
    return tuple(zip(flat[::3], flat[1::3], strict=False))


def _table(data: bytes, place: tuple[int, int] | None, kind: str) -> array[int]:
    if place is None:
        return array(kind)
    width = array(kind).itemsize
    return _numbers(data[place[0] + 8 : min(place[1], place[0] + 8 + width * _u32(data, place[0] + 4))], kind)


def _numbers(data: bytes, kind: str) -> array[int]:
    numbers = array(kind)
    numbers.frombytes(data[: len(data) // numbers.itemsize * numbers.itemsize])
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
