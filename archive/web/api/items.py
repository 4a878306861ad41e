"""Items: lists, facts, receipts, and the bytes themselves, every look at which is logged."""

from __future__ import annotations

import threading
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from archive.actions import custody, fixity, item, jobs, rendition, viewing
from archive.core import note
from archive.core.access import Act, Caller, StationCaller
from archive.core.accession import Kind
from archive.core.digest import original_key
from archive.core.instant import Instant, iso, parse
from archive.resources import Resources
from archive.web.api import ranges
from archive.web.api.jobs import as_json as job_json
from archive.web.identity import allow, resources_of
from archive.web.threads import READING

router = APIRouter(prefix="/api/v1/items", tags=["items"])

_NO_STORE = {"Cache-Control": "no-store"}
_LOOK_EVERY = 20.0
"""One replay makes many requests; the log hears of them at most this often."""
_looks: dict[tuple[int, str, str, str], float] = {}  # when, by a clock that nobody sets
_looks_guard = threading.Lock()
_MAX_LOOKS = 10_000


@router.get("", dependencies=[Depends(allow(Act.ITEM_LIST))])
def list_items(  # noqa: PLR0917 - one parameter for each filter in the address
    request: Request,
    q: Annotated[str | None, Query(max_length=200)] = None,
    kind: Kind | None = None,
    officer: Annotated[str | None, Query(max_length=200)] = None,
    recorder: Annotated[str | None, Query(max_length=200)] = None,
    start: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40)] = None,
    state: Annotated[str | None, Query(pattern="^(stored|verified|damaged|flawed)$")] = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=item.MAX_PAGE)] = 50,
) -> JSONResponse:
    """List items, newest first; `from` and `to` bound when a recording began."""
    wanted = item.Filter(
        q=q,
        kind=kind,
        officer=officer,
        recorder=recorder,
        start=None if start is None else parse(start),
        end=None if end is None else parse(end),
        state=state,
    )
    with resources_of(request).reading() as session:
        page = item.page(session, wanted, after=after, limit=limit)
    return JSONResponse({"items": [_row(row) for row in page.rows], "total": page.total, "after": page.after}, headers=_NO_STORE)


@router.get("/{number}")
def read_item(number: str, request: Request, caller: Annotated[Caller, Depends(allow(Act.ITEM_READ))]) -> JSONResponse:
    """Return everything about an item."""
    resources = resources_of(request)
    with resources.reading() as session:
        found = item.find(session, number)
        copies = rendition.of(session, found.sha256)
    look(resources, found, caller, "page")
    return JSONResponse(_item(found, copies), headers=_NO_STORE)


@router.get("/{number}/receipt")
def read_receipt(number: str, request: Request, caller: Annotated[Caller, Depends(allow(Act.RECEIPT_READ))]) -> Response:
    """Return the signed receipt, once the bytes were read back; a station gets those of its own uploads only."""
    resources = resources_of(request)
    station_id = caller.id if isinstance(caller, StationCaller) else None
    with resources.reading() as session:
        text = fixity.receipt(session, number=number, station_id=station_id).text()
    signed = note.write(text, key=resources.signer.key, sign=resources.signer.sign)
    return PlainTextResponse(signed, headers=_NO_STORE)


@router.get("/{number}/events", dependencies=[Depends(allow(Act.ITEM_READ))])
def read_events(number: str, request: Request) -> JSONResponse:
    """Return the item's custody events, oldest first."""
    with resources_of(request).reading() as session:
        found = item.find(session, number)
        events = custody.of_item(session, found.id)
    return JSONResponse(
        [
            {
                "seq": event.seq,
                "kind": event.kind.value,
                "at": iso(event.at),
                "actor": event.actor,
                "facts": dict(event.facts),
                "hash": event.hash,
            }
            for event in events
        ],
        headers=_NO_STORE,
    )


@router.get("/{number}/jobs", dependencies=[Depends(allow(Act.ITEM_READ))])
def read_jobs(number: str, request: Request) -> JSONResponse:
    """Return what is being done, or was, for the item."""
    with resources_of(request).reading() as session:
        found = item.find(session, number)
        work = jobs.of_item(session, found.id, found.sha256.hex)
    return JSONResponse([job_json(job) for job in work], headers=_NO_STORE)


@router.get("/{number}/original")
@router.head("/{number}/original", include_in_schema=False)
@READING.answer
def replay_original(number: str, request: Request, caller: Annotated[Caller, Depends(allow(Act.ITEM_REPLAY))]) -> Response:
    """Send at most 1 MiB of the original for each range, so that what was sent bounds what can have been watched.

    With `?ahead` a player fetches the ends of the file that it will play next; that is logged as what it is, and is no replay.
    """
    resources = resources_of(request)
    with resources.reading() as session:
        found = item.find(session, number)
    look(resources, found, caller, _replayed(request, found, size=found.size, etag=found.sha256.hex))
    return ranges.capped(
        request,
        resources.store,
        original_key(found.sha256),
        version=found.stored_version,
        size=found.size,
        etag=found.sha256.hex,
        media_type=found.media_type,
    )


