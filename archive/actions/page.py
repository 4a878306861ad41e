"""Pages of documents and photos: which there are, which are drawn, and asking for one before its turn or at full resolution.

Invariants: pages are numbered from 1 in the order they are read; a document made of several scans has its scans' pages, each told with the
item that it is; nothing is drawn here, only promised. Not guaranteed: that a page ever is drawn; one that cannot be says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.actions import document, jobs, rendition
from archive.actions import item as items
from archive.actions.item import ItemView
from archive.actions.jobs import JobView
from archive.actions.rendition import RenditionView
from archive.core.errors import NotFound
from archive.core.instant import Instant
from archive.core.media import tiles
from archive.records.items import Item

TILED = frozenset({"pdf", "tiff", "jpeg", "png", "webp", "gif", "heif"})
"""Containers whose pages are drawn at full resolution."""


class State(StrEnum):
    """How a page's picture, or its tiles, stand."""

    READY = "ready"
    WAITING = "waiting"
    """It is being drawn, or will be in its turn."""
    ABSENT = "absent"
    """Nobody asked for it yet."""
    UNREADABLE = "unreadable"
    """The file says no."""
    FAILED = "failed"
    """A tool broke, and trying again did not help."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: `page` of the whole, which is `leaf` of the item `number`; its size in pixels at full resolution, as far as it is known."""

    page: int
    number: str
    leaf: int
    width: int
    height: int
    state: State
    tiled: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How far something asked for is."""

    state: State
    permille: int = 0
    error: str | None = None


def of(session: Session, item: ItemView) -> list[Page]:
    """Return the pages of an item in reading order; none if it has no pages, or none that are known yet."""
    leaves = document.leaves(session, item.id)
    if not leaves:
        return list(_own(session, item, 0))
    found: list[Page] = []
    for leaf in leaves:
        found += _own(session, items.find(session, leaf.number), len(found))
    return found


def any_of(session: Session, item: ItemView) -> bool:
    """Say whether an item has pages to show, drawn or to be drawn."""
    return bool(_sizes(item)) or document.is_list(session, item.id)


def standing(session: Session, item: ItemView, *, leaf: int, tiled: bool) -> Standing:
    """Return how the picture of a page stands, or its tiles.

    Raises:
        NotFound: the item has no such page, or no tiles of it are made.
    """
    _must_have(item, leaf, tiled=tiled)
    made = rendition.recipes(session, item.sha256)
    if _recipe(item, leaf, tiled=tiled) in made:
        return Standing(State.READY, 1000)
    if not tiled and leaf in _unread(item):
        return Standing(State.UNREADABLE)
    return _of_jobs(jobs.of_item(session, item.id, item.sha256.hex), leaf, tiled=tiled)


def ask(session: Session, item: ItemView, *, leaf: int, tiled: bool, now: Instant) -> Standing:
    """Ask for the picture of a page before its turn, or for its tiles; return how it stands.

    Raises:
        NotFound: the item has no such page, or no tiles of it are made.
    """
    found = standing(session, item, leaf=leaf, tiled=tiled)
    single = tiled or item.container in ("pdf", "tiff")
    if single and found.state in (State.ABSENT, State.WAITING):
        # The first item of these bytes, so that a job has one name however often they were taken in.
        first = session.scalar(select(Item.id).where(Item.sha256 == item.sha256.hex).order_by(Item.id).limit(1))
        jobs.enqueue(
            session,
            kind="tiles" if tiled else "page",
            item_id=first or item.id,
            sha256=item.sha256.hex,
            payload={"page": leaf},
            now=now,
        )
        found = Standing(State.WAITING, found.permille)
    return found


def picture(session: Session, item: ItemView, leaf: int, *, thumb: bool) -> RenditionView:
    """Return the rendition that shows a page.

    Raises:
        NotFound: it is not drawn, or there is no such page.
    """
    recipe = ("thumb" if thumb else "view") if item.container in _PHOTOS else f"{'thumb' if thumb else 'page'}-{leaf:04d}"
    if leaf not in _sizes(item):
        raise NotFound(what="page")
    return rendition.find(session, item.sha256, recipe)


def pyramid(session: Session, item: ItemView, leaf: int) -> RenditionView | None:
    """Return the rendition that holds a page's tiles, None if it is not made; its provenance has the page's width and height."""
    try:
        return rendition.find(session, item.sha256, f"tiles-{leaf:04d}")
    except NotFound:
        return None


_PHOTOS = frozenset({"jpeg", "png", "gif", "webp", "heif"})


def _own(session: Session, item: ItemView, before: int) -> Iterator[Page]:
    sizes = _sizes(item)
    if not sizes:
        return
    made = rendition.recipes(session, item.sha256)
    work = jobs.of_item(session, item.id, item.sha256.hex)
    unread = _unread(item)
    for leaf, (width, height) in sorted(sizes.items()):
        if _recipe(item, leaf, tiled=False) in made:
            state = State.READY
        else:
            state = State.UNREADABLE if leaf in unread else _of_jobs(work, leaf, tiled=False).state
        before += 1
        yield Page(before, item.number, leaf, width, height, state, _tiled(item, width, height))


def _sizes(item: ItemView) -> Mapping[int, tuple[int, int]]:
    """Return each page's size in pixels at full resolution, as examination found it."""
    photo, paper = item.technical.get("photo") or {}, item.technical.get("document") or {}
    if photo.get("width") and photo.get("height"):
        return {1: (int(photo["width"]), int(photo["height"]))}
    points = bool(paper.get("points", True))
    sizes = {
        int(page): tiles.scanned(int(width), int(height), points=points) for page, width, height in paper.get("page_sizes") or ()
    }
    # A page that could not be opened has no size; it is shown as what it is, in its place.
    usual = next(iter(sizes.values()), None)
    return sizes | ({} if usual is None else {page: usual for page in _unread(item) if page not in sizes})


def _unread(item: ItemView) -> frozenset[int]:
    found = {int(one["facts"]["page"]) for one in item.findings if isinstance((one.get("facts") or {}).get("page"), int)}
    return frozenset(found | {int(page) for page in item.technical.get("pages_unread") or ()})


def _tiled(item: ItemView, width: int, height: int) -> bool:
    return item.container in TILED and tiles.worth(width, height)


def _recipe(item: ItemView, leaf: int, *, tiled: bool) -> str:
    if tiled:
        return f"tiles-{leaf:04d}"
    return "view" if item.container in _PHOTOS else f"page-{leaf:04d}"


def _must_have(item: ItemView, leaf: int, *, tiled: bool) -> None:
    size = _sizes(item).get(leaf)
    if size is None or (tiled and not _tiled(item, *size)):
        raise NotFound(what="page")


def _of_jobs(work: list[JobView], leaf: int, *, tiled: bool) -> Standing:
    """What the jobs say of a page: one of its own comes before the one that draws them all."""
    own = [job for job in work if job.kind == ("tiles" if tiled else "page") and job.payload.get("page", 1) == leaf]
    shared = [] if tiled else [job for job in work if job.kind in ("pages", "photo")]
    for job in (*own, *shared):
        if job.state in ("waiting", "running"):
            return Standing(State.WAITING, job.permille, job.error)
    dead = next((job for job in (*own, *shared) if job.state == "dead"), None)
    if dead is not None:
        return Standing(State.FAILED, 0, dead.error)
    return Standing(State.ABSENT)
