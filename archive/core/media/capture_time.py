"""When a file itself says it was made: MP4/MOV movie headers, AVI and WAV chunks, JPEG EXIF.

Everything here looks at bytes it is given; a caller reads them. A docking station has no media tools, and needs none for this.

Invariants: pure, total (any bytes give an answer or None, never an exception), and bounded by the bytes given.

Not guaranteed: that the recorder's clock was right, or that it kept to its format's zone. ISO/IEC 14496-12 8.2.2 counts a movie's time
in UTC, and many cameras write local time there; so a `Moment` says which it *should* be, and the caller's settings may overrule it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from archive.core.instant import Instant, from_datetime

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

HEAD_SIZE = 256 * 1024
"""Bytes of a file's beginning within which AVI, WAV and JPEG files say when they were made."""
MOVIE_HEADER_SIZE = 4096
"""Bytes of a `moov` box's content within which its `mvhd` lies: it is the first box there in every file seen."""
BOX_HEADER_SIZE = 16
MAX_BOXES = 4096
"""Top-level boxes after which a file is no longer searched for its movie header."""

_MAC_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_IDIT = re.compile(r"(?:[A-Za-z]{3} )?([A-Za-z]{3}) +(\d{1,2}) (\d{2}):(\d{2}):(\d{2}) (\d{4})")
_PLAIN = re.compile(r"(\d{4})[-:/](\d{1,2})[-:/](\d{1,2})[ /T]+(\d{1,2}):(\d{2})(?::(\d{2}))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EXIF_IFD = 0x8769
_DATE_TIME_ORIGINAL = 0x9003
_OFFSET_TIME_ORIGINAL = 0x9011
_SUB_SECONDS = 0x9291
_MAX_ENTRIES = 512
_MAX_SEGMENTS = 64
_MAX_CHUNKS = 256
_CHUNK_HEADER = 8


@dataclass(frozen=True, slots=True)
class Moment:
    """A date and time as a file spells it; `in_utc` says whether its format (or an offset beside it) makes it UTC."""

    wall: datetime
    in_utc: bool

    def instant(self, zone: ZoneInfo) -> Instant | None:
        """Return the instant meant; `zone` is the recorder's, used where the file names none. None before 1970."""
        found = from_datetime(self.wall.replace(tzinfo=UTC if self.in_utc else zone))
        return found if found >= 0 else None


@dataclass(frozen=True, slots=True)
class Box:
    """An ISO media box: its kind, where its content starts and where the next box starts, in bytes of the file."""

    kind: bytes
    content: int
    end: int


def box(header: bytes, *, at: int, file_size: int) -> Box | None:
    """Return the box whose header (the next `BOX_HEADER_SIZE` bytes or what is left) lies at `at`; None if it is no box.

    Source: ISO/IEC 14496-12 4.2: 32-bit size and kind; size 1 means a 64-bit size follows, size 0 that it runs to the file's end.
    """
    if len(header) < _CHUNK_HEADER:
        return None
    size, kind = struct.unpack_from(">I4s", header)
    content = at + _CHUNK_HEADER
    if size == 1:
        if len(header) < BOX_HEADER_SIZE:
            return None
        size = struct.unpack_from(">Q", header, _CHUNK_HEADER)[0]
        content = at + BOX_HEADER_SIZE
    elif size == 0:
        size = file_size - at
    end = at + size
    return Box(kind, content, end) if content <= end and all(0x20 <= c < 0x7F or c == 0xA9 for c in kind) else None  # noqa: PLR2004 - ASCII, ©


def movie_created(moov: bytes) -> Moment | None:
    """Return the creation time in the movie header, given the beginning of a `moov` box's content; None where it is not set."""
    at = 0
    while (found := box(moov[at : at + BOX_HEADER_SIZE], at=at, file_size=len(moov))) is not None:
        if found.kind == b"mvhd":
            return _mvhd(moov[found.content :])
        if found.end <= at:
            break
        at = found.end
    return None


def head_created(head: bytes) -> Moment | None:
    """Return what an AVI, WAV or JPEG file says in its first `HEAD_SIZE` bytes; None for other files and where it says nothing."""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _avi(head)
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return _wave(head)
    if head[:3] == b"\xff\xd8\xff":
        return _jpeg(head)
    return None


def _mvhd(content: bytes) -> Moment | None:
    wide = content[:1] == b"\x01"
    if len(content) < (12 if wide else 8):
        return None
    seconds = struct.unpack_from(">Q" if wide else ">I", content, 4)[0]
    if seconds == 0:
        return None
    try:
        return Moment((_MAC_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None), in_utc=True)
    except OverflowError:
        return None


def _avi(head: bytes) -> Moment | None:
    # IDIT sits in the header list, ICRD in an INFO list; both may be nested one list deep, so lists are walked into.
    for kind, content in _chunks(head, 12, enter=True):
        if kind in {b"IDIT", b"ICRD"}:
            found = _text_moment(content)
            if found is not None:
                return found
    return None


def _wave(head: bytes) -> Moment | None:
    for kind, content in _chunks(head, 12, enter=True):
        if kind == b"bext":  # EBU Tech 3285: Description 256, Originator 32, OriginatorReference 32, OriginationDate 10, Time 8
            date, time = content[320:330], content[330:338]
            return _text_moment(date + b" " + time.replace(b"-", b":").replace(b".", b":"))
        if kind == b"ICRD":
            found = _text_moment(content)
            if found is not None:
                return found
    return None


def _chunks(data: bytes, at: int, *, enter: bool) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    while at + _CHUNK_HEADER <= len(data) and len(found) < _MAX_CHUNKS:
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind == b"LIST" and enter and data[at + 8 : at + 12] != b"movi":
            found.append((kind, b""))
            at += 12
            continue
        found.append((kind, data[at + _CHUNK_HEADER : at + _CHUNK_HEADER + min(size, 1024)]))
        at += _CHUNK_HEADER + size + size % 2
    return found


def _text_moment(raw: bytes) -> Moment | None:
    text = raw.decode("latin-1").replace("\x00", " ").strip()
    named = _IDIT.search(text)
    if named:
        month, day, hour, minute, second, year = named.groups()
        if month.lower() not in _MONTHS:
            return None
        return _moment(int(year), _MONTHS.index(month.lower()) + 1, int(day), int(hour), int(minute), int(second))
    plain = _PLAIN.search(text)
    if plain:
        return _moment(*(int(part or 0) for part in plain.groups()))
    return None


def _moment(*parts: int) -> Moment | None:
    year, month, day, hour, minute, second = parts
    try:
        return Moment(datetime(year, month, day, hour, minute, second), in_utc=False)  # noqa: DTZ001 - a wall clock without a zone
    except ValueError:
        return None


def _jpeg(head: bytes) -> Moment | None:
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if at + 4 > len(head) or head[at] != 0xFF:  # noqa: PLR2004 - a marker's first byte
            return None
        marker, size = head[at + 1], struct.unpack_from(">H", head, at + 2)[0]
        if marker in {0xD9, 0xDA} or size < 2:  # noqa: PLR2004 - end, scan; a size counts itself
            return None
        if marker == 0xE1 and head[at + 4 : at + 10] == b"Exif\x00\x00":  # noqa: PLR2004 - APP1
            return _exif(head[at + 10 : at + 2 + size])
        at += 2 + size
    return None


def _exif(tiff: bytes) -> Moment | None:
    """Return DateTimeOriginal with its offset where there is one (Exif 2.32, 4.6.5; offsets came with 2.31)."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:  # noqa: PLR2004 - the TIFF header
        return None
    pointer = _entries(tiff, struct.unpack_from(order + "I", tiff, 4)[0], order).get(_EXIF_IFD)
    if pointer is None or len(pointer) < 4:  # noqa: PLR2004 - an offset
        return None
    entries = _entries(tiff, struct.unpack(order + "I", pointer[:4])[0], order)
    moment = _text_moment(entries.get(_DATE_TIME_ORIGINAL, b""))
    if moment is None:
        return None
    fraction = entries.get(_SUB_SECONDS, b"").rstrip(b"\x00 ")
    if fraction.isdigit():
        moment = Moment(moment.wall.replace(microsecond=int(fraction[:6].ljust(6, b"0"))), in_utc=False)
    offset = re.fullmatch(r"([+-])(\d{2}):(\d{2})", entries.get(_OFFSET_TIME_ORIGINAL, b"").decode("latin-1").strip("\x00 "))
    if offset is None:
        return moment
    sign, hours, minutes = offset.groups()
    shift = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    try:
        return Moment(moment.wall - shift, in_utc=True)
    except OverflowError:
        return moment


def _entries(tiff: bytes, at: int, order: str) -> dict[int, bytes]:
    """Return the values of one image file directory, as bytes; only the types that dates and pointers have."""
    if at + 2 > len(tiff):
        return {}
    found: dict[int, bytes] = {}
    count = min(struct.unpack_from(order + "H", tiff, at)[0], _MAX_ENTRIES)
    for start in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, length, value = struct.unpack_from(order + "HHI4s", tiff, start)
        if kind == 2 and length > 4:  # noqa: PLR2004 - ASCII that does not fit in the entry itself
            where = struct.unpack(order + "I", value)[0]
            value = tiff[where : where + min(length, 64)]
        if kind in {2, 4}:
            found.setdefault(tag, value)
    return found
