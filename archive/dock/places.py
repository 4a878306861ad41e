"""What kind of place a folder is: a recorder, a scanner's output, an export from a fixed room; and what lies in it, accordingly.

The file that tells a watching station (`--places`) is TOML: for each folder below the watched one, by its name, what it is.

    [[place]]
    folder = "扫描*"            # name of the folder below the watched one; * stands for anything
    kind = "scanner"
    settle_s = 30              # seconds for which a file must have held still; 10 where nothing is said

    [[place]]
    folder = "询问室一"
    kind = "room"
    room = "第一询问室"          # without it, the folder's name

    [[place]]
    folder = "办案场所导出"
    kind = "rooms"             # every folder in it is a room, by its name

    [[place]]
    folder = "私人"
    kind = "ignore"

Mounted volumes are recorders unless the file says otherwise; so is a folder that it does not name.

Not guaranteed: that a name is a room's. It is what somebody called a folder.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from archive.core.errors import Malformed
from archive.core.manifest import MAX_LABEL, portable_name
from archive.dock import carrier
from archive.dock.scan import scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archive.dock.patterns import Patterns
    from archive.dock.scan import Scan, Source

KINDS = frozenset({"recorder", "scanner", "room", "rooms", "ignore"})
SETTLE_S = 10.0
"""Longer than a feeder takes for a page and a copy for its next write; who scans on glass sets more."""
_MAX_SETTLE_S = 3600.0
_MAX_FILE = 256 * 1024
_FIELDS = frozenset({"folder", "kind", "room", "settle_s"})


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of folder; `room` is a fixed room's name, `settle_s` how long its files must have held still before they are taken."""

    kind: str
    room: str | None = None
    settle_s: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS or not 0 <= self.settle_s <= _MAX_SETTLE_S:
            raise Malformed(what="place", kind=self.kind[:40])


RECORDER = Place("recorder")
FOLDER = Place("recorder", settle_s=SETTLE_S)
"""A plain folder that somebody copies into: a recorder's files, once they hold still."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which folders, by name, are such a place."""

    folder: str
    place: Place


def load(path: Path | None) -> tuple[Rule, ...]:
    """Return the rules of a places file, in its order; none without a file.

    Raises:
        Malformed: it is no TOML of this form.
    """
    if path is None:
        return ()
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE + 1)
        table = tomllib.loads(data.decode("utf-8")) if len(data) <= _MAX_FILE else {"too": "large"}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as why:
        raise Malformed(what="places_file", path=str(path), reason=str(why)[:200]) from why
    rows: object = table.get("place", [])
    if table.keys() - {"place"} or not isinstance(rows, list):
        raise Malformed(what="places_file", path=str(path), reason="place")
    return tuple(_rule(row, path) for row in rows)


def _rule(row: object, path: Path) -> Rule:
    if not isinstance(row, dict) or row.keys() - _FIELDS:
        raise Malformed(what="places_file", path=str(path), reason="fields")
    folder, kind, room = row.get("folder"), row.get("kind"), row.get("room")
    settle = row.get("settle_s", SETTLE_S)
    if (
        not isinstance(folder, str)
        or not isinstance(kind, str)
        or not (room is None or (isinstance(room, str) and kind == "room"))
    ):
        raise Malformed(what="places_file", path=str(path), reason="folder, kind or room")
    if isinstance(settle, bool) or not isinstance(settle, int | float):
        raise Malformed(what="places_file", path=str(path), reason="settle_s")
    return Rule(folder, Place(kind, None if room is None else room_name(room), float(settle)))


def place_of(name: str, rules: Sequence[Rule], *, mounted: bool) -> Place:
    """Return what the folder of this name is."""
    for rule in rules:
        if fnmatchcase(name.casefold(), rule.folder.casefold()):
            return replace(rule.place, settle_s=0.0) if mounted and rule.place.kind == "recorder" else rule.place
    return RECORDER if mounted else FOLDER


def look(root: Path, place: Place, *, label: str | None, patterns: Patterns) -> Scan:
    """Return what lies in a place, each file with the room it is from.

    Raises:
        OSError: the place is not there.
    """
    kind = {"scanner": "scanner", "room": "room", "rooms": "room"}.get(place.kind)
    found = scan(root, volume=carrier.identify(root, label=label, kind=kind), patterns=patterns)
    if kind != "room":
        return found
    return replace(found, files=tuple(replace(source, room=_room(source, root, place)) for source in found.files))


def room_name(text: str) -> str:
    """Return a room's name as a manifest can hold it."""
    return " ".join(portable_name([text or "-"]).split())[:MAX_LABEL].strip() or "-"


def _room(source: Source, root: Path, place: Place) -> str | None:
    if place.kind == "room":
        return place.room or room_name(root.name)
    below = source.path.relative_to(root).parts if root.is_dir() else ()
    return room_name(below[0]) if len(below) > 1 else None
