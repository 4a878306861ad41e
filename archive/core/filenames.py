"""What a file's name says: recorder, officer, start and sequence, by patterns that are data.

A pattern is a regular expression with some of the named groups of `GROUPS`. It must match the whole name (or the whole path). Times
are what the recorder's clock showed, read in the zone the caller gives.

Invariants: matching is pure, and bounded: a pattern in which a group repeats, or whose repetitions multiply beyond `MAX_WORK`, is
refused when it is made, so no name can make a pattern run away. A name that is no date (month 13) is no match.

Not guaranteed: that a maker keeps to a pattern, or that a name tells the truth. Patterns are written by administrators, from
files seen; none claims to be a standard's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from archive.core.errors import Malformed
from archive.core.instant import Instant, from_datetime

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

GROUPS = frozenset({"device", "officer", "sequence", "year", "month", "day", "hour", "minute", "second", "fraction"})
MAX_PATTERN = 400
MAX_SUBJECT = 512
"""Characters of a name or path; a longer one is not looked at."""
MAX_WORK = 1_000_000
"""How many ways the repetitions of a pattern may divide a name between them."""
MAX_VALUE = 64
_CENTURY = 2000
_MAX_SEQUENCE_DIGITS = 12
_TIME = ("year", "month", "day", "hour", "minute")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_QUANTIFIER = re.compile(r"\{(\d*)(,?)(\d*)\}")
_FIELD = re.compile(r"\{([a-z]+)\}")
_INLINE_FLAGS = re.compile(r"\(\?[aiLmsux-]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way recorders name their files; `whole_path` matches the path on the carrier instead of the name."""

    id: str
    match: str
    whole_path: bool = False
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise Malformed(what="pattern", id=self.id[:40], reason="id")
        object.__setattr__(self, "compiled", compile_bounded(self.id, self.match))
        groups = self.compiled.groupindex.keys()
        if not groups or groups - GROUPS:
            raise Malformed(what="pattern", id=self.id, reason="groups", groups=",".join(sorted(groups - GROUPS)))
        times = [name in groups for name in _TIME]
        if any(times) and not all(times):
            raise Malformed(what="pattern", id=self.id, reason="time_parts")


@dataclass(frozen=True, slots=True)
class Sibling:
    """A file whose name matches `match` belongs to the file `of` names, in the same folder; `{group}` in `of` is what matched."""

    id: str
    match: str
    of: str
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise Malformed(what="pattern", id=self.id[:40], reason="id")
        object.__setattr__(self, "compiled", compile_bounded(self.id, self.match))
        if set(_FIELD.findall(self.of)) - self.compiled.groupindex.keys():
            raise Malformed(what="pattern", id=self.id, reason="groups")


@dataclass(frozen=True, slots=True)
class Mark:
    """A file whose name (or path) matches carries the recorder's mark of importance (重点标记)."""

    id: str
    match: str
    whole_path: bool = False
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise Malformed(what="pattern", id=self.id[:40], reason="id")
        object.__setattr__(self, "compiled", compile_bounded(self.id, self.match))


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a name told; None where it told nothing. `pattern` is the pattern's id, None when no pattern knew the name.

    `whole_path` says that the folders above had a part in it.
    """

    pattern: str | None = None
    whole_path: bool = False
    device: str | None = None
    officer: str | None = None
    sequence: int | None = None
    started_at: Instant | None = None


UNKNOWN = Recognised()


def recognise(path: str, patterns: Iterable[Pattern], *, zone: ZoneInfo) -> Recognised:
    """Return what the first pattern that knows this path (with `/` between folders) reads from it; `UNKNOWN` if none does."""
    name = path.rpartition("/")[2]
    for pattern in patterns:
        subject = path if pattern.whole_path else name
        if len(subject) > MAX_SUBJECT:
            continue
        found = pattern.compiled.fullmatch(subject)
        told = _read(pattern, found.groupdict(), zone) if found else None
        if told is not None:
            return told
    return UNKNOWN


def primary(name: str, siblings: Iterable[Sibling], names: Mapping[str, str]) -> str | None:
    """Return the name of the file that this one accompanies, or None.

    `names` maps the folder's names in lower case to the names as they are, since recorders mix cases.
    """
    if len(name) > MAX_SUBJECT:
        return None
    for sibling in siblings:
        found = sibling.compiled.fullmatch(name)
        if found:
            groups = found.groupdict("")
            wanted = _FIELD.sub(lambda m: groups[m.group(1)], sibling.of)  # noqa: B023 - used at once
            other = names.get(wanted.lower())
            if other is not None and other != name:
                return other
    return None


def marked(path: str, marks: Iterable[Mark]) -> bool:
    """Whether the name or the folders of this path say that the recorder's user marked the file."""
    name = path.rpartition("/")[2]
    subjects = ((mark, path if mark.whole_path else name) for mark in marks)
    return any(len(subject) <= MAX_SUBJECT and mark.compiled.fullmatch(subject) is not None for mark, subject in subjects)


