"""Cases: the list, opening one, its timeline, binding and releasing items."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from archive.actions import case
from archive.actions import item as items
from archive.core.access import Act, Caller, PersonCaller
from archive.core.cases import MAX_TEXT, Stage
from archive.core.errors import AlreadyBound, CaseExists, Malformed, NotFound, Refusal
from archive.core.instant import SECOND, Instant, from_datetime
from archive.web.errors import STATUS
from archive.web.identity import allow, resources_of
from archive.web.pages import shapes, words
from archive.web.pages.errors import told
from archive.web.pages.language import catalogue, chosen, within
from archive.web.pages.render import page
from archive.web.pages.table import csv_answer
from archive.web.pages.timeline import drawn, listed

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from archive.resources import Resources

PAGE = 50
_HEAD = (words.N_("Number"), words.N_("Title"), words.N_("Subject"), words.N_("Items"), words.N_("Opened"), words.N_("By"))
_ITEMS_HEAD = (
    words.N_("Stage"),
    words.N_("Time"),
    words.N_("Clock verified"),
    words.N_("Number"),
    words.N_("Kind"),
    words.N_("Name"),
    words.N_("Recorder"),
    words.N_("Officer"),
    words.N_("Length in microseconds"),
)

router = APIRouter()
Reader = Annotated[Caller, Depends(allow(Act.CASE_READ))]
Writer = Annotated[Caller, Depends(allow(Act.CASE_WRITE))]


@router.get("/cases")
def list_cases(request: Request, caller: Reader) -> Response:
    """Show the cases, newest first."""
    q = request.query_params.get("q", "").strip()[:200]
    before = request.query_params.get("before", "")
    with resources_of(request).reading() as session:
        got = case.cases(session, q=q or None, before=int(before) if before.isdecimal() else None, limit=PAGE + 1)
        return page(
            request,
            caller,
            "cases.html",
            session=session,
            rows=got[:PAGE],
            next=got[PAGE - 1].id if len(got) > PAGE else None,
            total=case.count(session, q=q or None),
            query={"q": q, "before": before},
        )


@router.get("/cases.csv")
def export(request: Request, _caller: Reader) -> Response:
    """Return the cases as CSV."""
    resources = resources_of(request)
    zone = resources.settings.tz
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        rows = case.cases(session, q=request.query_params.get("q", "").strip()[:200] or None, limit=100_000)
    return csv_answer(
        "cases.csv",
        [say(label) for label in _HEAD],
        ((r.number, r.title, r.subject, r.items, shapes.clock(r.opened_at, zone), r.opened_by) for r in rows),
    )


@router.get("/cases/new")
def new(request: Request, caller: Writer) -> Response:
    """Show the form for a new case."""
    return _new(request, caller, {"number": "", "title": "", "subject": "", "matter": ""})


@router.post("/cases/new")
def open_case(
    request: Request,
    caller: Writer,
    *,
    number: Annotated[str, Form()] = "",
    title: Annotated[str, Form()] = "",
    subject: Annotated[str, Form()] = "",
    matter: Annotated[str, Form()] = "",
) -> Response:
    """Open a case and show it."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    try:
        with resources.transaction() as session:
            made = case.open_case(
                session, number=number, title=title, subject=subject, matter=matter, by=caller, now=resources.now()
            )
    except (CaseExists, Malformed) as why:
        return _new(request, caller, {"number": number, "title": title, "subject": subject, "matter": matter}, why)
    return RedirectResponse(f"/cases/{made}", status_code=303)


def _new(request: Request, caller: Caller, entered: dict[str, str], why: Refusal | None = None) -> Response:
    status = 200 if why is None else STATUS[why.code]
    with resources_of(request).reading() as session:
        refused = None if why is None else _open_refused(why, catalogue(chosen(request)).gettext)
        return page(request, caller, "case_new.html", session=session, status=status, entered=entered, refused=refused)


def _open_refused(why: Refusal, say: words.Say) -> str:
    if isinstance(why, CaseExists):
        return say(words.CASE_TAKEN) % {"number": why.facts["number"]}
    return say(words.CASE_REFUSED[str(why.facts["what"])]) % {"limit": MAX_TEXT}


@router.get("/cases/{case_id}")
def show(case_id: int, request: Request, caller: Reader) -> Response:
    """Show a case's timeline and what is bound to it."""
    return _case(request, caller, case_id, {"item": "", "stage": Stage.INVESTIGATION.value, "at": ""})


@router.get("/cases/{case_id}/bind")
def after_bind(case_id: int, _caller: Reader) -> Response:
    """Lead to the case: a refused form leaves this address behind, and whatever asks for it again means the page."""
    return RedirectResponse(f"/cases/{case_id}", status_code=303)


