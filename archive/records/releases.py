"""Recorders freed: what a station was allowed to remove from a carrier, and what it then did."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from archive.records.base import Base, IntKey, MaybeWhen, When


class Release(Base):
    """Leave to remove one item's file from its carrier: granted, then done, or kept with the reason."""

    __tablename__ = "releases"
    __table_args__ = (CheckConstraint("state IN ('granted', 'done', 'kept')", name="state"),)

    id: Mapped[IntKey]
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), unique=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    state: Mapped[str]
    asked_at: Mapped[When]
    ended_at: Mapped[MaybeWhen]
    reason: Mapped[str | None]
