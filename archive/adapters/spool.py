"""Bytes in transit: one file for each upload, written at its end only, hashed as it is written.

Invariants: what is in a file is what was received, in order, from its first byte; its size is the upload's offset. A file has one writer
at a time (an exclusive lock, across processes). Bytes are never changed once a second name points to them, which is how a store takes a
file over. Memory does not grow with the size of a file. When room runs out, what came is kept.

Of an upload made of parts, at every moment the beginning is durable in the upload's own file, up to the end of the last part whose file
is gone, and the rest is in the parts' files. So joining them can be broken off anywhere and begun again, and takes no more room than the
largest part but the first. The kernel's copying from file to file would save nothing: every byte is read for the digest, and parts do
not begin at the borders of blocks, which sharing them would take.

The SHA-256 runs along with the writing and is carried in memory from one request to the next; after a restart it is taken again from
what the file holds, at the speed of hashing.

Not guaranteed: that bytes not yet synced survive a power cut. The file is then shorter, and so is the offset shown: the sender goes on
from there. What a finished request acknowledged was synced before. The digests carried are one process's: two processes that append to one
upload in turn would each have to be told of the other's bytes, so a spool belongs to one web process.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archive.adapters.durable import is_full, sync_file, sync_path
from archive.core.digest import Digest
from archive.core.errors import DiskFull, NotFound, Unavailable, UploadBusy, UploadGone
from archive.core.tus import check_upload_id, is_upload_id
from archive.failpoints import failpoint

if TYPE_CHECKING:
    from hashlib import _Hash

FLUSH_EVERY: Final = 16 * 1024 * 1024
"""Bytes after which writing to the disk is begun, so that the last sync finds little to do."""

_MAX_BUFFERS: Final = 512  # of one writev; Linux takes 1024
_HASH_PIECE: Final = 4 * 1024 * 1024
_CARRIED: Final = 1024  # running digests kept in memory, a few hundred bytes each
_SYNC_FILE_RANGE_WRITE: Final = 2


class Spool:
    """The directory of uploads under way, and the running digest of each."""

    def __init__(self, directory: Path, *, floor: int) -> None:
        """Open the spool.

        Args:
            directory: Made if it is not there. On the same file system as the store, a finished file is linked, not copied.
            floor: Bytes of the disk that uploads leave free, for the database and for whoever must tidy up.
        """
        self._directory = directory
        self._floor = floor
        self._running: OrderedDict[str, tuple[_Hash, int]] = OrderedDict()
        self._guard = threading.Lock()
        self._in_hand: set[str] = set()
        directory.mkdir(parents=True, exist_ok=True)
        sync_path(directory.parent)

    def path(self, upload_id: str) -> Path:
        """Return where an upload's bytes lie."""
        return self._directory / check_upload_id(upload_id)

    def size(self, upload_id: str) -> int:
        """Return how many bytes have come; none, if there is no file. Takes no lock."""
        try:
            return self.path(upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    def ids(self) -> list[str]:
        """Return the uploads that have a file, in the order of their names; a file that is `laid_down` is none."""
        names = [entry.name for entry in self._directory.iterdir() if is_upload_id(entry.name)]
        with self._guard:
            return sorted(set(names) - self._in_hand)

    def begin(self, upload_id: str) -> None:
        """Make an upload's file, empty and with a durable name, if it is not there.

        Raises:
            DiskFull: There is no room for so much as a name.
            Unavailable: It cannot be made.
        """
        try:
            os.close(os.open(self.path(upload_id), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise _fault(upload_id, error) from error
        sync_path(self._directory)

    @contextmanager
    def append(self, upload_id: str, *, start: int, eager: bool = True) -> Iterator[Appender]:
        """Open an upload for more bytes, from `start` on; what lies beyond was found wanting and is cut off.

        Args:
            upload_id: Which.
            start: Where the bytes go.
            eager: Whether writing to the disk is begun early, for a sync at the end; without one, the file may be gone before.

        Raises:
            UploadBusy: Somebody else is writing to it.
            UploadGone: A store has the file already; it is never written to again.
            DiskFull: There is no room for so much as a file.
            Unavailable: The file cannot be opened, or is shorter than `start`.
        """
        if self._taken(upload_id):
            raise UploadGone(id=upload_id)
        with self._locked(upload_id, os.O_RDWR | os.O_CREAT, wait=False) as fd:
            if self._taken(upload_id):
                raise UploadGone(id=upload_id)
            status = os.fstat(fd)
            if status.st_size < start:
                raise Unavailable(id=upload_id, size=status.st_size, start=start)
            if status.st_size > start:
                self._forget(upload_id)
                os.ftruncate(fd, start)
                sync_file(fd)
            yield Appender(self, upload_id, fd, start, free=self._floor, eager=eager)

    def ends_with(self, upload_id: str, tail: bytes) -> bool:
        """Say whether the upload's last bytes are these."""
        with self.path(upload_id).open("rb") as file:
            file.seek(-len(tail), os.SEEK_END)
            return file.read() == tail

    @contextmanager
    def laid_down(self, upload_id: str, buffers: Sequence[bytes]) -> Iterator[tuple[Path, Digest]]:
        """Give a file of these bytes and their digest, for a store to take; the file is gone afterwards.

        It is not made durable here: the store that takes it does so, once.

        Raises:
            DiskFull: There is no room.
            Unavailable: The disk failed.
        """
        with self._guard:
            self._in_hand.add(upload_id)
        try:
            fd = os.open(self.path(upload_id), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                appender = Appender(self, upload_id, fd, 0, free=self._floor)
                appender.write(buffers)
                yield self.path(upload_id), appender.digest()
            finally:
                os.close(fd)
        except OSError as error:
            raise _fault(upload_id, error) from error
        finally:
            self.path(upload_id).unlink(missing_ok=True)
            with self._guard:
                self._in_hand.discard(upload_id)

    @contextmanager
    def seal(self, upload_id: str, *, sync: bool = True) -> Iterator[tuple[Path, Digest]]:
        """Give a whole upload's file and digest, durable; nobody writes to it or seals it while the context lasts.

        Without `sync` it is not made durable here: for a store elsewhere, whose copy is durable before anybody is answered.

        Raises:
            NotFound: There is no file: it was dropped after its accession, or never begun.
        """
        with self._locked(upload_id, os.O_RDONLY, wait=True) as fd:
            if sync:
                sync_file(fd)
                sync_path(self._directory)
                failpoint("upload.synced")
            hasher, position = self.running(upload_id, fd, os.fstat(fd).st_size)
            self.carry(upload_id, hasher, position)
            yield self.path(upload_id), Digest(hasher.hexdigest())

    def join(self, upload_id: str, parts: Sequence[tuple[str, int]]) -> None:
        """Make an upload's file of its parts' files, which are gone afterwards; asking again changes nothing.

        Args:
            upload_id: The upload to make.
            parts: Its parts in order, each with its size in bytes.

        Raises:
            NotFound: There are no files: it was joined and dropped after its accession.
            DiskFull: There is no room for a copy of the next part; what is joined stays.
            Unavailable: A part's file is not as long as it was, or the disk failed.
        """
        held = [(part, size) for part, size in parts if size]
        if not held:
            self.begin(upload_id)
        else:
            with ExitStack() as stack:
                fd = self._adopt(stack, upload_id, *held[0])
                if os.fstat(fd).st_nlink == 1:  # otherwise a store has it, which takes only what is whole
                    self._append_parts(upload_id, fd, held)
        for part, _ in parts:
            self.discard(part)

    def _adopt(self, stack: ExitStack, upload_id: str, first: str, size: int) -> int:
        """Return the upload's file, locked as long as the stack lasts: the first part's, made the upload's own if it is not yet."""
        for _ in range(3):  # whoever comes second finds the first part's file gone, and then the upload's own
            with suppress(NotFound):
                return stack.enter_context(self._locked(upload_id, os.O_RDWR, wait=True))
            with suppress(NotFound), ExitStack() as own:
                fd = own.enter_context(self._locked(first, os.O_RDWR, wait=True))
                if not self._is(first, fd):
                    continue
                if os.fstat(fd).st_size != size:
                    raise Unavailable(id=first, size=os.fstat(fd).st_size, expected=size)
                sync_file(fd)
                with self._guard:
                    if (carried := self._running.pop(first, None)) is not None:
                        self._running[upload_id] = carried
                self.path(first).rename(self.path(upload_id))
                failpoint("join.renamed")
                sync_path(self._directory)  # before anything is added: a part's file is never longer than the part
                failpoint("join.adopted")
                stack.push(own.pop_all())
                return fd
        raise NotFound(what="upload", id=upload_id)

    def _append_parts(self, upload_id: str, fd: int, parts: Sequence[tuple[str, int]]) -> None:
        gone = max(index for index, (part, _) in enumerate(parts) if index == 0 or not self.path(part).exists())
        position = sum(size for _, size in parts[: gone + 1])
        if os.fstat(fd).st_size < position:
            raise Unavailable(id=upload_id, size=os.fstat(fd).st_size, start=position)
        for part, size in parts[gone + 1 :]:
            os.ftruncate(fd, position)
            appender = Appender(self, upload_id, fd, position, free=self._floor)
            try:
                self._append_part(appender, part, size)
            except DiskFull:
                appender.back_to_start()
                raise
            failpoint("join.copied")
            appender.finish()
            failpoint("join.durable")
            self.discard(part)
            failpoint("join.dropped")
            position += size

    def _append_part(self, appender: Appender, part: str, size: int) -> None:
        with self.path(part).open("rb", buffering=0) as source:
            at = 0
            while at < size:
                piece = os.pread(source.fileno(), min(_HASH_PIECE, size - at), at)
                if not piece:
                    raise Unavailable(id=part, size=at, expected=size)
                appender.write([piece])
                at += len(piece)

    def sync(self, upload_id: str) -> None:
        """Make an upload's file durable, if there is one."""
        with suppress(FileNotFoundError):
            sync_path(self.path(upload_id))
            sync_path(self._directory)

    def discard(self, upload_id: str) -> None:
        """Remove an upload's file and what lies beside it, if there is one."""
        self._forget(upload_id)
        path = self.path(upload_id)
        for each in (path.with_name(f"{upload_id}.parts"), path):  # the file last: what lies beside it is found by it
            each.unlink(missing_ok=True)

    def running(self, upload_id: str, fd: int, size: int) -> tuple[_Hash, int]:
        """Return a digest of the file's first `size` bytes: the one carried, or one taken from the file now."""
        with self._guard:
            carried = self._running.get(upload_id)
        if carried is None or carried[1] > size:
            hasher, position = hashlib.sha256(), 0
        else:
            hasher, position = carried[0].copy(), carried[1]
        while position < size:
            piece = os.pread(fd, min(_HASH_PIECE, size - position), position)
            if not piece:
                raise Unavailable(id=upload_id, size=position, expected=size)
            hasher.update(piece)
            position += len(piece)
        return hasher, position

    def carry(self, upload_id: str, hasher: _Hash, position: int) -> None:
        """Keep a running digest for the next request; the one unused longest goes when there are too many."""
        with self._guard:
            self._running[upload_id] = (hasher, position)
            self._running.move_to_end(upload_id)
            while len(self._running) > _CARRIED:
                self._running.popitem(last=False)

    def _taken(self, upload_id: str) -> bool:
        """Say whether a store holds a second name for the file."""
        try:
            return self.path(upload_id).stat().st_nlink > 1
        except FileNotFoundError:
            return False

    def _is(self, upload_id: str, fd: int) -> bool:
        """Say whether the upload's name is this file's."""
        try:
            status = self.path(upload_id).stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(status, os.fstat(fd))

    def _forget(self, upload_id: str) -> None:
        with self._guard:
            self._running.pop(upload_id, None)

    @contextmanager
    def _locked(self, upload_id: str, flags: int, *, wait: bool) -> Iterator[int]:
        """Give the file's descriptor, locked."""
        try:
            fd = os.open(self.path(upload_id), flags | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise NotFound(what="upload", id=upload_id) from error
        except OSError as error:
            raise _fault(upload_id, error) from error
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise UploadBusy(id=upload_id) from error
            if os.fstat(fd).st_nlink == 0:
                raise NotFound(what="upload", id=upload_id)  # dropped while this waited
            yield fd
        finally:
            os.close(fd)


class Appender:
    """One request's writing to one upload. Its methods block: they run in a worker thread, one at a time."""

    def __init__(self, spool: Spool, upload_id: str, fd: int, start: int, *, free: int, eager: bool = True) -> None:
        self.start = start
        self._eager = eager
        self.position = start
        self._spool = spool
        self._upload_id = upload_id
        self._fd = fd
        self._free = free
        self._flushed = start
        self._hasher: _Hash | None = None
        self._checked: _Hash | None = None

    def check_with(self, algorithm: str) -> None:
        """Take a second digest of this request's bytes alone, for the checksum sent with them."""
        self._checked = hashlib.new(algorithm, usedforsecurity=False)

    def checked(self) -> bytes:
        """Return the digest asked for by `check_with`."""
        return b"" if self._checked is None else self._checked.digest()

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append the buffers and hash them, and now and then begin their way to the disk.

        Raises:
            DiskFull: There is no room; `position` says how much of them was written, and that is kept and hashed.
            Unavailable: The disk failed.
        """
        if self._hasher is None:
            self._hasher, _ = self._spool.running(self._upload_id, self._fd, self.start)
        for at in range(0, len(buffers), _MAX_BUFFERS):
            self._write(buffers[at : at + _MAX_BUFFERS])
        if self._eager and self.position - self._flushed >= FLUSH_EVERY:
            _begin_writeback(self._fd, self._flushed, self.position - self._flushed)
            self._flushed = self.position
        failpoint("upload.written")

    def digest(self) -> Digest:
        """Return the digest of all the upload's bytes up to the last one written here."""
        hasher, _ = (self._hasher, 0) if self._hasher is not None else self._spool.running(self._upload_id, self._fd, self.start)
        return Digest(hasher.hexdigest())

    def finish(self, *, sync: bool = True) -> None:
        """Keep the running digest for the next request and make what was written durable; not here, if somebody else does so at once."""
        if self._hasher is not None and self.position > self.start:
            self._spool.carry(self._upload_id, self._hasher, self.position)
        if not sync:
            return
        sync_file(self._fd, kept=self.start)
        if self.start == 0:
            sync_path(self._spool.path(self._upload_id).parent)

    def back_to_start(self) -> None:
        """Drop what this request wrote: its checksum did not hold, or nobody will say whether it does."""
        os.ftruncate(self._fd, self.start)
        sync_file(self._fd)
        self.position = self.start
        self._hasher = None

    def _write(self, buffers: Sequence[bytes]) -> None:
        wanted = sum(map(len, buffers))
        try:
            room = self._room()
            if room < wanted:
                self._write_slowly(b"".join(buffers)[: max(0, room)])
                raise DiskFull(id=self._upload_id, floor=self._free)
            written = os.pwritev(self._fd, buffers, self.position)
            if written == wanted:
                self._count(buffers, wanted)
                return
            # A short write says that room is running out; the next one says it aloud.
            rest = b"".join(buffers)
            self._count([rest[:written]], written)
            self._write_slowly(rest[written:])
        except OSError as error:
            raise _fault(self._upload_id, error) from error

    def _write_slowly(self, data: bytes) -> None:
        """Write where any call may end short, counting exactly what was written."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, self.position)
            self._count([view[:written]], written)
            view = view[written:]

    def _room(self) -> int:
        """Return how many bytes the disk takes before it has no more than the floor left."""
        status = os.fstatvfs(self._fd)
        return status.f_bavail * status.f_frsize - self._free

    def _count(self, buffers: Sequence[bytes | memoryview], written: int) -> None:
        self.position += written
        for hasher in (self._hasher, self._checked):
            if hasher is not None:
                for buffer in buffers:
                    hasher.update(buffer)


def _fault(upload_id: str, error: OSError) -> DiskFull | Unavailable:
    if is_full(error):
        return DiskFull(id=upload_id)
    return Unavailable(id=upload_id, why=os.strerror(error.errno or 0))


def _begin_writeback(fd: int, start: int, length: int) -> None:
    """Ask the kernel to start writing these bytes and go on (`sync_file_range(2)`); a hint, so nothing hangs on its answer."""
    with suppress(AttributeError):
        _LIBC.sync_file_range(fd, ctypes.c_int64(start), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)


_LIBC: Final = ctypes.CDLL(None)
