"""Documents made of several scans: what has come of them, what is missing, and the page list that they end as.

Invariants: a page list names the items that are its pages, in order, as they were taken in; it is made when the last page is in and never
changes after. A document that waits for a page keeps every page that came.

Not guaranteed: that a document is ever whole. What waits is shown until it is, and its pages are items of their own meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.core.access import Caller, PersonCaller, StationCaller
from archive.core.accession import AccessionNumber
from archive.core.digest import Digest
from archive.core.errors import NotFound, TooEarly
from archive.core.instant import Instant
from archive.core.paper import Page, Paper
from archive.records import papers as rows
from archive.records.cases import Case
from archive.records.items import Item, Rendition, StoredObject
from archive.records.jobs import Job
from archive.records.people import Person
from archive.records.stations import Station

PICTURES = ("thumb", "thumb-0001")
"""What is drawn small of a page: of an image, or of the first page of a file that has several."""
SHOWN = 100
"""Documents that wait: a page shows the newest."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document that is not whole: which pages came and which are missing, and where it is meant to go."""

    id: str
    title: str
    pages: int
    arrived: tuple[int, ...]
    source: str
    recorder: str
    case: str
    stage: str
    created_at: Instant

    @property
    def missing(self) -> tuple[int, ...]:
        """The pages that have not come, in order."""
        here = set(self.arrived)
        return tuple(page for page in range(1, self.pages + 1) if page not in here)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a document is: the pages that came, and its number once it is one."""

    arrived: tuple[int, ...]
    number: str | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A page of a document as the document's own page shows it."""

    page: int
    item_id: int
    number: str
    name: str
    sha256: Digest
    size: int
    media_type: str
    condition: str
    verified_at: Instant | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands in a document; `number` is the document's, None while it waits for pages."""

    title: str
    page: int
    pages: int
    number: str | None


def gathered(session: Session, paper_id: str) -> Paper:
    """Return the page list of a document all of whose pages are in.

    Raises:
        NotFound: there is no such document.
        TooEarly: a page has not come yet.
    """
    paper = session.get(rows.Paper, paper_id)
    if paper is None:
        raise NotFound(what="document", id=paper_id[:64])
    leaves = _leaves(session, paper_id)
    if [leaf.page for leaf in leaves] != list(range(1, paper.pages + 1)):
        raise TooEarly(what="document", id=paper_id, arrived=len(leaves), pages=paper.pages)
    return Paper(
        paper.title,
        tuple(Page(AccessionNumber.parse(leaf.number), leaf.sha256, leaf.size, leaf.media_type) for leaf in leaves),
    )


def is_list(session: Session, item_id: int) -> bool:
    """Say whether an item is the page list of a document."""
    return session.scalar(select(rows.Paper.id).where(rows.Paper.item_id == item_id)) is not None


def leaves(session: Session, item_id: int) -> list[Leaf]:
    """Return the pages of the document that this item is, in order; none if it is no document of several scans."""
    paper_id = session.scalar(select(rows.Paper.id).where(rows.Paper.item_id == item_id))
    return [] if paper_id is None else _leaves(session, paper_id)


def recipes(session: Session, found: Iterable[Leaf]) -> dict[Digest, frozenset[str]]:
    """Return what has been drawn of these pages: recipes by original."""
    made: dict[Digest, set[str]] = {}
    query = select(Rendition.sha256, Rendition.recipe).where(
        Rendition.sha256.in_({leaf.sha256.hex for leaf in found}), Rendition.recipe.in_(PICTURES)
    )
    for sha256, recipe in session.execute(query):
        made.setdefault(Digest(sha256), set()).add(recipe)
    return {digest: frozenset(names) for digest, names in made.items()}


def at_work(session: Session, found: Iterable[Leaf]) -> bool:
    """Say whether work on these pages waits or runs, so that a picture that is not there may still come."""
    unfinished = select(Job.id).where(Job.sha256.in_({leaf.sha256.hex for leaf in found}), Job.state.in_(("waiting", "running")))
    return session.scalar(unfinished.limit(1)) is not None


