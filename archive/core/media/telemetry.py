"""Where a camera was: GoPro's GPMF telemetry, ISO 6709 strings and EXIF coordinates, as integers.

Invariants: nothing here raises on hostile bytes; what cannot be read is left out. Positions are integer micro-degrees, heights
integer millimetres, speeds integer millimetres a second; times are microseconds. Nesting, lengths and counts are bounded by the bytes
that are really there, so that a small file can make neither a large result nor deep recursion.

Not guaranteed: that a position is true. A receiver without a fix repeats its last place (such points are left out where the stream
says so), and anyone may write any coordinates into a file.

Sources: GPMF, https://github.com/gopro/gpmf-parser (README, «GPMF Deeper Dive»); ISO 6709:2008 Annex H; EXIF 2.3, 4.6.6.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from archive.core.instant import Instant, from_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MICRO = 1_000_000
MAX_DEPTH = 8
MAX_POINTS = 50_000
_GPS9_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """A place: micro-degrees (north and east positive), millimetres above the reference, if known."""

    latitude: int
    longitude: int
    altitude_mm: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a place that is not on earth."""
        if abs(self.latitude) > 90 * MICRO or abs(self.longitude) > 180 * MICRO:
            raise ValueError("not a place on earth")


@dataclass(frozen=True, slots=True)
class Point:
    """One position at one media time.

    `at_us` counts from the recording's start; `clock` is the satellite's time where the stream gives it.
    """

    at_us: int
    position: Position
    speed_mm_s: int | None
    clock: Instant | None

    def as_json(self) -> dict[str, int | None]:
        """Return the point as a flat object of integers."""
        return {
            "at_us": self.at_us,
            "latitude_udeg": self.position.latitude,
            "longitude_udeg": self.position.longitude,
            "altitude_mm": self.position.altitude_mm,
            "speed_mm_s": self.speed_mm_s,
            "clock_us": self.clock,
        }


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of a telemetry track: its span of media time in microseconds, and its bytes."""

    start_us: int
    duration_us: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Element:
    """One GPMF key-length-value: `kind` is the type character, `size` the bytes of one sample, `count` the repeats."""

    key: str
    kind: int
    size: int
    count: int
    value: bytes


def elements(data: bytes) -> Iterator[Element]:
    """Yield the elements at one level; stop at the first that does not fit into the bytes given."""
    offset = 0
    while offset + 8 <= len(data):
        key, kind, size, count = data[offset : offset + 4], *struct.unpack_from(">BBH", data, offset + 4)
        if key == b"\0\0\0\0":
            return
        length = size * count
        if offset + 8 + length > len(data):
            return
        yield Element(key.decode("latin-1"), kind, size, count, data[offset + 8 : offset + 8 + length])
        offset += 8 + (length + 3 & ~3)


def streams(data: bytes, *, depth: int = 0) -> Iterator[dict[str, Element]]:
    """Yield every STRM found below `data` as a table from key to its last element, nested at most `MAX_DEPTH` deep."""
    if depth >= MAX_DEPTH:
        return
    for element in elements(data):
        if element.kind != 0:
            continue
        if element.key == "STRM":
            yield {inner.key: inner for inner in elements(element.value)}
        else:
            yield from streams(element.value, depth=depth + 1)


_NUMBER_FORMATS = {ord(key): value for key, value in {"b": "b", "B": "B", "s": "h", "S": "H", "l": "i", "L": "I"}.items()}


def _numbers(element: Element | None) -> list[int]:
    """Return the integers of an element of a plain integer type, or none."""
    if element is None or element.kind not in _NUMBER_FORMATS:
        return []
    letter = _NUMBER_FORMATS[element.kind]
    count = len(element.value) // struct.calcsize(letter)
    return list(struct.unpack_from(f">{count}{letter}", element.value))


def points(packets: Iterable[Packet], *, spacing_us: int = 500_000) -> list[Point]:
    """Return the places a GPMF track tells, thinned to one in `spacing_us`, at most `MAX_POINTS`.

    Samples of a packet are spread evenly over its span, as GoPro's own tools do. Points without a fix are left out.
    """
    found: list[Point] = []
    for packet in packets:
        for stream in streams(packet.payload):
            for point in (*_gps5(stream, packet), *_gps9(stream, packet), *_gpri(stream, packet)):
                if len(found) >= MAX_POINTS:
                    return found
                if not found or point.at_us - found[-1].at_us >= spacing_us:
                    found.append(point)
    return found


def _gps5(stream: dict[str, Element], packet: Packet) -> Iterator[Point]:
    """GPS5: latitude, longitude, altitude (m), speed over ground, speed in three dimensions (m/s); each divided by SCAL."""
    element, scale = stream.get("GPS5"), _numbers(stream.get("SCAL"))
    fix = _numbers(stream.get("GPSF"))
    if element is None or element.kind != ord("l") or element.size != 20:  # noqa: PLR2004  five numbers of four bytes
        return
    if len(scale) < 4 or 0 in scale[:4] or (fix and fix[0] < 2):  # noqa: PLR2004  2 and 3 are fixes in two and three dimensions
        return
    clock = _gps_clock(stream.get("GPSU"))
    for index in range(element.count):
        raw = struct.unpack_from(">5i", element.value, index * 20)
        offset = packet.duration_us * index // element.count
        point = _point(packet.start_us + offset, raw, scale, None if clock is None else Instant(clock + offset))
        if point is not None:
            yield point


def _gps9(stream: dict[str, Element], packet: Packet) -> Iterator[Point]:
    """GPS9: as GPS5, then days since 2000, seconds since midnight (ms), dilution, fix; a compound type of 32 bytes."""
    element, scale = stream.get("GPS9"), _numbers(stream.get("SCAL"))
    if element is None or element.size != 32 or len(scale) < 7 or 0 in scale[:7]:  # noqa: PLR2004 - GPS9
        return
    for index in range(element.count):
        *raw, _dilution, fix = struct.unpack_from(">7iHH", element.value, index * 32)
        if fix < 2:  # noqa: PLR2004 - 2 and 3 are fixes
            continue
        clock = _since_2000(raw[5], scale[5], raw[6], scale[6])
        point = _point(packet.start_us + packet.duration_us * index // element.count, raw, scale, clock)
        if point is not None:
            yield point


def _gpri(stream: dict[str, Element], packet: Packet) -> Iterator[Point]:
    """GPRI, the Karma drone's raw receiver: time, latitude, longitude, altitude, two accuracies, speed, course, fix, satellites."""
    element, scale = stream.get("GPRI"), _numbers(stream.get("SCAL"))
    if element is None or element.size != 30 or len(scale) < 7 or 0 in scale[:7]:  # noqa: PLR2004 - GPRI
        return
    for index in range(element.count):
        _time, *place, _eph, _epv, speed, _course, fix, _satellites = struct.unpack_from(">Qiii4HBB", element.value, index * 30)
        if fix < 2:  # noqa: PLR2004 - 2 and 3 are fixes
            continue
        at_us = packet.start_us + packet.duration_us * index // element.count
        point = _point(at_us, (*place, speed), (*scale[1:4], scale[6]), None)
        if point is not None:
            yield point


