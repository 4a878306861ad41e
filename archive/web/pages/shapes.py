"""How values look to people: times in the agency's zone, sizes, durations, short digests.

Pure. Times show whole seconds; the microseconds stay in the `datetime` attribute beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive.core.instant import HOUR, MINUTE, SECOND, Instant, iso, local

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP = 1000


def clock(instant: Instant, zone: ZoneInfo) -> str:
    """Return `2026-03-12 12:04:51` in the zone."""
    return local(instant, zone).strftime("%Y-%m-%d %H:%M:%S")


def short_clock(instant: Instant, zone: ZoneInfo) -> str:
    """Return `03-12 12:04:51` in the zone, for lists that stand beside the full time."""
    return local(instant, zone).strftime("%m-%d %H:%M:%S")


def utc(instant: Instant) -> str:
    """Return the instant as `2026-03-12 04:04:51 UTC`, for a hover."""
    return f"{iso(instant)[:19].replace('T', ' ')} UTC"


def duration(us: int) -> str:
    """Return h:mm:ss.mmm of a length in microseconds."""
    milli = us // 1000
    return f"{us // HOUR}:{us // MINUTE % 60:02d}:{us // SECOND % 60:02d}.{milli % 1000:03d}"


def size(count: int) -> str:
    """Return a length in bytes to three digits, in powers of a thousand, as carriers are sold and labelled."""
    value, unit = count * 10, 0
    while value >= _STEP * 10 and unit < len(_UNITS) - 1:
        value, unit = value // _STEP, unit + 1
    shown = f"{value // 10}" if unit == 0 or value >= _STEP else f"{value // 10}.{value % 10}"
    return f"{shown} {_UNITS[unit]}"


def grouped(count: int) -> str:
    """Return `3,324,817,408`."""
    return f"{count:,}"


def rate(num: int, den: int) -> str:
    """Return frames a second to two places at most: `29.97`, `25`."""
    hundredths = (num * 100 + den // 2) // den
    return f"{hundredths // 100}.{hundredths % 100:02d}".rstrip("0").rstrip(".")


def offset(us: int) -> tuple[int, bool]:
    """Return how far a recorder's clock is off in whole seconds, and whether it is fast.

    The stored offset is what to add to the recorder's clock: a negative one belongs to a clock that is fast.
    """
    return (abs(us) + SECOND // 2) // SECOND, us < 0


def place(latitude: int, longitude: int) -> str:
    """Return micro-degrees as `37.739167° N, 115.670278° E`."""
    parts = ((latitude, "N", "S"), (longitude, "E", "W"))
    return ", ".join(
        f"{abs(value) // 1_000_000}.{abs(value) % 1_000_000:06d}° {positive if value >= 0 else negative}"
        for value, positive, negative in parts
    )
