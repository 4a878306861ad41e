"""What a docking station signs about a file before it leaves the station: the bytes, and where they came from.

Invariants: a manifest has exactly one encoding (RFC 8785), so its signature binds every field; `decode(encode(m)) == m`; a name is
a relative path that no system reads as anything else.

Not guaranteed: that what a recorder wrote into a file's name or header is true. Recorder, officer, sequence and time of start are
what was read there; the station vouches for the bytes, the carrier and its own clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from archive.core import canonical
from archive.core.digest import Digest
from archive.core.errors import Malformed
from archive.core.instant import DAY, Instant

SIGNING_CONTEXT = b"liuhen manifest v1\n"
"""Put before the encoded bytes when signing, so that a signature over a manifest is never one over anything else."""

MAX_ENCODED = 4096
"""Bytes; with base64 and the other values it stays within the 8 KiB that reverse proxies grant a header line."""
MAX_NAME = 1024
MAX_LABEL = 128
MAX_SIZE = 2**50
MAX_SEQUENCE = 10**12
_LAST = 84_006 * DAY
"""2200-01-01: later than any clock that counts from 1970 with 32 bits."""
_MAX_OFFSET = 100 * 366 * DAY
"""A recorder with a dead battery starts in 1970 or 2000; more than a century off is no clock."""

_FIELDS = frozenset(
    {"type", "v", "station", "name", "sha256", "size", "recorder", "officer", "sequence", "started_at", "started_from"}
    | {"clock_offset_us", "carrier", "modified", "station_clock"}
)
_SOURCES = frozenset({"name", "media"})
_CARRIER_KINDS = frozenset({"volume", "folder"})
_STATION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
# Control characters, lone surrogates, and characters that reorder or hide text: a name must look like what it is. U+FEFF, U+2028 and
# U+2029 are invisible, U+061C, U+200E-F, U+202A-E and U+2066-9 reorder (UAX #9).
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")
_LITERAL_PERCENT = re.compile(r"%(?=[0-9A-Fa-f]{2})")
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Carrier:
    """The original carrier (原始载体): `kind` volume, known by its file system's identity, or folder, known by device and inode."""

    label: str
    identity: str
    kind: str

    def __post_init__(self) -> None:
        _plain("carrier.label", self.label, MAX_LABEL)
        _plain("carrier.identity", self.identity, MAX_LABEL)
        if self.kind not in _CARRIER_KINDS:
            raise Malformed(what="manifest", field="carrier.kind")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file as a station found it; impossible to build wrong.

    `name` is the relative path on the carrier with `/` between folders; `size` in bytes; `started_at` is what the recorder's own
    clock said, `clock_offset_us` what to add to it to get the station's clock (None: clock unverified); `modified` is the file
    system's time; `station_clock` is when the station signed.
    """

    station: str
    name: str
    sha256: Digest
    size: int
    recorder: str | None
    officer: str | None
    sequence: int | None
    started_at: Instant | None
    started_from: str | None
    clock_offset_us: int | None
    carrier: Carrier
    modified: Instant
    station_clock: Instant

    def __post_init__(self) -> None:
        if not _STATION.fullmatch(self.station):
            raise Malformed(what="manifest", field="station")
        _path(self.name)
        _whole("size", self.size, 0, MAX_SIZE)
        for field, value in (("recorder", self.recorder), ("officer", self.officer)):
            if value is not None:
                _plain(field, value, MAX_LABEL)
        if self.sequence is not None:
            _whole("sequence", self.sequence, 0, MAX_SEQUENCE)
        if (self.started_at is None) != (self.started_from is None):
            raise Malformed(what="manifest", field="started_from")
        if self.started_at is not None:
            _whole("started_at", self.started_at, 0, _LAST)
        if self.started_from is not None and self.started_from not in _SOURCES:
            raise Malformed(what="manifest", field="started_from")
        if self.clock_offset_us is not None:
            _whole("clock_offset_us", self.clock_offset_us, -_MAX_OFFSET, _MAX_OFFSET)
        _whole("modified", self.modified, 0, _LAST)
        _whole("station_clock", self.station_clock, 0, _LAST)

    def encode(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            Malformed: they are more than `MAX_ENCODED`.
        """
        data = canonical.encode(
            {
                "type": "liuhen.manifest",
                "v": 1,
                "station": self.station,
                "name": self.name,
                "sha256": self.sha256.hex,
                "size": self.size,
                "recorder": self.recorder,
                "officer": self.officer,
                "sequence": self.sequence,
                "started_at": self.started_at,
                "started_from": self.started_from,
                "clock_offset_us": self.clock_offset_us,
                "carrier": {
                    "label": self.carrier.label,
                    "identity": self.carrier.identity,
                    "kind": self.carrier.kind,
                },
                "modified": self.modified,
                "station_clock": self.station_clock,
            }
        )
        if len(data) > MAX_ENCODED:
            raise Malformed(what="manifest", reason="too_large", bytes=len(data))
        return data

    def signing_bytes(self) -> bytes:
        """Return what the station's key signs."""
        return signing_bytes(self.encode())


