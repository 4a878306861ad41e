"""Objects (bytes), items (accessions of them), renditions, and the counters that numbers are taken from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String, UniqueConstraint, false, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from archive.records.base import Base, Facts, Hex, IntKey, MaybeWhen, MaybeWhole, Size, Version, When
from archive.records.stations import Station

_FLAWED = "verdict <> 'intact'"
_UNVERIFIED = "verified_at IS NULL"


class StoredObject(Base):
    """Bytes in the store, named by their SHA-256; the same bytes are one object however often they are taken in.

    `verdict` is that of the last read-back: intact, altered, missing or unreadable; NULL until the first. `sm3` is reckoned in a read-back
    where it is asked for. `version_id` is the version in the store by which they are read, empty in a store without versions;
    `locked_until` the end of its lock as the store last said it.
    """

    __tablename__ = "objects"
    __table_args__ = (
        CheckConstraint("length(sha256) = 64", name="sha256"),
        CheckConstraint("verdict IN ('intact', 'altered', 'missing', 'unreadable')", name="verdict"),
        Index("ix_objects_locked", "locked_until", "sha256"),
        Index("ix_objects_checked", "checked_at", "sha256"),
        Index("ix_objects_flawed", "sha256", postgresql_where=text(_FLAWED), sqlite_where=text(_FLAWED)),
    )

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[Size]
    stored_at: Mapped[When]
    checked_at: Mapped[MaybeWhen]
    verdict: Mapped[str | None]
    leaves: Mapped[list[str] | None] = mapped_column(JSON)
    sm3: Mapped[str | None] = mapped_column(String(64))
    version_id: Mapped[Version]
    locked_until: Mapped[MaybeWhen]


class Serial(Base):
    """The last serial taken of an agency, kind and year."""

    __tablename__ = "serials"

    agency: Mapped[str] = mapped_column(primary_key=True)
    letters: Mapped[str] = mapped_column(String(2), primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True)
    last: Mapped[int]


class Item(Base):
    """One archived thing. What came with it (manifest, signature) is kept as it came; what was found out about it may be added to.

    `upload_id` is NULL for what the archive put together itself: the page list of a document made of several scans. `belongs_to` is, of a
    sidecar, the name of the file that it describes; `key_mark` the recorder's own mark of importance (重点标记).
    """

    __tablename__ = "items"
    __table_args__ = (
        CheckConstraint("kind IN ('recording', 'photo', 'audio', 'document')", name="kind"),
        CheckConstraint("condition IN ('unchecked', 'sound', 'damaged', 'unrecognised')", name="condition"),
        UniqueConstraint("agency", "letters", "year", "serial", name="uq_items_serial"),
        Index("ix_items_started", "started_at", "id"),
        Index("ix_items_unverified", "id", postgresql_where=text(_UNVERIFIED), sqlite_where=text(_UNVERIFIED)),
        Index("ix_items_recorder_started", "recorder", "started_at"),
    )

    id: Mapped[IntKey]
    number: Mapped[str] = mapped_column(unique=True)
    agency: Mapped[str]
    letters: Mapped[str] = mapped_column(String(2))
    year: Mapped[int]
    serial: Mapped[int]
    kind: Mapped[str] = mapped_column(index=True)
    sha256: Mapped[Hex] = mapped_column(ForeignKey("objects.sha256"), index=True)
    upload_id: Mapped[str | None] = mapped_column(String(64), unique=True)
    same_bytes_as_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"))
    name: Mapped[str]
    media_type: Mapped[str]
    container: Mapped[str]
    station_id: Mapped[int | None] = mapped_column(ForeignKey("stations.id"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    manifest: Mapped[bytes | None] = mapped_column(LargeBinary)
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    recorder: Mapped[str | None] = mapped_column(index=True)
    officer: Mapped[str | None] = mapped_column(index=True)
    sequence: Mapped[MaybeWhole]
    room: Mapped[str | None]
    key_mark: Mapped[bool] = mapped_column(default=False, server_default=false())
    belongs_to: Mapped[str | None]
    carrier: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    clock_started_at: Mapped[MaybeWhen]
    clock_offset_us: Mapped[MaybeWhen]
    clock_offset_from: Mapped[str | None]
    started_at: Mapped[MaybeWhen]
    started_from: Mapped[str | None]
    duration_us: Mapped[MaybeWhen]
    stored_at: Mapped[When] = mapped_column(index=True)
    verified_at: Mapped[MaybeWhen]
    condition: Mapped[str] = mapped_column(default="unchecked")
    findings: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    technical: Mapped[Facts] = mapped_column(default=dict)

    object: Mapped[StoredObject] = relationship(lazy="raise")
    station: Mapped[Station | None] = relationship(lazy="raise")


class Rendition(Base):
    """A derived copy, named by original and recipe. `provenance` says how it was made, so that it can be made again and compared."""

    __tablename__ = "renditions"

    sha256: Mapped[Hex] = mapped_column(ForeignKey("objects.sha256"), primary_key=True)
    recipe: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    key: Mapped[str] = mapped_column(unique=True)
    version_id: Mapped[Version]
    digest: Mapped[Hex]
    size: Mapped[Size]
    media_type: Mapped[str]
    provenance: Mapped[Facts]
    made_at: Mapped[When]


class Viewing(Base):
    """One look at an item: who, when, what part of it was sent. Many requests of one replay are one viewing."""

    __tablename__ = "viewings"

    id: Mapped[IntKey]
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)
    actor: Mapped[str]
    what: Mapped[str]
    began_at: Mapped[When]
    last_at: Mapped[When]


def item_by_number(session: Session, number: str) -> Item | None:
    """Return the item of this accession number."""
    return session.scalar(select(Item).where(Item.number == number))


def items_of(session: Session, sha256: str) -> list[Item]:
    """Return every item of these bytes, the first one first, as the database has it now."""
    query = select(Item).where(Item.sha256 == sha256).order_by(Item.id)
    return list(session.scalars(query, execution_options={"populate_existing": True}))


def renditions_of(session: Session, sha256: str) -> list[Rendition]:
    """Return the renditions of an original, by recipe."""
    return list(session.scalars(select(Rendition).where(Rendition.sha256 == sha256).order_by(Rendition.recipe)))
