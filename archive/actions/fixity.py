"""Fixity: what re-reading the bytes found, and the receipt that follows from it."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.orm import Session

from archive.actions import custody
from archive.core.accession import AccessionNumber
from archive.core.custody import EventKind
from archive.core.digest import Digest
from archive.core.errors import NotFound, TooEarly
from archive.core.instant import Instant
from archive.core.receipt import Receipt
from archive.records.items import Item, StoredObject, item_by_number
from archive.records.stations import Station


class Verdict(StrEnum):
    """What a fixity check found."""

    INTACT = "intact"
    ALTERED = "altered"
    MISSING = "missing"
    UNREADABLE = "unreadable"


def record(session: Session, *, item_id: int, verdict: Verdict, leaves: list[Digest], now: Instant) -> None:
    """Record a read-back; an intact one makes the item *verified*, once.

    `leaves` are the SHA-256 of the original's 16 MiB leaves in order; kept when the verdict is intact.

    Raises:
        NotFound: there is no such item.
    """
    item = session.get(Item, item_id)
    if item is None:
        raise NotFound(what="item", id=item_id)
    stored = session.get(StoredObject, item.sha256)
    assert stored is not None
    stored.checked_at, stored.verdict = now, verdict.value
    if verdict is Verdict.INTACT:
        stored.leaves = [leaf.hex for leaf in leaves]
        item.verified_at = item.verified_at or now
    custody.record(
        session,
        kind=EventKind.READ_BACK,
        at=now,
        actor="archive",
        subject=item.number,
        item_id=item.id,
        facts={"number": item.number, "sha256": item.sha256, "verdict": verdict.value},
    )


def receipt(session: Session, *, number: str, station_id: int | None = None) -> Receipt:
    """Return the receipt of an item; `station_id` limits it to what that station sent.

    Raises:
        NotFound: there is no such item, or it is another station's.
        TooEarly: the bytes have not been read back yet.
    """
    item = item_by_number(session, number)
    if item is None or (station_id is not None and item.station_id != station_id):
        raise NotFound(what="item", number=number[:64])
    stored = session.get(StoredObject, item.sha256)
    station = None if item.station_id is None else session.get(Station, item.station_id)
    assert stored is not None
    if item.verified_at is None or stored.verdict != Verdict.INTACT:
        raise TooEarly(number=number, verdict=stored.verdict or "unchecked")
    return Receipt(
        number=AccessionNumber.parse(item.number),
        sha256=Digest(item.sha256),
        size=stored.size,
        station=None if station is None else station.name,
        stored_at=Instant(item.stored_at),
        verified_at=Instant(item.verified_at),
    )
