"""Everything a mounted recorder holds, and everything that was passed over, with the reason.

Invariants: every regular file is either found or passed over and reported; symbolic links are never followed; nothing beyond the
source's own file system is looked at. A name that is no UTF-8 is kept byte for byte.

Not guaranteed: that the tree holds still. Each file is looked at again when it is hashed and when it is sent.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archive.core.manifest import portable_name

if TYPE_CHECKING:
    from pathlib import Path

    from archive.core.manifest import Carrier, Page
    from archive.dock.carrier import Volume
    from archive.dock.patterns import Patterns


@dataclass(frozen=True, slots=True)
class Source:
    """A file on a carrier as it was last looked at; `parts` is its path below the carrier's root, `size` bytes, `mtime_ns` nanoseconds.

    `room` is the fixed room whose system it was exported from, `page` its place in a document made of several scans.
    """

    carrier: Carrier
    path: Path
    parts: tuple[str, ...]
    size: int
    mtime_ns: int
    room: str | None = None
    page: Page | None = None

    @property
    def key(self) -> bytes:
        """The path below the root as the bytes the file system holds."""
        return os.fsencode("/".join(self.parts))

    @property
    def shown(self) -> str:
        """The path for people, as the manifest has it: nothing in it can move a cursor or hide."""
        return portable_name(self.parts)

    def as_now(self) -> Source:
        """Return the same file as it is at this moment.

        Raises:
            OSError: it is gone, or cannot be looked at.
        """
        status = self.path.lstat()
        return replace(self, size=status.st_size, mtime_ns=status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Passed:
    """What was not taken, and why: junk, symlink, special (no regular file), other_volume, unreadable, being_written."""

    path: str
    reason: str
    detail: str = ""

    @property
    def is_flaw(self) -> bool:
        """Whether something that may be evidence could not be read."""
        return self.reason == "unreadable"

    @property
    def is_early(self) -> bool:
        """Whether a next run takes it."""
        return self.reason == "being_written"


@dataclass(frozen=True, slots=True)
class Scan:
    """The result of one walk of a volume, in the order of the paths."""

    volume: Volume
    files: tuple[Source, ...]
    passed: tuple[Passed, ...]


def scan(source: Path, *, volume: Volume, patterns: Patterns) -> Scan:
    """Walk `source`, a folder or a single file below the volume's root, and return what it holds."""
    files: list[Source] = []
    passed: list[Passed] = []
    if not source.is_dir():
        _take(source, volume=volume, files=files, passed=passed)
        return Scan(volume, tuple(files), tuple(passed))
    device = source.stat().st_dev
    waiting = [source]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as why:
            passed.append(Passed(_shown(folder), "unreadable", why.strerror or str(why)))
            continue
        below: list[Path] = []
        for entry in entries:
            path = folder / entry.name
            if entry.is_symlink():
                passed.append(Passed(_shown(path), "symlink"))
            elif entry.is_dir(follow_symlinks=False):
                if patterns.junk(entry.name, folder=True):
                    passed.append(Passed(_shown(path), "junk"))
                elif _device(path) not in {device, None}:
                    passed.append(Passed(_shown(path), "other_volume"))
                else:
                    below.append(path)
            elif patterns.junk(entry.name, folder=False):
                passed.append(Passed(_shown(path), "junk"))
            else:
                _take(path, volume=volume, files=files, passed=passed)
        waiting.extend(reversed(below))
    return Scan(volume, tuple(files), tuple(passed))


def _take(path: Path, *, volume: Volume, files: list[Source], passed: list[Passed]) -> None:
    try:
        status = path.lstat()
    except OSError as why:
        passed.append(Passed(_shown(path), "unreadable", why.strerror or str(why)))
        return
    if not stat.S_ISREG(status.st_mode):
        passed.append(Passed(_shown(path), "special"))
        return
    parts = path.relative_to(volume.root).parts
    files.append(Source(volume.carrier, path, parts, status.st_size, status.st_mtime_ns))


def _device(path: Path) -> int | None:
    try:
        return path.lstat().st_dev
    except OSError:
        return None  # listing it will say why


def _shown(path: Path) -> str:
    return "/" + portable_name(path.parts[1:])
