"""Black, unchanging and silent stretches of a recording, from what was measured of its key frames and of its sound.

Invariants: pure rules; spans are half-open, in whole microseconds, in order, within the recording, and those of one kind do not overlap.
A disturbance is a fact and no blame: a lens is covered for a reason, and many recorders keep half a minute of pictures without sound from
before they were started.

Not guaranteed: ends of pictures' spans to the frame. Only key frames (or one picture a second) are looked at, so each end is right to the
distance of two of them, which is told with the spans (`resolution_us`). What happens between two looks is not seen. A picture that shows
nothing but a still scene without noise counts as unchanging.

Source of loudness: ITU-R BS.1770-5 and EBU R 128: blocks of 400 ms every 100 ms, gated at -70 LUFS and at 10 LU below what is left.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BLACK_LUMA: Final = 32
"""A picture is black when nine tenths of it are no lighter than this (16 is black, 235 white): a clock burnt into it does not hide that."""
STILL_MILLI: Final = 100
"""A picture is unchanged when its cells differ from the last look's by a tenth of one of 255 steps on average: a sensor's noise, averaged
over thousands of samples a cell, makes about that, and anything that moves makes more."""
SILENT_CLU: Final = -6000
"""-60 LUFS: a quiet room recorded by a worn microphone is ten and more above."""
MUTED_CLU: Final = -9000
"""-90 LUFS: below one step of sixteen bits, so no microphone was heard at all."""
BLACK_LEAST: Final = 2_000_000
STILL_LEAST: Final = 10_000_000
SILENT_LEAST: Final = 2_000_000
HOLE_LEAST: Final = 1_000_000
MOST_SPANS: Final = 500
_BLOCK_US: Final = 100_000
_WINDOW_BLOCKS: Final = 4
_GATE_CLU: Final = -7000
_RELATIVE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch from `start_us` to before `end_us`: black, still, silent (too quiet to hear anything) or muted (no sound at all)."""

    kind: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Look:
    """One picture: when, how light its lighter parts are (0 to 255), how much it differs from the look before in thousandths of a step."""

    at_us: int
    light: int
    moved_milli: int


@dataclass(frozen=True, slots=True)
class Heard:
    """The loudness of the 400 ms that end 100 ms after `at_us`, in hundredths of a loudness unit (LUFS)."""

    at_us: int
    loudness_clu: int