def place_of(session: Session, item_id: int) -> Place | None:
    """Return where an item stands in a document of several scans, None if it is a page of none."""
    found = session.execute(
        select(rows.PaperPage, rows.Paper, Item.number)
        .join(rows.Paper, rows.Paper.id == rows.PaperPage.paper_id)
        .outerjoin(Item, Item.id == rows.Paper.item_id)
        .where(rows.PaperPage.item_id == item_id)
        .limit(1)
    ).first()
    return None if found is None else Place(found[1].title, found[0].page, found[1].pages, found[2])


def waiting(session: Session, *, caller: Caller | None = None) -> list[Waiting]:
    """Return the documents that are not whole, newest first; with a caller, only their own."""
    query = (
        select(rows.Paper, Station.name, Person.name)
        .outerjoin(Station, Station.id == rows.Paper.station_id)
        .outerjoin(Person, Person.id == rows.Paper.person_id)
        .where(rows.Paper.item_id.is_(None))
        .order_by(rows.Paper.created_at.desc(), rows.Paper.id)
        .limit(SHOWN)
    )
    if isinstance(caller, PersonCaller):
        query = query.where(rows.Paper.person_id == caller.id)
    elif isinstance(caller, StationCaller):
        query = query.where(rows.Paper.station_id == caller.id)
    found = list(session.execute(query))
    arrived = _arrived(session, [paper.id for paper, _station, _person in found])
    return [_waiting(session, paper, arrived.get(paper.id, ()), station or person or "") for paper, station, person in found]


def standings(session: Session, ids: Iterable[str], *, caller: Caller) -> dict[str, Standing]:
    """Return how far each of these documents of the caller's own is; those that the archive has not heard of are left out."""
    if not isinstance(caller, PersonCaller):
        return {}
    found = session.execute(
        select(rows.Paper.id, Item.number)
        .outerjoin(Item, Item.id == rows.Paper.item_id)
        .where(rows.Paper.id.in_(list(ids)), rows.Paper.person_id == caller.id)
    ).all()
    arrived = _arrived(session, [paper_id for paper_id, _number in found])
    return {paper_id: Standing(arrived.get(paper_id, ()), number) for paper_id, number in found}


def _waiting(session: Session, paper: rows.Paper, arrived: Sequence[int], source: str) -> Waiting:
    wish: Mapping[str, object] = paper.intent or {}
    case = None if "case" not in wish else session.get(Case, wish["case"])
    return Waiting(
        id=paper.id,
        title=paper.title,
        pages=paper.pages,
        arrived=tuple(arrived),
        source=source,
        recorder=str(wish.get("recorder") or ""),
        case="" if case is None else case.number,
        stage=str(wish.get("stage") or ""),
        created_at=Instant(paper.created_at),
    )


def _arrived(session: Session, ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    query = select(rows.PaperPage.paper_id, rows.PaperPage.page).where(rows.PaperPage.paper_id.in_(ids))
    for paper_id, page in session.execute(query.order_by(rows.PaperPage.page)):
        found.setdefault(paper_id, []).append(page)
    return {paper_id: tuple(pages) for paper_id, pages in found.items()}


def _leaves(session: Session, paper_id: str) -> list[Leaf]:
    found = session.execute(
        select(rows.PaperPage.page, Item, StoredObject)
        .join(Item, Item.id == rows.PaperPage.item_id)
        .join(StoredObject, StoredObject.sha256 == Item.sha256)
        .where(rows.PaperPage.paper_id == paper_id)
        .order_by(rows.PaperPage.page)
    )
    return [
        Leaf(
            page=page,
            item_id=item.id,
            number=item.number,
            name=item.name,
            sha256=Digest(item.sha256),
            size=stored.size,
            media_type=item.media_type,
            condition=item.condition,
            verified_at=None if item.verified_at is None else Instant(item.verified_at),
            verdict=stored.verdict,
        )
        for page, item, stored in found
    ]
