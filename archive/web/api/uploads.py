"""Uploads over tus 1.0.0: /api/v1/uploads.

Offered: creation, creation-with-upload, creation-defer-length, checksum (sha1, sha256), termination, expiration, concatenation; nothing
is advertised that is not done. The last byte's request ends with the accession and answers with number and digest; of a deferred
length that is the request which says it, of a final upload its creation.

Invariants: HEAD and GET take no lock. Offset and length are checked before the first byte and on every chunk. A body without a checksum
keeps what came of it, however it ended; a body with one is kept whole and verified or not at all, also across a crash, because the offset
shown stays at its beginning (the floor) until it is found good. A new PATCH stops an older one of the same upload. Location is relative.

Not guaranteed: that a refusal in the middle of a body reaches a client that does not read while it sends; we go on reading for a while.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from email.utils import formatdate
from typing import Annotated, Any, Final, NoReturn

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from archive.actions import upload
from archive.actions.accession import Accepted
from archive.actions.upload import UploadView
from archive.core import tus
from archive.core.access import Act, Caller
from archive.core.errors import (
    Fault,
    FinalUpload,
    LiuhenError,
    Malformed,
    NotFound,
    PastLength,
    TusVersionUnsupported,
    UploadGone,
    UploadTooLarge,
)
from archive.core.instant import SECOND, Instant
from archive.core.tus import Concat
from archive.resources import Resources
from archive.web import errors, hosting, intake, opening, straight
from archive.web.appending import Body, Gathered, Received, append, body_of, check_last_byte_again, gather, has_body
from archive.web.identity import allow, resources_of
from archive.web.lingering import Lingering
from archive.web.opening import Opening
from archive.web.receiving import Ending, Hold, holds_of
from archive.web.threads import TAKING_IN

PATH: Final = tus.UPLOADS
_PATIENCE: Final = 10.0  # seconds for an older request to stop; it stops at once unless a batch is on its way to a slow disk

log = logging.getLogger("liuhen.web")


class TusRoute(APIRoute):
    """A route whose every answer, refusals included, says which tus is spoken, and which lets a body left unread run out."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, wrapped."""
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            request.state.body_read = not has_body(request)
            try:
                response = await answer(request)
            except LiuhenError as error:
                if isinstance(error, Fault):
                    log.exception("%s %s: %s", request.method, request.url.path, error.code)
                response = errors.tell(request, error, errors.STATUS[error.code], _no_page)
                if isinstance(error, TusVersionUnsupported):
                    response.headers["Tus-Version"] = tus.VERSION
            response.headers["Tus-Resumable"] = tus.VERSION
            return response if request.state.body_read else Lingering.of(response)

        return handler


router = APIRouter(route_class=TusRoute)

Creator = Annotated[Caller, Depends(allow(Act.UPLOAD_CREATE))]
Sender = Annotated[Caller, Depends(allow(Act.UPLOAD_TOUCH))]


@router.options(PATH, dependencies=[Depends(allow(Act.PUBLIC))])
@router.options(PATH + "/{upload_id}", dependencies=[Depends(allow(Act.PUBLIC))])
def options(request: Request) -> Response:
    """Say what is offered; needs no Tus-Resumable."""
    return Response(
        status_code=204,
        headers={
            "Tus-Version": tus.VERSION,
            "Tus-Extension": ",".join(tus.EXTENSIONS),
            "Tus-Max-Size": str(resources_of(request).settings.max_upload_bytes),
            "Tus-Checksum-Algorithm": ",".join(tus.CHECKSUM_ALGORITHMS),
        },
    )


@router.post(PATH)
async def create(request: Request, caller: Creator) -> Response:
    """Open an upload, with the first bytes or all of them if the request has a body; or make one of its parts."""
    tus.check_version(request.headers.get("tus-resumable"))
    resources = resources_of(request)
    asked = tus.parse_creation(
        length=request.headers.get("upload-length"),
        defer=request.headers.get("upload-defer-length"),
        concat=request.headers.get("upload-concat"),
        maximum=resources.settings.max_upload_bytes,
    )
    metadata = tus.parse_metadata(request.headers.get("upload-metadata"))
    part_size = straight.offered(request, caller, asked)
    host = resources.settings.web_name if part_size is None else ""  # any host answers for what none of them holds
    wanted = Opening(tus.new_upload_id(host, secrets.token_hex(16)), caller, asked, metadata, resources.now(), part_size)
    if asked.concat is Concat.FINAL:
        return await _create_final(request, wanted)
    body = body_of(request)
    if has_body(request):
        tus.check_content_type(request.headers.get("content-type"))
        maximum = resources.settings.max_upload_bytes
        tus.admit(claimed=0, shown=0, length=asked.length, body=body.size, maximum=maximum)
    async with holds_of(request).take(wanted.id, patience=_PATIENCE) as hold:
        gathered = None
        if asked.length and asked.concat is None and body.size == asked.length and asked.length <= hold.batch():
            gathered = await gather(request, hold, room=asked.length)
            if gathered.holds(body):
                accepted = await TAKING_IN.run(opening.take_in_whole, resources, wanted, gathered.buffers)
                if accepted is not None:
                    return Response(status_code=201, headers=_at(request, wanted.id) | _told(accepted, asked.length))
        return await _create_ordinary(request, wanted, body, hold, gathered)


