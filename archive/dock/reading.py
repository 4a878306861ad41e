"""Reading a recorder's files: opening them safely, hashing them, and asking them when they were made.

Invariants: a file is read only while it is what the scan saw (regular, same size, same time of change); a digest is returned only if
that still held after the last byte. Memory is constant.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.core import filenames
from archive.core.digest import Digest
from archive.core.errors import SourceChanged
from archive.core.media import capture_time
from archive.sm3 import Sm3

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from archive.core.instant import Instant
    from archive.dock.patterns import Patterns
    from archive.dock.scan import Source

CHUNK = 1024 * 1024
Position = Callable[[int], None]
"""Told up to which byte a file was read or sent; may raise to stop."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """The digests of one pass; `sm3` in hexadecimal where it was asked for."""

    sha256: Digest
    sm3: str | None


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of one folder by name, so that a file's companions can be found.

    `owners` says which file a companion belongs to, `sidecars` which files belong to a recording.
    """

    sources: Mapping[str, Source]
    owners: Mapping[str, str]
    sidecars: Mapping[str, tuple[str, ...]]

    @classmethod
    def all_of(cls, sources: Iterable[Source], patterns: Patterns) -> dict[tuple[object, ...], Folder]:
        """Return the folders of these sources, by carrier and path (`Folder.key`)."""
        grouped: dict[tuple[object, ...], dict[str, Source]] = {}
        for source in sources:
            grouped.setdefault(cls.key(source), {})[source.parts[-1]] = source
        return {key: cls._of(files, patterns) for key, files in grouped.items()}

    @classmethod
    def _of(cls, files: Mapping[str, Source], patterns: Patterns) -> Folder:
        lower = {name.lower(): name for name in files}
        owners: dict[str, str] = {}
        sidecars: dict[str, list[str]] = {}
        for name in files:
            owner = filenames.primary(name, patterns.siblings, lower) or _beside(name, lower, patterns)
            if owner is not None:
                owners[name] = owner
                sidecars.setdefault(owner, []).append(name)
        return cls(files, owners, {owner: tuple(sorted(names)) for owner, names in sidecars.items()})

    @staticmethod
    def key(source: Source) -> tuple[object, ...]:
        """Return what tells a source's folder from others."""
        return (source.carrier, source.parts[:-1])


@contextmanager
def opened(source: Source) -> Iterator[int]:
    """Open the file the scan saw and give its descriptor; a link or a device put in its place is refused.

    Raises:
        SourceChanged: it is not that file any more.
        OSError: it cannot be read.
    """
    descriptor = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        require_unchanged(source, descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def require_unchanged(source: Source, descriptor: int) -> None:
    """Refuse a file that is no longer as the scan saw it.

    Raises:
        SourceChanged: size, time of change or kind differ.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (source.size, source.mtime_ns):
        raise SourceChanged(path=source.shown)


def hash_file(source: Source, *, position: Position, sm3: bool = False) -> Hashed:
    """Return the SHA-256 of the whole file, and its SM3 where asked, in one pass.

    Raises:
        SourceChanged: it changed before, while or after it was read.
        OSError: it cannot be read.
    """
    sha256, beside = hashlib.sha256(), Sm3() if sm3 else None
    buffer = memoryview(bytearray(min(CHUNK, source.size + 1)))
    with opened(source) as descriptor:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        total = 0
        while got := os.readv(descriptor, [buffer]):
            sha256.update(buffer[:got])
            if beside is not None:
                beside.update(buffer[:got])
            total += got
            position(min(total, source.size))
            if total > source.size:
                break  # it grows while it is read; a recorder that is still recording would keep us here for ever
        require_unchanged(source, descriptor)
        if total != source.size:
            raise SourceChanged(path=source.shown)
    return Hashed(Digest(sha256.hexdigest()), None if beside is None else beside.hexdigest())


def head(source: Source, size: int) -> bytes:
    """Return a file's first bytes, up to `size`.

    Raises:
        SourceChanged: it is not the file the scan saw.
        OSError: it cannot be read.
    """
    with opened(source) as descriptor:
        return os.pread(descriptor, size, 0)


def read_name(source: Source, *, patterns: Patterns, zone: ZoneInfo) -> filenames.Recognised:
    """Return what a file's own name, and the folders above it, tell."""
    return filenames.recognise("/".join(source.parts), patterns.patterns, zone=zone)


def _beside(name: str, lower: Mapping[str, str], patterns: Patterns) -> str | None:
    """Return the recording of the same name beside a file with a sidecar's suffix: X.MP4 for X.SRT and X.MP4.SRT."""
    stem, dot, suffix = name.lower().rpartition(".")
    if not dot or suffix not in patterns.sidecar_suffixes:
        return None
    if stem.rpartition(".")[2] in patterns.recording_suffixes and stem in lower:
        return lower[stem]
    return next((lower[f"{stem}.{each}"] for each in patterns.recording_suffixes if f"{stem}.{each}" in lower), None)


def media_time(source: Source, *, patterns: Patterns, zone: ZoneInfo) -> Instant | None:
    """Return when the file itself says it was made, None where it does not say.

    Raises:
        SourceChanged: it is not the file the scan saw.
        OSError: it cannot be read.
    """
    with opened(source) as descriptor:
        head = os.pread(descriptor, capture_time.HEAD_SIZE, 0)
        moment = capture_time.head_created(head)
        if moment is None and _is_iso_media(head):
            moment = _movie_time(descriptor, source.size)
            if moment is not None and not patterns.movie_in_utc:
                moment = capture_time.Moment(moment.wall, in_utc=False)
    return None if moment is None else moment.instant(zone)


def _is_iso_media(head: bytes) -> bool:
    return head[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}


def _movie_time(descriptor: int, size: int) -> capture_time.Moment | None:
    at = 0
    for _ in range(capture_time.MAX_BOXES):
        found = capture_time.box(os.pread(descriptor, capture_time.BOX_HEADER_SIZE, at), at=at, file_size=size)
        if found is None or found.end <= at or at >= size:
            return None
        if found.kind == b"moov":
            content = os.pread(descriptor, min(capture_time.MOVIE_HEADER_SIZE, found.end - found.content), found.content)
            return capture_time.movie_created(content)
        at = min(found.end, size)
    return None
