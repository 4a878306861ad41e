"""The upload page: files from a person's own computer, and documents made of several scans.

The page is a form with words and limits; its component (archive/web/ui/upload.ts) speaks tus to /api/v1/uploads with the session's cookie,
which the archive accepts from its own pages only. What the component asks for afterwards is answered here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from archive.actions import case, document
from archive.actions import item as items
from archive.core.access import Act, Caller, PersonCaller
from archive.core.cases import Stage
from archive.core.digest import Digest
from archive.core.errors import NotFound
from archive.web.identity import allow, resources_of
from archive.web.pages import words
from archive.web.pages.cases import stages
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.render import page
from archive.web.pages.upload_words import REFUSED, UPLOADING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

CHUNK: Final = 32 * 1024 * 1024
"""Bytes of one request: proxies that buffer or limit bodies cope with it, and a broken line costs at most what of it is on its way."""
AT_ONCE: Final = 3
"""Uploads at a time: a disk and a line are filled by three, and a browser opens six connections to one host."""
ASKED: Final = 200

router = APIRouter()
_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/upload")
def upload(
    request: Request,
    caller: Annotated[Caller, Depends(allow(Act.UPLOAD_CREATE))],
    number: Annotated[str, Query(alias="case", max_length=200)] = "",
    stage: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Show the page; a link from a case fills in what the files are for."""
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        recorders, _officers = items.choices(session)
        meant = _case(session, number)
        return page(
            request,
            caller,
            "upload.html",
            session=session,
            login=caller.login if isinstance(caller, PersonCaller) else "",
            limit=resources.settings.max_upload_bytes,
            chunk=CHUNK,
            at_once=AT_ONCE,
            days=max(1, resources.settings.upload_expiry_hours // 24),
            kinds={key: say(text) for key, text in words.KIND.items()},
            stage_words={key: say(text) for key, text in words.STAGE.items()},
            refusals={key: say(text) for key, text in REFUSED.items()},
            player_words={key: say(text) for key, text in {**words.PLAYER, **UPLOADING}.items()},
            entered={
                "case": number if meant is None else meant.number,
                "stage": stage if stage in set(Stage) else Stage.INVESTIGATION.value,
                "recorder": "",
            },
            case_title="" if meant is None else meant.title,
            cases=case.cases(session, limit=20),
            stages=stages(say),
            recorders=recorders,
            **_waiting(session, caller),
        )


@router.get("/upload/papers")
def papers(
    request: Request,
    caller: Annotated[Caller, Depends(allow(Act.UPLOAD_CREATE))],
    seen: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Return the part of the page that shows the caller's documents which wait for pages; nothing while it is as it was seen."""
    with resources_of(request).reading() as session:
        shown = _waiting(session, caller)
        if shown["seen"] == seen:
            return Response(status_code=204)
        return page(request, caller, "papers_live.html", **shown)


@router.get("/upload/case")
def known_case(
    request: Request,
    _caller: Annotated[Caller, Depends(allow(Act.CASE_READ))],
    number: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Return the case that a typed number means, in its own spelling."""
    with resources_of(request).reading() as session:
        found = case.find(session, case.by_number(session, number))
    return JSONResponse({"number": found.number, "title": found.title}, headers=_NO_STORE)


@router.get("/upload/states")
def states(
    request: Request,
    caller: Annotated[Caller, Depends(allow(Act.ITEM_LIST))],
    numbers: Annotated[list[str], Query(alias="n", max_length=ASKED, default_factory=list)],
    ids: Annotated[list[str], Query(alias="p", max_length=ASKED, default_factory=list)],
) -> Response:
    """Return what became of items, and how far the caller's documents are; unknown ones are left out."""
    with resources_of(request).reading() as session:
        found = items.states(session, numbers)
        papers = document.standings(session, ids, caller=caller)
    told: dict[str, Any] = {
        "items": {number: {"state": _state(each), "same": each.same_bytes_as} for number, each in found.items()},
        "papers": {paper_id: {"arrived": each.arrived, "number": each.number} for paper_id, each in papers.items()},
    }
    return JSONResponse(told, headers=_NO_STORE)


def _waiting(session: Session, caller: Caller) -> dict[str, Any]:
    """What the list of the caller's documents shows, and a short text that changes when it does."""
    waits = document.waiting(session, caller=caller)
    seen = Digest.of("|".join(f"{each.id}:{each.arrived}" for each in waits).encode()).hex[:16]
    return {"papers": waits, "sender": True, "seen": seen}


def _state(each: items.State) -> str:
    if each.verdict not in (None, "intact"):
        return "flawed"
    return "stored" if each.verified_at is None else "verified"


def _case(session: Session, number: str) -> case.CaseView | None:
    try:
        return case.find(session, case.by_number(session, number)) if number else None
    except NotFound:
        return None
