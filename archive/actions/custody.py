"""The one narrow door to custody events.

Called inside the transaction of what it tells of, so that neither stands without the other. Events are written at the transaction's
end, in the order in which they were told: whoever appends holds the end of the chain until the commit, and all others wait for it, so
it is held as briefly as can be. A sequence number is taken once, and a transaction that is undone leaves no gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from archive.core.canonical import Json, decode
from archive.core.custody import GENESIS, EventKind, Link, link
from archive.core.instant import Instant
from archive.records.custody import CUSTODY_EVENTS, CustodyEvent, events_of, last_link
from archive.records.locks import Noun, hold
from archive.records.session import at_last

_TOLD = "custody"
"""In a session's `info`: events that are told and not yet written."""


@dataclass(frozen=True, slots=True)
class _Told:
    kind: EventKind
    at: Instant
    actor: str
    subject: str
    facts: Mapping[str, Json]
    item_id: int | None
    case_id: int | None


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
    told = session.info.get(_TOLD)
    if told is None:
        told = session.info[_TOLD] = []
        at_last(session, lambda: _write(session))
    told.append(_Told(kind, at, actor, subject, dict(facts), item_id, case_id))


def _write(session: Session) -> None:
    """Write what was told and is not written yet."""
    told: list[_Told] = session.info.pop(_TOLD, [])
    if not told:
        return
    session.flush()
    hold(session, Noun.CUSTODY)
    seq, prev = last_link(session) or (0, GENESIS)
    rows = []
    for each in told:
        made = link(seq=seq + 1, prev=prev, kind=each.kind, at=each.at, actor=each.actor, subject=each.subject, facts=each.facts)
        seq, prev = made.seq, made.hash
        rows.append(
            {
                "seq": made.seq,
                "item_id": each.item_id,
                "case_id": each.case_id,
                "kind": each.kind.value,
                "at": each.at,
                "actor": each.actor,
                "body": made.body,
                "hash": made.hash,
            }
        )
    session.execute(insert(CUSTODY_EVENTS), rows)


def of_item(session: Session, item_id: int) -> list[EventView]:
    """Return the events of an item, oldest first, those of this very transaction too."""
    _write(session)
    return [_view(event) for event in events_of(session, item_id)]


def chain(session: Session) -> Iterator[Link]:
    """Yield the whole chain from its first event, those of this very transaction too, without holding it in memory."""
    _write(session)
    for event in session.scalars(select(CustodyEvent).order_by(CustodyEvent.seq).execution_options(yield_per=1000)):
        yield Link(event.seq, event.body, event.hash)


def _view(event: CustodyEvent) -> EventView:
    body = decode(event.body.encode())
    facts = body["facts"] if isinstance(body, dict) else {}
    return EventView(
        event.seq, EventKind(event.kind), Instant(event.at), event.actor, facts if isinstance(facts, dict) else {}, event.hash
    )
