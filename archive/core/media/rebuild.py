"""Find the pictures and the sound of a recording whose index was never written, by the likeness of a healthy file of the same recorder.

A recorder that loses power leaves the samples, one after another, and nothing that says where each begins. Pictures (H.264, H.265) carry
their length in front; sound does not, but what lies between two pictures and is no picture is sound. The healthy file teaches the rest:
parameter sets, time between pictures, what units look like, how long a stretch of sound gets.

Invariants: pure and streaming: bytes come through a function, a few at a time, and nothing but the list of samples is held. Bounded by
construction: at most `MAX_UNITS` units and `MAX_TRIES` places are looked at and `MAX_PICTURES` pictures kept, whatever the bytes are, each
at a cost that does not depend on the file; so it runs in the worker itself and not in a jail. Nothing here raises on hostile bytes but
`ValueError` where the healthy file is of no use.

Not guaranteed: times. They were in the index alone: pictures are taken to come evenly, and sound to begin where it lies. Pictures between
which bytes were lost are played one after another; how many bytes were stepped over is told.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final

from archive.core.media import nal

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.core.media.movie import Movie, Track

    ReadAt = Callable[[int, int], bytes]

MAX_UNITS: Final = 16_000_000
MAX_TRIES: Final = 16_000_000
MAX_PICTURES: Final = 2_000_000
"""Eighteen hours at thirty a second; an index of more would not fit into the memory that a worker may have."""
_MOST_CHUNKS: Final = 500_000
_STUDIED: Final = 600
_UNITS_A_PICTURE: Final = 600
_BLOCK: Final = 256 * 1024
_LEAST_LONGEST: Final = 1024 * 1024
_SEARCH: Final = 64 * 1024
_FIXED_SOUND: Final = frozenset({"sowt", "twos", "alaw", "ulaw", "raw ", "lpcm", "in24", "ipcm"})


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a healthy file teaches. `gap` is the most sound there is between two pictures; `lead_us` how far sound lies from its time."""

    coding: nal.Coding
    video: Track
    audio: Track | None
    headers: frozenset[int]
    longest: int
    ticks: int
    gap: int
    lead_us: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one moment of sound where all are alike; 0 where they are not and only a decoder can tell them apart."""
        fixed = self.audio is not None and self.audio.codec in _FIXED_SOUND
        return self.audio.fixed_size if fixed and self.audio is not None else 0


@dataclass(slots=True)
class Found:
    """What was found: pictures and stretches of sound, in the order they lie.

    `orders` are the pictures' places in the order of showing, as written; `skipped` bytes between `start` and `end` are neither; `cut`
    says that the last picture was being written when the file ended; `foreign` that its own parameter sets are others than the healthy
    file's, which then is none of the same settings.
    """

    start: int
    end: int
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("I"))
    keys: array[int] = field(default_factory=lambda: array("B"))
    orders: array[int] = field(default_factory=lambda: array("q"))
    sound_offsets: array[int] = field(default_factory=lambda: array("Q"))
    sound_sizes: array[int] = field(default_factory=lambda: array("I"))
    sound_after: array[int] = field(default_factory=lambda: array("I"))
    skipped: int = 0
    resyncs: int = 0
    cut: bool = False
    foreign: bool = False

    @property
    def explained(self) -> int:
        """Bytes that are pictures or sound."""
        return sum(self.sizes) + sum(self.sound_sizes)


def learn(movie: Movie, read_at: ReadAt) -> Likeness:
    """Study a healthy file.

    Raises:
        ValueError: there is nothing to be learnt from it; the text is a short reason.
    """
    video, audio = movie.first("vide"), movie.first("soun")
    if video is None or movie.fragmented or not video.count or not video.durations:
        raise ValueError("no picture track with an index")
    known = nal.coding(video.entry)
    if video.shifts and not known.order_bits:
        raise ValueError("pictures out of order")
    audio = None if audio is None or not audio.count else audio
    headers, longest = _study(video, read_at, known)
    gap, lead = _between(video, audio)
    runs: Counter[int] = Counter()
    for count, ticks in video.durations:
        runs[ticks] += count
    usual = max(1, runs.most_common(1)[0][0])
    return Likeness(known, video, audio, headers, max(_LEAST_LONGEST, 4 * longest), usual, 2 * gap + _SEARCH, lead)


def _study(video: Track, read_at: ReadAt, known: nal.Coding) -> tuple[frozenset[int], int]:
    """What the first bytes of units look like, and how long the longest unit is, in some pictures from all over the file."""
    headers: set[int] = set()
    longest, first = 0, 2 if known.hevc else 1
    step = max(1, video.count // _STUDIED)
    for chunk in islice(video.chunks(), _MOST_CHUNKS):
        at = chunk.offset
        for sample in range(chunk.first, chunk.first + chunk.count):
            end = at + video.size_of(sample, 1)
            longest = max(longest, end - at)
            if sample < _STUDIED or sample % step == 0:
                for _ in range(_UNITS_A_PICTURE):
                    head = read_at(at, nal.LENGTH + first)
                    if at >= end or len(head) < nal.LENGTH + first:
                        break
                    headers.add(int.from_bytes(head[nal.LENGTH :], "big"))
                    at += nal.LENGTH + int.from_bytes(head[: nal.LENGTH], "big")
            at = end
    return frozenset(headers), longest


def _between(video: Track, audio: Track | None) -> tuple[int, int]:
    """How many bytes lie between pictures at most, and the usual distance of sound from the time at which it lies."""
    places = sorted([(chunk.offset, 0, chunk) for chunk in islice(video.chunks(), _MOST_CHUNKS)], key=lambda each: each[0])
    gap = max((after[0] - before[0] - before[2].size for before, after in pairwise(places)), default=0)
    if audio is None:
        return gap, 0
    starts = [offset for offset, _, _ in places]
    leads: list[int] = []
    for chunk in islice(audio.chunks(), _STUDIED):
        place = bisect_left(starts, chunk.offset)
        shown = places[place][2].first if place < len(places) else video.count
        leads.append(audio.length_us(chunk.first) - video.length_us(shown))
    return max(0, gap), sorted(leads)[len(leads) // 2] if leads else 0


@dataclass(frozen=True, slots=True)
class _Picture:
    size: int
    key: bool
    reference: bool
    number: int
    order: int


class _Walk:
    """One walk over the bytes between two places."""

    def __init__(self, like: Likeness, read_at: ReadAt, found: Found, beat: Callable[[int], None]) -> None:
        self.like, self.read_at, self.found, self.beat = like, read_at, found, beat
        self.units = self.tries = 0
        self.last: _Picture | None = None
        heads = b"".join(b"\\x%02x" % (header >> 8 if like.coding.hevc else header) for header in sorted(like.headers))
        top = b"\\x%02x" % (like.longest >> 16 & 0xFF if like.longest < 1 << 24 else 0xFF)
        self.start_of_unit = re.compile(b"\\x00[\\x00-" + top + b"](?=..[" + heads + b"])", re.DOTALL)

    def unit(self, at: int) -> nal.Unit | None:
        self.units += 1
        head = self.read_at(at, nal.PEEK)
        found = nal.unit(head, self.found.end - at, self.like.coding, self.like.headers, self.like.longest)
        if found is not None and found.header & 0x1F == _SPS and not self.like.coding.hevc and not self.found.foreign:
            body = self.read_at(at + nal.LENGTH, found.size - nal.LENGTH)
            self.found.foreign = body.rstrip(b"\0") not in {known.rstrip(b"\0") for known in self.like.coding.sets}
        return found

    def picture(self, at: int) -> _Picture | None:
        """The picture that begins here with all its units, or None if none plausibly does."""
        start, first = at, None
        for _ in range(_UNITS_A_PICTURE):
            unit = self.unit(at)
            if unit is None or (first is not None and (unit.begins or unit.leads)):
                break
            if unit.slice and first is None:
                if not unit.begins:
                    return None
                first = unit
            elif unit.slice and first is not None and unit.number != first.number:
                break
            at += unit.size
        if first is None:
            return None
        return _Picture(at - start, first.key, first.reference, first.number, first.order)

    def follows(self, one: _Picture, last: _Picture | None) -> bool:
        """Whether a picture's number is the one due after another's (7.4.3): as good as a signature."""
        if one.key:
            return True
        if last is None or self.like.coding.hevc:
            return last is not None
        due = last.number + last.reference
        return one.number == due % (1 << self.like.coding.frame_bits)

    def trusted(self, at: int, *, strict: bool = False) -> _Picture | None:
        """The picture here, if its number is due, or if what comes after it is a picture whose number is due then."""
        one = self.picture(at)
        if one is None or (strict and not one.key):
            return None
        if not strict and self.follows(one, self.last):
            return one
        after = self.picture(at + one.size)
        return one if after is not None and self.follows(after, one) and not after.key else None

    def next_picture(self, at: int, end: int, *, strict: bool = False) -> int | None:
        """Where the next picture begins before a place, searched byte by byte."""
        while at < end:
            step = min(_BLOCK, end - at)
            block = self.read_at(at, step + 8)
            for match in self.start_of_unit.finditer(block):
                if match.start() >= step:
                    break
                self.tries += 1
                if not self.spared():
                    return None
                if self.trusted(at + match.start(), strict=strict) is not None:
                    return at + match.start()
            at += step
            self.beat(at)
        return None

    def spared(self) -> bool:
        """Whether there is something left of what may be looked at."""
        return self.units < MAX_UNITS and self.tries < MAX_TRIES

    def keep(self, at: int, one: _Picture) -> None:
        found = self.found
        found.offsets.append(at)
        found.sizes.append(one.size)
        found.keys.append(one.key)
        found.orders.append(one.order)
        self.last = one

    def sound(self, start: int, end: int) -> None:
        if self.like.audio is None:
            self.found.skipped += end - start
            return
        self.found.sound_offsets.append(start)
        self.found.sound_sizes.append(end - start)
        self.found.sound_after.append(len(self.found.offsets))


_SPS: Final = 7


def walk(like: Likeness, start: int, end: int, read_at: ReadAt, *, beat: Callable[[int], None] = lambda _at: None) -> Found:
    """Find pictures and sound between two places.

    Args:
        like: what a healthy file taught.
        start: where the samples begin.
        end: where they end at the latest; zeros before it are no part of them.
        read_at: gives up to so many bytes from an offset.
        beat: called now and then with the place reached.
    """
    found = Found(start, end)
    walker = _Walk(like, read_at, found, beat)
    at, told = start, 0
    while at < end and len(found.offsets) < MAX_PICTURES and walker.spared() and not found.foreign:
        one = walker.trusted(at)
        if one is not None:
            walker.keep(at, one)
            at += one.size
        else:
            after = walker.next_picture(at + 1, min(end, at + like.gap))
            if after is not None:
                walker.sound(at, after)
            else:
                after = walker.next_picture(at + like.gap, end, strict=True)
                lost = (end if after is None else after) - at
                if after is None:
                    _ending(walker, at, end)
                    break
                found.skipped, found.resyncs = found.skipped + lost, found.resyncs + 1
            at = after
        if len(found.offsets) - told >= _TELL_EVERY:
            told = len(found.offsets)
            beat(at)
    return found


_TELL_EVERY: Final = 2000


def _ending(walker: _Walk, at: int, end: int) -> None:
    """After the last picture: the sound that follows it, or the picture that was being written when the file ended."""
    found = walker.found
    head = walker.read_at(at, nal.PEEK)
    declared = nal.LENGTH + int.from_bytes(head[: nal.LENGTH], "big")
    within = end - at < declared <= walker.like.longest
    last = nal.unit(head, declared, walker.like.coding, walker.like.headers, declared) if within else None
    if last is not None:
        found.cut = True
        found.skipped += end - at
        if (
            last.slice and not last.begins and found.offsets and found.offsets[-1] + found.sizes[-1] == at
        ):  # its first slices are no picture
            found.skipped += found.sizes[-1]
            for column in (found.offsets, found.sizes, found.keys, found.orders):
                column.pop()
    elif end - at <= walker.like.gap:
        walker.sound(at, end)
    else:
        found.skipped += end - at