def merged(own: Recognised, other: Recognised) -> Recognised:
    """Return what is known of a file when its companion's name is heard too; its own name comes first."""
    return Recognised(
        pattern=own.pattern or other.pattern,
        whole_path=own.whole_path or other.whole_path,
        device=own.device if own.device is not None else other.device,
        officer=own.officer if own.officer is not None else other.officer,
        sequence=own.sequence if own.sequence is not None else other.sequence,
        started_at=own.started_at if own.started_at is not None else other.started_at,
    )


def unique(ids: Iterable[str]) -> None:
    """Refuse two patterns of one id.

    Raises:
        Malformed: an id comes twice.
    """
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            raise Malformed(what="pattern", id=each, reason="twice")
        seen.add(each)


def _read(pattern: Pattern, groups: Mapping[str, str | None], zone: ZoneInfo) -> Recognised | None:
    if any(len(value) > MAX_VALUE for value in groups.values() if value):
        return None
    started: Instant | None = None
    if groups.get("year"):
        started = _started(groups, zone)
        if started is None:
            return None
    sequence = groups.get("sequence")
    if sequence and not (sequence.isascii() and sequence.isdigit() and len(sequence) <= _MAX_SEQUENCE_DIGITS):
        return None
    return Recognised(
        pattern=pattern.id,
        whole_path=pattern.whole_path,
        device=(groups.get("device") or "").strip() or None,
        officer=(groups.get("officer") or "").strip() or None,
        sequence=int(sequence) if sequence else None,
        started_at=started,
    )


def _started(groups: Mapping[str, str | None], zone: ZoneInfo) -> Instant | None:
    try:
        year, month, day, hour, minute, second = (int(groups.get(part) or 0) for part in (*_TIME, "second"))
        fraction = int((groups.get("fraction") or "0").ljust(6, "0")[:6])
        year += _CENTURY if len(groups["year"] or "") == 2 else 0  # noqa: PLR2004 - two digits of a year
        moment = datetime(year, month, day, hour, minute, second, fraction, tzinfo=zone)
    except ValueError:
        return None
    started = from_datetime(moment)
    return started if started >= 0 else None


def compile_bounded(pattern_id: str, match: str) -> re.Pattern[str]:
    """Return the regular expression, once it is seen that no name can keep a station busy with it.

    Raises:
        Malformed: a group repeats, the repetitions multiply beyond `MAX_WORK`, or it is none.
    """
    if not 0 < len(match) <= MAX_PATTERN:
        raise Malformed(what="pattern", id=pattern_id, reason="length")
    if _INLINE_FLAGS.search(match):  # (?x) would let white space hide that a group repeats
        raise Malformed(what="pattern", id=pattern_id, reason="inline_flags")
    if _work(pattern_id, match) > MAX_WORK:
        raise Malformed(what="pattern", id=pattern_id, reason="too_much_work")
    try:
        return re.compile(match, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as why:
        raise Malformed(what="pattern", id=pattern_id, reason="no_regular_expression", detail=str(why)[:120]) from why


def _work(pattern_id: str, match: str) -> int:
    """Return a bound on the ways this pattern can divide a name: the product of what each repetition may vary by."""
    work, at = 1, 0
    previous = ""
    while at < len(match):
        char = match[at]
        quantifier = _QUANTIFIER.match(match, at)
        if char == "\\":
            previous, at = "atom", at + 2
        elif char == "[":
            previous, at = "atom", _class_end(match, at)
        elif char in "*+" or quantifier:
            if previous == ")":
                raise Malformed(what="pattern", id=pattern_id, reason="group_repeats")
            work *= _spread(quantifier) if quantifier else MAX_SUBJECT
            previous, at = "atom", quantifier.end() if quantifier else at + 1
        else:
            if char == "?" and previous in {")", "atom"}:
                work *= 2
            if char == "|":
                work *= 2
            previous = char if char in "()" else "atom"
            at += 1
    return work


def _spread(quantifier: re.Match[str]) -> int:
    least, comma, most = quantifier.groups()
    if not comma:
        return 1
    return max(1, (int(most) if most else MAX_SUBJECT) - int(least or 0) + 1)


def _class_end(match: str, at: int) -> int:
    at += 1
    if match[at : at + 1] == "^":
        at += 1
    first = True
    while at < len(match) and (first or match[at] != "]"):
        at += 2 if match[at] == "\\" else 1
        first = False
    return at + 1
