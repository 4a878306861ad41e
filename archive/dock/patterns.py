"""The patterns a station goes by: the file shipped beside this module, and the administrator's own.

Nothing about any recorder is in code; see patterns.toml for the form.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import TYPE_CHECKING, TypeVar

from archive.core.errors import Malformed
from archive.core.filenames import Mark, Pattern, Sibling, compile_bounded, unique
from archive.core.sidecar import Form

if TYPE_CHECKING:
    from pathlib import Path

_MAX_FILE = 256 * 1024
_TOP = frozenset({"only", "clocks", "pattern", "sibling", "junk", "mark", "sidecars", "sidecar", "clock_file"})
_LONGEST_WITHIN_S = 300
_Table = dict[str, object]


@dataclass(frozen=True, slots=True)
class ClockFile:
    """A file in which a recorder says what its clock shows: `file` is its path on the carrier, `match` finds the time in its text.

    A recorder either keeps it running (`live`: it says another time whenever it is read), or writes it when it is connected, at most
    `within_s` seconds before or after the station sees the volume.
    """

    id: str
    file: str
    match: str
    live: bool = False
    within_s: float | None = None
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", compile_bounded(self.id, self.match))
        if not {"year", "month", "day", "hour", "minute", "second"} <= self.compiled.groupindex.keys():
            raise Malformed(what="pattern", id=self.id, reason="time_parts")
        parts = self.file.split("/")
        if any(part in {"", ".", ".."} for part in parts) or self.live == (self.within_s is not None):
            raise Malformed(what="pattern", id=self.id, reason="clock_file")
        if self.within_s is not None and not 0 < self.within_s <= _LONGEST_WITHIN_S:
            raise Malformed(what="pattern", id=self.id, reason="within_s")


_Named = TypeVar("_Named", Pattern, Sibling, Mark, Form, ClockFile)


@dataclass(frozen=True, slots=True)
class Patterns:
    """All a station goes by when it looks at a carrier; `movie_in_utc` is how it reads the creation time of MP4 and MOV.

    A file whose suffix is in `sidecar_suffixes` belongs to the one of the same stem whose suffix is in `recording_suffixes`.
    """

    patterns: tuple[Pattern, ...]
    siblings: tuple[Sibling, ...]
    marks: tuple[Mark, ...]
    forms: tuple[Form, ...]
    clock_files: tuple[ClockFile, ...]
    sidecar_suffixes: tuple[str, ...]
    recording_suffixes: tuple[str, ...]
    junk_folders: tuple[str, ...]
    junk_files: tuple[str, ...]
    movie_in_utc: bool

    def junk(self, name: str, *, folder: bool) -> bool:
        """Whether an operating system left this here rather than a recorder."""
        return any(fnmatchcase(name.lower(), glob.lower()) for glob in (self.junk_folders if folder else self.junk_files))


def shipped() -> Patterns:
    """Return the patterns that come with the program."""
    return _parse(files("archive.dock").joinpath("patterns.toml").read_text("utf-8"), base=None)


def load(path: Path | None) -> Patterns:
    """Return the shipped patterns with those of a file added, or in place of them where the file says so.

    Raises:
        Malformed: the file is no TOML of this form, or a pattern in it is refused.
    """
    if path is None:
        return shipped()
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as why:
        raise Malformed(what="patterns_file", path=str(path), reason=str(why)[:200]) from why
    if len(data) > _MAX_FILE:
        raise Malformed(what="patterns_file", path=str(path), reason="too_large")
    return _parse(text, base=shipped())


def _parse(text: str, *, base: Patterns | None) -> Patterns:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise Malformed(what="patterns_file", reason=str(why)[:200]) from why
    if table.keys() - _TOP:
        raise Malformed(what="patterns_file", reason="unknown_table", names=",".join(sorted(table.keys() - _TOP)))
    if table.get("only") is True:
        base = None
    patterns = tuple(
        Pattern(_text(row, "id"), _text(row, "match"), whole_path=row.get("whole_path") is True)
        for row in _rows(table, "pattern", {"id", "match", "about", "whole_path"})
    )
    siblings = tuple(
        Sibling(_text(row, "id"), _text(row, "match"), _text(row, "of"))
        for row in _rows(table, "sibling", {"id", "match", "of", "about"})
    )
    marks = tuple(
        Mark(_text(row, "id"), _text(row, "match"), whole_path=row.get("whole_path") is True)
        for row in _rows(table, "mark", {"id", "match", "about", "whole_path"})
    )
    forms = tuple(_form(row) for row in _rows(table, "sidecar", {"id", "match", "kind", "fields", "time", "marked", "about"}))
    clock_files = tuple(
        _clock_file(row) for row in _rows(table, "clock_file", {"id", "file", "match", "live", "within_s", "about"})
    )
    sidecars = _table(table, "sidecars", {"suffixes", "recordings"})
    junk = _table(table, "junk", {"folders", "files"})
    movie = _table(table, "clocks", {"movie"}).get("movie", "utc" if base is None or base.movie_in_utc else "local")
    if movie not in {"utc", "local"}:
        raise Malformed(what="patterns_file", reason="clocks.movie")
    return Patterns(
        patterns=_over(base.patterns if base else (), patterns),
        siblings=_over(base.siblings if base else (), siblings),
        marks=_over(base.marks if base else (), marks),
        forms=_over(base.forms if base else (), forms),
        clock_files=_over(base.clock_files if base else (), clock_files),
        sidecar_suffixes=_globs(sidecars, "suffixes") + (base.sidecar_suffixes if base else ()),
        recording_suffixes=_globs(sidecars, "recordings") + (base.recording_suffixes if base else ()),
        junk_folders=_globs(junk, "folders") + (base.junk_folders if base else ()),
        junk_files=_globs(junk, "files") + (base.junk_files if base else ()),
        movie_in_utc=movie == "utc",
    )


def _over(base: tuple[_Named, ...], added: tuple[_Named, ...]) -> tuple[_Named, ...]:
    unique(row.id for row in added)
    ours = {row.id: row for row in added}
    known = {row.id for row in base}
    return tuple(row for row in added if row.id not in known) + tuple(ours.get(row.id, row) for row in base)


def _form(row: _Table) -> Form:
    fields = row.get("fields")
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise Malformed(what="patterns_file", reason="sidecar.fields")
    chosen: dict[str, object] = {"time": _text(row, "time")} if "time" in row else {}
    if "marked" in row:
        chosen["marked"] = _globs(row, "marked")
    return Form(_text(row, "id"), _text(row, "match"), _text(row, "kind"), fields, **chosen)  # type: ignore[arg-type] # told apart above


def _clock_file(row: _Table) -> ClockFile:
    within = row.get("within_s")
    if within is not None and (isinstance(within, bool) or not isinstance(within, int | float)):
        raise Malformed(what="patterns_file", reason="clock_file.within_s")
    live = row.get("live") is True
    return ClockFile(_text(row, "id"), _text(row, "file"), _text(row, "match"), live=live, within_s=within)


def _rows(table: _Table, name: str, fields: set[str]) -> list[_Table]:
    rows = table.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() <= fields for row in rows):
        raise Malformed(what="patterns_file", reason=name)
    return rows


def _table(table: _Table, name: str, fields: set[str]) -> _Table:
    found = table.get(name, {})
    if not isinstance(found, dict) or found.keys() - fields:
        raise Malformed(what="patterns_file", reason=name)
    return found


def _text(row: _Table, field: str) -> str:
    found = row.get(field)
    if not isinstance(found, str):
        raise Malformed(what="patterns_file", reason=field)
    return found


def _globs(junk: _Table, field: str) -> tuple[str, ...]:
    found = junk.get(field, [])
    if not isinstance(found, list) or not all(isinstance(glob, str) for glob in found):
        raise Malformed(what="patterns_file", reason=field)
    return tuple(found)
