"""What a station says of a file: its manifest, from the name, the media, the carrier and the station's own clock.

Not guaranteed: that a recorder is known. What nothing tells stays empty, and the file is taken all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.core.errors import Malformed
from archive.core.instant import DAY, Instant
from archive.core.manifest import Manifest, portable_name
from archive.dock import reading

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from archive.core.digest import Digest
    from archive.dock.patterns import Patterns
    from archive.dock.reading import Folder
    from archive.dock.scan import Source

_LATEST = 84_000 * DAY
_EVERY = "*"


@dataclass(frozen=True, slots=True)
class Reading:
    """How recorders are read: patterns, the zone their clocks show, and station clock minus recorder clock in microseconds.

    `clock_offsets` goes by device number as the pattern reads it, or `*` for every other; a device without one is «clock unverified».
    """

    patterns: Patterns
    zone: ZoneInfo
    clock_offsets: Mapping[str, int]


def describe(source: Source, folder: Folder, digest: Digest, *, by: Reading, station: str, now: Instant) -> Manifest:
    """Return the manifest of a hashed file.

    The name comes before the media where both tell when a recording began: it is what the recorder's maker chose to tell people.

    Raises:
        SourceChanged: the file is no longer what the scan saw.
        OSError: it cannot be read.
    """
    told = reading.read_names(source, folder, patterns=by.patterns, zone=by.zone)
    started, started_from = told.started_at, "name"
    if started is None:
        started, started_from = reading.media_time(source, patterns=by.patterns, zone=by.zone), "media"
    if started is not None and not 0 <= started <= _LATEST:
        started = None
    recorder = _shown(told.device)
    offset = by.clock_offsets.get(recorder or _EVERY, by.clock_offsets.get(_EVERY))
    return Manifest(
        station=station,
        name=portable_name(source.parts),
        sha256=digest,
        size=source.size,
        recorder=recorder,
        officer=_shown(told.officer),
        sequence=told.sequence,
        started_at=started,
        started_from=None if started is None else started_from,
        clock_offset_us=offset,
        clock_offset_from=None if offset is None else "given",
        carrier=source.carrier,
        modified=Instant(min(max(source.mtime_ns // 1000, 0), _LATEST)),
        station_clock=now,
    )


def parse_clock_offset(text: str) -> tuple[str, int]:
    """Return device and microseconds of `DEVICE=SECONDS` (station clock minus recorder clock, up to six decimals).

    Raises:
        Malformed: it is not of this form.
    """
    device, equals, seconds = text.rpartition("=")
    sign = -1 if seconds.startswith("-") else 1
    whole, _, fraction = (seconds[1:] if seconds[:1] in {"+", "-"} else seconds).partition(".")
    if not (device and equals and whole.isascii() and whole.isdigit() and len(whole) <= 10 and len(fraction) <= 6):  # noqa: PLR2004 - digits
        raise Malformed(what="clock_offset", value=text[:80])
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        raise Malformed(what="clock_offset", value=text[:80])
    return device, sign * (int(whole) * 1_000_000 + int((fraction or "0").ljust(6, "0")))


def _shown(value: str | None) -> str | None:
    """Return a device or officer number if it can be shown as it is; a name full of unprintable bytes names nobody."""
    return value if value is not None and value.isprintable() and value == value.strip() else None
