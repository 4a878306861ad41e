"""The patterns a station goes by: the file shipped beside this module, and the administrator's own.

Nothing about any recorder is in code; see patterns.toml for the form.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import TYPE_CHECKING, TypeVar

from archive.core.errors import Malformed
from archive.core.filenames import Pattern, Sibling, unique

if TYPE_CHECKING:
    from pathlib import Path

_MAX_FILE = 256 * 1024
_TOP = frozenset({"only", "clocks", "pattern", "sibling", "junk"})
_Named = TypeVar("_Named", Pattern, Sibling)
_Table = dict[str, object]


@dataclass(frozen=True, slots=True)
class Patterns:
    """All a station goes by when it looks at a carrier; `movie_in_utc` is how it reads the creation time of MP4 and MOV."""

    patterns: tuple[Pattern, ...]
    siblings: tuple[Sibling, ...]
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
    unique(patterns)
    unique(siblings)
    junk = _table(table, "junk", {"folders", "files"})
    movie = _table(table, "clocks", {"movie"}).get("movie", "utc" if base is None or base.movie_in_utc else "local")
    if movie not in {"utc", "local"}:
        raise Malformed(what="patterns_file", reason="clocks.movie")
    return Patterns(
        patterns=patterns if base is None else _over(base.patterns, patterns),
        siblings=siblings if base is None else _over(base.siblings, siblings),
        junk_folders=_globs(junk, "folders") + (base.junk_folders if base else ()),
        junk_files=_globs(junk, "files") + (base.junk_files if base else ()),
        movie_in_utc=movie == "utc",
    )


def _over(base: tuple[_Named, ...], added: tuple[_Named, ...]) -> tuple[_Named, ...]:
    ours = {row.id: row for row in added}
    known = {row.id for row in base}
    return tuple(row for row in added if row.id not in known) + tuple(ours.get(row.id, row) for row in base)


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
        raise Malformed(what="patterns_file", reason=f"junk.{field}")
    return tuple(found)
