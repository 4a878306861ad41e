"""Receiving the body of an upload: who may write, and how bytes get from the socket to the spool at the speed of the disk.

Bytes are gathered into batches of about 4 MiB; a worker thread writes and hashes one batch while the loop receives the next. That is
three times as fast as doing either in the loop, and memory stays at two batches whatever the size of the file; with many uploads at
once the batches are smaller.

Invariants: one request writes to an upload at a time, and the newest wins: it asks the one before it to stop, which keeps what it
received. A sender whose line broke therefore never waits for the death of its own earlier request. Every byte received before the body
ended, for whatever reason, is handed to the spool in order.

Not guaranteed: anything between processes; there the spool's own lock refuses.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from starlette.requests import ClientDisconnect, Request

from archive.core.errors import UploadBusy, UploadTakenOver

BATCH: Final = 4 * 1024 * 1024
_BATCH_SECONDS: Final = 1.0  # a slow sender's bytes reach the spool after this long, so that a crash costs little

_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3

#: Of their own, so that writing never waits behind page rendering and the like.
_WRITERS: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="spool")


Write = Callable[[list[bytes]], None]
"""Appends buffers to an upload, as a spool's appender does; it blocks, and is called once at a time."""


class Ending(StrEnum):
    """Why a body ended."""

    COMPLETE = "complete"
    DISCONNECTED = "disconnected"
    STALLED = "stalled"
    TAKEN_OVER = "taken_over"
    PAST_LENGTH = "past_length"
    FAILED = "failed"


class Hold:
    """One request's right to write to an upload, until it ends or a newer one asks for it."""

    def __init__(self, batch: Callable[[], int] = lambda: BATCH) -> None:
        self.stopped = False
        self.batch = batch
        self._timer: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Ask the holder to stop receiving and keep what it has."""
        self.stopped = True
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[Callable[[float | None], None]]:
        """Give a function that sets how many seconds are left; TimeoutError is raised when they have passed, or when stopped."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as timer:
            self._timer = timer

            def wait(seconds: float | None) -> None:
                if timer.expired():
                    return
                if self.stopped:
                    timer.reschedule(loop.time())
                else:
                    timer.reschedule(None if seconds is None else loop.time() + seconds)

            try:
                yield wait
            finally:
                self._timer = None


@dataclass(slots=True)
class _Slot:
    """The requests that want one upload."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    holder: Hold | None = None
    newest: Hold | None = None
    wanted: int = 0


class Holds:
    """Who writes to which upload in this process."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        _keep_freed_buffers()

    def _batch(self) -> int:
        """Return the bytes of a batch: the more uploads at once the fewer, so that memory stays the same for dozens of them."""
        return max(BATCH // 16, min(BATCH, 4 * BATCH // max(1, len(self._slots))))

    @asynccontextmanager
    async def take(self, upload_id: str, *, patience: float) -> AsyncIterator[Hold]:
        """Wait for the right to write, having asked whoever has it to stop.

        Raises:
            UploadBusy: They did not stop within `patience` seconds.
            UploadTakenOver: A newer request came while this one waited.
        """
        slot = self._slots.setdefault(upload_id, _Slot())
        slot.wanted += 1
        slot.newest = hold = Hold(self._batch)
        try:
            if slot.holder is not None:
                slot.holder.stop()
            try:
                async with asyncio.timeout(patience):
                    await slot.lock.acquire()
            except TimeoutError as error:
                raise UploadBusy(id=upload_id) from error
            try:
                if slot.newest is not hold:
                    raise UploadTakenOver(id=upload_id)
                slot.holder = hold
                yield hold
            finally:
                slot.holder = None
                slot.lock.release()
        finally:
            slot.wanted -= 1
            if not slot.wanted:
                del self._slots[upload_id]


def holds_of(request: Request) -> Holds:
    """Return who writes to what in this process; made at the first upload."""
    state = request.app.state
    if not hasattr(state, "upload_holds"):
        state.upload_holds = Holds()
    found = state.upload_holds
    assert isinstance(found, Holds)
    return found


async def receive(body: AsyncIterator[bytes], write: Write, *, room: int, idle: float, hold: Hold, blocks: bool = True) -> Ending:
    """Hand a body over and say why it ended; all that was received in order is written then.

    Args:
        body: The request's stream.
        write: Where the bytes go.
        room: The most bytes the body may have. A chunk that passes it is dropped whole, and ends the body.
        idle: Seconds of silence after which the body is given up.
        hold: The right to write.
        blocks: Whether writing takes long enough to be worth a thread; into memory it does not.

    Raises:
        DiskFull: There is no room on the disk; what was written before is kept.
        Unavailable: The disk failed.
    """
    batches = _Batches(write, hold.batch, blocks=blocks)
    ending = Ending.COMPLETE
    try:
        try:
            async with hold.patience() as wait:
                wait(idle)
                async for chunk in body:
                    if len(chunk) > room:
                        ending = Ending.PAST_LENGTH
                        break
                    room -= len(chunk)
                    if batches.add(chunk):
                        wait(None)  # the disk's slowness is not the sender's
                        await batches.hand_over()
                    wait(idle)
        except TimeoutError:
            ending = Ending.TAKEN_OVER if hold.stopped else Ending.STALLED
        except ClientDisconnect:
            ending = Ending.DISCONNECTED
        await batches.hand_over()
        await batches.settle()
    finally:
        batches.abandon()
    return ending


def _keep_freed_buffers() -> None:
    """Ask glibc to use a freed buffer again instead of giving it back to the kernel.

    A socket's reads are buffers of some 256 KiB. By default each is mapped, faulted in page by page and unmapped: a fifth of the
    system's time in an upload. Other C libraries have no such switch and are left alone.
    """
    with suppress(AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 2 * BATCH)
        libc.mallopt(_M_TRIM_THRESHOLD, 8 * BATCH)


class _Batches:
    """Chunks gathered into batches, at most one of which is being written."""

    def __init__(self, write: Write, size: Callable[[], int], *, blocks: bool) -> None:
        self._write = write
        self._blocks = blocks
        self._due = size
        self._gathered: list[bytes] = []
        self._size = 0
        self._since = 0.0
        self._writing: Future[None] | None = None

    def add(self, chunk: bytes) -> bool:
        """Take a chunk and say whether the batch is due to be handed over."""
        if not chunk:
            return False
        now = asyncio.get_running_loop().time()
        if not self._gathered:
            self._since = now
        self._gathered.append(chunk)
        self._size += len(chunk)
        return self._size >= self._due() or now - self._since >= _BATCH_SECONDS

    async def hand_over(self) -> None:
        """Wait for the batch being written and start with the next."""
        await self.settle()
        if self._gathered:
            batch, self._gathered, self._size = self._gathered, [], 0
            if self._blocks:
                self._writing = _WRITERS.submit(self._write, batch)
            else:
                self._write(batch)

    async def settle(self) -> None:
        """Wait for the batch being written; what it raised is raised here."""
        if self._writing is not None:
            # Shielded: a timeout must not take a batch out of the queue before it is written.
            await asyncio.shield(asyncio.wrap_future(self._writing))
            self._writing = None

    def abandon(self) -> None:
        """Wait, without the loop, for a batch still being written when the request is torn down: its file is about to be closed."""
        if self._writing is not None and not self._writing.cancel():
            self._writing.exception()