@router.get("/{number}/download")
@router.head("/{number}/download", include_in_schema=False)
@READING.answer
def download_original(number: str, request: Request, caller: Annotated[Caller, Depends(allow(Act.ITEM_DOWNLOAD))]) -> Response:
    """Send the original as it came, under its own name."""
    resources = resources_of(request)
    with resources.reading() as session:
        found = item.find(session, number)
    if request.method == "GET":
        look(resources, found, caller, "download")
    return ranges.whole(
        request,
        resources.store,
        original_key(found.sha256),
        version=found.stored_version,
        size=found.size,
        etag=found.sha256.hex,
        media_type="application/octet-stream",
        filename=f"{found.number}_{found.name.rsplit('/', 1)[-1]}",
        x_accel_prefix=resources.settings.x_accel_prefix,
    )


@router.get("/{number}/renditions/{recipe}")
@router.head("/{number}/renditions/{recipe}", include_in_schema=False)
@READING.answer
def read_rendition(
    number: str, recipe: str, request: Request, caller: Annotated[Caller, Depends(allow(Act.ITEM_REPLAY))]
) -> Response:
    """Send a rendition: media by capped ranges, everything else whole."""
    resources = resources_of(request)
    with resources.reading() as session:
        found = item.find(session, number)
        copy = rendition.find(session, found.sha256, recipe)
    if recipe in rendition.PLAYABLE:
        look(resources, found, caller, _replayed(request, found, size=copy.size, etag=copy.digest.hex))
    elif recipe.startswith(("page-", "view")):
        look(resources, found, caller, "pages")
    elif recipe == "storyboard":
        # Pictures of a recording are seen on the page of another file of its run too.
        look(resources, found, caller, "page")
    return ranges.copy_of(request, resources.store, copy)


def _replayed(request: Request, found: item.ItemView, *, size: int, etag: str) -> str:
    return "ahead" if ranges.ahead(request, size=size, etag=etag, duration_us=found.duration_us) else "replay"


def look(resources: Resources, found: item.ItemView, caller: Caller, what: str) -> None:
    """Log a look, unless this caller's same look was logged seconds ago; a download is always logged."""
    at = time.monotonic()
    key = (id(resources), found.number, caller.actor, what)
    with _looks_guard:
        recent = _looks.get(key)
        if what != "download" and recent is not None and at - recent < _LOOK_EVERY:
            return
    with resources.transaction() as session:
        viewing.look(session, item_id=found.id, caller=caller, what=what, now=resources.now())
    with _looks_guard:
        if len(_looks) >= _MAX_LOOKS:
            _looks.clear()
        _looks[key] = at


def _row(row: item.Row) -> dict[str, object]:
    return {
        "number": row.number,
        "kind": row.kind.value,
        "name": row.name,
        "size": row.size,
        "sha256": row.sha256.hex,
        "recorder": row.recorder,
        "officer": row.officer,
        "started_at": _iso(row.started_at),
        "clock_verified": row.clock_verified,
        "duration_us": row.duration_us,
        "stored_at": iso(row.stored_at),
        "verified_at": _iso(row.verified_at),
        "verdict": row.verdict,
        "condition": row.condition,
        "source": row.source,
        "cases": list(row.cases),
    }


def _item(found: item.ItemView, copies: list[rendition.RenditionView]) -> dict[str, object]:
    return {
        "number": found.number,
        "kind": found.kind.value,
        "name": found.name,
        "media_type": found.media_type,
        "container": found.container,
        "size": found.size,
        "sha256": found.sha256.hex,
        "sm3": found.sm3,
        "same_bytes_as": found.same_bytes_as,
        "source": {"kind": found.source, "name": found.source_name},
        "recorder": found.recorder,
        "officer": found.officer,
        "sequence": found.sequence,
        "carrier": found.carrier,
        "clock_started_at": _iso(found.clock_started_at),
        "clock_offset_us": found.clock_offset_us,
        "started_at": _iso(found.started_at),
        "started_from": found.started_from,
        "duration_us": found.duration_us,
        "stored_at": iso(found.stored_at),
        "verified_at": _iso(found.verified_at),
        "checked_at": _iso(found.checked_at),
        "verdict": found.verdict,
        "condition": found.condition,
        "findings": list(found.findings),
        "technical": dict(found.technical),
        "manifest": None if found.manifest is None else found.manifest.decode(),
        "signature": None if found.signature is None else found.signature.hex(),
        "renditions": [_rendition(copy) for copy in copies],
        "bindings": [
            {"id": bound.id, "case": bound.case_id, "case_number": bound.case_number, "stage": bound.stage, "at": _iso(bound.at)}
            for bound in found.bindings
        ],
    }


def _rendition(copy: rendition.RenditionView) -> dict[str, object]:
    return {
        "recipe": copy.recipe,
        "version": copy.version,
        "sha256": copy.digest.hex,
        "size": copy.size,
        "media_type": copy.media_type,
        "made_at": iso(copy.made_at),
        "provenance": dict(copy.provenance),
    }


def _iso(instant: Instant | None) -> str | None:
    return None if instant is None else iso(instant)