def signing_bytes(encoded: bytes) -> bytes:
    """Return what is signed for an encoded manifest: the context, then the bytes as they were sent."""
    return SIGNING_CONTEXT + encoded


def decode(data: bytes) -> Manifest:
    """Return the manifest that these bytes encode.

    Raises:
        Malformed: too large, not canonical, another type or version, a field missing, unknown, of the wrong type or absurd, or a
            name that could lead out of its folder.
    """
    if len(data) > MAX_ENCODED:
        raise Malformed(what="manifest", reason="too_large", bytes=len(data))
    value = canonical.decode(data)
    if not isinstance(value, dict) or value.get("type") != "liuhen.manifest":
        raise Malformed(what="manifest", reason="type")
    if value.get("v") != 1 or value["v"] is True:
        raise Malformed(what="manifest", reason="version")
    if value.keys() != _FIELDS:
        raise Malformed(what="manifest", reason="fields")
    started_at = _optional_whole(value, "started_at")
    return Manifest(
        station=_text(value, "station"),
        name=_text(value, "name"),
        sha256=Digest(_text(value, "sha256")),
        size=_integer(value, "size"),
        recorder=_optional_text(value, "recorder"),
        officer=_optional_text(value, "officer"),
        sequence=_optional_whole(value, "sequence"),
        started_at=None if started_at is None else Instant(started_at),
        started_from=_optional_text(value, "started_from"),
        clock_offset_us=_optional_whole(value, "clock_offset_us"),
        carrier=_carrier(value["carrier"]),
        modified=Instant(_integer(value, "modified")),
        station_clock=Instant(_integer(value, "station_clock")),
    )


def portable_name(parts: Iterable[str]) -> str:
    """Return the path made of these names so that a manifest can hold it.

    What no reader could show or what a system might take for something else is written `%XX` byte by byte: control and
    text-reordering characters, backslashes, a drive's colon, and bytes that are no UTF-8 (surrogate-escaped in `parts`, as Python
    lists them). A `%` that two hexadecimal digits follow becomes `%25`, so the writing can be undone. Folders at the front give way to
    `…` where the path is longer than a manifest holds.
    """
    escaped = [_escape(part) for part in parts]
    if escaped and _DRIVE.match(escaped[0]):
        escaped[0] = escaped[0].replace(":", "%3A", 1)
    name = "/".join(escaped)
    while len(name.encode()) > MAX_NAME and len(escaped) > 1:
        escaped = [_ELLIPSIS, *escaped[2 if escaped[0] == _ELLIPSIS else 1 :]]
        if len(escaped) == 1:
            break
        name = "/".join(escaped)
    return name if len(name.encode()) <= MAX_NAME else _cut(name)


def _cut(name: str) -> str:
    # A single name beyond the limit exists only where every character was escaped: keep its end, where time and suffix are.
    tail = name.encode()[-(MAX_NAME - len(_ELLIPSIS.encode())) :].decode("utf-8", "ignore")
    return _ELLIPSIS + tail.lstrip("/")


def _escape(part: str) -> str:
    text = _LITERAL_PERCENT.sub("%25", part).replace("\\", "%5C")
    if text in {".", ".."}:
        text = text.replace(".", "%2E")
    return _UNSHOWN.sub(lambda m: "".join(f"%{b:02X}" for b in m.group().encode("utf-8", "surrogateescape")), text)


def _path(name: str) -> None:
    try:
        length = len(name.encode())
    except UnicodeEncodeError as why:
        raise Malformed(what="manifest", field="name", reason="lone_surrogate") from why
    if not 1 <= length <= MAX_NAME:
        raise Malformed(what="manifest", field="name", reason="length")
    if "\\" in name or _UNSHOWN.search(name) or _DRIVE.match(name):
        raise Malformed(what="manifest", field="name", reason="characters")
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise Malformed(what="manifest", field="name", reason="not_below")


def _plain(field: str, text: str, longest: int) -> None:
    if not 1 <= len(text) <= longest or _UNSHOWN.search(text) or text != text.strip():
        raise Malformed(what="manifest", field=field)


def _whole(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Malformed(what="manifest", field=field, value=value)


def _carrier(value: canonical.Json) -> Carrier:
    if not isinstance(value, dict) or value.keys() != {"label", "identity", "kind"}:
        raise Malformed(what="manifest", field="carrier")
    return Carrier(label=_text(value, "label"), identity=_text(value, "identity"), kind=_text(value, "kind"))


def _text(value: dict[str, canonical.Json], field: str) -> str:
    found = value[field]
    if not isinstance(found, str):
        raise Malformed(what="manifest", field=field, reason="type")
    return found


def _integer(value: dict[str, canonical.Json], field: str) -> int:
    found = value[field]
    if not isinstance(found, int) or isinstance(found, bool):
        raise Malformed(what="manifest", field=field, reason="type")
    return found


def _optional_text(value: dict[str, canonical.Json], field: str) -> str | None:
    return None if value[field] is None else _text(value, field)


def _optional_whole(value: dict[str, canonical.Json], field: str) -> int | None:
    return None if value[field] is None else _integer(value, field)
