"""The inbox: what arrives now, and what no case holds yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from archive.actions import document, upload
from archive.actions import item as items
from archive.core.access import Act, Caller
from archive.core.digest import Digest
from archive.core.errors import NotFound
from archive.core.instant import Instant
from archive.resources import Resources
from archive.web.identity import allow, resources_of
from archive.web.pages.items import asked, found
from archive.web.pages.render import page

router = APIRouter()
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Arriving:
    """An upload under way; `length` is None while its sender has not said it, `offset` how many bytes are here and known to be right."""

    name: str
    source: str
    created_at: Instant
    length: int | None
    offset: int | None


@router.get("/inbox")
def inbox(request: Request, caller: Annotated[Caller, Depends(allow(Act.ITEM_LIST))]) -> Response:
    """Show the inbox."""
    resources = resources_of(request)
    ask = asked(request.query_params, resources.settings.tz, bound=False)
    with resources.reading() as session:
        rows = found(session, ask)
        seen = _state(rows)
        if request.query_params.get("seen") == seen:
            # The page asks whether there is news; while there is none nothing is swapped, so that nobody loses their place.
            return Response(status_code=204)
        return page(
            request,
            caller,
            "inbox.html",
            session=session,
            page=rows,
            seen=seen,
            query=ask.query,
            uploads=_arriving(resources, upload.receiving(session)),
            papers=document.waiting(session),
            sender=False,
        )


@router.get("/inbox/uploads")
def uploads(request: Request, caller: Annotated[Caller, Depends(allow(Act.UPLOAD_LIST))]) -> Response:
    """Return the part of the inbox that shows what arrives, for it to stay current."""
    resources = resources_of(request)
    with resources.reading() as session:
        arriving = _arriving(resources, upload.receiving(session))
        return page(request, caller, "uploads.html", uploads=arriving, papers=document.waiting(session), sender=False)


def _state(rows: items.Page) -> str:
    """A short text that changes when the first page of the inbox does."""
    shown = "|".join(f"{row.number}:{row.verified_at}:{row.verdict}:{row.condition}" for row in rows.rows)
    return Digest.of(f"{rows.total}|{shown}".encode()).hex[:16]


def _arriving(resources: Resources, views: list[upload.UploadView]) -> list[Arriving]:
    return [
        Arriving(view.name, view.source_name, view.created_at, view.length, _offset(resources, view))
        for view in reversed(views[-SHOWN:])
    ]


def _offset(resources: Resources, view: upload.UploadView) -> int | None:
    if view.direct:
        return None  # how much of it is there is the store's to say, and a page asks no store
    if view.floor is not None:
        return view.floor
    try:
        size = resources.spool.size(view.id)
        return size if view.length is None else min(size, view.length)
    except NotFound:
        return None
