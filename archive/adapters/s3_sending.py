"""Sending a file in parts: read once, hashed as it is read, several parts on their way, and no more of it in memory than that.

Not guaranteed: less memory than a part for a file beyond 156 GiB, whose parts must be larger than 16 MiB; those go one at a time.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from archive.adapters.s3_client import PART_SIZE, Part, S3Client, part_size
from archive.core.digest import Digest
from archive.core.errors import Mismatch, Unavailable

BUFFERS: Final = 8
"""Parts that a process holds in memory at most, over all that it sends: 128 MiB."""

AHEAD: Final = 3
"""Parts of one file on their way at once."""

_SMALL: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A multipart upload: bucket, key, its id, and whether what it makes will be locked."""

    bucket: str
    key: str
    upload: str
    locked: bool


class Sender:
    """Threads and buffers that all puts of a process share."""

    def __init__(self, client: S3Client) -> None:
        """Make none of either before they are needed."""
        self._client = client
        self._threads = ThreadPoolExecutor(BUFFERS, thread_name_prefix="s3-part")
        self._room = threading.BoundedSemaphore(BUFFERS)
        self._spare: deque[bytearray] = deque(maxlen=BUFFERS)

    def close(self) -> None:
        """End the threads when what they send is sent."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def parts(self, target: Target, file: FileIO, size: int, digest: Digest) -> list[Part]:
        """Send the file as parts of a multipart upload and return them, in order.

        Raises:
            Mismatch: the bytes that were sent do not have this digest.
            Unavailable: a part could not be sent, or the file not be read.
        """
        each, whole = part_size(size), hashlib.sha256()
        ahead = AHEAD if each == PART_SIZE else 1
        under_way: deque[Future[Part]] = deque()
        parts: list[Part] = []

        def send(number: int, data: memoryview, taken: ExitStack) -> Part:
            with taken:
                return self._client.part(target.bucket, target.key, target.upload, number, data, locked=target.locked)

        try:
            for number in itertools.count(1):
                if len(under_way) >= ahead:
                    parts.append(under_way.popleft().result())
                with ExitStack() as stack:
                    data = filled(file, stack.enter_context(self.buffer(each)))[:each]
                    if not data:
                        break
                    whole.update(data)
                    under_way.append(self._threads.submit(send, number, data, stack.pop_all()))
            parts.extend(future.result() for future in under_way)
        except BaseException:
            for future in under_way:
                with suppress(Exception):
                    future.result()  # its part is on its way, and an upload is ended only when nothing is
            raise
        if whole.hexdigest() != digest.hex:
            raise Mismatch(expected=digest.hex, actual=whole.hexdigest())
        return parts

    @contextmanager
    def buffer(self, size: int) -> Iterator[bytearray]:
        """Give room for so many bytes; who finds all of it in use waits. One byte more than asked where that is little."""
        if size <= _SMALL:
            yield bytearray(size + 1)  # so that a source that grew shows it
            return
        with self._room:
            buffer = self._taken() if size <= PART_SIZE else bytearray(size)
            try:
                yield buffer
            finally:
                if len(buffer) == PART_SIZE:
                    self._spare.append(buffer)

    def _taken(self) -> bytearray:
        """Return a buffer that was used before, or a new one: looked at first, the last one might be another thread's by the taking."""
        try:
            return self._spare.pop()
        except IndexError:
            return bytearray(PART_SIZE)


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """Open a file of this host for reading; errors in doing so are faults."""
    try:
        with FileIO(path, "rb") as file:
            yield file
    except OSError as error:
        raise Unavailable(key=path.name, why=os.strerror(error.errno or 0)) from error


def filled(file: FileIO, buffer: bytearray) -> memoryview:
    """Fill the buffer from the file and return what there was."""
    view, at = memoryview(buffer), 0
    while at < len(view) and (count := file.readinto(view[at:])):
        at += count
    return view[:at]
