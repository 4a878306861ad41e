"""Many receipts in one answer: a thousand photos must not cost a thousand requests."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse

from archive.actions import fixity
from archive.core import note
from archive.core.access import Act, Caller, StationCaller
from archive.web.identity import allow, resources_of

router = APIRouter(prefix="/api/v1/receipts", tags=["items"])

_NO_STORE = {"Cache-Control": "no-store"}


@router.get("")
def read_receipts(
    request: Request,
    caller: Annotated[Caller, Depends(allow(Act.RECEIPT_READ))],
    number: Annotated[list[str], Query(min_length=1, max_length=fixity.MAX_RECEIPTS)],
) -> JSONResponse:
    """Return the signed receipts of up to 200 items, and which of them have none yet; a station gets those of its own uploads only."""
    resources = resources_of(request)
    station_id = caller.id if isinstance(caller, StationCaller) else None
    with resources.reading() as session:
        answer = fixity.receipts(session, numbers=number, station_id=station_id)
    signer = resources.signer
    signed = {str(found.number): note.write(found.text(), key=signer.key, sign=signer.sign) for found in answer.found}
    return JSONResponse({"receipts": signed, "waiting": list(answer.waiting), "unknown": list(answer.unknown)}, headers=_NO_STORE)
