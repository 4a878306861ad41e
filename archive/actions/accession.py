"""Accession (入档): the one act of taking bytes in, with a number.

Everything that must stand together is written in the caller's one transaction: the object, the item with its number, the upload's end,
the jobs that will read back and examine, and the custody event. The bytes are in the store before it begins, and the sender is
answered after it has committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.orm import Session

from archive.actions import custody, intent, jobs
from archive.core import manifest as manifests
from archive.core import paper as papers
from archive.core.accession import MAX_SERIAL, AccessionNumber, Kind
from archive.core.custody import EventKind
from archive.core.digest import Digest, quarantine_key
from archive.core.errors import NotFound, NumbersSpent, UploadGone
from archive.core.instant import Instant, local
from archive.core.media.sniff import Sniffed
from archive.ports import Placed, Put
from archive.records import locks
from archive.records.items import Item, Serial, StoredObject
from archive.records.papers import Paper
from archive.records.people import Person
from archive.records.stations import Station
from archive.records.uploads import Quarantined, Upload

_OBJECTS, _SERIALS = StoredObject.__table__, Serial.__table__


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the sender is told."""

    number: str
    digest: Digest
    same_bytes_as: str | None


def accept(
    session: Session,
    *,
    upload_id: str,
    digest: Digest,
    size: int,
    placed: Placed,
    sniffed: Sniffed,
    agency: str,
    zone: ZoneInfo,
    now: Instant,
    actor: str | None = None,
) -> Accepted:
    """Take in the bytes of a finished upload, which are in the store under their digest; asking again answers the same.

    `actor` is who sent it, where the caller knows.

    Raises:
        NotFound: there is no such upload.
        UploadGone: it ended otherwise.
        NumbersSpent: no number is left of this agency, kind and year.
    """
    upload = locks.row(session, Upload, upload_id)
    if upload is None:
        raise NotFound(what="upload", id=upload_id)
    if upload.state == "stored":
        return _accepted(session, upload)
    if upload.state not in {"receiving", "arrived"}:
        raise UploadGone(id=upload_id, state=upload.state)
    if place := (upload.intent or {}).get("document"):
        locks.row(session, Paper, place["id"])
    earlier = _earlier(session, digest, size=size, placed=placed, now=now)
    # A page of a document is a document, whatever picture it is.
    kind = Kind.DOCUMENT if (upload.intent or {}).get("document") else sniffed.kind
    facts = _from_manifest(upload.manifest)
    facts["recorder"] = facts.get("recorder") or (upload.intent or {}).get("recorder")
    number = _take_number(session, agency=agency, kind=kind, year=local(now, zone).year)
    item = Item(
        number=str(number),
        agency=agency,
        letters=number.kind.letters,
        year=number.year,
        serial=number.serial,
        kind=kind.value,
        sha256=digest.hex,
        upload_id=upload_id,
        same_bytes_as_id=None if earlier is None else earlier.id,
        name=upload.name,
        media_type=sniffed.media_type,
        container=sniffed.container,
        station_id=upload.station_id,
        person_id=upload.person_id,
        manifest=upload.manifest,
        signature=upload.signature,
        stored_at=now,
        findings=[],
        technical={},
        **facts,
    )
    session.add(item)
    session.flush()
    upload.state, upload.ended_at, upload.item_id, upload.floor = "stored", now, item.id, None
    actor = actor or _actor(session, upload)
    jobs.enqueue_first(session, item_id=item.id, sha256=item.sha256, now=now)
    _tell_repair(session, item, put=placed.put, now=now)
    custody.record(
        session,
        kind=EventKind.STORED,
        at=now,
        actor=actor,
        subject=str(number),
        item_id=item.id,
        facts={
            "number": str(number),
            "sha256": digest.hex,
            "size": size,
            "upload": upload_id,
            "same_bytes_as": None if earlier is None else earlier.number,
        },
    )
    intent.carry_out(session, upload, item, now=now)
    return _accepted(session, upload)


