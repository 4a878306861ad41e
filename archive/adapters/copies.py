"""This host's scratch copies of what lies in a store that is far away: one fetch for all who need the bytes here.

Beside each copy lie the facts that were taken from the bytes as they came from the store, before they touched this host's disk: digest,
leaves, SM3 where it was asked. A verdict about the store rests on those facts, never on the copy.

Invariants:

- Two workers that need one version, in one process or in several, wait for one fetch (flock on a file of the entry's own; held shared
  while the copy is used, alone while it is fetched or removed). A crash lets go of the lock and leaves a part file that counts as nothing.
- A copy is handed out only if it is the file that was fetched: same inode, size and times of change, same boot of this machine (it is
  never synced, so a power cut may leave holes), and, an hour after it was last looked at, the same digest. Else it is fetched anew.
- The copies of an original are bytes of its digest: others are fetched once more and then not kept.
- Together they take at most the bound, by least recent use; only copies in use at this moment may go past it.

Not guaranteed: anything to somebody who may write to this directory: facts can be forged there as a verdict can in the database.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from archive.adapters.durable import is_full
from archive.adapters.reckoning import Reckoning
from archive.core.canonical import Json, decode, encode
from archive.core.digest import Digest
from archive.core.errors import DiskFull, Malformed, Mismatch, Unavailable
from archive.core.instant import HOUR, SECOND, Instant
from archive.ports import Beat, Survey

MOST_ENTRIES: Final = 20_000
"""Copies kept, however small: looking for the least recently used ones lists them all."""

_LOOK_AGAIN: Final = HOUR
_MARGIN: Final = 64 * 1024 * 1024  # of the disk, left free
_PAUSE: Final = 0.1
_PIECE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """What was fetched: the survey of the bytes as they came, when the fetch began, when the copy was last looked at, and as which file."""

    survey: Survey
    began: Instant
    looked: Instant
    file: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that is held: its path, and what was fetched."""

    path: Path
    facts: Facts


