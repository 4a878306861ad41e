"""What a station says of a file: its manifest, from the name, the media, the sidecars, the carrier and the station's own clock.

Not guaranteed: that a recorder is known. What nothing tells stays empty, and the file is taken all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archive.core import sidecar
from archive.core.errors import Malformed, SourceChanged
from archive.core.filenames import UNKNOWN, marked
from archive.core.instant import DAY, Instant
from archive.core.manifest import MAX_LABEL, Manifest, portable_name
from archive.dock import reading

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from archive.dock.clock import Measured
    from archive.dock.patterns import Patterns
    from archive.dock.reading import Folder, Hashed
    from archive.dock.scan import Source

_LATEST = 84_000 * DAY
_EVERY = "*"
_MAX_SIDECARS = 8
"""Sidecars of one recording that are read; every one of them is docked."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How recorders are read: patterns, the zone their clocks show, and station clock minus recorder clock in microseconds.

    `clock_offsets` goes by device number as the pattern reads it, or `*` for every other; `measured` by carrier identity. A device that
    somebody named comes before what was measured, what was measured before `*`; a device without any is «clock unverified».
    """

    patterns: Patterns
    zone: ZoneInfo
    clock_offsets: Mapping[str, int]
    measured: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(slots=True)
class _Facts:
    """What was read of one file so far, and where; the first to tell something is believed."""

    recorder: str | None = None
    officer: str | None = None
    sequence: int | None = None
    started: Instant | None = None
    started_from: str | None = None
    by_satellite: bool = False
    sources: set[str] = field(default_factory=set)

    def hear(self, where: str, *, recorder: str | None = None, officer: str | None = None, sequence: int | None = None) -> None:
        """Take what is new."""
        recorder, officer = _shown(recorder), _shown(officer)
        news = (
            (self.recorder is None and recorder is not None)
            or (self.officer is None and officer is not None)
            or (self.sequence is None and sequence is not None)
        )
        self.recorder = self.recorder if self.recorder is not None else recorder
        self.officer = self.officer if self.officer is not None else officer
        self.sequence = self.sequence if self.sequence is not None else sequence
        if news:
            self.sources.add(where)

    def hear_start(self, where: str, started: Instant | None, *, source: str, by_satellite: bool = False) -> None:
        """Take a time of start, where there is none yet and this one is a time."""
        if self.started is None and started is not None and 0 <= started <= _LATEST:
            self.started, self.started_from, self.by_satellite = started, source, by_satellite
            self.sources.add(where)


def describe(source: Source, folder: Folder, hashed: Hashed, *, by: Reading, station: str, now: Instant) -> Manifest:
    """Return the manifest of a hashed file.

    The name comes before the media where both tell when a recording began: it is what the recorder's maker chose to tell people. A sidecar
    in the form that the agency described stands between them; a satellite receiver's time comes last, and is not the recorder's clock.

    Raises:
        SourceChanged: the file is no longer what the scan saw.
        OSError: it cannot be read.
    """
    owner_name = folder.owners.get(source.parts[-1])
    owner = None if owner_name is None else folder.sources[owner_name]
    facts = _Facts()
    for named in (source, owner):
        told = UNKNOWN if named is None else reading.read_name(named, patterns=by.patterns, zone=by.zone)
        where = "folder" if told.whole_path else "name"
        facts.hear(where, recorder=told.device, officer=told.officer, sequence=told.sequence)
        facts.hear_start(where, told.started_at, source="name")
    beside = _sidecars(source, folder, by.patterns)
    for each in beside:
        facts.hear("sidecar", recorder=each.recorder, officer=each.officer, sequence=each.sequence)
        if each.by_maker and each.started is not None:
            facts.hear_start("sidecar", each.started.instant(by.zone), source="sidecar", by_satellite=each.started.in_utc)
    if facts.started is None:
        facts.hear_start("media", reading.media_time(source, patterns=by.patterns, zone=by.zone), source="media")
    for each in beside:
        if each.started is not None:
            facts.hear_start("sidecar", each.started.instant(by.zone), source="sidecar", by_satellite=each.started.in_utc)
    offset, offset_from = _offset(source, facts, by)
    return Manifest(
        station=station,
        name=portable_name(source.parts),
        sha256=hashed.sha256,
        size=source.size,
        recorder=facts.recorder,
        officer=facts.officer,
        sequence=facts.sequence,
        started_at=facts.started,
        started_from=facts.started_from,
        clock_offset_us=offset,
        carrier=source.carrier,
        modified=Instant(min(max(source.mtime_ns // 1000, 0), _LATEST)),
        station_clock=now,
        sm3=hashed.sm3,
        room=source.room,
        key_mark=_marked(owner or source, by.patterns) or any(each.key_mark for each in beside),
        clock_offset_from=offset_from,
        belongs_to=None if owner is None else portable_name(owner.parts),
        facts_from=tuple(sorted(facts.sources)),
        document=source.page,
    )


def _sidecars(source: Source, folder: Folder, patterns: Patterns) -> list[sidecar.Told]:
    """Return what the sidecars of a recording tell; a sidecar is asked itself.

    One that cannot be read tells nothing here, and is told of when its own turn comes.
    """
    name = source.parts[-1]
    names = (name,) if name in folder.owners else folder.sidecars.get(name, ())
    told: list[sidecar.Told] = []
    for each in names[:_MAX_SIDECARS]:
        try:
            data = reading.head(folder.sources[each], sidecar.MAX_READ + 1)
        except (OSError, SourceChanged):
            continue
        told.append(sidecar.read(each, data, forms=patterns.forms))
    return told


def _marked(source: Source, patterns: Patterns) -> bool:
    return marked("/".join(source.parts), patterns.marks)


def _offset(source: Source, facts: _Facts, by: Reading) -> tuple[int | None, str | None]:
    """Return station clock minus recorder clock and where it is from; a start by satellite is not told by the recorder's clock."""
    if facts.by_satellite:
        return None, None
    given = by.clock_offsets.get(facts.recorder) if facts.recorder is not None else None
    measured = by.measured.get(source.carrier.identity)
    if given is None and measured is not None:
        return measured.offset_us, "measured"
    given = by.clock_offsets.get(_EVERY) if given is None else given
    return given, None if given is None else "given"


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
    return value if value and value.isprintable() and value == value.strip() and len(value) <= MAX_LABEL else None
