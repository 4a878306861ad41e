"""What a docking station signs about a file before it leaves the station: the bytes, and where they came from.

Invariants: a manifest has exactly one encoding (RFC 8785), so its signature binds every field; `decode(encode(m)) == m`; a name is
a relative path that no system reads as anything else.

Two versions are read and the second is written: what the first cannot say (SM3, room, key mark, sidecars, pages of a document) is
absent from it, and a manifest keeps the version it was signed in.

Not guaranteed: that what a recorder wrote into a file's name, header or sidecar is true. Recorder, officer, sequence and time of start
are what was read there; the station vouches for the bytes, the carrier and its own clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

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

VERSION = 2
MAX_PAGES = 2000
"""Pages of one document made of scans; a file of a case rarely has two hundred."""
_FIELDS_1 = frozenset(
    {"type", "v", "station", "name", "sha256", "size", "recorder", "officer", "sequence", "started_at", "started_from"}
    | {"clock_offset_us", "carrier", "modified", "station_clock"}
)
_FIELDS = {
    1: _FIELDS_1,
    2: _FIELDS_1 | {"sm3", "room", "key_mark", "clock_offset_from", "belongs_to", "facts_from", "document"},
}
_SOURCES = frozenset({"name", "media", "sidecar"})
_OFFSET_SOURCES = frozenset({"given", "measured"})
_FACT_SOURCES = frozenset({"name", "folder", "sidecar", "media"})
_CARRIER_KINDS = frozenset({"volume", "folder", "room", "scanner"})
_STATION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
# Control characters, lone surrogates, and characters that reorder or hide text: a name must look like what it is. U+FEFF, U+2028 and
# U+2029 are invisible, U+061C, U+200E-F, U+202A-E and U+2066-9 reorder (UAX #9).
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_SM3 = re.compile(r"[0-9a-f]{64}")
_PAPER = re.compile(r"[0-9a-f]{32}")
_DRIVE = re.compile(r"[A-Za-z]:")
_LITERAL_PERCENT = re.compile(r"%(?=[0-9A-Fa-f]{2})")
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Carrier:
    """The original carrier (原始载体).

    `kind` is volume, known by its file system's identity, or folder, known by device and inode; room is a folder exported from a fixed
    room's system (询问室, 听证室, 办案场所), scanner the folder that a scanner writes into.
    """

    label: str
    identity: str
    kind: str

    def __post_init__(self) -> None:
        _plain("carrier.label", self.label, MAX_LABEL)
        _plain("carrier.identity", self.identity, MAX_LABEL)
        if self.kind not in _CARRIER_KINDS:
            raise Malformed(what="manifest", field="carrier.kind")


@dataclass(frozen=True, slots=True)
class Page:
    """Where a scan stands in a document made of several: page `page`, from 1, of `of`; `id` is 32 hexadecimal digits, the same for all."""

    id: str
    page: int
    of: int
    title: str

    def __post_init__(self) -> None:
        if not _PAPER.fullmatch(self.id):
            raise Malformed(what="manifest", field="document.id")
        _whole("document.of", self.of, 1, MAX_PAGES)
        _whole("document.page", self.page, 1, self.of)
        _plain("document.title", self.title, MAX_LABEL)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file as a station found it; impossible to build wrong.

    `name` is the relative path on the carrier with `/` between folders; `size` in bytes; `started_at` is what the recorder's own
    clock said, `clock_offset_us` what to add to it to get the station's clock (None: clock unverified) and `clock_offset_from` whether
    somebody gave it or the station measured it; `modified` is the file system's time; `station_clock` is when the station signed.
    `sm3` is the bytes' SM3 (GB/T 32905) in hexadecimal where the station's settings ask for it; `room` the fixed room that the folder was
    exported from; `key_mark` the recorder's own mark of importance (重点标记). A sidecar names the file it describes in `belongs_to`.
    `facts_from` says where recorder, officer, sequence and start were read, in the order of the alphabet.
    `v` is the version it is signed in.
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
    sm3: str | None = None
    room: str | None = None
    key_mark: bool = False
    clock_offset_from: str | None = None
    belongs_to: str | None = None
    facts_from: tuple[str, ...] = ()
    document: Page | None = None
    v: int = VERSION

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
        self._check_second()

    def _check_second(self) -> None:
        """Hold the second version's fields to their forms; a manifest of the first has none of them."""
        if self.v not in _FIELDS:
            raise Malformed(what="manifest", reason="version")
        if self.v == 1:
            extra = (self.sm3, self.room, self.clock_offset_from, self.belongs_to, self.document)
            if self.key_mark or self.facts_from or any(value is not None for value in extra):
                raise Malformed(what="manifest", reason="version")
            return
        if self.sm3 is not None and not _SM3.fullmatch(self.sm3):
            raise Malformed(what="manifest", field="sm3")
        if self.room is not None:
            _plain("room", self.room, MAX_LABEL)
        if (self.clock_offset_us is None) != (self.clock_offset_from is None) or (
            self.clock_offset_from is not None and self.clock_offset_from not in _OFFSET_SOURCES
        ):
            raise Malformed(what="manifest", field="clock_offset_from")
        if self.belongs_to is not None:
            _path(self.belongs_to)
        if list(self.facts_from) != sorted(set(self.facts_from) & _FACT_SOURCES):
            raise Malformed(what="manifest", field="facts_from")

    def encode(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            Malformed: they are more than `MAX_ENCODED`.
        """
        fields: dict[str, canonical.Json] = {
            "type": "liuhen.manifest",
            "v": self.v,
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
        if self.v > 1:
            page = self.document
            fields |= {
                "sm3": self.sm3,
                "room": self.room,
                "key_mark": self.key_mark,
                "clock_offset_from": self.clock_offset_from,
                "belongs_to": self.belongs_to,
                "facts_from": list(self.facts_from),
                "document": None if page is None else {"id": page.id, "page": page.page, "of": page.of, "title": page.title},
            }
        data = canonical.encode(fields)
        if len(data) > MAX_ENCODED:
            raise Malformed(what="manifest", reason="too_large", bytes=len(data))
        return data

    def signing_bytes(self) -> bytes:
        """Return what the station's key signs."""
        return signing_bytes(self.encode())


class _Second(TypedDict, total=False):
    """The second version's fields as `Manifest` takes them."""

    sm3: str | None
    room: str | None
    key_mark: bool
    clock_offset_from: str | None
    belongs_to: str | None
    facts_from: tuple[str, ...]
    document: Page | None


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
    version = value.get("v")
    if not isinstance(version, int) or isinstance(version, bool) or version not in _FIELDS:
        raise Malformed(what="manifest", reason="version")
    if value.keys() != _FIELDS[version]:
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
        v=version,
        **({} if version == 1 else _second(value)),
    )


def _second(value: dict[str, canonical.Json]) -> _Second:
    """Return the fields that the second version added."""
    key_mark, sources = value["key_mark"], value["facts_from"]
    if not isinstance(key_mark, bool):
        raise Malformed(what="manifest", field="key_mark", reason="type")
    if not isinstance(sources, list):
        raise Malformed(what="manifest", field="facts_from", reason="type")
    return {
        "sm3": _optional_text(value, "sm3"),
        "room": _optional_text(value, "room"),
        "key_mark": key_mark,
        "clock_offset_from": _optional_text(value, "clock_offset_from"),
        "belongs_to": _optional_text(value, "belongs_to"),
        "facts_from": tuple(str(source) for source in sources),
        "document": _document(value["document"]),
    }


def _document(value: canonical.Json) -> Page | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"id", "page", "of", "title"}:
        raise Malformed(what="manifest", field="document")
    return Page(_text(value, "id"), _integer(value, "page"), _integer(value, "of"), _text(value, "title"))


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
