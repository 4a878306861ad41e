"""Documents of several scans as pages show them: the sheets in order, each with its picture once drawn, each leading to its own item."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from archive.actions import document
from archive.actions import item as items
from archive.core.access import Act, Caller
from archive.core.paper import CONTAINER
from archive.web.identity import allow, resources_of
from archive.web.pages import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from archive.web.pages.replay import Replay

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page of a document: its item, and the addresses of its pictures where they are drawn."""

    leaf: document.Leaf
    url: str | None
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


def viewed(shown: Replay, listed: Sequence[Sheet], *, say: words.Say) -> Replay:
    """Return what the viewer shows of a document: the sheets that have a picture, numbered as they stand in the document."""
    pages: list[Mapping[str, Any]] = [
        {"number": sheet.leaf.page, "url": sheet.url, "thumb": sheet.thumb} for sheet in listed if sheet.url is not None
    ]
    waits = len(pages) < len(listed)
    reason = say(words.BEING_DRAWN) if waits else shown.reason
    return replace(shown, pages=pages, playable=False, waiting=waits and not pages, reason=reason)


@router.get("/items/{number}/sheets")
def drawn(
    number: str,
    request: Request,
    _caller: Annotated[Caller, Depends(allow(Act.ITEM_READ))],
    shown: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Say whether more of a document's pages have been drawn than are shown; the page is then loaded anew."""
    with resources_of(request).reading() as session:
        listed = sheets(session, items.find(session, number))
    fresh = sum(sheet.url is not None for sheet in listed) != shown
    return Response(status_code=204, headers={"Cache-Control": "no-store"} | ({"HX-Refresh": "true"} if fresh else {}))


def _sheet(leaf: document.Leaf, made: frozenset[str]) -> Sheet:
    base = f"/api/v1/items/{quote(leaf.number, safe='')}/renditions"
    url = next((f"{base}/{recipe}" for recipe in ("view", "page-0001") if recipe in made), None)
    thumb = next((f"{base}/{recipe}" for recipe in ("thumb", "thumb-0001") if recipe in made), url)
    return Sheet(leaf, url, thumb)
