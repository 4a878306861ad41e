"""Objects in a local directory: the store of the embedded profile.

Invariants: a name appears at once with all its bytes, which are durable before it appears; the name is durable before `put` returns;
a name once there never points to fewer or other good bytes; rotten bytes are set aside under `rotten/<key>/<their own digest>` and
never removed. Two writers of one key, in one process or in several, end with one object. Temporary files live under `.temp`, which no
key can name, and are removed when the next store is opened after their writer has died.

A source on the same file system is hard-linked and not read again: its digest was taken as it was written, and the read-back looks at
it later. A source elsewhere is copied and hashed on the way.

Not guaranteed: that a user who may write to the directory leaves the objects alone. They are mode 0444, which is a railing, no lock.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from archive.adapters.durable import is_full, make_directories, sync_path
from archive.adapters.reckoning import reckoned
from archive.core.digest import Digest
from archive.core.errors import DiskFull, Fault, Malformed, Mismatch, NotAllowed, ObjectMissing, Unavailable
from archive.core.instant import Instant
from archive.failpoints import failpoint
from archive.ports import Beat, Kept, Placed, Put, Survey

PIECE: Final = 1024 * 1024
"""Bytes that `read` yields at a time."""

_READ_AHEAD: Final = 16 * PIECE
_KEY: Final = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]*(/[0-9A-Za-z_-][0-9A-Za-z._-]*)*", re.ASCII)
_DISCARDABLE: Final = ("derived/", "quarantine/")
_NO_LINK: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})


class LocalStore:
    """An `ObjectStore` in a directory of its own; see `archive.ports`."""

    def __init__(self, root: Path) -> None:
        """Open the store, making its directory if need be, and remove what writers left that died half-way."""
        self._root = root
        self._temp = root / ".temp"
        self._durable: set[Path] = set()
        with _as_faults(""):
            self._temp.mkdir(parents=True, exist_ok=True)
            sync_path(root.parent)
            sync_path(root)
            self._remove_orphans()

    def put(self, key: str, source: Path, digest: Digest) -> Placed:
        """Make the bytes of `source` durable under the key; see the port."""
        target = self._path(key)
        with _as_faults(key, missing=Unavailable):
            failpoint("put.began")
            make_directories(self._root, target.parent, known=self._durable)
            failpoint("put.directories")
            if not target.exists() and self._place(source, target, digest):
                failpoint("put.linked")
                sync_path(target.parent)
                failpoint("put.done")
                return Placed(Put.WRITTEN)
            # The writer who made this name may have died before making it durable: so it is synced here as well.
            sync_path(target.parent)
            actual = _digest(target)
            if actual == digest:
                return Placed(Put.ALREADY)
            self._repair(key, source, target, digest, actual)
            return Placed(Put.REPAIRED)

    def size(self, key: str, *, version: str = "") -> int:
        """Return the size in bytes; see the port."""
        path = self._path(key)
        if version:
            raise ObjectMissing(key=key, version=version)  # this store has none: the row tells of another store
        with _as_faults(key):
            status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ObjectMissing(key=key)
        return status.st_size

    def read(self, key: str, start: int, stop: int, *, version: str = "") -> Iterator[bytes]:
        """Yield the bytes of a range; see the port. That the object is there is looked at before the first piece is asked for."""
        self.size(key, version=version)
        return self._pieces(key, start, stop)

    def reread(self, key: str, *, version: str = "") -> Iterator[bytes]:
        """Yield all bytes from the disk; see the port. Pages that are not yet written stay in memory, but `put` left none."""
        size = self.size(key, version=version)
        with _as_faults(key), self._path(key).open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return self._pieces(key, 0, size)

    def survey(self, key: str, *, version: str = "", sm3: bool, since: Instant | None, beat: Beat) -> Survey:  # noqa: ARG002 - always anew
        """Read the disk and return what the bytes are; see the port. Every survey reads anew."""
        size = self.size(key, version=version)
        return reckoned(self.reread(key, version=version), sm3=sm3, beat=lambda done: beat(done, size))

    @contextmanager
    def local(self, key: str, *, version: str = "", beat: Beat | None = None) -> Iterator[Path]:  # noqa: ARG002 - nothing is fetched
        """Give the object's own path; see the port. It must not be written to."""
        self.size(key, version=version)
        yield self._path(key)

    def answers(self) -> bool:
        """Say that it is there; see the port."""
        return self._root.is_dir()

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix, in order; see the port."""
        base = self._path(prefix.rstrip("/")) if prefix else self._root
        with _as_faults(prefix):
            yield from self._walk(base)

    def versions(self, prefix: str) -> Iterator[Kept]:
        """Yield every key under a prefix with its size, in order: each has one version without a name; see the port."""
        for key in self.keys(prefix):
            with suppress(ObjectMissing):  # a rendition that was replaced meanwhile
                yield Kept(key, "", self.size(key, version=""))

    def locked(self, key: str, *, version: str) -> Instant | None:
        """Return None: a directory refuses nothing to whoever may write to it; see the port."""
        self.size(key, version=version)
        return None

    def discard(self, key: str, *, version: str = "") -> None:
        """Remove a derived or quarantined object; see the port."""
        target = self._path(key)
        if version:
            raise ObjectMissing(key=key, version=version)
        if not key.startswith(_DISCARDABLE):
            raise NotAllowed(key=key)
        with _as_faults(key), suppress(FileNotFoundError):
            target.unlink()

    def _path(self, key: str) -> Path:
        """Return where a key lies; no part may begin with a dot, so none leads out of the store or into `.temp`."""
        if _KEY.fullmatch(key) is None:
            raise Malformed(what="key", value=key[:200])
        return self._root / key

    def _place(self, source: Path, target: Path, digest: Digest) -> bool:
        """Give `target` the bytes of `source`, durable, and return True; return False if another writer was first."""
        try:
            source.chmod(0o444)
            sync_path(source)
            failpoint("put.synced")
            try:
                os.link(source, target)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                with self._copy(source, digest) as temporary:
                    os.link(temporary, target)
        except FileExistsError:
            return False
        return True

    def _repair(self, key: str, source: Path, target: Path, digest: Digest, actual: Digest) -> None:
        """Set rotten bytes aside under their own digest and put good ones in their place; at no moment is the name empty."""
        aside = self._path(f"rotten/{key}/{actual}")
        with self._copy(source, digest) as temporary:
            make_directories(self._root, aside.parent)
            with suppress(FileExistsError):
                os.link(target, aside)
            sync_path(aside.parent)
            failpoint("put.set_aside")
            temporary.replace(target)
            failpoint("put.replaced")
            sync_path(target.parent)

    @contextmanager
    def _copy(self, source: Path, digest: Digest) -> Iterator[Path]:
        """Give a durable copy of `source` under a temporary name, whose digest was taken from the bytes as they were copied.

        Raises:
            Mismatch: The digest is another.
        """
        with self._temporary() as (fd, path), source.open("rb", buffering=0) as file:
            hasher = hashlib.sha256()
            while piece := file.read(4 * PIECE):
                hasher.update(piece)
                _write_all(fd, piece)
                failpoint("put.copying")
            if hasher.hexdigest() != digest.hex:
                raise Mismatch(expected=digest.hex, actual=hasher.hexdigest())
            os.fchmod(fd, 0o444)
            sync_path(path)
            failpoint("put.copied")
            yield path

    @contextmanager
    def _temporary(self) -> Iterator[tuple[int, Path]]:
        """Give a new temporary file, locked for as long as its writer lives, so that its orphan can be told from it."""
        while True:
            fd, name = tempfile.mkstemp(dir=self._temp)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if os.fstat(fd).st_nlink == 0:
                    continue  # taken for an orphan between its making and its locking
                try:
                    yield fd, Path(name)
                finally:
                    Path(name).unlink(missing_ok=True)
                return
            finally:
                os.close(fd)

    def _remove_orphans(self) -> None:
        """Remove temporary files that nobody holds locked."""
        for path in self._temp.iterdir():
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def _pieces(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        with _as_faults(key), self._path(key).open("rb", buffering=0) as file:
            file.seek(start)
            at, ahead = start, start
            while at < stop:
                if ahead < stop and ahead - at < _READ_AHEAD // 2:
                    # The disk fetches what comes next while this piece is being sent.
                    window = min(_READ_AHEAD, stop - ahead)
                    os.posix_fadvise(file.fileno(), ahead, window, os.POSIX_FADV_WILLNEED)
                    ahead += window
                if not (piece := file.read(min(PIECE, stop - at))):
                    return
                at += len(piece)
                yield piece

    def _walk(self, directory: Path) -> Iterator[str]:
        """Yield the keys below a directory in the order of their text, in which `a-b` comes before `a/b`."""
        try:
            with os.scandir(directory) as entries:
                found = [(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name) for entry in entries]
        except FileNotFoundError:
            return
        for name in sorted(found):
            if name.startswith("."):
                continue
            if name.endswith("/"):
                yield from self._walk(directory / name)
            else:
                yield (directory / name).relative_to(self._root).as_posix()


@contextmanager
def _as_faults(key: str, *, missing: type[Fault] = ObjectMissing) -> Iterator[None]:
    """Turn an error of the operating system into what the port promises."""
    try:
        yield
    except FileNotFoundError as error:
        raise missing(key=key) from error
    except OSError as error:
        if is_full(error):
            raise DiskFull(key=key) from error
        raise Unavailable(key=key, why=os.strerror(error.errno or 0)) from error


def _digest(path: Path) -> Digest:
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # what the disk has, not what memory still has of it
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
