"""Documents of several scans as pages show them: the sheets in order, each with its picture once drawn, each leading to its own item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from archive.actions import document
from archive.actions import item as items
from archive.core.access import Act, Caller
from archive.core.paper import CONTAINER
from archive.web.identity import allow, resources_of
from archive.web.pages.render import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page of a document: its item, and the address of a small picture of it where one is drawn."""

    leaf: document.Leaf
    thumb: str | None

    # What the list's macros ask of an item.

    @property
    def verified_at(self) -> object:
        """When its bytes were first found intact."""
        return self.leaf.verified_at

    @property
    def verdict(self) -> str | None:
        """What the last reading of its bytes found."""
        return self.leaf.verdict


def sheets(session: Session, item: items.ItemView) -> list[Sheet]:
    """Return a document's sheets in order; none if the item is no document of several scans."""
    if item.container != CONTAINER:
        return []
    found = document.leaves(session, item.id)
    made = document.recipes(session, found)
    return [_sheet(leaf, made.get(leaf.sha256, frozenset())) for leaf in found]


def at_work(session: Session, listed: Sequence[Sheet]) -> bool:
    """Say whether a picture that is not there may still come."""
    return any(sheet.thumb is None for sheet in listed) and document.at_work(session, [sheet.leaf for sheet in listed])


@router.get("/items/{number}/sheets")
def drawn(
    number: str,
    request: Request,
    caller: Annotated[Caller, Depends(allow(Act.ITEM_READ))],
    shown: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Return the list of a document's pages anew where another number of them is drawn than is shown; nothing otherwise."""
    with resources_of(request).reading() as session:
        item = items.find(session, number)
        listed = sheets(session, item)
        drawing = at_work(session, listed)
    if drawing and sum(sheet.thumb is not None for sheet in listed) == shown:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return page(request, caller, "document_pages.html", item=item, sheets=listed, drawing=drawing)


def _sheet(leaf: document.Leaf, made: frozenset[str]) -> Sheet:
    base = f"/api/v1/items/{quote(leaf.number, safe='')}/renditions"
    return Sheet(leaf, next((f"{base}/{recipe}" for recipe in document.PICTURES if recipe in made), None))