async def _create_ordinary(request: Request, wanted: Opening, body: Body, hold: Hold, gathered: Gathered | None) -> Response:
    """Open an upload and put what comes with it, or has come already, where it belongs."""
    resources = resources_of(request)
    view = await run_sync(straight.create, resources, wanted)
    headers = _at(request, view.id) | straight.told(view)
    if view.id != wanted.id:
        # A station that did not hear our answer opens the same upload again: it is told where that one stands.
        if view.state == "stored":
            return Response(status_code=201, headers=headers | _told(intake.told(view), view.length))
        # What another host has of it is that host's to say: asking it for the offset is the sender's next step.
        stands = _progress(view, _shown(resources, view)) if hosting.holds(resources, view) or view.direct else {}
        return Response(status_code=201, headers=headers | stands)
    received = Received(Ending.COMPLETE, 0, None)
    if has_body(request):
        room = resources.settings.max_upload_bytes if view.length is None else view.length
        received = await append(request, view, hold, start=0, body=body, room=room, gathered=gathered)
    too_much = isinstance(received.refusal, PastLength | UploadTooLarge)
    if received.offset == view.length and view.concat is None and not too_much:
        try:
            accepted = await TAKING_IN.run(intake.finish, resources, view.id, resources.now())
        except Fault:
            # The bytes are kept: the sender learns where, and that the last one must come again.
            log.exception("upload %s is whole and could not be taken in", view.id)
            if view.length == 0:
                raise  # it has no last byte to come again; the next sweep takes it in
            return Response(status_code=201, headers=headers | _progress(view, max(0, view.length - 1)))
        return Response(status_code=201, headers=headers | _told(accepted, view.length))
    if received.ending is Ending.DISCONNECTED or (received.refusal is not None and (received.offset == 0 or too_much)):
        # The sender never learns this upload's name, so nobody could go on with it.
        await run_sync(opening.terminate, resources, view.id, wanted.now)
        raise received.refusal or UploadGone(id=view.id)
    return Response(status_code=201, headers=headers | _progress(view, received.offset))


async def _create_final(request: Request, wanted: Opening) -> Response:
    """Make an upload of its parts and take it in (tus 1.0.0, concatenation)."""
    if has_body(request):
        raise Malformed(what="Upload-Concat", why="body")
    resources, holds = resources_of(request), holds_of(request)
    await run_sync(opening.look_at_parts, resources, wanted)
    async with AsyncExitStack() as stack:
        for part in sorted({tus.part_id(address) for address in wanted.asked.parts}):
            await stack.enter_async_context(holds.take(part, patience=_PATIENCE))
        view = await run_sync(opening.create_final, resources, wanted)
    async with holds.take(view.id, patience=_PATIENCE):
        accepted = await TAKING_IN.run(intake.finish, resources, view.id, resources.now())
    return Response(status_code=201, headers=_at(request, view.id) | _told(accepted, view.length))


@router.head(PATH + "/{upload_id}")
async def head(request: Request, upload_id: str, caller: Sender) -> Response:
    """Say where an upload stands."""
    tus.check_version(request.headers.get("tus-resumable"))
    resources = resources_of(request)
    view = await run_sync(_own, resources, upload_id, caller)
    _require_alive(view, now=resources.now())
    headers = {"Cache-Control": "no-store"}
    headers |= {"Upload-Defer-Length": "1"} if view.length is None else {"Upload-Length": str(view.length)}
    if view.sent_metadata:
        headers["Upload-Metadata"] = view.sent_metadata
    if view.concat is not None:
        headers["Upload-Concat"] = tus.format_concat(view.concat, view.parts)
    headers |= _progress(view, _shown(resources, view)) | straight.told(view)
    if view.concat is Concat.FINAL and view.state != "stored":
        del headers["Upload-Offset"]  # tus 1.0.0, concatenation: it has one when its parts are joined
    return Response(status_code=200, headers=headers)


@router.get(PATH + "/{upload_id}")
def status(request: Request, upload_id: str, caller: Sender) -> JSONResponse:
    """Say as JSON what became of an upload; needs no Tus-Resumable."""
    resources = resources_of(request)
    view = _own(resources, upload_id, caller)
    return JSONResponse(
        {
            "id": view.id,
            "state": view.state,
            "offset": _shown(resources, view) if view.state in {"receiving", "arrived", "stored"} else None,
            "length": view.length,
            "concat": view.concat,
            "number": view.number,
            "sha256": view.sha256,
            "same_bytes_as": view.same_bytes_as,
            "refusal": view.refusal,
        },
        headers={"Cache-Control": "no-store"},
    )