def assembled(
    session: Session, *, paper_id: str, digest: Digest, size: int, placed: Placed, agency: str, zone: ZoneInfo, now: Instant
) -> Accepted:
    """Take in the page list of a document made of several scans, which is in the store; asking again answers the same.

    Raises:
        NotFound: there is no such document.
        NumbersSpent: no number is left of this agency, kind and year.
    """
    paper = locks.row(session, Paper, paper_id)
    if paper is None:
        raise NotFound(what="document", id=paper_id[:64])
    if paper.item_id is not None:
        standing = session.get(Item, paper.item_id)
        assert standing is not None
        return Accepted(standing.number, Digest(standing.sha256), None)
    _earlier(session, digest, size=size, placed=placed, now=now)
    number = _take_number(session, agency=agency, kind=Kind.DOCUMENT, year=local(now, zone).year)
    item = Item(
        number=str(number),
        agency=agency,
        letters=number.kind.letters,
        year=number.year,
        serial=number.serial,
        kind=Kind.DOCUMENT.value,
        sha256=digest.hex,
        upload_id=None,
        name=paper.title,
        media_type=papers.MEDIA_TYPE,
        container=papers.CONTAINER,
        station_id=paper.station_id,
        person_id=paper.person_id,
        stored_at=now,
        findings=[],
        technical={},
    )
    session.add(item)
    session.flush()
    paper.item_id = item.id
    jobs.enqueue_first(session, item_id=item.id, sha256=item.sha256, now=now)
    _tell_repair(session, item, put=placed.put, now=now)
    custody.record(
        session,
        kind=EventKind.STORED,
        at=now,
        actor="archive",
        subject=str(number),
        item_id=item.id,
        facts={
            "number": str(number),
            "sha256": digest.hex,
            "size": size,
            "document": paper_id,
            "pages": paper.pages,
            "same_bytes_as": None,
        },
    )
    intent.bind(session, paper.intent or {}, item, person_id=paper.person_id, now=now)
    return Accepted(item.number, digest, None)


def _tell_repair(session: Session, item: Item, *, put: Put, now: Instant) -> None:
    """Put it on record where the store found its own copy of these bytes rotten and took the new ones in its place."""
    if put is not Put.REPAIRED:
        return
    custody.record(
        session,
        kind=EventKind.REPAIRED,
        at=now,
        actor="archive",
        subject=item.sha256,
        item_id=item.id,
        facts={"sha256": item.sha256, "from": item.number},
    )


def quarantine(
    session: Session, *, upload_id: str, declared: Digest, actual: Digest, size: int, placed: Placed, now: Instant
) -> None:
    """Record that an upload's bytes are not those declared; they are in the store under their quarantine key. Asking again is no error.

    Raises:
        NotFound: there is no such upload.
        UploadGone: it ended otherwise.
    """
    upload = locks.row(session, Upload, upload_id)
    if upload is None:
        raise NotFound(what="upload", id=upload_id)
    if upload.state == "refused":
        return
    if upload.state not in {"receiving", "arrived"}:
        raise UploadGone(id=upload_id, state=upload.state)
    upload.state, upload.ended_at, upload.refusal, upload.floor = "refused", now, "digest_mismatch", None
    session.add(
        Quarantined(
            upload_id=upload_id,
            name=upload.name,
            declared_sha256=declared.hex,
            actual_sha256=actual.hex,
            size=size,
            key=quarantine_key(upload_id),
            version_id=placed.version,
            at=now,
        )
    )
    custody.record(
        session,
        kind=EventKind.REFUSED,
        at=now,
        actor=_actor(session, upload),
        subject=upload_id,
        facts={"upload": upload_id, "declared": declared.hex, "actual": actual.hex, "size": size},
    )