@dataclass(frozen=True, slots=True)
class Notes:
    """Spans, to what they are right, how many looks or blocks they rest on, and of sound its loudness as a whole."""

    spans: tuple[Span, ...]
    resolution_us: int
    looked: int
    more: int = 0
    loudness_clu: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return plain objects of strings and integers."""
        return {**asdict(self), "spans": [asdict(span) for span in self.spans]}


def pictures(looks: Sequence[Look], duration_us: int) -> Notes:
    """Return where a recording is black or does not change."""
    times = [look.at_us for look in looks]
    ends = [*times[1:], max(duration_us, times[-1])] if times else []
    black = list(_joined("black", ((look.at_us, end) for look, end in zip(looks, ends, strict=True) if look.light <= BLACK_LUMA)))
    still = _joined(
        "still",
        ((before.at_us, after.at_us) for before, after in pairwise(looks) if after.moved_milli <= STILL_MILLI),
    )
    told = [span for span in black if span.end_us - span.start_us >= BLACK_LEAST]
    told += [
        span
        for span in still
        if span.end_us - span.start_us >= STILL_LEAST
        and not any(one.start_us <= span.start_us and span.end_us <= one.end_us for one in black)
    ]
    steps = sorted(after - before for before, after in pairwise(times))
    return _notes(told, steps[len(steps) // 2] if steps else max(0, duration_us), len(looks))


def sound(heard: Sequence[Heard], duration_us: int) -> Notes:
    """Return where nothing is heard, and how loud the whole is; a hole without packets is muted like digital silence."""
    muted = list(_joined("muted", _quiet(heard, MUTED_CLU, duration_us)))
    muted = list(_joined("muted", sorted([*((span.start_us, span.end_us) for span in muted), *_holes(heard, duration_us)])))
    told = [span for span in muted if span.end_us - span.start_us >= HOLE_LEAST]
    silent = [piece for span in _joined("silent", _quiet(heard, SILENT_CLU, duration_us)) for piece in _without(span, told)]
    told += [span for span in silent if span.end_us - span.start_us >= SILENT_LEAST]
    notes = _notes(told, _BLOCK_US, len(heard))
    return Notes(notes.spans, notes.resolution_us, notes.looked, notes.more, integrated(heard))


def integrated(heard: Iterable[Heard]) -> int | None:
    """Return the loudness of the whole in hundredths of LUFS; None where nothing is above the gate."""
    powers = [10 ** ((block.loudness_clu / 100 + 0.691) / 10) for block in heard if block.loudness_clu > _GATE_CLU]
    if not powers:
        return None
    gate = sum(powers) / len(powers) * _RELATIVE
    loud = [power for power in powers if power > gate]
    return round(100 * (-0.691 + 10 * math.log10(sum(loud) / len(loud))))


def _quiet(heard: Sequence[Heard], limit: int, duration_us: int) -> Iterator[tuple[int, int]]:
    """The windows that are no louder than a limit; the first three blocks are no whole window yet and say nothing."""
    for place, block in enumerate(heard):
        if place >= _WINDOW_BLOCKS - 1 and block.loudness_clu <= limit:
            end = block.at_us + _BLOCK_US
            yield max(0, end - _WINDOW_BLOCKS * _BLOCK_US), min(end, max(duration_us, block.at_us))


def _without(span: Span, others: Sequence[Span]) -> Iterator[Span]:
    """What is left of a span beside others, which are in order and apart."""
    start = span.start_us
    for other in others:
        if other.start_us >= span.end_us:
            break
        if other.start_us > start:
            yield Span(span.kind, start, other.start_us)
        start = max(start, other.end_us)
    if start < span.end_us:
        yield Span(span.kind, start, span.end_us)


def _holes(heard: Sequence[Heard], duration_us: int) -> Iterator[tuple[int, int]]:
    """Where no block of sound is: before the first, between two, after the last."""
    reached = 0
    for block in heard:
        if block.at_us - reached >= HOLE_LEAST:
            yield reached, block.at_us
        reached = block.at_us + _BLOCK_US
    if duration_us - reached >= HOLE_LEAST:
        yield reached, duration_us


def _joined(kind: str, spans: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Join spans that touch or overlap; they come in order of their beginnings."""
    start = end = -1
    for begin, stop in spans:
        if start >= 0 and begin <= end:
            end = max(end, stop)
            continue
        if start >= 0 and end > start:
            yield Span(kind, start, end)
        start, end = begin, stop
    if start >= 0 and end > start:
        yield Span(kind, start, end)


def _notes(spans: Iterable[Span], resolution_us: int, looked: int) -> Notes:
    """In order; of more than can be read the longest are kept."""
    found = list(spans)
    kept = sorted(found, key=lambda span: span.start_us - span.end_us)[:MOST_SPANS]
    return Notes(tuple(sorted(kept, key=lambda span: (span.start_us, span.kind))), resolution_us, looked, len(found) - len(kept))


def read_looks(lines: Iterable[str]) -> Iterator[Look]:
    """Read what ffmpeg's `signalstats` and `metadata=print` say of pictures whose time base is microseconds."""
    for at_us, known in _printed(lines):
        light, moved = known.get("lavfi.signalstats.YHIGH"), known.get("lavfi.signalstats.YDIF")
        if light is not None and moved is not None:
            yield Look(at_us, int(light), round(moved * 1000))


def read_heard(lines: Iterable[str]) -> Iterator[Heard]:
    """Read what ffmpeg's `ebur128` and `ametadata=print` say of sound whose time base is microseconds."""
    for at_us, known in _printed(lines):
        loudness = known.get("lavfi.r128.M")
        if loudness is not None:
            yield Heard(at_us, max(-12_000, round(loudness * 100)))


def _printed(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, float]]]:
    at_us: int | None = None
    known: dict[str, float] = {}
    for line in lines:
        if line.startswith("frame:"):
            if at_us is not None:
                yield at_us, known
            word = next((word for word in line.split() if word.startswith("pts:")), "")[4:]
            at_us, known = (int(word) if word.lstrip("-").isdecimal() else None), {}
        elif "=" in line:
            name, _, value = line.strip().partition("=")
            try:
                number = float(value)
            except ValueError:
                continue
            if math.isfinite(number):
                known[name] = number
            elif value.startswith("-inf"):
                known[name] = -120.0
    if at_us is not None:
        yield at_us, known
