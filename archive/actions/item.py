"""Items as people and programs see them: one, or a page of many."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from archive.core.accession import Kind
from archive.core.digest import Digest
from archive.core.errors import NotFound
from archive.core.instant import Instant
from archive.records.cases import Binding, Case
from archive.records.items import Item, StoredObject, item_by_number
from archive.records.papers import Paper, PaperPage
from archive.records.people import Person
from archive.records.stations import Station

MAX_PAGE = 500
_SHORT = re.compile(r"[A-Z]{2}-[0-9]{4}-[0-9]{8}")
_DIGEST = re.compile(r"([0-9a-f]{8,64})(?:(?:…|\.\.\.)([0-9a-f]{1,64}))?")
"""A digest's beginning, or beginning and end with an ellipsis between them, as pages shorten it."""


class Sort(StrEnum):
    """What a list is ordered by."""

    STORED = "stored"
    STARTED = "started"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items a list shows; None everywhere shows all. `start` and `end` bound the time a recording began (half-open).

    `officer` and `recorder` match parts; ASCII letters match in either case. `q` matches parts of an item's number, name, recorder and
    officer and of its cases' numbers, titles and subjects, and a digest by eight or more of its first digits.
    """

    q: str | None = None
    kind: Kind | None = None
    officer: str | None = None
    recorder: str | None = None
    start: Instant | None = None
    end: Instant | None = None
    state: str | None = None
    """stored | verified | flawed | damaged."""
    bound: bool | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list; sizes in bytes, durations in microseconds."""

    id: int
    number: str
    kind: Kind
    name: str
    size: int
    sha256: Digest
    recorder: str | None
    officer: str | None
    started_at: Instant | None
    clock_verified: bool
    duration_us: int | None
    stored_at: Instant
    verified_at: Instant | None
    verdict: str | None
    condition: str
    source: str
    cases: tuple[str, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list: its rows, how many there are in all, and where the next page begins."""

    rows: Sequence[Row]
    total: int
    after: str | None


@dataclass(frozen=True, slots=True)
class BindingView:
    """Where an item is bound."""

    id: int
    case_id: int
    case_number: str
    case_title: str
    stage: str
    at: Instant | None


@dataclass(frozen=True, slots=True)
class ItemView:
    """Everything about one item.

    `clock_started_at` is what the recorder's clock said, `started_at` that plus the known offset (equal to it where none is known).
    """

    id: int
    number: str
    kind: Kind
    name: str
    media_type: str
    container: str
    size: int
    sha256: Digest
    stored_version: str
    upload_id: str | None
    same_bytes_as: str | None
    source: str
    source_name: str
    recorder: str | None
    officer: str | None
    sequence: int | None
    carrier: Mapping[str, str] | None
    clock_started_at: Instant | None
    clock_offset_us: int | None
    started_at: Instant | None
    started_from: str | None
    duration_us: int | None
    stored_at: Instant
    verified_at: Instant | None
    checked_at: Instant | None
    verdict: str | None
    sm3: str | None
    condition: str
    findings: Sequence[Mapping[str, Any]]
    technical: Mapping[str, Any]
    manifest: bytes | None
    signature: bytes | None
    bindings: Sequence[BindingView]

    @property
    def clock_verified(self) -> bool:
        """Whether the recorder's clock was compared with a station's."""
        return self.clock_offset_us is not None


@dataclass(frozen=True, slots=True)
class State:
    """What is known of an item's bytes: when they were first found intact, what the last reading found, and which item had them before."""

    verified_at: Instant | None
    verdict: str | None
    same_bytes_as: str | None


def find(session: Session, number: str) -> ItemView:
    """Return the item of this number.

    Raises:
        NotFound: there is none.
    """
    item = item_by_number(session, number)
    if item is None:
        raise NotFound(what="item", number=number[:64])
    stored = session.get(StoredObject, item.sha256)
    assert stored is not None
    same = None if item.same_bytes_as_id is None else session.get(Item, item.same_bytes_as_id)
    source, source_name = _source(session, item)
    return ItemView(
        id=item.id,
        number=item.number,
        kind=Kind(item.kind),
        name=item.name,
        media_type=item.media_type,
        container=item.container,
        size=stored.size,
        sha256=Digest(item.sha256),
        stored_version=stored.version_id,
        upload_id=item.upload_id,
        same_bytes_as=None if same is None else same.number,
        source=source,
        source_name=source_name,
        recorder=item.recorder,
        officer=item.officer,
        sequence=item.sequence,
        carrier=item.carrier,
        clock_started_at=_maybe(item.clock_started_at),
        clock_offset_us=item.clock_offset_us,
        started_at=_maybe(item.started_at),
        started_from=item.started_from,
        duration_us=item.duration_us,
        stored_at=Instant(item.stored_at),
        verified_at=_maybe(item.verified_at),
        checked_at=_maybe(stored.checked_at),
        verdict=stored.verdict,
        sm3=stored.sm3,
        condition=item.condition,
        findings=item.findings,
        technical=item.technical,
        manifest=item.manifest,
        signature=item.signature,
        bindings=_bindings(session, item.id),
    )


def number_meant(session: Session, number: str) -> str:
    """Return the full number that somebody means: pages show `LX-2026-00000001`, without the agency.

    Anything that is no such short form, or that no item or more than one ends with, is returned as it came.
    """
    short = number.strip().upper()
    if _SHORT.fullmatch(short) is None:
        return number
    found = list(session.scalars(select(Item.number).where(Item.number.endswith(f"-{short}")).limit(2)))
    return found[0] if len(found) == 1 else number


def page(
    session: Session,
    wanted: Filter,
    *,
    sort: Sort = Sort.STORED,
    descending: bool = True,
    after: str | None = None,
    limit: int = 50,
) -> Page:
    """Return a page of items; `after` is the cursor of the last row seen. Rows without the sorted value come last either way."""
    where = _where(wanted)
    total = session.scalar(select(func.count()).select_from(Item).join(StoredObject).where(*where)) or 0
    value = _sort_value(sort, descending=descending)
    key = (value.desc(), Item.id.desc()) if descending else (value, Item.id)
    query = _rows_query().where(*where).order_by(*key).limit(min(limit, MAX_PAGE) + 1)
    position = _position(after)
    if position is not None:
        last_value, last_id = position
        past = value < last_value if descending else value > last_value
        tie = Item.id < last_id if descending else Item.id > last_id
        query = query.where(or_(past, and_(value == last_value, tie)))
    found = list(session.execute(query.add_columns(value)))
    more = len(found) > min(limit, MAX_PAGE)
    rows = [_row(session, (each[0], each[1], each[2], each[3], each[4])) for each in found[: min(limit, MAX_PAGE)]]
    return Page(rows, total, rows[-1].cursor if more else None)


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an original is read: its size in bytes, and the version in the store."""

    size: int
    version: str


def stored(session: Session, sha256: Digest) -> Stored:
    """Return the size of an original and the version by which it is read.

    Raises:
        NotFound: no item has these bytes.
    """
    row = session.get(StoredObject, sha256.hex)
    if row is None:
        raise NotFound(what="object", sha256=sha256.hex)
    return Stored(row.size, row.version_id)


def states(session: Session, numbers: Sequence[str]) -> dict[str, State]:
    """Return what is known of the bytes of the items of these numbers; a number that is none is left out."""
    found = session.execute(
        select(Item, StoredObject.verdict)
        .join(StoredObject, StoredObject.sha256 == Item.sha256)
        .where(Item.number.in_(list(numbers)))
    ).all()
    firsts = [item.same_bytes_as_id for item, _verdict in found if item.same_bytes_as_id is not None]
    same = dict(session.execute(select(Item.id, Item.number).where(Item.id.in_(firsts))).all())
    return {
        item.number: State(_maybe(item.verified_at), verdict, same.get(item.same_bytes_as_id or 0)) for item, verdict in found
    }


def choices(session: Session) -> tuple[list[str], list[str]]:
    """Return the recorders and the officers that items name, for a list's filters."""
    recorders = session.scalars(select(Item.recorder).where(Item.recorder.is_not(None)).distinct().order_by(Item.recorder))
    officers = session.scalars(select(Item.officer).where(Item.officer.is_not(None)).distinct().order_by(Item.officer))
    return [r for r in recorders if r], [o for o in officers if o]


def unbound_count(session: Session) -> int:
    """Return how many items are bound to no case."""
    return session.scalar(select(func.count()).select_from(Item).where(*_where(Filter(bound=False)))) or 0


def _rows_query() -> Select[Item, StoredObject, str, str]:
    return (
        select(Item, StoredObject, Station.name, Person.name)
        .join(StoredObject, StoredObject.sha256 == Item.sha256)
        .outerjoin(Station, Station.id == Item.station_id)
        .outerjoin(Person, Person.id == Item.person_id)
    )


def _sort_value(sort: Sort, *, descending: bool) -> ColumnElement[int]:
    if sort is Sort.SIZE:
        return func.coalesce(StoredObject.size, 0)
    if sort is Sort.STARTED:
        return func.coalesce(Item.started_at, -1 if descending else 2**62)
    return func.coalesce(Item.stored_at, 0)


def _position(after: str | None) -> tuple[int, int] | None:
    value, _, last_id = (after or "").partition("_")
    try:
        return int(value), int(last_id)
    except ValueError:
        return None


def _where(wanted: Filter) -> list[ColumnElement[bool]]:
    bound = exists().where(Binding.item_id == Item.id, Binding.unbound_at.is_(None))
    # Whoever binds a document binds its pages: they wait for nobody once it is put together.
    paged = exists().where(PaperPage.item_id == Item.id, PaperPage.paper_id == Paper.id, Paper.item_id.is_not(None))
    asked: tuple[ColumnElement[bool] | None, ...] = (
        _mentions(wanted.q) if wanted.q else None,
        Item.kind == wanted.kind.value if wanted.kind else None,
        Item.officer.icontains(wanted.officer, autoescape=True) if wanted.officer else None,
        Item.recorder.icontains(wanted.recorder, autoescape=True) if wanted.recorder else None,
        Item.started_at >= wanted.start if wanted.start is not None else None,
        Item.started_at < wanted.end if wanted.end is not None else None,
        None if wanted.bound is None else bound if wanted.bound else and_(~bound, ~paged),
        _in_state(wanted.state),
    )
    return [each for each in asked if each is not None]


def _mentions(q: str) -> ColumnElement[bool]:
    in_case = exists().where(
        Binding.item_id == Item.id,
        Binding.unbound_at.is_(None),
        Case.id == Binding.case_id,
        or_(*(c.icontains(q, autoescape=True) for c in (Case.number, Case.title, Case.subject))),
    )
    columns = (Item.number, Item.name, Item.recorder, Item.officer)
    return or_(in_case, *_of_digest(q), *(c.icontains(q, autoescape=True) for c in columns))


def _of_digest(q: str) -> list[ColumnElement[bool]]:
    shape = _DIGEST.fullmatch(q.strip().lower())
    if shape is None:
        return []
    begins = Item.sha256.startswith(shape[1])
    return [begins if shape[2] is None else and_(begins, Item.sha256.endswith(shape[2]))]


def _in_state(state: str | None) -> ColumnElement[bool] | None:
    flawed = exists().where(StoredObject.sha256 == Item.sha256, StoredObject.verdict.in_(("altered", "missing", "unreadable")))
    states: dict[str, ColumnElement[bool]] = {
        "verified": Item.verified_at.is_not(None),
        "stored": Item.verified_at.is_(None),
        "damaged": Item.condition == "damaged",
        "flawed": flawed,
    }
    return states.get(state or "")


def _row(session: Session, found: tuple[Item, StoredObject, str | None, str | None, int]) -> Row:
    item, stored, station, person, value = found
    return Row(
        id=item.id,
        number=item.number,
        kind=Kind(item.kind),
        name=item.name,
        size=stored.size,
        sha256=Digest(item.sha256),
        recorder=item.recorder,
        officer=item.officer,
        started_at=_maybe(item.started_at),
        clock_verified=item.clock_offset_us is not None,
        duration_us=item.duration_us,
        stored_at=Instant(item.stored_at),
        verified_at=_maybe(item.verified_at),
        verdict=stored.verdict,
        condition=item.condition,
        source=station or person or "",
        cases=tuple(binding.case_number for binding in _bindings(session, item.id)),
        cursor=f"{value}_{item.id}",
    )


def _bindings(session: Session, item_id: int) -> list[BindingView]:
    rows = session.execute(
        select(Binding, Case)
        .join(Case, Case.id == Binding.case_id)
        .where(Binding.item_id == item_id, Binding.unbound_at.is_(None))
        .order_by(Binding.id)
    )
    return [BindingView(bound.id, case.id, case.number, case.title, bound.stage, _maybe(bound.at)) for bound, case in rows]


def _source(session: Session, item: Item) -> tuple[str, str]:
    if item.station_id is not None:
        station = session.get(Station, item.station_id)
        return "station", station.name if station else ""
    person = session.get(Person, item.person_id)
    return "person", person.name if person else ""


def _maybe(value: int | None) -> Instant | None:
    return None if value is None else Instant(value)
