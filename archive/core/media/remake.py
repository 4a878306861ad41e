"""Write the index (`moov`) that a recorder never wrote, over samples that `archive.core.media.rebuild` found.

Invariants: pure; what comes out is `ftyp`, `moov` and the header of an `mdat`, after which the samples' bytes follow unchanged; the same
input gives the same bytes. Sound of unequal frames is one sample a stretch, because only a decoder can tell its frames apart: what is
written is a step towards a playable file and no end, and whoever asked for it has the sound re-coded.

Not guaranteed: times; see `archive.core.media.rebuild`.

Source: ISO/IEC 14496-12:2022, 8.2 to 8.7.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archive.core.media.rebuild import Found, Likeness

_CLOCK: Final = 90_000
_VIDEO_MATRIX: Final = slice(-44, -8)
_UNITY: Final = b"\0\1\0\0" + b"\0" * 12 + b"\0\1\0\0" + b"\0" * 12 + b"\x40\0\0\0"


def head(like: Likeness, found: Found) -> bytes:
    """Return everything that stands before the samples, which are the bytes from `found.start` to `found.end`."""
    brand = _box("ftyp", b"isom\0\0\2\0isomiso2mp41")
    size = found.end - found.start
    place = len(brand) + len(_moov(like, found, 0)) + 16
    return brand + _moov(like, found, place - found.start) + _u32(1) + b"mdat" + _u64(16 + size)


def _moov(like: Likeness, found: Found, shift: int) -> bytes:
    count = len(found.offsets)
    length = count * like.ticks
    duration = length * _CLOCK // like.video.timescale
    header = _full(
        "mvhd",
        1,
        _u64(0) + _u64(0) + _u32(_CLOCK) + _u64(duration) + b"\0\1\0\0\1\0" + b"\0" * 10 + _UNITY + b"\0" * 24 + _u32(3),
    )
    tracks = _video(like, found, duration, shift)
    if like.audio is not None and found.sound_offsets:
        tracks += _audio(like, found, duration, shift)
    return _box("moov", header + tracks)


def _video(like: Likeness, found: Found, duration: int, shift: int) -> bytes:
    track = like.video
    matrix, sides = track.header[_VIDEO_MATRIX], track.header[-8:]
    shifts, delay = _shifts(like, found)
    keys = [number for number, key in enumerate(found.keys, 1) if key]
    tables = (
        _full("stsd", 0, _u32(1) + track.entry)
        + _full("stts", 0, _u32(1) + _u32(len(found.offsets)) + _u32(like.ticks))
        + (
            _full("ctts", 0, _u32(len(shifts)) + _many("I", (number for each in shifts for number in (1, each))))
            if shifts
            else b""
        )
        + _full("stss", 0, _u32(len(keys)) + _many("I", keys))
        + _full("stsc", 0, _u32(1) + _u32(1) + _u32(1) + _u32(1))
        + _full("stsz", 0, _u32(0) + _u32(len(found.sizes)) + _many("I", found.sizes))
        + _full("co64", 0, _u32(len(found.offsets)) + _many("Q", (offset + shift for offset in found.offsets)))
    )
    edit = _full("elst", 1, _u32(1) + _u64(duration) + _u64(delay * like.ticks) + b"\0\1\0\0") if delay else b""
    media = _media(track.timescale, len(found.offsets) * like.ticks, b"vide", _full("vmhd", 0, b"\0" * 8, flags=1), tables)
    return _trak(1, duration, b"\0\0", matrix + sides, media, edit)


def _audio(like: Likeness, found: Found, duration: int, shift: int) -> bytes:
    track = like.audio
    assert track is not None
    sizes, runs = found.sound_sizes, []
    times = _sound_times(like, found, track.timescale)
    if like.frame_bytes:
        counts = [size // like.frame_bytes for size in sizes]
        chunks = b"".join(_u32(number) + _u32(count) + _u32(1) for number, count in enumerate(counts, 1))
        runs = [(sum(counts), 1)]
        table = _full("stsz", 0, _u32(like.frame_bytes) + _u32(sum(counts))) + _full("stsc", 0, _u32(len(counts)) + chunks)
    else:
        runs = [(1, max(1, after - before)) for before, after in zip(times, [*times[1:], times[-1] + 1024], strict=True)]
        table = _full("stsz", 0, _u32(0) + _u32(len(sizes)) + _many("I", sizes)) + _full(
            "stsc", 0, _u32(1) + _u32(1) + _u32(1) + _u32(1)
        )
    tables = (
        _full("stsd", 0, _u32(1) + track.entry)
        + _full("stts", 0, _u32(len(runs)) + b"".join(_u32(count) + _u32(ticks) for count, ticks in runs))
        + table
        + _full("co64", 0, _u32(len(sizes)) + _many("Q", (offset + shift for offset in found.sound_offsets)))
    )
    late = times[0] * _CLOCK // track.timescale
    edit = (
        _full("elst", 1, _u32(2) + _u64(late) + _u64((1 << 64) - 1) + b"\0\1\0\0" + _u64(duration) + _u64(0) + b"\0\1\0\0")
        if late
        else b""
    )
    media = _media(track.timescale, sum(c * t for c, t in runs), b"soun", _full("smhd", 0, b"\0" * 4), tables)
    return _trak(2, duration, b"\1\0", _UNITY + b"\0" * 8, media, edit)


def _sound_times(like: Likeness, found: Found, timescale: int) -> list[int]:
    """When each stretch of sound begins: at the picture it lies before, and as much off it as in the healthy file; always onwards."""
    times: list[int] = []
    for after in found.sound_after:
        us = max(0, after * like.ticks * 1_000_000 // like.video.timescale + like.lead_us)
        times.append(max(us * timescale // 1_000_000, times[-1] + 1 if times else 0))
    return times


def _shifts(like: Likeness, found: Found) -> tuple[list[int], int]:
    """How much later than stored each picture is shown, in ticks, and the delay that this costs, in pictures."""
    if not like.video.shifts:
        return [], 0
    shown: list[int] = []
    start = 0
    keys = [number for number, key in enumerate(found.keys) if key]
    for stop in [*(key for key in keys if key), len(found.keys)]:
        group = _unrolled(found.orders[start:stop], like.coding.order_bits)
        ranks = sorted(range(len(group)), key=group.__getitem__)
        place = [0] * len(group)
        for rank, member in enumerate(ranks):
            place[member] = start + rank
        shown += place
        start = stop
    delay = max((index - place for index, place in enumerate(shown)), default=0)
    return [(place - index + delay) * like.ticks for index, place in enumerate(shown)], delay


def _unrolled(orders: Sequence[int], bits: int) -> list[int]:
    """Places in the order of showing without the wrap of their few bits (H.264, 8.2.1.1); each is near the one before."""
    whole, half = 1 << bits, 1 << bits - 1
    found: list[int] = []
    for order in orders:
        last = found[-1] if found else 0
        found.append(last + (order - last + half) % whole - half)
    return found


def _media(timescale: int, duration: int, handler: bytes, header: bytes, tables: bytes) -> bytes:
    here = _box("dinf", _full("dref", 0, _u32(1) + _full("url ", 0, b"", flags=1)))
    return _box(
        "mdia",
        _full("mdhd", 1, _u64(0) + _u64(0) + _u32(timescale) + _u64(duration) + b"\x55\xc4\0\0")
        + _full("hdlr", 0, _u32(0) + handler + b"\0" * 13)
        + _box("minf", header + here + _box("stbl", tables)),
    )


def _trak(number: int, duration: int, volume: bytes, placing: bytes, media: bytes, edit: bytes) -> bytes:  # noqa: PLR0917 - a box's fields in their order
    header = _full(
        "tkhd", 1, _u64(0) + _u64(0) + _u32(number) + _u32(0) + _u64(duration) + b"\0" * 12 + volume + b"\0\0" + placing, flags=3
    )
    return _box("trak", header + (_box("edts", edit) if edit else b"") + media)


def _box(name: str, body: bytes) -> bytes:
    return _u32(8 + len(body)) + name.encode("ascii") + body


def _full(name: str, version: int, body: bytes, *, flags: int = 0) -> bytes:
    return _box(name, bytes([version]) + flags.to_bytes(3, "big") + body)


def _many(kind: str, numbers: Iterable[int]) -> bytes:
    packed = array(kind, numbers)
    if sys.byteorder == "little":
        packed.byteswap()
    return packed.tobytes()


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