@router.post("/cases/{case_id}/bind")
def bind(  # noqa: PLR0917 - one parameter for each field of the form
    case_id: int,
    request: Request,
    caller: Writer,
    item: Annotated[str, Form(max_length=200)] = "",
    stage: Annotated[str, Form(max_length=40)] = "",
    at: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Bind an item to the case."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    try:
        written = paper_time(at, resources.settings.tz)
        with resources.transaction() as session:
            case.bind(
                session,
                case_id=case_id,
                number=item.strip(),
                stage=Stage.named(stage),
                at=written,
                by=caller,
                now=resources.now(),
            )
    except (AlreadyBound, Malformed, NotFound) as why:
        if why.facts.get("what") == "case":
            raise
        return _case(request, caller, case_id, {"item": item, "stage": stage, "at": at}, why)
    return RedirectResponse(f"/cases/{case_id}", status_code=303)


@router.post("/cases/{case_id}/runs")
def bind_run(
    case_id: int,
    request: Request,
    caller: Writer,
    item: Annotated[str, Form(max_length=200)] = "",
    stage: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Bind to the case what is not bound of an item's run."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    gap = resources.settings.join_gap_seconds * SECOND
    with resources.transaction() as session:
        case.bind_run(
            session, case_id=case_id, number=item, stage=Stage.named(stage), join_gap=gap, by=caller, now=resources.now()
        )
    return RedirectResponse(f"/cases/{case_id}", status_code=303)


@router.post("/cases/{case_id}/bindings/{binding_id}/end")
def unbind(
    case_id: int, binding_id: int, request: Request, caller: Writer, back: Annotated[str, Form(max_length=2000)] = ""
) -> Response:
    """Release an item from the case."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    with resources.transaction() as session:
        case.unbind(session, case_id=case_id, binding_id=binding_id, by=caller, now=resources.now())
    return RedirectResponse(within(back or f"/cases/{case_id}"), status_code=303)


@router.get("/cases/{case_id}/items.csv")
def export_items(case_id: int, request: Request, _caller: Reader) -> Response:
    """Return what is bound to a case as CSV."""
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        bound = case.timeline(session, case_id).bound
    return csv_answer(
        f"case-{case_id}.csv", [say(label) for label in _ITEMS_HEAD], (_line(each, resources, say) for each in bound)
    )


def _line(each: case.Bound, resources: Resources, say: words.Say) -> tuple[str | int | None, ...]:
    when = each.at if each.at is not None else each.started_at
    return (
        say(words.STAGE[each.stage.value]),
        None if when is None else shapes.clock(when, resources.settings.tz),
        say(words.YES if each.clock_verified else words.NO),
        *(each.number, say(words.KIND[each.kind.value]), each.name, each.recorder, each.officer, each.duration_us),
    )


def _case(request: Request, caller: Caller, case_id: int, entered: dict[str, str], why: Refusal | None = None) -> Response:
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        timeline = case.timeline(session, case_id, join_gap=resources.settings.join_gap_seconds * SECOND)
        waiting = items.page(session, items.Filter(bound=False), limit=200).rows
        return page(
            request,
            caller,
            "case.html",
            session=session,
            status=200 if why is None else STATUS[why.code],
            case=timeline.case,
            bound=timeline.bound,
            runs=listed(timeline),
            partly=[bar for lane in timeline.recorders for bar in lane.bars if bar.missing],
            drawn=drawn(timeline, zone=resources.settings.zone, say=say),
            waiting=waiting,
            stages=stages(say),
            entered=entered,
            refused=None if why is None else bind_refused(why, say, told(request, why)[1]),
        )


def stages(say: words.Say) -> list[tuple[str, str]]:
    """Return the stages in their order, for a form to choose from."""
    return [(stage.value, say(words.STAGE[stage.value])) for stage in Stage]


def bind_refused(why: Refusal, say: words.Say, otherwise: str) -> str:
    """Return why a binding was refused, in the words of the form it was asked for in."""
    return say(words.BIND_REFUSED[str(why.facts["what"])]) if why.facts.get("what") in words.BIND_REFUSED else otherwise


def paper_time(text: str, zone: ZoneInfo) -> Instant | None:
    """Return the instant a paper states, from a form's local date and time; None where nothing was entered.

    Raises:
        Malformed: it is no date and time.
    """
    if not text.strip():
        return None
    try:
        return from_datetime(datetime.fromisoformat(text.strip()).replace(tzinfo=zone))
    except ValueError as error:
        raise Malformed(what="paper_time", value=text[:40]) from error
