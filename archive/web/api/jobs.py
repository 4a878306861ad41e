"""Jobs: what is running, what failed and with which last words, and running it again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse

from archive.actions import jobs
from archive.core.access import Act, Caller, PersonCaller
from archive.core.instant import iso
from archive.web.identity import allow, resources_of

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


def as_json(job: jobs.JobView) -> dict[str, object]:
    """Return a job as the interface shows it."""
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "item": job.number,
        "recipe": job.payload.get("recipe"),
        "permille": job.permille,
        "note": job.note,
        "attempt": job.attempt,
        "error": job.error,
        "last_words": job.error_tail,
        "created_at": iso(job.created_at),
        "ended_at": None if job.ended_at is None else iso(job.ended_at),
    }


@router.get("", dependencies=[Depends(allow(Act.JOB_READ))])
def list_jobs(
    request: Request,
    state: Annotated[str | None, Query(pattern="^(waiting|running|done|dead)$")] = None,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JSONResponse:
    """List jobs, newest first."""
    states = (state,) if state else ("waiting", "running", "dead")
    with resources_of(request).reading() as session:
        found = jobs.overview(session, states=states, before=before, limit=limit)
        counts = jobs.counts(session)
    return JSONResponse({"jobs": [as_json(job) for job in found], "counts": counts}, headers={"Cache-Control": "no-store"})


@router.post("/{job_id}/rerun", status_code=202)
def rerun(job_id: int, request: Request, caller: Annotated[Caller, Depends(allow(Act.JOB_RERUN))]) -> JSONResponse:
    """Run a dead job again."""
    resources = resources_of(request)
    assert isinstance(caller, PersonCaller)
    with resources.transaction() as session:
        jobs.rerun(session, job_id=job_id, by=caller, now=resources.now())
    return JSONResponse({"id": job_id, "state": "waiting"}, 202)
