"""Recorders freed: what a station was allowed to remove from a carrier, and what it then did."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from archive.records.base import Base, Hex, IntKey, MaybeWhen, When


class Release(Base):
    """Leave to remove one file from its carrier: granted, then done, or kept with the reason.

    `file` is the SHA-256 of the manifest that the station signed for it: the same bytes may lie on two carriers under one item.
    """

    __tablename__ = "releases"
    __table_args__ = (
        CheckConstraint("state IN ('granted', 'done', 'kept')", name="state"),
        UniqueConstraint("item_id", "file", name="uq_releases_file"),
    )

    id: Mapped[IntKey]
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    file: Mapped[Hex]
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    state: Mapped[str]
    asked_at: Mapped[When]
    ended_at: Mapped[MaybeWhen]
    reason: Mapped[str | None]


def release_of(session: Session, item_id: int, file: str) -> Release | None:
    """Return what was decided on this file of an item, None if nobody asked."""
    return session.scalar(select(Release).where(Release.item_id == item_id, Release.file == file))
