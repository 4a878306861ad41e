"""What is known of the object stores themselves: what they were tried for, and which copies the second one holds."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from archive.records.base import Base, Facts, Hex, IntKey, MaybeWhen, Version, When


class Probe(Base):
    """One trial of a store: what it enforces, tried on objects made for that."""

    __tablename__ = "probes"
    __table_args__ = (Index("ix_probes_store", "store", "at"),)

    id: Mapped[IntKey]
    store: Mapped[str]
    at: Mapped[When]
    kind: Mapped[str]
    facts: Mapped[Facts]
    passed: Mapped[bool]


class Replica(Base):
    """One copy of an original in a second store; there is a row once it was read back from there.

    `locked_until` is the end of the lock of its version as that store last said it.
    """

    __tablename__ = "replicas"
    __table_args__ = (
        CheckConstraint("verdict IN ('intact', 'altered', 'missing', 'unreadable')", name="verdict"),
        Index("ix_replicas_locked", "store", "locked_until", "sha256"),
    )

    sha256: Mapped[Hex] = mapped_column(ForeignKey("objects.sha256"), primary_key=True)
    store: Mapped[str] = mapped_column(String(255), primary_key=True)
    version_id: Mapped[Version]
    copied_at: Mapped[When]
    checked_at: Mapped[MaybeWhen]
    verdict: Mapped[str | None]
    locked_until: Mapped[MaybeWhen]
