"""What a recorder wrote beside a recording: start, device, officer, sequence and key mark, read from sidecar files.

Read where a published document says how: GPX 1.1 (the schema's `metadata/time` and `trkpt/time`, UTC), NMEA 0183 (sentences RMC and ZDA,
UTC), and the date lines that DJI aircraft put into SubRip subtitles (the recorder's own clock). Everything else is read only as the
agency's own patterns file describes it (`Form`): key=value lines, or paths into XML or JSON. No maker's private format is guessed here, and
the sidecars of GA/T 947 recorders are read by such forms only: that standard's text has not been seen.

Invariants: pure, total (any bytes give an answer, never an exception) and bounded: at most `MAX_READ` bytes and `MAX_LINES` lines are
looked at, a line up to `MAX_LINE`, XML without document type or entities, JSON at limited depth.

Not guaranteed: that the recorder wrote the truth. A time from a satellite receiver is nobody's clock: it is UTC as it stands.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from xml.parsers import expat

from archive.core.errors import Malformed
from archive.core.filenames import MAX_VALUE, compile_bounded
from archive.core.media.capture_time import Moment

if TYPE_CHECKING:
    from archive.core.canonical import Json

MAX_READ = 256 * 1024
"""Bytes of a sidecar that are looked at: the first position, or all of a vendor's record, stands well within."""
MAX_LINES = 4000
MAX_LINE = 4096
MAX_DEPTH = 32
MAX_NODES = 20_000
KINDS = frozenset({"pairs", "xml", "json"})
FIELDS = frozenset({"recorder", "officer", "sequence", "started", "key_mark"})
_CENTURY = 2000
_MAX_SEQUENCE_DIGITS = 12
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_RMC = re.compile(
    r"\$(?:G[A-Z]|BD)RMC,(\d{2})(\d{2})(\d{2})(?:\.\d{1,6})?,A,[^*]{0,60},(\d{2})(\d{2})(\d{2}),[^*]{0,30}\*([0-9A-Fa-f]{2})"
)
_ZDA = re.compile(r"\$(?:G[A-Z]|BD)ZDA,(\d{2})(\d{2})(\d{2})(?:\.\d{1,6})?,(\d{2}),(\d{2}),(\d{4}),[^*]{0,12}\*([0-9A-Fa-f]{2})")
_SRT_TIMING = re.compile(r"\d{2}:\d{2}:\d{2},\d{3} --> \d{2}:\d{2}:\d{2},\d{3}")
_SRT_DATE = re.compile(r"(\d{4})[-.](\d{2})[-.](\d{2}) (\d{2}):(\d{2}):(\d{2})(?:[.,](\d{3}))?")
_GPX_TIME = re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?Z")


@dataclass(frozen=True, slots=True)
class Form:
    """How a maker's sidecars are read, as the agency describes it.

    `match` is a pattern for the sidecar's name, `kind` pairs, xml or json; `fields` says for each of `FIELDS` which key (pairs) or which
    path with `/` (xml: elements below each other, `@name` at the end for an attribute; json: names) holds it. `time` is the form of
    `started` for strptime, read as the recorder's clock unless it ends in `%z`. `key_mark` holds where the value is one of `marked`.
    """

    id: str
    match: str
    kind: str
    fields: Mapping[str, str]
    time: str = "%Y-%m-%d %H:%M:%S"
    marked: tuple[str, ...] = ("1", "true", "yes", "是")
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", compile_bounded(self.id, self.match))
        if self.kind not in KINDS or not self.fields or self.fields.keys() - FIELDS:
            raise Malformed(what="pattern", id=self.id, reason="sidecar")
        try:
            datetime(2026, 3, 12, 9, 1, 20).strftime(self.time)  # noqa: DTZ001 - only the form is tried
        except ValueError as why:
            raise Malformed(what="pattern", id=self.id, reason="time") from why


