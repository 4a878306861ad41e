"""A recording's run on pages: what the player's line is drawn from, the list of its files, and how each of them plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from archive.actions import item as items
from archive.actions import jobs, rendition, run
from archive.core.access import Act, Caller
from archive.core.instant import SECOND, Instant
from archive.web.identity import allow, resources_of
from archive.web.pages import words
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.replay import replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from archive.core.runs import Join

router = APIRouter()


@dataclass(frozen=True, slots=True)
class File:
    """A line of a run's list; `join` is what lies between it and the file before."""

    number: str
    place: int
    start: Instant | None
    length: int | None
    sequence: int | None
    join: Join | None
    here: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A run as a page shows it: `line` for the player, which is empty for a file that stands alone, and the files as a list."""

    line: dict[str, Any] | None
    files: Sequence[File]
    place: int
    recorded: int
    length: int
    longest: int
    whole: bool
    asides: Sequence[str]


def shown(session: Session, number: str, *, join_gap_seconds: int, say: words.Say) -> Shown:
    """Return the run of an item as its page shows it."""
    found = run.run_of(session, number, join_gap=join_gap_seconds * SECOND)
    joins = (None, *found.run.joins)
    files = [
        File(
            number if index == found.place else member.recording.number,
            index + 1,
            member.recording.start,
            member.recording.length,
            member.recording.sequence,
            joins[index],
            index == found.place,
        )
        for index, member in enumerate(found.run.members)
    ]
    span = found.run.span
    return Shown(
        line=None if len(files) == 1 else _line(files, found.place),
        files=files,
        place=found.place + 1,
        recorded=found.run.recorded,
        length=0 if span is None else span.length,
        longest=max((join.gap for join in found.run.joins), default=0),
        whole=found.whole,
        asides=[_aside(other, say) for other in (found.before, found.after) if other is not None],
    )


@router.get("/items/{number}/replay")
def how_it_plays(number: str, request: Request, _caller: Annotated[Caller, Depends(allow(Act.ITEM_READ))]) -> Response:
    """Return how an item plays, for a player that goes on to it; addresses only, so that asking is no look at it."""
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        item = items.find(session, number)
        work = jobs.of_item(session, item.id, item.sha256.hex)
        working = any(job.state in ("waiting", "running") for job in work)
        made = rendition.of(session, item.sha256)
    found = replay(item, made, working=working, zone=resources.settings.zone, say=say)
    answer = {
        "sources": [dict(source) for source in found.sources],
        "data": dict(found.data),
        "waiting": found.playable or found.waiting,
        "reason": found.reason,
    }
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _line(files: Sequence[File], at: int) -> dict[str, Any]:
    return {
        "at": at,
        "files": [
            {
                "number": each.number,
                "href": f"/items/{quote(each.number, safe='')}",
                "start": each.start,
                "length": each.length,
                "by": None if each.join is None else each.join.by.value,
            }
            for each in files
        ],
    }


def _aside(other: run.Beside, say: words.Say) -> str:
    return say(words.APART[other.why.value]) % {"number": other.number.partition("-")[2]}
