"""The receipt of an item as a page: what it says, the signed note itself, and how to check it without this archive."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from archive.actions import fixity
from archive.actions import item as items
from archive.core import note
from archive.core.access import Act, Caller, StationCaller
from archive.web.identity import allow, resources_of
from archive.web.pages.render import page

router = APIRouter()


@router.get("/items/{number}/receipt")
def receipt(number: str, request: Request, caller: Annotated[Caller, Depends(allow(Act.RECEIPT_READ))]) -> Response:
    """Show an item's receipt; a station sees those of its own uploads only."""
    resources = resources_of(request)
    station_id = caller.id if isinstance(caller, StationCaller) else None
    with resources.reading() as session:
        facts = fixity.receipt(session, number=number, station_id=station_id)
        name = items.find(session, number).name
        return page(
            request,
            caller,
            "receipt.html",
            session=session,
            facts=facts,
            item_name=name,
            note=note.write(facts.text(), key=resources.signer.key, sign=resources.signer.sign),
            key=resources.signer.key,
        )