@dataclass(frozen=True, slots=True)
class Told:
    """What a sidecar told, None where nothing; `form` is the agency's form or the document that was followed, None when none fits."""

    form: str | None = None
    recorder: str | None = None
    officer: str | None = None
    sequence: int | None = None
    started: Moment | None = None
    key_mark: bool = False
    by_maker: bool = False
    """Whether the agency's own form was followed: what it says of the start comes before the media's own header."""


NOTHING = Told()


def read(name: str, data: bytes, *, forms: Iterable[Form] = ()) -> Told:
    """Return what the sidecar of this name tells; `data` is its beginning, up to `MAX_READ` bytes.

    The agency's forms come first; a file that none of them knows is read by the published documents, told apart by its content.
    """
    text = decoded(data[:MAX_READ])
    if text is None:
        return NOTHING
    for form in forms:
        if form.compiled.fullmatch(name):
            told = _by_form(form, text, whole=len(data) <= MAX_READ)
            if told is not None:
                return told
    for document, reader in (("gpx-1.1", _gpx), ("nmea-0183", _nmea), ("dji-srt", _srt)):
        started = reader(text)
        if started is not None:
            return Told(form=document, started=started)
    return NOTHING


def decoded(data: bytes) -> str | None:
    """Return a sidecar's text: by its byte order mark, else UTF-8, else GBK (GB 18030); None for what is no text.

    A character cut in half at the end of what was read is left out.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _text(data, encoding)
    if b"\0" in data:
        return None
    return _text(data, "utf-8") or _text(data, "gb18030")


def _text(data: bytes, encoding: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, final=False)
    except UnicodeError:
        return None


def _lines(text: str) -> Iterator[str]:
    at = 0
    for _ in range(MAX_LINES):
        if at >= len(text):
            return
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield text[at : min(end, at + MAX_LINE)].strip()
        at = end + 1


def _by_form(form: Form, text: str, *, whole: bool) -> Told | None:
    """Return what a form reads; None where it finds nothing. A record that was cut off is no XML or JSON."""
    if form.kind == "pairs":
        found = _pairs(text)
    elif not whole:
        return None
    else:
        found = _xml(text) if form.kind == "xml" else _json(text)
    values = {name: found[key].strip() for name, key in form.fields.items() if found.get(key, "").strip()}
    if not values:
        return None
    sequence = values.get("sequence", "")
    return Told(
        form=form.id,
        recorder=_short(values.get("recorder")),
        officer=_short(values.get("officer")),
        sequence=int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) <= _MAX_SEQUENCE_DIGITS else None,
        started=_moment(values.get("started"), form.time),
        key_mark=values.get("key_mark", "").lower() in {value.lower() for value in form.marked},
        by_maker=True,
    )


def _short(value: str | None) -> str | None:
    return value if value is not None and len(value) <= MAX_VALUE and value.isprintable() else None


def _moment(value: str | None, form: str) -> Moment | None:
    if value is None:
        return None
    try:
        wall = datetime.strptime(value[:MAX_VALUE], form)  # noqa: DTZ007 - the zone is the recorder's, known to the caller
    except (ValueError, OverflowError):
        return None
    offset = wall.utcoffset()
    return Moment(wall, in_utc=False) if offset is None else Moment((wall - offset).replace(tzinfo=None), in_utc=True)


def _pairs(text: str) -> dict[str, str]:
    """Return the `key=value` and `key: value` lines; the first of a key counts."""
    found: dict[str, str] = {}
    for line in _lines(text):
        key, sign, value = line.partition("=")
        if not sign:
            key, sign, value = line.partition(":")
        if sign and key.strip():
            found.setdefault(key.strip(), value.strip().strip('"'))
    return found


class _Refused(Exception):
    """A construct that no record of a recorder needs."""


def _xml(text: str) -> dict[str, str]:
    """Return the text of every element and attribute by its path; the first of a path counts, namespaces are left out."""
    found: dict[str, str] = {}
    path: list[str] = []
    count = 0

    def began(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1 + len(attributes)
        if len(path) >= MAX_DEPTH or count > MAX_NODES:
            raise _Refused
        path.append(name.rpartition(":")[2])
        for key, value in attributes.items():
            found.setdefault("/".join([*path, "@" + key.rpartition(":")[2]]), value)

    def ended(_name: str) -> None:
        path.pop()

    def said(data: str) -> None:
        here = "/".join(path)
        if len(found.get(here, "")) < MAX_LINE:
            found[here] = found.get(here, "") + data

    def refused(*_: object) -> None:
        raise _Refused

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = began, ended, said
    # no document type, so no entities: neither a bomb nor another file can come in
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refused
    try:
        parser.Parse(re.sub(r"^\s*<\?xml[^>]{0,200}\?>", "", text).encode("utf-8", "replace"), True)  # noqa: FBT003 - expat's own
    except (expat.ExpatError, _Refused, ValueError):
        return {}
    return found


def _json(text: str) -> dict[str, str]:
    """Return every value by its path; of a list the first member counts, as if it were no list."""
    if _depth(text) > MAX_DEPTH:
        return {}
    try:
        value: Json = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    waiting: list[tuple[str, Json]] = [("", value)]
    while waiting and len(found) < MAX_NODES:
        path, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(path, member) for member in value[:1]]
        elif isinstance(value, dict):
            waiting += [(f"{path}/{key}" if path else key, member) for key, member in value.items()]
        elif value is not None:
            found.setdefault(path, str(value).lower() if isinstance(value, bool) else str(value))
    return found


def _depth(text: str) -> int:
    deepest = depth = 0
    for char in text:
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _gpx(text: str) -> Moment | None:
    """Return the time of a GPX file's first point, or of the file where no point has one (GPX 1.1 schema: xsd:dateTime, UTC)."""
    if "<gpx" not in text[:2000]:
        return None
    points = text.find("<trkpt")
    for begin in (points, text.find("<metadata")):
        at = text.find("<time>", begin) if begin >= 0 else -1
        found = _GPX_TIME.match(text[at + 6 : at + 46].strip()) if at >= 0 else None
        if found:
            return _utc(found.groups())
    return None