def _since_2000(days: int, days_scale: int, seconds: int, seconds_scale: int) -> Instant | None:
    micros = seconds * MICRO // seconds_scale
    if not 0 <= days // days_scale < 36_525 or not 0 <= micros < 86_400 * MICRO:  # noqa: PLR2004  a century
        return None
    moment = _GPS9_EPOCH + timedelta(days=days // days_scale, microseconds=micros)
    return from_datetime(moment)


def _point(at_us: int, raw: Sequence[int], scale: Sequence[int], clock: Instant | None) -> Point | None:
    try:
        position = Position(raw[0] * MICRO // scale[0], raw[1] * MICRO // scale[1], raw[2] * 1000 // scale[2])
    except ValueError:
        return None
    return Point(at_us, position, raw[3] * 1000 // scale[3], clock)


def _gps_clock(element: Element | None) -> Instant | None:
    """GPSU: UTC as `yymmddhhmmss.sss`."""
    if element is None:
        return None
    found = re.fullmatch(rb"(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})\.(\d{3})", element.value[:16])
    if found is None:
        return None
    year, month, day, hour, minute, second, milli = (int(part) for part in found.groups())
    try:
        moment = datetime(2000 + year, month, day, hour, minute, second, milli * 1000, tzinfo=UTC)
    except ValueError:
        return None
    return from_datetime(moment)


_ISO6709 = re.compile(
    r"([+-]\d{2,6}(?:\.\d{1,12})?)([+-]\d{3,7}(?:\.\d{1,12})?)([+-]\d{1,7}(?:\.\d{1,12})?)?(?:CRS[\w:]{0,32})?/?"
)


def iso6709(text: str) -> Position | None:
    """Return the place of an ISO 6709 string (`+39.9042+116.4074+043.5/`), in degrees, with minutes, or with seconds too."""
    found = _ISO6709.fullmatch(text.strip()[:128])
    if found is None:
        return None
    latitude, longitude = _sexagesimal(found[1], 2), _sexagesimal(found[2], 3)
    altitude = None if found[3] is None else _decimal(found[3], 1000)
    if latitude is None or longitude is None:
        return None
    try:
        return Position(latitude, longitude, altitude)
    except ValueError:
        return None


def _decimal(text: str, scale: int) -> int:
    """Return `text` times `scale`, rounded toward zero, without going through a float."""
    whole, _, fraction = text.lstrip("+-").partition(".")
    value = int(f"{whole}{fraction}") * scale // int("1" + "0" * len(fraction))
    return -value if text.startswith("-") else value


def _sexagesimal(text: str, degree_digits: int) -> int | None:
    """Degrees, or degrees and minutes, or degrees, minutes and seconds, told apart by the digits before the point."""
    digits = text[1:].partition(".")[0]
    extra = len(digits) - degree_digits
    if extra not in (0, 2, 4):
        return None
    degrees = int(digits[:degree_digits]) * MICRO
    rest = text[0] + (text[1 + degree_digits :] if extra else "0" + text[1 + len(digits) :])
    if extra == 0:
        total = degrees + abs(_decimal(rest, MICRO))
    elif extra == 2:  # noqa: PLR2004 - degrees and minutes
        total = degrees + abs(_decimal(rest, MICRO)) // 60
    else:
        total = degrees + int(rest[1:3]) * MICRO // 60 + abs(_decimal(rest[0] + rest[3:], MICRO)) // 3600
    return -total if text[0] == "-" else total


def exif_degrees(parts: Sequence[tuple[int, int]], reference: str) -> int | None:
    """Return micro-degrees of EXIF's three rationals (degrees, minutes, seconds) and its reference letter N, S, E or W.

    Rounded to the nearest; None for a wrong count, a zero or negative part, or a letter that is none of the four.
    """
    if len(parts) != 3 or reference not in ("N", "S", "E", "W"):  # noqa: PLR2004 - degrees, minutes, seconds
        return None
    numerator, denominator = 0, 1
    for (top, bottom), share in zip(parts, (1, 60, 3600), strict=True):
        if bottom <= 0 or top < 0 or top > 1 << 32 or bottom > 1 << 32:
            return None
        numerator, denominator = numerator * bottom * share + top * denominator, denominator * bottom * share
    value = (2 * numerator * MICRO + denominator) // (2 * denominator)
    limit = 90 if reference in "NS" else 180
    if value > limit * MICRO:
        return None
    return -value if reference in "SW" else value