@router.patch(PATH + "/{upload_id}")
async def patch(request: Request, upload_id: str, caller: Sender) -> Response:
    """Add bytes to an upload; with its last byte it is taken in."""
    tus.check_version(request.headers.get("tus-resumable"))
    tus.check_content_type(request.headers.get("content-type"))
    claimed = tus.parse_integer(request.headers.get("upload-offset"), name="Upload-Offset")
    body = body_of(request)
    resources, now = resources_of(request), resources_of(request).now()
    if (await run_sync(_own, resources, upload_id, caller)).concat is Concat.FINAL:  # before anybody is asked to stop
        raise FinalUpload(id=upload_id)
    async with holds_of(request).take(upload_id, patience=_PATIENCE) as hold:
        view = await run_sync(_own, resources, upload_id, caller)
        _require_alive(view, now=now)
        if view.direct:
            raise UploadGone(id=upload_id, state="direct")
        maximum, shown = resources.settings.max_upload_bytes, _shown(resources, view)
        length = tus.settled_length(request.headers.get("upload-length"), length=view.length, stands=shown, maximum=maximum)
        room = tus.admit(claimed=claimed, shown=shown, length=length, body=body.size, maximum=maximum)
        if view.state == "stored":
            return _accepted(intake.told(view), view.length)
        view = await run_sync(opening.declare, resources, view, length)
        size, alone = resources.spool.size(upload_id), view.concat is None
        if alone and tus.whole(size=size, floor=view.floor, length=view.length):
            await check_last_byte_again(request, view, hold, body, room=room)
            received = Received(Ending.COMPLETE, size, None)
        else:
            view = await run_sync(opening.extend, resources, view, now)
            received = await append(request, view, hold, start=claimed, body=body, room=room)
        if alone and received.offset == view.length:
            return _accepted(await TAKING_IN.run(intake.finish, resources, upload_id, resources.now()), view.length)
    if received.refusal is not None:
        raise received.refusal
    return Response(status_code=204, headers={"Cache-Control": "no-store"} | _progress(view, received.offset))


@router.delete(PATH + "/{upload_id}")
async def terminate(request: Request, upload_id: str, caller: Sender) -> Response:
    """End an upload and drop what came of it."""
    tus.check_version(request.headers.get("tus-resumable"))
    resources = resources_of(request)
    await run_sync(_own, resources, upload_id, caller)
    async with holds_of(request).take(upload_id, patience=_PATIENCE):
        await run_sync(opening.terminate, resources, upload_id, resources.now())
    return Response(status_code=204)


@router.post(PATH + "/{upload_id}")
async def overridden(request: Request, upload_id: str, caller: Sender) -> Response:
    """Do what X-HTTP-Method-Override says, for networks that let only POST through."""
    routes = {"PATCH": patch, "HEAD": head, "DELETE": terminate}
    asked = request.headers.get("x-http-method-override", "").strip().upper()
    if asked not in routes:
        raise Malformed(what="X-HTTP-Method-Override", value=asked[:20])
    return await routes[asked](request, upload_id, caller)


def _at(request: Request, upload_id: str) -> dict[str, str]:
    return {"Location": f"{request.scope.get('root_path', '')}{PATH}/{upload_id}", "Cache-Control": "no-store"}


def _shown(resources: Resources, view: UploadView) -> int:
    if view.direct:
        return straight.shown(view)
    return tus.shown_offset(
        size=resources.spool.size(view.id),
        floor=view.floor,
        length=view.length,
        taken_in=view.state == "stored",
        partial=view.concat is Concat.PARTIAL,
    )


def _progress(view: UploadView, offset: int) -> dict[str, str]:
    headers = {"Upload-Offset": str(offset)}
    if view.state == "receiving":
        headers["Upload-Expires"] = formatdate(view.expires_at // SECOND, usegmt=True)
    return headers


def _told(accepted: Accepted, length: int | None) -> dict[str, str]:
    headers = {"Upload-Offset": str(length), "Liuhen-Number": accepted.number, "Liuhen-Sha256": accepted.digest.hex}
    if accepted.same_bytes_as is not None:
        headers["Liuhen-Same-Bytes-As"] = accepted.same_bytes_as
    return headers


def _accepted(accepted: Accepted, length: int | None) -> Response:
    return Response(status_code=204, headers={"Cache-Control": "no-store"} | _told(accepted, length))


def _require_alive(view: UploadView, *, now: Instant) -> None:
    """Pass an upload that is under way, has arrived or is taken in.

    Raises:
        UploadGone: It ended otherwise, or its time has run out and the next sweep will end it.
    """
    if view.state in {"arrived", "stored"} or (view.state == "receiving" and view.expires_at > now):
        return
    raise UploadGone(id=view.id, state="expired" if view.state == "receiving" else view.state)


def _own(resources: Resources, upload_id: str, caller: Caller) -> UploadView:
    if not tus.is_upload_id(upload_id):
        raise NotFound(what="upload")
    with resources.reading() as session:
        view = upload.require_owner(session, upload_id, caller)
    hosting.require_here(resources, view, now=resources.now())
    return view


def _no_page(request: Request, error: LiuhenError, status: int) -> NoReturn:
    """Stand where a page for people would be rendered; this interface has none."""
    raise AssertionError(request.url.path, error.code, status)
