"""Fixity: what re-reading the bytes found, and the receipt that follows from it.

SHA-256 names the bytes and is always compared. Where a station signed an SM3 as well, that is compared too: an item whose SM3 does not
hold never becomes verified, though its bytes may be those that its SHA-256 names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import exists, func, or_, select, text, tuple_
from sqlalchemy.orm import Session

from archive.actions import custody, jobs
from archive.core import manifest as manifests
from archive.core.accession import AccessionNumber
from archive.core.canonical import Json
from archive.core.custody import EventKind
from archive.core.digest import Digest
from archive.core.errors import Malformed, NotFound, TooEarly
from archive.core.instant import Instant
from archive.core.receipt import Receipt
from archive.records.items import Item, StoredObject, item_by_number
from archive.records.jobs import Job
from archive.records.locks import Noun, hold
from archive.records.stations import Station


class Verdict(StrEnum):
    """What a fixity check found."""

    INTACT = "intact"
    ALTERED = "altered"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Receipts:
    """Answers to many questions at once: receipts, numbers whose bytes are not read back yet, numbers that the asker has no item of."""

    found: Sequence[Receipt]
    waiting: Sequence[str]
    unknown: Sequence[str]


def taken_in(session: Session, *, item_id: int) -> Instant:
    """Return when an item was taken in: what its read-back must come after.

    Raises:
        NotFound: there is no such item.
    """
    return Instant(_item(session, item_id).stored_at)


MAX_RECEIPTS = 200
"""Numbers asked for in one request: each is a row and a signature, and a thousand photos are five requests."""


def wants_sm3(session: Session, *, item_id: int) -> bool:
    """Say whether SM3 is to be reckoned for this item: its manifest has one, or its station's settings ask for it.

    Raises:
        NotFound: there is no such item.
    """
    item = _item(session, item_id)
    station = None if item.station_id is None else session.get(Station, item.station_id)
    return _declared_sm3(item) is not None or (station is not None and station.sm3)


def record(
    session: Session, *, item_id: int, verdict: Verdict, leaves: list[Digest], now: Instant, sm3: str | None = None
) -> Verdict:
    """Record a read-back; an intact one makes the item *verified*, once. Return the verdict on the item.

    `verdict` is what SHA-256 says. `leaves` are the SHA-256 of the original's 16 MiB leaves in order, `sm3` what was reckoned of the same
    bytes, where it was; both are kept when the verdict is intact. An SM3 that is not the one signed makes the item's verdict altered; that
    of the object only where no other item has shown its bytes to be what they are.

    Raises:
        NotFound: there is no such item.
    """
    item = _item(session, item_id)
    hold(session, Noun.BYTES, item.sha256)
    stored = session.get(StoredObject, item.sha256, populate_existing=True)
    assert stored is not None
    session.refresh(item)
    declared = _declared_sm3(item)
    facts: dict[str, Json] = {"number": item.number, "sha256": item.sha256}
    found = verdict
    if verdict is Verdict.INTACT:
        stored.leaves = [leaf.hex for leaf in leaves]
        known = {value for value in (declared, stored.sm3) if value is not None}
        if sm3 is not None:
            facts["sm3"] = sm3
            found = verdict if known <= {sm3} else Verdict.ALTERED
            stored.sm3 = stored.sm3 or sm3
        if found is Verdict.ALTERED and declared is not None:
            facts["sm3_signed"] = declared
        if found is Verdict.INTACT:
            item.verified_at = item.verified_at or now
    stored.checked_at = now
    stored.verdict = verdict.value if found is not verdict and _vouched(session, item) else found.value
    facts["verdict"] = found.value
    custody.record(
        session,
        kind=EventKind.READ_BACK,
        at=now,
        actor="archive",
        subject=item.number,
        item_id=item.id,
        facts=facts,
    )
    return found


_OWN = ("", "archive")
"""Whose the periodic checks are: not the item's source's, whose own work would line up behind them."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Where a day's promises of checks go on: after which original, and for how many bytes more."""

    checked_at: Instant
    sha256: str
    left: int


def promise(session: Session, *, before: Instant, after: tuple[int, str], most: int, limit: int, now: Instant) -> Rest | None:
    """Promise to read again the originals that were last read before then, the oldest first; return where to go on, None at the end.

    Begins after the original that `after` names by its last check and its SHA-256, and promises up to `limit` checks of up to `most` bytes
    together, but always the first: a file larger than a day's worth would never be read. What waits to be checked already is not promised
    twice. What was never read back is for its first read-back, which waits or is shown as failed.
    """
    item = select(func.min(Item.id)).where(Item.sha256 == StoredObject.sha256).scalar_subquery()
    rows = session.execute(
        select(StoredObject.sha256, StoredObject.size, StoredObject.checked_at, item.label("item_id"))
        .where(StoredObject.checked_at < before, tuple_(StoredObject.checked_at, StoredObject.sha256) > after)
        .order_by(StoredObject.checked_at, StoredObject.sha256)
        .limit(limit)
    ).all()
    last, left = None, most
    for row in rows:
        if last is not None and row.size > left:
            return None
        if row.item_id is not None:
            given = {"checked": row.checked_at}
            jobs.enqueue(session, kind="check", item_id=row.item_id, sha256=row.sha256, payload=given, whose=_OWN, now=now)
        last, left = row, left - row.size
    return None if last is None or len(rows) < limit or left <= 0 else Rest(Instant(last.checked_at), last.sha256, left)