class Copies:
    """The copies of one host, in a directory of their own; every process of the host opens it for itself."""

    def __init__(self, root: Path, *, most: int, sm3: bool, clock: Callable[[], Instant]) -> None:
        """Open the directory, and remove what is left of fetches whose process died."""
        self._root, self._most, self._sm3, self._clock = root, most, sm3, clock
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._room() as room:
            self._shrink(room, 0)

    @contextmanager
    def held(
        self, name: str, fetch: Callable[[], tuple[int, Iterable[bytes]]], *, expected: Digest | None, beat: Beat
    ) -> Iterator[Copy]:
        """Give the copy of this name, fetched if need be; it stays for as long as the context lasts.

        Args:
            name: The entry: letters, digits and dashes.
            fetch: Begins a fetch: how many bytes will come, and the bytes.
            expected: Their digest, where it is known.
            beat: Told of progress, and while another's fetch is waited for.

        Raises:
            Mismatch: what was fetched, twice, is not what was expected.
            DiskFull: there is no room for it on this host.
        """
        with self._entry(name) as entry:
            while True:
                entry.lock(fcntl.LOCK_SH, beat)
                if (facts := self._facts(name, beat)) is not None:
                    break
                entry.lock(fcntl.LOCK_EX, beat)
                if self._facts(name, beat) is None:
                    self._fetched(name, fetch, expected=expected, beat=beat)
            entry.touch()
            yield Copy(self._path(name, "copy"), facts)
        with self._room() as room:
            if room.bytes > self._most:
                self._shrink(room, 0)

    def known(self, name: str, beat: Beat) -> Facts | None:
        """Return the facts of the last fetch, waiting for one that is under way; None if there is no copy."""
        if not self._path(name, "lock").exists():
            return None
        with self._entry(name) as entry:
            entry.lock(fcntl.LOCK_SH, beat)
            return self._facts(name, beat)

    def _path(self, name: str, suffix: str) -> Path:
        return self._root / f"{name}.{suffix}"

    @contextmanager
    def _entry(self, name: str) -> Iterator[_Entry]:
        entry = _Entry(self._path(name, "lock"))
        try:
            yield entry
        finally:
            entry.close()

    def _facts(self, name: str, beat: Beat) -> Facts | None:
        """Return what is known of a copy that may be handed out; the entry is locked."""
        path = self._path(name, "copy")
        try:
            facts = _read(self._path(name, "facts"), boot=self._boot)
            if facts is None or _identity(path) != facts.file:
                return None
            now = self._clock()
            if 0 <= now - facts.looked < _LOOK_AGAIN:
                return facts
            if _digest(path, beat) != facts.survey.digest or _identity(path) != facts.file:
                return None
        except OSError:
            return None
        facts = Facts(facts.survey, facts.began, now, facts.file)
        self._write(name, facts)
        return facts

    def _fetched(
        self, name: str, fetch: Callable[[], tuple[int, Iterable[bytes]]], *, expected: Digest | None, beat: Beat
    ) -> None:
        """Fetch a copy; the entry is locked by us alone."""
        self._remove(name)
        for last in (False, True):
            began = self._clock()
            try:
                survey = self._fill(name, fetch, beat)
                if expected is None or survey.digest == expected:
                    self._publish(name, survey, began)
                    return
                if last:
                    raise Mismatch(expected=expected.hex, actual=survey.digest.hex)
            except OSError as error:
                if is_full(error):
                    raise DiskFull(key=name) from error
                raise Unavailable(key=name, why=os.strerror(error.errno or 0)) from error
            finally:
                self._path(name, "part").unlink(missing_ok=True)

    def _fill(self, name: str, fetch: Callable[[], tuple[int, Iterable[bytes]]], beat: Beat) -> Survey:
        size, pieces = fetch()
        part = self._path(name, "part")
        with part.open("wb", buffering=0) as file:
            with self._room() as room:
                self._shrink(room, size)
                file.truncate(size)  # so that the others' sums count it
                room.add(size)
            reckoning = Reckoning(sm3=self._sm3)
            for piece in pieces:
                reckoning.update(piece)
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
                beat(reckoning.size, size)
            file.truncate(reckoning.size)
            os.fchmod(file.fileno(), 0o444)
        return reckoning.done()

    def _publish(self, name: str, survey: Survey, began: Instant) -> None:
        path = self._path(name, "copy")
        self._path(name, "part").replace(path)
        self._write(name, Facts(survey, began, began, _identity(path)))

    def _write(self, name: str, facts: Facts) -> None:
        temporary = self._path(name, f"{os.getpid()}-{time.monotonic_ns()}.new")
        temporary.write_bytes(_encode(facts, self._boot))
        temporary.replace(self._path(name, "facts"))

    def _remove(self, name: str) -> None:
        for suffix in ("facts", "copy", "part"):
            self._path(name, suffix).unlink(missing_ok=True)

    @contextmanager
    def _room(self) -> Iterator[_Room]:
        """Give the count of bytes and entries, locked; never while anything is waited for."""
        with (self._root / "room").open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield _Room(file.fileno())

    def _shrink(self, room: _Room, wanted: int) -> None:
        """Remove copies that nobody holds, least recently used first, until so many bytes more fit; then count anew."""
        free = os.statvfs(self._root)
        fits = free.f_bavail * free.f_frsize >= wanted + _MARGIN
        if fits and wanted and room.bytes + wanted <= self._most and room.entries < MOST_ENTRIES:
            return
        sizes: dict[str, int] = {}
        used: list[tuple[float, str]] = []
        with os.scandir(self._root) as found:
            for file in found:
                name, _, suffix = file.name.partition(".")
                with suppress(FileNotFoundError):
                    if suffix == "lock":
                        used.append((file.stat().st_mtime, name))
                    elif suffix in {"copy", "part"}:
                        sizes[name] = sizes.get(name, 0) + file.stat().st_size
                    elif suffix.endswith(".new") and time.time() - file.stat().st_mtime > HOUR / SECOND:
                        Path(file.path).unlink()
        total, count = sum(sizes.values()), len(used)
        # A fifth below the bound, so that the next fetch need not list everything again.
        aim = self._most if not wanted else self._most * 4 // 5
        for _, name in sorted(used):
            idle = name not in sizes
            space = os.statvfs(self._root)
            roomy = space.f_bavail * space.f_frsize >= wanted + _MARGIN
            if not idle and roomy and total + wanted <= aim and count < MOST_ENTRIES * 4 // 5:
                break
            if self._evicted(name):
                total, count = total - sizes.get(name, 0), count - 1
        room.set(total, count)

    def _evicted(self, name: str) -> bool:
        """Remove an entry unless somebody holds it."""
        try:
            fd = os.open(self._path(name, "lock"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._remove(name)
            self._path(name, "lock").unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True


class _Entry:
    """The lock of one entry. Whoever waited for the lock of an entry that was removed meanwhile takes its successor's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = self._open()

    def lock(self, kind: int, beat: Beat) -> None:
        while True:
            try:
                fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                # Two that hold it shared and both want it alone would wait for each other.
                fcntl.flock(self._fd, fcntl.LOCK_UN)
                beat(0, 0)
                time.sleep(_PAUSE)
                continue
            if os.fstat(self._fd).st_nlink:
                return
            os.close(self._fd)
            self._fd = self._open()

    def touch(self) -> None:
        os.utime(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


class _Room:
    """How many bytes and entries there are, in a file that is locked; wrong after a crash until they are counted anew."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        words = os.pread(fd, 64, 0).split()
        self.bytes, self.entries = (int(words[0]), int(words[1])) if len(words) == 2 else (2**63, 0)  # noqa: PLR2004 - bytes, entries

    def add(self, size: int) -> None:
        self.set(self.bytes + size, self.entries + 1)

    def set(self, size: int, entries: int) -> None:
        self.bytes, self.entries = size, entries
        os.pwrite(self._fd, f"{size:20} {entries:12}\n".encode(), 0)


def _identity(path: Path) -> tuple[int, int, int, int]:
    status = path.stat(follow_symlinks=False)
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(path: Path, beat: Beat) -> Digest:
    whole, done = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while piece := file.read(_PIECE):
            whole.update(piece)
            done += len(piece)
            beat(done, size)
    return Digest(whole.hexdigest())


def _encode(facts: Facts, boot: str) -> bytes:
    told: dict[str, Json] = {
        "boot": boot,
        "began": facts.began,
        "looked": facts.looked,
        "file": [str(number) for number in facts.file],
        "sha256": facts.survey.digest.hex,
        "size": facts.survey.size,
        "leaves": [leaf.hex for leaf in facts.survey.leaves],
        "sm3": facts.survey.sm3 or "",
    }
    body = encode(told)
    return Digest.of(body).hex.encode() + b"\n" + body


def _read(path: Path, *, boot: str) -> Facts | None:
    """Return the facts in a file; None if they are of another boot, or not as they were written."""
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
        told: Any = decode(body)
        if digest.decode() != Digest.of(body).hex or told["boot"] != boot:
            return None
        inode, size, modified, changed = (int(number) for number in told["file"])
        leaves = tuple(Digest(leaf) for leaf in told["leaves"])
        survey = Survey(Digest(told["sha256"]), told["size"], leaves, told["sm3"] or None)
        return Facts(survey, Instant(told["began"]), Instant(told["looked"]), (inode, size, modified, changed))
    except (FileNotFoundError, ValueError, KeyError, TypeError, Malformed):
        return None
