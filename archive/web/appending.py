"""Adding the body of one request to an upload, with or without a checksum.

Invariants: a body without a checksum keeps what came of it, however it ended. A body with one counts wholly and verified or not at all,
also across a crash: the offset shown stays at its beginning (the floor) until it is durable and found good. Bytes that a store may hold
already are compared, never written.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from anyio.to_thread import run_sync
from starlette.requests import Request

from archive.actions import upload
from archive.actions.upload import UploadView
from archive.core import tus
from archive.core.errors import (
    BodyStalled,
    ChecksumMismatch,
    Fault,
    LiuhenError,
    OffsetConflict,
    PastLength,
    UploadTakenOver,
    UploadTooLarge,
)
from archive.failpoints import failpoint
from archive.resources import Resources
from archive.web import streaming
from archive.web.identity import resources_of
from archive.web.receiving import Ending, Hold, receive


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as its headers describe it.

    Attributes:
        size: Content-Length in bytes, None if the body is chunked.
        checksum: What it must hash to.
    """

    size: int | None
    checksum: tus.Checksum | None


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a body.

    Attributes:
        ending: Why it ended.
        offset: Where the upload's bytes end now.
        refusal: Why it was not, or not wholly, taken.
    """

    ending: Ending
    offset: int
    refusal: LiuhenError | None


def has_body(request: Request) -> bool:
    """Say whether a body comes with the request."""
    return request.headers.get("content-length", "0").strip() != "0" or "transfer-encoding" in request.headers


def body_of(request: Request) -> Body:
    """Return what the headers say of the body.

    Raises:
        Malformed: Its size or checksum is not of the form it must have.
        ChecksumUnsupported: The checksum's algorithm is none of those offered.
    """
    size = request.headers.get("content-length")
    return Body(
        None if size is None else tus.parse_integer(size, name="Content-Length"),
        tus.parse_checksum(request.headers.get("upload-checksum")),
    )


@dataclass(frozen=True, slots=True)
class Gathered:
    """A small body that was received whole into memory, or as much of it as came.

    Attributes:
        ending: Why it ended.
        buffers: What came, in order.
    """

    ending: Ending
    buffers: list[bytes]

    def holds(self, body: Body) -> bool:
        """Say whether all of the body came, and is what its checksum promises."""
        if self.ending is not Ending.COMPLETE or sum(map(len, self.buffers)) != body.size:
            return False
        return body.checksum is None or hmac.compare_digest(
            _digest(body.checksum.algorithm, self.buffers), body.checksum.expected
        )


async def gather(request: Request, hold: Hold, *, room: int) -> Gathered:
    """Receive a small body into memory; `append` puts it where it belongs if it turns out not to be whole."""
    buffers: list[bytes] = []
    idle = resources_of(request).settings.idle_body_seconds
    ending = await receive(request.stream(), buffers.extend, room=room, idle=idle, hold=hold, blocks=False)
    request.state.body_read = ending in {Ending.COMPLETE, Ending.DISCONNECTED}
    return Gathered(ending, buffers)


async def append(
    request: Request, view: UploadView, hold: Hold, *, start: int, body: Body, room: int, gathered: Gathered | None = None
) -> Received:
    """Receive a body of at most `room` bytes into the spool, unless it is gathered already, and say what became of it.

    A checksummed body counts only once it is found good. That is promised across a crash by the floor: it is durable before the first
    byte is written and lifted after the last one is durable and verified.
    """
    resources = resources_of(request)
    if body.checksum is not None:
        await run_sync(_set_floor, resources, view.id, start)
        failpoint("upload.floor_set")
    with ExitStack() as stack:
        # A store elsewhere takes what is whole before anybody is answered, so that the spool need not be on the disk by then.
        through = resources.streams is not None and body.checksum is None and view.concat is None
        eager = not through or body.size is None or start + body.size != view.length
        appender = await run_sync(stack.enter_context, resources.spool.append(view.id, start=start, eager=eager))
        if view.floor is not None and body.checksum is None:
            await run_sync(_set_floor, resources, view.id, None)  # what an interrupted checksummed body left is cut off by now
        if body.checksum is not None:
            appender.check_with(body.checksum.algorithm)
        refusal: LiuhenError | None = None
        write = appender.write if body.checksum is not None else streaming.watched(resources, view, appender)
        try:
            if gathered is None:
                idle = resources.settings.idle_body_seconds
                ending = await receive(request.stream(), write, room=room, idle=idle, hold=hold)
                request.state.body_read = ending in {Ending.COMPLETE, Ending.DISCONNECTED}
            else:
                ending = gathered.ending
                await run_sync(write, gathered.buffers)
        except Fault as fault:
            ending, refusal = Ending.FAILED, fault
            request.state.body_read = gathered is not None
        failpoint("upload.received")
        refusal = refusal or _refusal(ending, view)
        if body.checksum is not None:
            if ending is Ending.COMPLETE and not hmac.compare_digest(appender.checked(), body.checksum.expected):
                refusal = ChecksumMismatch(id=view.id, algorithm=body.checksum.algorithm, offset=start)
            if refusal is not None or ending is not Ending.COMPLETE:
                await run_sync(appender.back_to_start)
        sync = not through or refusal is not None or ending is not Ending.COMPLETE or appender.position != view.length
        await run_sync(partial(appender.finish, sync=sync))
        failpoint("upload.durable")
        if body.checksum is not None:
            await run_sync(_set_floor, resources, view.id, None)
            failpoint("upload.floor_lifted")
            streaming.settled(resources, view, appender.position)
        return Received(ending, appender.position, refusal)


async def check_last_byte_again(request: Request, view: UploadView, hold: Hold, body: Body, *, room: int) -> None:
    """Compare the last byte, sent again because the accession was not reached, with the one that is there.

    Of an upload whose last PATCH does but say its length, no byte comes again. The file is not written to: a store may hold it already.
    """
    again = _Memory(body.checksum)
    idle = resources_of(request).settings.idle_body_seconds
    ending = await receive(request.stream(), again.write, room=room, idle=idle, hold=hold, blocks=False)
    request.state.body_read = ending in {Ending.COMPLETE, Ending.DISCONNECTED}
    if (refusal := _refusal(ending, view)) is not None:
        raise refusal
    shown = (view.length or 0) - room
    if body.checksum is not None and not hmac.compare_digest(again.checked(), body.checksum.expected):
        raise ChecksumMismatch(id=view.id, algorithm=body.checksum.algorithm, offset=shown)
    if again.content and not resources_of(request).spool.ends_with(view.id, bytes(again.content)):
        raise OffsetConflict(offset=shown, why="another last byte")


class _Memory:
    """What came of a body of one byte."""

    def __init__(self, checksum: tus.Checksum | None) -> None:
        self.content = bytearray()
        self._checksum = checksum

    def write(self, buffers: Sequence[bytes]) -> None:
        """Keep the bytes."""
        for buffer in buffers:
            self.content += buffer

    def checked(self) -> bytes:
        """Return the digest that the checksum asks for."""
        algorithm = "sha256" if self._checksum is None else self._checksum.algorithm
        return _digest(algorithm, [bytes(self.content)])


def _digest(algorithm: str, buffers: Sequence[bytes]) -> bytes:
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    for buffer in buffers:
        hasher.update(buffer)
    return hasher.digest()


def _refusal(ending: Ending, view: UploadView) -> LiuhenError | None:
    match ending:
        case Ending.STALLED:
            return BodyStalled(id=view.id)
        case Ending.TAKEN_OVER:
            return UploadTakenOver(id=view.id)
        case Ending.PAST_LENGTH if view.length is None:
            return UploadTooLarge(id=view.id)
        case Ending.PAST_LENGTH:
            return PastLength(id=view.id)
        case Ending.COMPLETE | Ending.DISCONNECTED | Ending.FAILED:
            return None


def _set_floor(resources: Resources, upload_id: str, floor: int | None) -> None:
    with resources.transaction() as session:
        upload.set_floor(session, upload_id, floor)
