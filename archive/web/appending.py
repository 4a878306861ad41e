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
)
from archive.failpoints import failpoint
from archive.resources import Resources
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


async def append(request: Request, view: UploadView, hold: Hold, *, start: int, body: Body) -> Received:
    """Receive a body into the spool and say what became of it.

    A checksummed body counts only once it is found good. That is promised across a crash by the floor: it is durable before the first
    byte is written and lifted after the last one is durable and verified.
    """
    resources = resources_of(request)
    if body.checksum is not None:
        await run_sync(_set_floor, resources, view.id, start)
        failpoint("upload.floor_set")
    with ExitStack() as stack:
        appender = await run_sync(stack.enter_context, resources.spool.append(view.id, start=start))
        if view.floor is not None and body.checksum is None:
            await run_sync(_set_floor, resources, view.id, None)  # what an interrupted checksummed body left is cut off by now
        if body.checksum is not None:
            appender.check_with(body.checksum.algorithm)
        refusal: LiuhenError | None = None
        try:
            ending = await receive(
                request.stream(),
                appender.write,
                room=view.length - start,
                idle=resources.settings.idle_body_seconds,
                hold=hold,
            )
        except Fault as fault:
            ending, refusal = Ending.FAILED, fault
        request.state.body_read = ending in {Ending.COMPLETE, Ending.DISCONNECTED}
        failpoint("upload.received")
        refusal = refusal or _refusal(ending, view.id)
        if body.checksum is not None:
            if ending is Ending.COMPLETE and not hmac.compare_digest(appender.checked(), body.checksum.expected):
                refusal = ChecksumMismatch(id=view.id, algorithm=body.checksum.algorithm, offset=start)
            if refusal is not None or ending is not Ending.COMPLETE:
                await run_sync(appender.back_to_start)
        await run_sync(appender.finish)
        failpoint("upload.durable")
        if body.checksum is not None:
            await run_sync(_set_floor, resources, view.id, None)
            failpoint("upload.floor_lifted")
        return Received(ending, appender.position, refusal)


async def check_last_byte_again(request: Request, view: UploadView, hold: Hold, body: Body) -> None:
    """Compare the last byte, sent again because the accession was not reached, with the one that is there.

    The file is not written to: a store may hold it already.
    """
    again = _Memory(body.checksum)
    ending = await receive(
        request.stream(), again.write, room=1, idle=resources_of(request).settings.idle_body_seconds, hold=hold
    )
    request.state.body_read = ending in {Ending.COMPLETE, Ending.DISCONNECTED}
    if (refusal := _refusal(ending, view.id)) is not None:
        raise refusal
    if body.checksum is not None and not hmac.compare_digest(again.checked(), body.checksum.expected):
        raise ChecksumMismatch(id=view.id, algorithm=body.checksum.algorithm, offset=view.length - 1)
    if again.content and not resources_of(request).spool.ends_with(view.id, bytes(again.content)):
        raise OffsetConflict(offset=view.length - 1, why="another last byte")


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
        return hashlib.new(algorithm, self.content, usedforsecurity=False).digest()


def _refusal(ending: Ending, upload_id: str) -> LiuhenError | None:
    match ending:
        case Ending.STALLED:
            return BodyStalled(id=upload_id)
        case Ending.TAKEN_OVER:
            return UploadTakenOver(id=upload_id)
        case Ending.PAST_LENGTH:
            return PastLength(id=upload_id)
        case Ending.COMPLETE | Ending.DISCONNECTED | Ending.FAILED:
            return None


def _set_floor(resources: Resources, upload_id: str, floor: int | None) -> None:
    with resources.transaction() as session:
        upload.set_floor(session, upload_id, floor)
