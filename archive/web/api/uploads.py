"""Uploads over tus 1.0.0: /api/v1/uploads.

Offered: creation, creation-with-upload, checksum (sha1, sha256), termination, expiration; nothing is advertised that is not done.
The last byte's request ends with the accession and answers with number and digest.

Invariants: HEAD and GET take no lock. Offset and length are checked before the first byte and on every chunk. A body without a checksum
keeps what came of it, however it ended; a body with one is kept whole and verified or not at all, also across a crash, because the offset
shown stays at its beginning (the floor) until it is found good. A new PATCH stops an older one of the same upload. Location is relative.

Not guaranteed: that a refusal in the middle of a body reaches a client that does not read while it sends; we go on reading for a while.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from functools import partial
from typing import Annotated, Any, Final, NoReturn

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from archive.actions import upload
from archive.actions.accession import Accepted
from archive.actions.upload import UploadView
from archive.adapters import signing
from archive.core import tus
from archive.core.access import Act, Caller
from archive.core.errors import (
    Fault,
    LiuhenError,
    Malformed,
    NotFound,
    PastLength,
    TusVersionUnsupported,
    UploadGone,
)
from archive.core.instant import HOUR, SECOND, Instant
from archive.failpoints import failpoint
from archive.resources import Resources
from archive.web import errors, intake
from archive.web.appending import Received, append, body_of, check_last_byte_again, has_body
from archive.web.identity import allow, resources_of
from archive.web.lingering import Lingering
from archive.web.receiving import Ending, Holds

PATH: Final = "/api/v1/uploads"
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
    """Open an upload, with the first bytes or all of them if the request has a body."""
    tus.check_version(request.headers.get("tus-resumable"))
    resources = resources_of(request)
    if "upload-concat" in request.headers:
        raise Malformed(what="Upload-Concat", why="not offered")
    length = tus.parse_length(request.headers.get("upload-length"), maximum=resources.settings.max_upload_bytes)
    metadata = tus.parse_metadata(request.headers.get("upload-metadata"))
    body = body_of(request)
    if has_body(request):
        tus.check_content_type(request.headers.get("content-type"))
        tus.admit(claimed=0, shown=0, length=length, body=body.size)
    upload_id, now = secrets.token_hex(16), resources.now()
    view = await run_sync(partial(_create, resources, upload_id, caller=caller, length=length, metadata=metadata, now=now))
    headers = {"Location": f"{request.scope.get('root_path', '')}{PATH}/{view.id}", "Cache-Control": "no-store"}
    if view.id != upload_id:
        # A station that did not hear our answer opens the same upload again: it is told where that one stands.
        if view.state == "stored":
            return Response(status_code=201, headers=headers | _told(intake.told(view), length))
        return Response(status_code=201, headers=headers | _progress(view, _shown(resources, view)))
    async with _holds(request).take(upload_id, patience=_PATIENCE) as hold:
        received = Received(Ending.COMPLETE, 0, None)
        if has_body(request):
            received = await append(request, view, hold, start=0, body=body)
        if received.offset == length:
            try:
                accepted = await run_sync(intake.finish, resources, upload_id, resources.now())
            except Fault:
                # The bytes are kept: the sender learns where, and that the last one must come again.
                log.exception("upload %s is whole and could not be taken in", upload_id)
                if length == 0:
                    raise  # it has no last byte to come again; the next sweep takes it in
                return Response(status_code=201, headers=headers | _progress(view, max(0, length - 1)))
            return Response(status_code=201, headers=headers | _told(accepted, length))
        if received.ending is Ending.DISCONNECTED or (
            received.refusal is not None and (received.offset == 0 or isinstance(received.refusal, PastLength))
        ):
            # The sender never learns this upload's name, so nobody could go on with it.
            await run_sync(_terminate, resources, upload_id, now)
            raise received.refusal or UploadGone(id=upload_id)
    return Response(status_code=201, headers=headers | _progress(view, received.offset))


@router.head(PATH + "/{upload_id}")
async def head(request: Request, upload_id: str, caller: Sender) -> Response:
    """Say where an upload stands."""
    tus.check_version(request.headers.get("tus-resumable"))
    resources = resources_of(request)
    view = await run_sync(_own, resources, upload_id, caller)
    _require_alive(view, now=resources.now())
    headers = {"Cache-Control": "no-store", "Upload-Length": str(view.length)}
    if view.sent_metadata:
        headers["Upload-Metadata"] = view.sent_metadata
    return Response(status_code=200, headers=headers | _progress(view, _shown(resources, view)))


@router.get(PATH + "/{upload_id}")
def status(request: Request, upload_id: str, caller: Sender) -> JSONResponse:
    """Say as JSON what became of an upload; needs no Tus-Resumable."""
    resources = resources_of(request)
    view = _own(resources, upload_id, caller)
    return JSONResponse(
        {
            "id": view.id,
            "state": view.state,
            "offset": _shown(resources, view) if view.state in {"receiving", "stored"} else None,
            "length": view.length,
            "number": view.number,
            "sha256": view.sha256,
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
    await run_sync(_own, resources, upload_id, caller)  # before anybody is asked to stop
    async with _holds(request).take(upload_id, patience=_PATIENCE) as hold:
        view = await run_sync(_own, resources, upload_id, caller)
        if view.state == "stored":
            tus.admit(claimed=claimed, shown=view.length, length=view.length, body=body.size)
            return _accepted(intake.told(view), view.length)
        _require_alive(view, now=now)
        size = resources.spool.size(upload_id)
        tus.admit(claimed=claimed, shown=_shown(resources, view), length=view.length, body=body.size)
        if tus.whole(size=size, floor=view.floor, length=view.length):
            await check_last_byte_again(request, view, hold, body)
            received = Received(Ending.COMPLETE, view.length, None)
        else:
            view = await run_sync(_extend, resources, view, now)
            received = await append(request, view, hold, start=claimed, body=body)
        if received.offset == view.length:
            return _accepted(await run_sync(intake.finish, resources, upload_id, resources.now()), view.length)
    if received.refusal is not None:
        raise received.refusal
    return Response(status_code=204, headers={"Cache-Control": "no-store"} | _progress(view, received.offset))


@router.delete(PATH + "/{upload_id}")
async def terminate(request: Request, upload_id: str, caller: Sender) -> Response:
    """End an upload and drop what came of it."""
    tus.check_version(request.headers.get("tus-resumable"))
    resources = resources_of(request)
    await run_sync(_own, resources, upload_id, caller)
    async with _holds(request).take(upload_id, patience=_PATIENCE):
        await run_sync(_terminate, resources, upload_id, resources.now())
    return Response(status_code=204)


@router.post(PATH + "/{upload_id}")
async def overridden(request: Request, upload_id: str, caller: Sender) -> Response:
    """Do what X-HTTP-Method-Override says, for networks that let only POST through."""
    routes = {"PATCH": patch, "HEAD": head, "DELETE": terminate}
    asked = request.headers.get("x-http-method-override", "").strip().upper()
    if asked not in routes:
        raise Malformed(what="X-HTTP-Method-Override", value=asked[:20])
    return await routes[asked](request, upload_id, caller)


def _holds(request: Request) -> Holds:
    """Return who writes to what in this process; made at the first upload."""
    state = request.app.state
    if not hasattr(state, "upload_holds"):
        state.upload_holds = Holds()
    found = state.upload_holds
    assert isinstance(found, Holds)
    return found


def _shown(resources: Resources, view: UploadView) -> int:
    size = resources.spool.size(view.id)
    return tus.shown_offset(size=size, floor=view.floor, length=view.length, taken_in=view.state == "stored")


def _progress(view: UploadView, offset: int) -> dict[str, str]:
    headers = {"Upload-Offset": str(offset)}
    if view.state == "receiving":
        headers["Upload-Expires"] = formatdate(view.expires_at // SECOND, usegmt=True)
    return headers


def _told(accepted: Accepted, length: int) -> dict[str, str]:
    headers = {"Upload-Offset": str(length), "Liuhen-Number": accepted.number, "Liuhen-Sha256": accepted.digest.hex}
    if accepted.same_bytes_as is not None:
        headers["Liuhen-Same-Bytes-As"] = accepted.same_bytes_as
    return headers


def _accepted(accepted: Accepted, length: int) -> Response:
    return Response(status_code=204, headers={"Cache-Control": "no-store"} | _told(accepted, length))


def _require_alive(view: UploadView, *, now: Instant) -> None:
    """Pass an upload that is under way or taken in.

    Raises:
        UploadGone: It ended otherwise, or its time has run out and the next sweep will end it.
    """
    if view.state == "stored" or (view.state == "receiving" and view.expires_at > now):
        return
    raise UploadGone(id=view.id, state="expired" if view.state == "receiving" else view.state)


def _own(resources: Resources, upload_id: str, caller: Caller) -> UploadView:
    if not tus.is_upload_id(upload_id):
        raise NotFound(what="upload")
    with resources.reading() as session:
        return upload.require_owner(session, upload_id, caller)


def _create(
    resources: Resources, upload_id: str, *, caller: Caller, length: int, metadata: dict[str, bytes], now: Instant
) -> UploadView:
    with resources.transaction() as session:
        upload_id = upload.create(
            session,
            upload_id=upload_id,
            caller=caller,
            length=length,
            metadata=metadata,
            verify=signing.verify,
            now=now,
            expires_at=_expiry(resources, now),
        )
        view = upload.find(session, upload_id)
    failpoint("upload.created")
    if view.state == "receiving":
        resources.spool.begin(upload_id)
    failpoint("upload.begun")
    return view


def _extend(resources: Resources, view: UploadView, now: Instant) -> UploadView:
    """Give an upload that moves its full time again, once half of it is gone."""
    later = _expiry(resources, now)
    if 2 * (view.expires_at - now) > later - now:
        return view
    with resources.transaction() as session:
        upload.extend(session, view.id, expires_at=later)
        return upload.find(session, view.id)


def _expiry(resources: Resources, now: Instant) -> Instant:
    return Instant(now + resources.settings.upload_expiry_hours * HOUR)


def _terminate(resources: Resources, upload_id: str, now: Instant) -> None:
    with resources.transaction() as session:
        upload.terminate(session, upload_id, now=now)
    failpoint("upload.terminated")
    resources.spool.discard(upload_id)


def _no_page(request: Request, error: LiuhenError, status: int) -> NoReturn:
    """Stand where a page for people would be rendered; this interface has none."""
    raise AssertionError(request.url.path, error.code, status)
