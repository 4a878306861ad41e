"""Documents made of several scans, from the first page's upload to the item that lists them all."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from archive.records.base import Base, When


class Paper(Base):
    """A document of `pages` scans, each an item of its own; `id` is the sender's, `item_id` the page list once it is put together."""

    __tablename__ = "papers"
    __table_args__ = (
        CheckConstraint("pages >= 1", name="pages"),
        CheckConstraint("(station_id IS NULL) <> (person_id IS NULL)", name="one_source"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    title: Mapped[str]
    pages: Mapped[int]
    station_id: Mapped[int | None] = mapped_column(ForeignKey("stations.id"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    intent: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[When]
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"), unique=True)


class PaperPage(Base):
    """One page that has come: which item it is."""

    __tablename__ = "paper_pages"

    paper_id: Mapped[str] = mapped_column(ForeignKey("papers.id"), primary_key=True)
    page: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)


def pages_in(session: Session, paper_id: str) -> int:
    """Return how many pages of a document have come."""
    return session.scalar(select(func.count()).select_from(PaperPage).where(PaperPage.paper_id == paper_id)) or 0
