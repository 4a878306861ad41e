"""One item: its replay, its facts, its custody, its bindings, and the work that goes on for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from archive.actions import case, custody, document, jobs, rendition, replica
from archive.actions import item as items
from archive.actions import page as pages
from archive.core.access import Act, Caller, PersonCaller
from archive.core.cases import Stage
from archive.core.errors import AlreadyBound, Malformed, NotFound, Refusal
from archive.core.instant import SECOND
from archive.core.jobs import SHOWS
from archive.web.api.items import look
from archive.web.errors import STATUS
from archive.web.identity import allow, resources_of
from archive.web.pages import damage, documents, facts, runs
from archive.web.pages.cases import bind_refused, paper_time, stages
from archive.web.pages.errors import told
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.render import page
from archive.web.pages.replay import Replay, replay
from archive.web.pages.words import Say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from archive.resources import Resources


router = APIRouter()
Reader = Annotated[Caller, Depends(allow(Act.ITEM_READ))]


NEW = 10 * SECOND
EXAMINED_WITHIN_S = 0.8
GLANCE_S = 0.02
"""An examination takes a quarter of a second. Waiting for it here shows the player sooner than a page that has to ask again."""


@router.get("/items/{number}")
def show(number: str, request: Request, caller: Reader) -> Response:
    """Show an item; one that came in this very moment, as soon as it is known how it plays."""
    _await_examination(resources_of(request), number)
    return _item(request, caller, number, {"case": "", "stage": Stage.INVESTIGATION.value, "at": ""})


@router.get("/items/{number}/panel")
def panel(
    number: str, request: Request, caller: Reader, at: Annotated[str, Query(pattern=r"^\d{1,9}(\.\d{1,6})?$")] = "0"
) -> Response:
    """Return an item's player or pages for a panel beside something else, to begin at a second."""
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        item = items.find(session, number)
        shown, work = _shown(session, item, request, say)
        wrong = _damage(session, item, work, say)
        run = runs.shown(session, number, join_gap_seconds=resources.settings.join_gap_seconds, say=say)
    look(resources, item, caller, "page")
    return page(request, caller, "panel.html", item=item, replay=shown, run=run, at=at, **wrong)


@router.get("/items/{number}/progress")
def progress(number: str, request: Request, caller: Reader, shown: Annotated[str, Query(max_length=40)] = "") -> Response:
    """Return how far the work on an item is, and what it has made; when that changes the page's form, the page is loaded anew."""
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        item = items.find(session, number)
        replayed, jobs_of_it = _shown(session, item, request, say)
        work = _work(item, replayed, jobs_of_it) | _damage(session, item, jobs_of_it, say)
    response = page(request, caller, "jobs_fragment.html", item=item, oob=True, **work)
    if shown and shown != work["form"]:
        response.headers["HX-Refresh"] = "true"
    return response


@router.get("/items/{number}/bind")
def after_bind(number: str, _caller: Reader) -> Response:
    """Lead to the item: a refused form leaves this address behind, and whatever asks for it again means the page."""
    return RedirectResponse(f"/items/{quote(number, safe='')}", status_code=303)


@router.post("/items/{number}/bind")
def bind(  # noqa: PLR0917 - one parameter for each field of the form
    number: str,
    request: Request,
    caller: Annotated[Caller, Depends(allow(Act.CASE_WRITE))],
    case_number: Annotated[str, Form(alias="case", max_length=1000)] = "",
    stage: Annotated[str, Form(max_length=40)] = "",
    at: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Bind this item to a case, named by its number."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    try:
        written = paper_time(at, resources.settings.tz)
        with resources.transaction() as session:
            case.bind(
                session,
                case_id=case.by_number(session, case_number),
                number=number,
                stage=Stage.named(stage),
                at=written,
                by=caller,
                now=resources.now(),
            )
    except (AlreadyBound, Malformed, NotFound) as why:
        if why.facts.get("what") == "item":
            raise
        return _item(request, caller, number, {"case": case_number, "stage": stage, "at": at}, why)
    return RedirectResponse(request.url.path.removesuffix("/bind"), status_code=303)


def _await_examination(resources: Resources, number: str) -> None:
    """Wait a moment for the examination of a new item; an old one that was never examined is shown as it is."""
    deadline = time.monotonic() + EXAMINED_WITHIN_S
    while time.monotonic() < deadline:
        with resources.reading() as session:
            item = items.find(session, number)
        if item.condition != "unchecked" or resources.now() - item.stored_at > NEW:
            return
        time.sleep(GLANCE_S)


def _shown(session: Session, item: items.ItemView, request: Request, say: Say) -> tuple[Replay, list[jobs.JobView]]:
    work = jobs.of_item(session, item.id, item.sha256.hex)
    working = any(job.state in ("waiting", "running") for job in work)
    made = rendition.of(session, item.sha256)
    zone = resources_of(request).settings.zone
    return replay(item, made, has_pages=pages.any_of(session, item), working=working, zone=zone, say=say), work


def _damage(session: Session, item: items.ItemView, work: Sequence[jobs.JobView], say: Say) -> dict[str, Any]:
    """What is wrong with an item, and what was looked at for that."""
    working = any(job.state in ("waiting", "running") for job in work)
    return {
        "findings": [facts.finding(one, say) for one in item.findings],
        "damage": damage.shown(item, rendition.of(session, item.sha256), working=working, say=say),
    }


def _work(item: items.ItemView, shown: Replay, work: Sequence[jobs.JobView]) -> dict[str, Any]:
    """What the progress fragment shows, and what it tells the player that has been made meanwhile."""
    fresh: dict[str, Any] = {_camel(name): value for name, value in shown.data.items() if name != "zone"}
    if shown.sources:
        fresh["sources"] = [dict(source) for source in shown.sources]
    return {
        "jobs": work,
        "pending": sum(job.state in ("waiting", "running") for job in work),
        "failed": sum(job.state == "dead" for job in work),
        "fresh": fresh,
        "form": f"{shown.form}-{item.condition}",
        "number": item.number,
    }


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(part.capitalize() for part in rest)


def _item(request: Request, caller: Caller, number: str, entered: dict[str, str], why: Refusal | None = None) -> Response:
    resources = resources_of(request)
    translations = catalogue(chosen(request))
    say = translations.gettext
    with resources.reading() as session:
        item = items.find(session, number)
        shown, work = _shown(session, item, request, say)
        answer = page(
            request,
            caller,
            "item.html",
            session=session,
            status=200 if why is None else STATUS[why.code],
            item=item,
            replay=shown,
            run=runs.shown(session, number, join_gap_seconds=resources.settings.join_gap_seconds, say=say),
            at=None,
            oob=False,
            **_work(item, shown, work),
            sheets=(listed := documents.sheets(session, item)),
            drawing=documents.at_work(session, listed),
            place=document.place_of(session, item.id),
            **_damage(session, item, work, say),
            technical=facts.technical(item, say),
            clock_said=facts.clock(item, say),
            copies=None if resources.replica is None else replica.copies_of(session, item.sha256),
            renditions=[one for one in rendition.of(session, item.sha256) if one.recipe in rendition.PLAYABLE],
            events=facts.events(list(reversed(custody.of_item(session, item.id))), say),
            cases=case.cases(session, limit=200),
            stages=stages(say),
            entered=entered,
            refused=None if why is None else bind_refused(why, say, told(request, why)[1]),
        )
    if why is None:
        look(resources, item, caller, "page")
        if any(job.state == "waiting" and job.kind in SHOWS for job in work):
            with resources.transaction() as session:
                jobs.hasten(session, sha256=item.sha256.hex)
    return answer