def _nmea(text: str) -> Moment | None:
    """Return the time of the first RMC sentence that is valid, or ZDA, whose checksum holds (NMEA 0183)."""
    for line in _lines(text):
        at = line.find("$")
        sentence = line[at : at + 100] if at >= 0 else ""
        for pattern, order in ((_RMC, (5, 4, 3)), (_ZDA, (5, 4, 3))):
            found = pattern.match(sentence)
            if found and _checksum(sentence[1 : sentence.index("*")]) == int(found[7], 16):
                parts = found.groups()
                return _utc((*(parts[index] for index in order), *parts[:3]))
    return None


def _checksum(body: str) -> int:
    total = 0
    for char in body:
        total ^= ord(char)
    return total


def _srt(text: str) -> Moment | None:
    """Return the date line of the first cue (DJI's telemetry subtitles: `2019-09-25 01:22:35,085,332` or `2019.10.03 17:15:45`)."""
    timed = False
    for line in _lines(text):
        if _SRT_TIMING.fullmatch(line):
            if timed:
                return None  # the second cue: the first had no date
            timed = True
        elif timed:
            found = _SRT_DATE.search(line)
            if found:
                return _wall(found.groups(), in_utc=False)
    return None


def _utc(parts: Iterable[str | None]) -> Moment | None:
    return _wall(parts, in_utc=True)


def _wall(parts: Iterable[str | None], *, in_utc: bool) -> Moment | None:
    year, month, day, hour, minute, second, *rest = (int(part or 0) for part in parts)
    year += _CENTURY if year < 100 else 0  # noqa: PLR2004 - two digits of a year
    try:
        return Moment(datetime(year, month, day, hour, minute, second, (rest[0] if rest else 0) * 1000), in_utc=in_utc)  # noqa: DTZ001 - said beside it
    except ValueError:
        return None
