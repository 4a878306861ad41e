"""Bytes in transit: one row for each upload, from its creation to its accession or end."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String, false, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from archive.records.base import Base, MaybeWhen, Size, Version, When


class Upload(Base):
    """One upload. How many bytes have come is the spool's to say; this row says what they are meant to be and what became of them.

    `sent_metadata` is the sender's Upload-Metadata, which tus gives back on asking.
    `length` is NULL until a sender that deferred it says it. `concat` is partial for bytes that stand only as a part of a final one, which
    names its `parts` in order; a part that was taken in with its final is joined. `intent` is what the sender wishes done at the accession.
    `host` is the web host whose spool holds its bytes; `direct` says that its station sends them to the store itself, and the state
    `arrived` that they are all there and not yet taken in. `multipart` names the store's own upload of them: bucket, key and its id; it is
    NULL once the store holds nothing of what came.
    `floor` is set while bytes whose checksum is not yet known to hold are being written past it.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint(
            "state IN ('receiving', 'arrived', 'stored', 'joined', 'refused', 'terminated', 'expired')", name="state"
        ),
        CheckConstraint("length >= 0", name="length"),
        CheckConstraint("concat IN ('partial', 'final')", name="concat"),
        CheckConstraint("(station_id IS NULL) <> (person_id IS NULL)", name="one_source"),
        CheckConstraint("state <> 'stored' OR item_id IS NOT NULL", name="stored_item"),
        Index("ix_uploads_signature", "signature"),
        Index(
            "ix_uploads_held",
            "ended_at",
            "id",
            postgresql_where=text("multipart IS NOT NULL"),
            sqlite_where=text("multipart IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(default="receiving", index=True)
    length: Mapped[Size | None]
    concat: Mapped[str | None] = mapped_column(String(8))
    parts: Mapped[list[str] | None] = mapped_column(JSON)
    intent: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    floor: Mapped[MaybeWhen]
    name: Mapped[str]
    sent_metadata: Mapped[str]
    declared_sha256: Mapped[str | None] = mapped_column(String(64))
    station_id: Mapped[int | None] = mapped_column(ForeignKey("stations.id"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    manifest: Mapped[bytes | None] = mapped_column(LargeBinary)
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[When]
    expires_at: Mapped[When]
    ended_at: Mapped[MaybeWhen]
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"))
    refusal: Mapped[str | None]
    host: Mapped[str | None] = mapped_column(String(20), index=True)
    direct: Mapped[bool] = mapped_column(default=False, server_default=false())
    multipart: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class Quarantined(Base):
    """Bytes that were not what was declared: kept apart, visible, never an item."""

    __tablename__ = "quarantine"

    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    name: Mapped[str]
    declared_sha256: Mapped[str] = mapped_column(String(64))
    actual_sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[Size]
    key: Mapped[str]
    version_id: Mapped[Version]
    at: Mapped[When]


def receiving(session: Session) -> list[Upload]:
    """Return every upload that has not ended, oldest first."""
    return list(session.scalars(select(Upload).where(Upload.state == "receiving").order_by(Upload.created_at)))
