"""Jobs: what runs, what waits, what failed and with which last words, and running it again."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from archive.actions import jobs
from archive.core.access import Act, Caller, PersonCaller
from archive.core.errors import JobNotDead
from archive.web.errors import STATUS
from archive.web.identity import allow, resources_of
from archive.web.pages import shapes, words
from archive.web.pages.errors import told
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.render import page
from archive.web.pages.table import csv_answer

if TYPE_CHECKING:
    from collections.abc import Callable

STATES = ("running", "waiting", "dead", "done")
PAGE = 50
_HEAD = (
    words.N_("Work"),
    words.N_("Item"),
    words.N_("State"),
    words.N_("Attempt"),
    words.N_("Queued"),
    words.N_("Ended"),
    words.N_("Why"),
    words.N_("The tool's last words"),
)

router = APIRouter()


@router.get("/jobs")
def overview(request: Request, caller: Annotated[Caller, Depends(allow(Act.JOB_READ))]) -> Response:
    """Show the jobs of one state."""
    return _shown(request, caller)


@router.post("/jobs/{job_id}/rerun")
def rerun(job_id: int, request: Request, caller: Annotated[Caller, Depends(allow(Act.JOB_RERUN))]) -> Response:
    """Run a failed job again."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    try:
        with resources.transaction() as session:
            jobs.rerun(session, job_id=job_id, by=caller, now=resources.now())
    except JobNotDead as why:
        return _shown(request, caller, refused=told(request, why)[1], status=STATUS[why.code])
    return RedirectResponse("/jobs?state=dead", status_code=303)


@router.get("/jobs.csv")
def export(request: Request, _caller: Annotated[Caller, Depends(allow(Act.JOB_READ))]) -> Response:
    """Return every job of one state as CSV."""
    resources = resources_of(request)
    zone = resources.settings.tz
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        rows = jobs.overview(session, states=(_state(request, 0),), limit=100_000)
    return csv_answer(
        "jobs.csv",
        [say(label) for label in _HEAD],
        (
            (
                *(say(words.JOB_KIND[row.kind]), row.number, say(words.JOB_STATE[row.state]), row.attempt),
                *(shapes.clock(row.created_at, zone), None if row.ended_at is None else shapes.clock(row.ended_at, zone)),
                *(None if row.error is None else why(row.error, say), row.error_tail),
            )
            for row in rows
        ),
    )


def why(error: str, say: Callable[[str], str]) -> str:
    """Return what a job's error code means; a code without words of its own is a fault of ours."""
    return say(words.JOB_ERROR.get(error, words.JOB_FAULT))


def _state(request: Request, failed: int) -> str:
    given = request.query_params.get("state", "")
    return given if given in STATES else ("dead" if failed else "running")


def _shown(request: Request, caller: Caller, *, refused: str | None = None, status: int = 200) -> Response:
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    before = request.query_params.get("before", "")
    with resources.reading() as session:
        counts = jobs.counts(session)
        state = _state(request, counts["dead"])
        got = jobs.overview(session, states=(state,), before=int(before) if before.isdecimal() else None, limit=PAGE + 1)
        return page(
            request,
            caller,
            "jobs.html",
            session=session,
            status=status,
            rows=[_line(job, say) for job in got[:PAGE]],
            next=got[PAGE - 1].id if len(got) > PAGE else None,
            total=counts[state],
            tabs=[(each, counts[each]) for each in STATES],
            query={"state": state, "before": before},
            refused=refused,
        )


def _line(job: jobs.JobView, say: Callable[[str], str]) -> dict[str, Any]:
    return {field.name: getattr(job, field.name) for field in fields(job)} | {"why": why(job.error, say) if job.error else None}
