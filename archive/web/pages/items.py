"""The search for items: filters in the address bar, a page at a time, or everything found as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from archive.actions import item as items
from archive.core.access import Act, Caller
from archive.core.accession import Kind
from archive.core.instant import Instant, from_datetime
from archive.web.identity import allow, resources_of
from archive.web.pages import shapes, words
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.render import page
from archive.web.pages.table import csv_answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

STATES = ("stored", "verified", "flawed", "damaged")
_STATE_WORDS = {
    "stored": words.N_("Stored, not read back yet"),
    "verified": words.N_("Verified"),
    "flawed": words.N_("Altered, missing or unreadable"),
    "damaged": words.N_("Damaged"),
}
_FIELDS = ("q", "kind", "officer", "recorder", "from", "to", "state", "bound")
PAGE = 50
_HEAD = (
    *(words.N_("Number"), words.N_("Kind"), words.N_("Name"), words.N_("Recorder"), words.N_("Officer"), words.N_("Started")),
    *(words.N_("Clock verified"), words.N_("Length in microseconds"), words.N_("Size in bytes"), "SHA-256", words.N_("Taken in")),
    *(words.N_("Verified at"), words.N_("Verdict"), words.N_("Condition"), words.N_("From"), words.N_("Cases")),
)

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for; `query` holds every field as text, so that a form can show it again."""

    query: dict[str, str]
    wanted: items.Filter
    sort: items.Sort
    descending: bool

    @property
    def filtered(self) -> bool:
        """Whether anything narrows the list."""
        return any(self.query[name] for name in _FIELDS)


def asked(params: Mapping[str, str], zone: ZoneInfo, *, bound: bool | None = None) -> Asked:
    """Return what an address's fields ask for; a value that means nothing is as if it were absent, so that old links still lead somewhere.

    Args:
        params: the address's fields; `from` and `to` are days in the agency's zone, both inclusive.
        zone: the agency's.
        bound: what the page itself demands, over what the address says.
    """
    query = {name: params.get(name, "").strip()[:200] for name in (*_FIELDS, "after")}
    query["sort"] = params.get("sort", "") if params.get("sort") in set(items.Sort) else items.Sort.STORED.value
    query["order"] = "asc" if params.get("order") == "asc" else "desc"
    wanted_bound = {"yes": True, "no": False}.get(query["bound"])
    wanted = items.Filter(
        q=query["q"] or None,
        kind=Kind(query["kind"]) if query["kind"] in set(Kind) else None,
        officer=query["officer"] or None,
        recorder=query["recorder"] or None,
        start=_midnight(query["from"], zone),
        end=_midnight(query["to"], zone, days=1),
        state=query["state"] if query["state"] in STATES else None,
        bound=wanted_bound if bound is None else bound,
    )
    return Asked(query, wanted, items.Sort(query["sort"]), query["order"] == "desc")


def _midnight(text: str, zone: ZoneInfo, *, days: int = 0) -> Instant | None:
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return from_datetime(datetime(day.year, day.month, day.day, tzinfo=zone))


def found(session: Session, ask: Asked) -> items.Page:
    """Return the page of items that is asked for."""
    after = ask.query["after"] or None
    return items.page(session, ask.wanted, sort=ask.sort, descending=ask.descending, after=after, limit=PAGE)


@router.get("/items")
def search(request: Request, caller: Annotated[Caller, Depends(allow(Act.ITEM_LIST))]) -> Response:
    """Show the items that fit."""
    resources = resources_of(request)
    ask = asked(request.query_params, resources.settings.tz)
    say = catalogue(chosen(request)).gettext
    with resources.reading() as session:
        recorders, officers = items.choices(session)
        return page(
            request,
            caller,
            "items.html",
            session=session,
            page=found(session, ask),
            query=ask.query,
            filtered=ask.filtered,
            recorders=recorders,
            officers=officers,
            kinds=[(kind.value, say(words.KIND[kind.value])) for kind in Kind],
            states=[(state, say(text)) for state, text in _STATE_WORDS.items()],
            refused=None,
        )


@router.get("/items.csv")
def export(request: Request, _caller: Annotated[Caller, Depends(allow(Act.ITEM_LIST))]) -> Response:
    """Return every item that fits, as CSV."""
    resources = resources_of(request)
    zone = resources.settings.tz
    say = catalogue(chosen(request)).gettext
    ask = asked(request.query_params, zone)
    rows: list[items.Row] = []
    after: str | None = None
    with resources.reading() as session:
        while True:
            got = items.page(session, ask.wanted, sort=ask.sort, descending=ask.descending, after=after, limit=items.MAX_PAGE)
            rows += got.rows
            after = got.after
            if after is None:
                break
    return csv_answer(
        "items.csv",
        [say(label) for label in _HEAD],
        (
            (
                *(row.number, say(words.KIND[row.kind]), row.name, row.recorder, row.officer),
                *(_at(row.started_at, zone), say(words.YES if row.clock_verified else words.NO), row.duration_us),
                *(row.size, row.sha256.hex, _at(row.stored_at, zone), _at(row.verified_at, zone)),
                *(say(words.VERDICT[row.verdict]) if row.verdict else None, say(words.CONDITION[row.condition])),
                *(row.source, "; ".join(row.cases)),
            )
            for row in rows
        ),
    )


def _at(instant: Instant | None, zone: ZoneInfo) -> str | None:
    return None if instant is None else shapes.clock(instant, zone)
