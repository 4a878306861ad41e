"""Custody events: one row each, linked by hash, never changed. Triggers (first migration) refuse updates and deletions."""

from __future__ import annotations

from typing import Final, cast

from sqlalchemy import ForeignKey, String, Table, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from archive.records.base import Base, When, Whole


class CustodyEvent(Base):
    """One event. `body` is the canonical JSON that is hashed; the columns beside it are for finding it."""

    __tablename__ = "custody_events"

    seq: Mapped[Whole] = mapped_column(primary_key=True, autoincrement=False)
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"), index=True)
    case_id: Mapped[int | None] = mapped_column(ForeignKey("cases.id"), index=True)
    kind: Mapped[str] = mapped_column(index=True)
    at: Mapped[When]
    actor: Mapped[str]
    body: Mapped[str]
    hash: Mapped[str] = mapped_column(String(64), unique=True)


CUSTODY_EVENTS: Final = cast("Table", CustodyEvent.__table__)


def last_link(session: Session) -> tuple[int, str] | None:
    """Return the newest event's number and hash."""
    found = session.execute(_LAST).first()
    return None if found is None else (found[0], found[1])


_LAST: Final = select(CUSTODY_EVENTS.c.seq, CUSTODY_EVENTS.c.hash).order_by(CUSTODY_EVENTS.c.seq.desc()).limit(1)


def events_of(session: Session, item_id: int) -> list[CustodyEvent]:
    """Return the events of an item, oldest first."""
    return list(session.scalars(select(CustodyEvent).where(CustodyEvent.item_id == item_id).order_by(CustodyEvent.seq)))
