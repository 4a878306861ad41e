"""The one narrow door to custody events.

Called inside the transaction of what it tells of, so that neither stands without the other. Writers are serialised by the
transaction itself (SQLite: BEGIN IMMEDIATE), so a sequence number is taken once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.core.canonical import Json, decode
from archive.core.custody import GENESIS, EventKind, Link, link
from archive.core.instant import Instant
from archive.records.custody import CustodyEvent, events_of, last_link


@dataclass(frozen=True, slots=True)
class EventView:
    """A custody event as people read it."""

    seq: int
    kind: EventKind
    at: Instant
    actor: str
    facts: Mapping[str, Any]
    hash: str


def record(
    session: Session,
    *,
    kind: EventKind,
    at: Instant,
    actor: str,
    subject: str,
    facts: Mapping[str, Json],
    item_id: int | None = None,
    case_id: int | None = None,
) -> None:
    """Append one event; `subject` is the public name of what it is about (a number, a station), `facts` what changed."""
    seq, prev = last_link(session) or (0, GENESIS)
    made = link(
        seq=seq + 1,
        prev=prev,
        kind=kind,
        at=at,
        actor=actor,
        subject=subject,
        facts=facts,
    )
    session.add(
        CustodyEvent(
            seq=made.seq, item_id=item_id, case_id=case_id, kind=kind.value, at=at, actor=actor, body=made.body, hash=made.hash
        )
    )
    session.flush()


def of_item(session: Session, item_id: int) -> list[EventView]:
    """Return the events of an item, oldest first."""
    return [_view(event) for event in events_of(session, item_id)]


def chain(session: Session) -> Iterator[Link]:
    """Yield the whole chain from its first event, without holding it in memory."""
    for event in session.scalars(select(CustodyEvent).order_by(CustodyEvent.seq).execution_options(yield_per=1000)):
        yield Link(event.seq, event.body, event.hash)


def _view(event: CustodyEvent) -> EventView:
    body = decode(event.body.encode())
    facts = body["facts"] if isinstance(body, dict) else {}
    return EventView(
        event.seq, EventKind(event.kind), Instant(event.at), event.actor, facts if isinstance(facts, dict) else {}, event.hash
    )
