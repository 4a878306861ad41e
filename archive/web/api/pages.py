"""Pages of documents and photos: the list, pictures at reading size, and tiles at full resolution.

A picture that is not drawn yet is asked for with POST, which answers at once how it stands and is repeated until it is ready; the web
process never runs a tool. Every look at a page is logged as the item page's and the player's are: one viewing for the many requests.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from archive.actions import item, page
from archive.actions.page import State
from archive.actions.rendition import RenditionView
from archive.adapters import tiling
from archive.core.access import Act, Caller
from archive.core.errors import NotFound
from archive.core.media import tiles
from archive.web.api import ranges
from archive.web.api.items import look
from archive.web.identity import allow, resources_of
from archive.web.threads import READING

router = APIRouter(prefix="/api/v1/items/{number}/pages", tags=["pages"])

Viewer = Annotated[Caller, Depends(allow(Act.ITEM_REPLAY))]
Place = Annotated[int, Path(ge=1, le=tiles.MAX_PAGES)]
Coordinate = Annotated[int, Path(ge=0, le=9999)]
_NO_STORE = {"Cache-Control": "no-store"}


@router.get("", dependencies=[Depends(allow(Act.ITEM_READ))])
def list_pages(number: str, request: Request) -> JSONResponse:
    """Return the pages in reading order, each with its size at full resolution, its addresses, and how its picture stands."""
    with resources_of(request).reading() as session:
        found = page.of(session, item.find(session, number))
    ready = sum(one.state is State.READY for one in found)
    return JSONResponse({"pages": [_page(one) for one in found], "total": len(found), "ready": ready}, headers=_NO_STORE)


@router.get("/{leaf}/view")
@router.head("/{leaf}/view", include_in_schema=False)
@READING.answer
def read_view(number: str, leaf: Place, request: Request, caller: Viewer) -> Response:
    """Send a page's picture at reading size."""
    return _picture(number, leaf, request, caller, thumb=False)


@router.get("/{leaf}/thumb")
@router.head("/{leaf}/thumb", include_in_schema=False)
@READING.answer
def read_thumb(number: str, leaf: Place, request: Request, caller: Viewer) -> Response:
    """Send a page's picture at the size of a stamp, too small to read; that is no look."""
    return _picture(number, leaf, request, caller, thumb=True)


@router.post("/{leaf}/view")
def ask_for_view(number: str, leaf: Place, request: Request, _caller: Viewer) -> JSONResponse:
    """Ask for a page's picture before its turn; answers 202 until it is there."""
    return _asked(number, leaf, request, tiled=False)


@router.get("/{leaf}/tiles")
def read_tiles(number: str, leaf: Place, request: Request, _caller: Viewer) -> JSONResponse:
    """Return how a page's tiles stand, and their geometry once they are there."""
    with resources_of(request).reading() as session:
        found = item.find(session, number)
        standing = page.standing(session, found, leaf=leaf, tiled=True)
        pyramid = page.pyramid(session, found, leaf)
    return _standing(standing, pyramid)


@router.post("/{leaf}/tiles")
def ask_for_tiles(number: str, leaf: Place, request: Request, _caller: Viewer) -> JSONResponse:
    """Ask for a page at full resolution; answers 202 until its tiles are there."""
    return _asked(number, leaf, request, tiled=True)


@router.get("/{leaf}/tiles/{level}/{x}_{y}")
@READING.answer
def read_tile(  # noqa: PLR0917 - one parameter for each part of the address
    number: str, leaf: Place, level: Coordinate, x: Coordinate, y: Coordinate, request: Request, caller: Viewer
) -> Response:
    """Send one tile: a JPEG of at most 512 × 512 pixels; level 0 is the page in one tile, each next one twice as large."""
    resources = resources_of(request)
    with resources.reading() as session:
        found = item.find(session, number)
        pyramid = page.pyramid(session, found, leaf)
    if pyramid is None:
        raise NotFound(what="tile")
    look(resources, found, caller, "pages")
    held = pyramid

    def cut() -> bytes:
        width, height = int(held.provenance["width"]), int(held.provenance["height"])
        return tiling.tile(
            resources.store,
            held.key,
            held.digest,
            held.size,
            version=held.stored_version,
            width=width,
            height=height,
            place=(level, x, y),
        )

    return ranges.small(request, cut, etag=f"{held.digest.hex}-{level}-{x}_{y}", media_type="image/jpeg")


def _picture(number: str, leaf: int, request: Request, caller: Caller, *, thumb: bool) -> Response:
    resources = resources_of(request)
    with resources.reading() as session:
        found = item.find(session, number)
        copy = page.picture(session, found, leaf, thumb=thumb)
    if not thumb:
        look(resources, found, caller, "pages")
    return ranges.copy_of(request, resources.store, copy)


def _asked(number: str, leaf: int, request: Request, *, tiled: bool) -> JSONResponse:
    resources = resources_of(request)
    with resources.reading() as session:
        found = item.find(session, number)
        standing = page.standing(session, found, leaf=leaf, tiled=tiled)
    if standing.state in (State.ABSENT, State.WAITING):
        with resources.transaction() as session:
            standing = page.ask(session, found, leaf=leaf, tiled=tiled, now=resources.now())
    with resources.reading() as session:
        pyramid = page.pyramid(session, found, leaf) if tiled else None
    return _standing(standing, pyramid)


def _standing(standing: page.Standing, pyramid: RenditionView | None) -> JSONResponse:
    told: dict[str, Any] = {"state": standing.state.value, "permille": standing.permille, "error": standing.error}
    if pyramid is not None:
        width, height = int(pyramid.provenance["width"]), int(pyramid.provenance["height"])
        told |= {"width": width, "height": height, "tile": tiles.TILE, "levels": tiles.levels(width, height)}
    return JSONResponse(told, status_code=202 if standing.state is State.WAITING else 200, headers=_NO_STORE)


def _page(one: page.Page) -> dict[str, Any]:
    base = f"/api/v1/items/{quote(one.number, safe='')}/pages/{one.leaf}"
    return {
        "page": one.page,
        "number": one.number,
        "width": one.width,
        "height": one.height,
        "view": f"{base}/view",
        "thumb": f"{base}/thumb",
        "tiles": f"{base}/tiles" if one.tiled else None,
        "state": one.state.value,
    }