_MAY_PASS = (Verdict.MISSING.value, Verdict.UNREADABLE.value)


def any_left(session: Session) -> bool:
    """Say whether there may be something for `promise_left`."""
    return bool(
        session.scalar(
            select(
                or_(
                    exists().where(Item.verified_at.is_(None)),
                    exists().where(text("verdict <> 'intact'"), StoredObject.verdict.in_(_MAY_PASS)),
                )
            )
        )
    )


def promise_left(session: Session, *, day: str, after: int, limit: int, now: Instant) -> int | None:
    """Promise for that day, to up to `limit` items after that one, what they would otherwise wait for in vain; return where to go on.

    That is a read-back to what was never verified and has none that waits, unless its bytes are altered: only other bytes help there.
    So a store that was away for longer than the attempts lasted, or workers that died over an item, keep nobody's receipt back for good.
    With the first items come those flawed originals that a passing fault may have made so, the longest unread first.
    """
    if not after:
        flawed = select(StoredObject.sha256, func.min(Item.id).label("item_id")).join(Item, Item.sha256 == StoredObject.sha256)
        flawed = flawed.where(text("verdict <> 'intact'"), StoredObject.verdict.in_(_MAY_PASS), Item.verified_at.is_not(None))
        longest = flawed.group_by(StoredObject.sha256, StoredObject.checked_at).order_by(StoredObject.checked_at).limit(limit)
        for row in session.execute(longest):
            jobs.enqueue(session, kind="check", item_id=row.item_id, sha256=row.sha256, payload={"day": day}, whose=_OWN, now=now)
    waits = exists().where(Job.item_id == Item.id, Job.kind == "read_back", Job.state.in_(("waiting", "running")))
    altered = exists().where(StoredObject.sha256 == Item.sha256, StoredObject.verdict == Verdict.ALTERED.value)
    left = select(Item).where(Item.verified_at.is_(None), Item.id > after, ~waits, ~altered).order_by(Item.id).limit(limit)
    found = session.scalars(left).all()
    for item in found:
        stored, declared = session.get(StoredObject, item.sha256), _declared_sm3(item)
        if stored is not None and stored.verdict == Verdict.INTACT and declared not in {None, stored.sm3}:
            continue  # what is signed is not what these bytes have, however often they are read
        jobs.enqueue(session, kind="read_back", item_id=item.id, sha256=item.sha256, payload={"day": day}, now=now)
    return found[-1].id if len(found) == limit else None


@dataclass(frozen=True, slots=True)
class Checks:
    """How the originals stand by their last checks: how many were found flawed, and the longest ago that one was read."""

    flawed: int
    oldest: Instant | None


def checks(session: Session) -> Checks:
    """Return how the originals stand by their last checks."""
    flawed = session.scalar(select(func.count()).select_from(StoredObject).where(text("verdict <> 'intact'"))) or 0
    oldest = session.scalar(select(func.min(StoredObject.checked_at)))
    return Checks(flawed, None if oldest is None else Instant(oldest))


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
    made = _receipt(item, stored, None if station is None else station.name)
    if made is None:
        raise TooEarly(number=number, verdict=stored.verdict or "unchecked")
    return made


def receipts(session: Session, *, numbers: Sequence[str], station_id: int | None = None) -> Receipts:
    """Return the receipts of up to 200 items; `station_id` limits them to what that station sent.

    Raises:
        Malformed: these are more than 200 numbers.
    """
    if len(numbers) > MAX_RECEIPTS:
        raise Malformed(what="numbers", most=MAX_RECEIPTS)
    wanted = list(dict.fromkeys(numbers))
    rows = session.execute(
        select(Item, StoredObject, Station.name)
        .join(StoredObject, StoredObject.sha256 == Item.sha256)
        .outerjoin(Station, Station.id == Item.station_id)
        .where(Item.number.in_(wanted))
    )
    made = {
        item.number: _receipt(item, stored, name)
        for item, stored, name in rows
        if station_id is None or item.station_id == station_id
    }
    return Receipts(
        found=[receipt for number in wanted if (receipt := made.get(number)) is not None],
        waiting=[number for number in wanted if number in made and made[number] is None],
        unknown=[number for number in wanted if number not in made],
    )


def _receipt(item: Item, stored: StoredObject, station: str | None) -> Receipt | None:
    if item.verified_at is None or stored.verdict != Verdict.INTACT:
        return None
    return Receipt(
        number=AccessionNumber.parse(item.number),
        sha256=Digest(item.sha256),
        size=stored.size,
        station=station,
        stored_at=Instant(item.stored_at),
        verified_at=Instant(item.verified_at),
        # a station of the first release, which signs none, takes a receipt with one for no receipt
        sm3=stored.sm3 if station is None or _declared_sm3(item) is not None else None,
    )


def _item(session: Session, item_id: int) -> Item:
    item = session.get(Item, item_id)
    if item is None:
        raise NotFound(what="item", id=item_id)
    return item


def _declared_sm3(item: Item) -> str | None:
    return None if item.manifest is None else manifests.decode(item.manifest).sm3


def _vouched(session: Session, item: Item) -> bool:
    """Say whether another item of the same bytes was verified: a false SM3 signed by one station must not spoil what another brought."""
    other = exists().where(Item.sha256 == item.sha256, Item.id != item.id, Item.verified_at.is_not(None))
    return bool(session.scalar(select(other)))
