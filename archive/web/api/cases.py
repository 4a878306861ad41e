"""Cases: opening, binding, the timeline."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from archive.actions import case
from archive.core.access import Act, Caller, PersonCaller
from archive.core.cases import Stage
from archive.core.instant import SECOND, Instant, iso, parse
from archive.core.timeline import Span
from archive.web.identity import allow, resources_of

router = APIRouter(prefix="/api/v1/cases", tags=["cases"])


class NewCase(BaseModel):
    """A case to open."""

    number: str = Field(max_length=400)
    title: str = Field(max_length=400)
    subject: str = Field(max_length=400)
    matter: str = Field("", max_length=400)


class NewBinding(BaseModel):
    """An item to bind; `at` is the time written on the paper, ISO 8601 with an offset."""

    item: str = Field(max_length=64)
    stage: str = Field(max_length=32)
    at: str | None = Field(default=None, max_length=64)


@router.post("", status_code=201)
def open_case(new: NewCase, request: Request, caller: Annotated[Caller, Depends(allow(Act.CASE_WRITE))]) -> JSONResponse:
    """Open a case."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    with resources.transaction() as session:
        made = case.open_case(
            session, number=new.number, title=new.title, subject=new.subject, matter=new.matter, by=caller, now=resources.now()
        )
    return JSONResponse({"id": made}, 201, {"Location": f"/api/v1/cases/{made}"})


@router.get("", dependencies=[Depends(allow(Act.CASE_READ))])
def list_cases(
    request: Request,
    q: Annotated[str | None, Query(max_length=200)] = None,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JSONResponse:
    """List cases, newest first."""
    with resources_of(request).reading() as session:
        found = case.cases(session, q=q, before=before, limit=limit)
        total = case.count(session, q=q)
    return JSONResponse({"cases": [_case(each) for each in found], "total": total}, headers={"Cache-Control": "no-store"})


@router.get("/{case_id}", dependencies=[Depends(allow(Act.CASE_READ))])
def read_case(case_id: int, request: Request) -> JSONResponse:
    """Return a case and what is bound to it."""
    with resources_of(request).reading() as session:
        found = case.timeline(session, case_id)
    return JSONResponse(
        {**_case(found.case), "bindings": [_bound(each) for each in found.bound]}, headers={"Cache-Control": "no-store"}
    )


@router.post("/{case_id}/bindings", status_code=201)
def bind(
    case_id: int, new: NewBinding, request: Request, caller: Annotated[Caller, Depends(allow(Act.CASE_WRITE))]
) -> JSONResponse:
    """Bind an item to the case and a stage."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    stage, at = Stage.named(new.stage), None if new.at is None else parse(new.at)
    with resources.transaction() as session:
        made = case.bind(session, case_id=case_id, number=new.item, stage=stage, at=at, by=caller, now=resources.now())
    return JSONResponse({"id": made}, 201)


@router.delete("/{case_id}/bindings/{binding_id}", status_code=204)
def unbind(
    case_id: int, binding_id: int, request: Request, caller: Annotated[Caller, Depends(allow(Act.CASE_WRITE))]
) -> Response:
    """End a binding."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    with resources.transaction() as session:
        case.unbind(session, case_id=case_id, binding_id=binding_id, by=caller, now=resources.now())
    return Response(status_code=204)


@router.get("/{case_id}/timeline", dependencies=[Depends(allow(Act.CASE_READ))])
def read_timeline(case_id: int, request: Request) -> JSONResponse:
    """Return the case's timeline: the folded axis, and what stands on it in its lanes."""
    with resources_of(request).reading() as session:
        found = case.timeline(session, case_id, join_gap=resources_of(request).settings.join_gap_seconds * SECOND)
    return JSONResponse(timeline_json(found), headers={"Cache-Control": "no-store"})


def timeline_json(found: case.Timeline) -> dict[str, object]:
    """Return a timeline as the interface and the page's component read it."""
    return {
        "case": _case(found.case),
        "axis": [
            {**_span(stretch.span), "folded": stretch.folded, "left": stretch.left, "right": stretch.right}
            for stretch in found.axis
        ],
        "stages": [
            {"stage": bar.stage.value, **_span(bar.span), "left": bar.left, "right": bar.right, "row": bar.row}
            for bar in found.stages
        ],
        "recorders": [_lane(lane) for lane in found.recorders],
        "documents": _lane(found.documents),
        "undated": [_bound(each) for each in found.undated],
    }


def _case(found: case.CaseView) -> dict[str, object]:
    return {
        "id": found.id,
        "number": found.number,
        "title": found.title,
        "subject": found.subject,
        "matter": found.matter,
        "opened_at": iso(found.opened_at),
        "opened_by": found.opened_by,
        "items": found.items,
    }


def _lane(lane: case.Lane) -> dict[str, object]:
    return {
        "recorder": lane.recorder,
        "officer": lane.officer,
        "rows": lane.rows,
        "marks": [
            {**_bound(mark.bound), **_span(mark.span), "left": mark.left, "right": mark.right, "row": mark.row}
            for mark in lane.marks
        ],
        "runs": [_bar(bar) for bar in lane.bars],
    }


def _bar(bar: case.Bar) -> dict[str, object]:
    return {
        **_span(bar.span),
        "left": bar.left,
        "right": bar.right,
        "row": bar.row,
        "files": bar.files,
        "not_bound": bar.missing,
        "clock_verified": bar.bound.clock_verified,
        "members": [{"item": part.number, **_span(part.span), "place": part.place, "bound": part.bound} for part in bar.parts],
        "joins": [{"gap_us": join.gap, "by": join.by.value} for join in bar.joins],
    }


def _bound(each: case.Bound) -> dict[str, object]:
    return {
        "binding": each.binding_id,
        "stage": each.stage.value,
        "at": _iso(each.at),
        "item": each.number,
        "kind": each.kind.value,
        "name": each.name,
        "recorder": each.recorder,
        "officer": each.officer,
        "started_at": _iso(each.started_at),
        "duration_us": each.duration_us,
        "clock_verified": each.clock_verified,
        "condition": each.condition,
        "verified": each.verified_at is not None,
    }


def _span(span: Span) -> dict[str, object]:
    return {"start": iso(span.start), "end": iso(span.end)}


def _iso(instant: Instant | None) -> str | None:
    return None if instant is None else iso(instant)
