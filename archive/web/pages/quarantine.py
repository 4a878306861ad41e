"""The quarantine: bytes that were not what their sender declared."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from archive.actions import quarantine as aside
from archive.core.access import Act, Caller
from archive.web.identity import allow, resources_of
from archive.web.pages import shapes
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.render import page
from archive.web.pages.table import csv_answer
from archive.web.pages.words import N_

router = APIRouter()
PAGE = 50
_HEAD = (
    N_("Since"),
    N_("Name"),
    N_("From"),
    N_("Size in bytes"),
    N_("Declared SHA-256"),
    N_("SHA-256 of what came"),
    N_("Upload"),
)


@router.get("/quarantine")
def quarantine(
    request: Request,
    caller: Annotated[Caller, Depends(allow(Act.UPLOAD_LIST))],
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Show what is kept apart."""
    with resources_of(request).reading() as session:
        rows = aside.kept(session, limit=PAGE + 1, after=after)
        return page(
            request,
            caller,
            "quarantine.html",
            session=session,
            rows=rows[:PAGE],
            total=aside.count(session),
            after=after,
            next=rows[PAGE - 1].upload_id if len(rows) > PAGE else None,
        )


@router.get("/quarantine.csv")
def export(request: Request, _caller: Annotated[Caller, Depends(allow(Act.UPLOAD_LIST))]) -> Response:
    """Return what is kept apart as CSV."""
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        rows = aside.kept(session, limit=10_000)
    zone = resources.settings.tz
    return csv_answer(
        "quarantine.csv",
        [say(label) for label in _HEAD],
        ((shapes.clock(r.at, zone), r.name, r.source, r.size, r.declared.hex, r.actual.hex, r.upload_id) for r in rows),
    )
