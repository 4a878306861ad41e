"""Runs: the files of one recorder that follow one another, and what lies between them."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse

from archive.actions import run
from archive.core.access import Act
from archive.core.instant import SECOND, iso
from archive.web.identity import allow, resources_of

router = APIRouter(prefix="/api/v1/items", tags=["items"])


@router.get("/{number}/run", dependencies=[Depends(allow(Act.ITEM_READ))])
def read_run(number: str, request: Request) -> JSONResponse:
    """Return the run an item is part of: its files in order, and between every two the gap, below zero where they overlap."""
    resources = resources_of(request)
    with resources.reading() as session:
        found = run.run_of(session, number, join_gap=resources.settings.join_gap_seconds * SECOND)
    return JSONResponse(as_json(found), headers={"Cache-Control": "no-store"})


def as_json(found: run.RunView) -> dict[str, object]:
    """Return a run as the interface tells it; `place` counts from 1."""
    span, first = found.run.span, found.run.members[0].recording
    return {
        "place": found.place + 1,
        "files": len(found.run.members),
        "whole": found.whole,
        "recorder": first.recorder,
        "officer": first.officer,
        "clock_offset_us": first.clock_offset,
        "start": None if span is None else iso(span.start),
        "end": None if span is None else iso(span.end),
        "recorded_us": found.run.recorded,
        "members": [
            {
                "item": member.recording.number,
                "also": list(member.also),
                "sequence": member.recording.sequence,
                "start": None if member.recording.start is None else iso(member.recording.start),
                "duration_us": member.recording.length,
            }
            for member in found.run.members
        ],
        "joins": [{"gap_us": join.gap, "by": join.by.value} for join in found.run.joins],
        "before": _beside(found.before),
        "after": _beside(found.after),
    }


def _beside(other: run.Beside | None) -> dict[str, object] | None:
    return None if other is None else {"item": other.number, "gap_us": other.gap, "why": other.why.value}