def _earlier(session: Session, digest: Digest, *, size: int, placed: Placed, now: Instant) -> Row[int, str] | None:
    """Write the object if these bytes are new, and return id and number of the first item of them, if they are not.

    The bytes are held until the commit: of two accessions of the same bytes at once, the second sees the first.
    """
    made = session.execute(
        _insert(session)(_OBJECTS)
        .values(sha256=digest.hex, size=size, version_id=placed.version, stored_at=now)
        .on_conflict_do_nothing()
        .returning(_OBJECTS.c.sha256)
    ).first()
    if made is not None:  # nobody else sees the row, and whoever writes it too waits for us
        locks.passing(session, locks.Noun.BYTES, digest.hex)
        return None
    locks.hold(session, locks.Noun.BYTES, digest.hex)
    moved = [StoredObject.sha256 == digest.hex, StoredObject.version_id != placed.version]
    if placed.put is not Put.REPAIRED:
        moved.append(or_(StoredObject.verdict.is_(None), StoredObject.verdict != "intact"))
    # The put wrote or re-read the version that it names; where the one on record is flawed or never read back, this one is better. What was
    # read back and found intact is not given up for what nobody has read, unless the put itself found the name's bytes rotten.
    session.execute(update(StoredObject).where(*moved).values(version_id=placed.version, locked_until=None))
    return session.execute(select(Item.id, Item.number).where(Item.sha256 == digest.hex).order_by(Item.id).limit(1)).first()


def _insert(session: Session) -> Callable[..., Any]:
    return insert_postgresql if session.get_bind().dialect.name == "postgresql" else insert_sqlite


def _take_number(session: Session, *, agency: str, kind: Kind, year: int) -> AccessionNumber:
    """Take the next serial in this transaction: if it rolls back, so does the counter, and no gap is left."""
    # Several accessions may share a transaction, of whatever kinds: with a counter each, two such transactions would wait for each other.
    locks.hold(session, locks.Noun.SERIAL)
    statement = (
        _insert(session)(_SERIALS)
        .values(agency=agency, letters=kind.letters, year=year, last=1)
        .on_conflict_do_update(index_elements=["agency", "letters", "year"], set_={"last": _SERIALS.c.last + 1})
        .returning(_SERIALS.c.last)
    )
    serial = session.execute(statement).scalar_one()
    if serial > MAX_SERIAL:
        raise NumbersSpent(agency=agency, kind=kind.value, year=year)
    return AccessionNumber(agency, kind, year, serial)


def _from_manifest(encoded: bytes | None) -> dict[str, Any]:
    if encoded is None:
        return {}
    signed = manifests.decode(encoded)
    carrier: Mapping[str, str] = {
        "label": signed.carrier.label,
        "identity": signed.carrier.identity,
        "kind": signed.carrier.kind,
    }
    corrected = signed.started_at
    if signed.started_at is not None and signed.clock_offset_us is not None:
        corrected = Instant(signed.started_at + signed.clock_offset_us)
    return {
        "recorder": signed.recorder,
        "officer": signed.officer,
        "sequence": signed.sequence,
        "carrier": dict(carrier),
        "clock_started_at": signed.started_at,
        "clock_offset_us": signed.clock_offset_us,
        "clock_offset_from": signed.clock_offset_from or (None if signed.clock_offset_us is None else "given"),
        "room": signed.room,
        "key_mark": signed.key_mark,
        "belongs_to": signed.belongs_to,
        "started_at": corrected,
        "started_from": signed.started_from,
    }


def _actor(session: Session, upload: Upload) -> str:
    if upload.station_id is not None:
        return f"station:{session.scalar(select(Station.name).where(Station.id == upload.station_id))}"
    return f"person:{session.scalar(select(Person.login).where(Person.id == upload.person_id))}"


def _accepted(session: Session, upload: Upload) -> Accepted:
    item = session.get(Item, upload.item_id)
    assert item is not None
    same = None if item.same_bytes_as_id is None else session.get(Item, item.same_bytes_as_id)
    return Accepted(item.number, Digest(item.sha256), None if same is None else same.number)
