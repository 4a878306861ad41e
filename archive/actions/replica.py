"""Copies of originals in a second store, and repair from them.

Invariants: there is a row for a copy only after its bytes were read back from that store and had the original's digest. A repair takes
the copy's bytes only when they have the digest that names the original; it writes a new version, names it, and tells of both. The
version that was found altered is left where it is: it is evidence of what happened.

Not guaranteed: that the second store is another's than the first. Two buckets under one administrator fall together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from archive.actions import custody, jobs
from archive.actions.fixity import Verdict
from archive.core.canonical import Json
from archive.core.custody import EventKind
from archive.core.digest import Digest
from archive.core.errors import NotFound
from archive.core.instant import DAY, Instant
from archive.ports import Placed, Put
from archive.records.items import Item, StoredObject
from archive.records.locks import Noun, hold
from archive.records.stores import Replica


@dataclass(frozen=True, slots=True)
class Original:
    """An original as it stands: its size, its version in the first store, and what the last read-back found."""

    digest: Digest
    size: int
    version: str
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy in the second store."""

    digest: Digest
    version: str
    copied_at: Instant
    checked_at: Instant | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Copies:
    """How many verified originals have an intact copy in the second store, how many have none yet, and how many copies are flawed."""

    two: int
    one: int
    flawed: int


def original(session: Session, digest: Digest) -> Original:
    """Return an original.

    Raises:
        NotFound: no item has these bytes.
    """
    row = session.get(StoredObject, digest.hex)
    if row is None:
        raise NotFound(what="object", sha256=digest.hex)
    return Original(digest, row.size, row.version_id, row.verdict)


def copy_of(session: Session, digest: Digest, *, store: str) -> Copy | None:
    """Return the copy of an original in this store, None if there is none on record."""
    row = session.get(Replica, (digest.hex, store))
    return None if row is None else _copy(row)


def follow(session: Session, *, digest: Digest, store: str, now: Instant) -> None:
    """Promise what the last read-back asks for: a copy of what is intact and has none, a repair of what is not and has one."""
    stored, copy = session.get(StoredObject, digest.hex), session.get(Replica, (digest.hex, store))
    if stored is None or stored.verdict is None:
        return
    intact = copy is not None and copy.verdict == Verdict.INTACT
    if stored.verdict == Verdict.INTACT and not intact:
        _promise(session, "replicate", stored, now=now)
    if stored.verdict != Verdict.INTACT and intact:
        _promise(session, "restore", stored, now=now)


def catch_up(session: Session, *, store: str, after: str, limit: int, now: Instant) -> str | None:
    """Promise copies of the next verified originals that have none, and repairs of the flawed that have one; return where to go on.

    Goes through the originals in the order of their digests from `after`, so that however many are missing, few are promised at once.
    """
    join = and_(Replica.sha256 == StoredObject.sha256, Replica.store == store, Replica.verdict == Verdict.INTACT.value)
    missing = (
        select(StoredObject)
        .outerjoin(Replica, join)
        .where(StoredObject.sha256 > after, StoredObject.verdict == Verdict.INTACT.value, Replica.sha256.is_(None))
        .order_by(StoredObject.sha256)
        .limit(limit)
    )
    found = list(session.scalars(missing))
    for stored in found:
        _promise(session, "replicate", stored, now=now)
    last = found[-1].sha256 if len(found) == limit else None
    flawed = (
        select(StoredObject).join(Replica, join).where(StoredObject.sha256 > after, StoredObject.verdict != Verdict.INTACT.value)
    )
    if last is not None:
        flawed = flawed.where(StoredObject.sha256 <= last)
    for stored in session.scalars(flawed.order_by(StoredObject.sha256)):
        _promise(session, "restore", stored, now=now)
    return last


def _promise(session: Session, kind: str, stored: StoredObject, *, now: Instant) -> None:
    """Promise a job once for each day and verdict: what failed for good is tried again tomorrow, or when the bytes are looked at anew."""
    checked, day = stored.checked_at or 0, now // DAY
    jobs.enqueue(session, kind=kind, sha256=stored.sha256, payload={"checked": checked, "day": day}, now=now)


def copied(session: Session, *, digest: Digest, store: str, version: str, now: Instant) -> None:
    """Write down a copy that was read back from the second store and is what it should be."""
    hold(session, Noun.BYTES, digest.hex)
    row = session.get(Replica, (digest.hex, store))
    if row is None:
        row = Replica(sha256=digest.hex, store=store)
        session.add(row)
    row.version_id, row.copied_at, row.checked_at, row.verdict = version, now, now, Verdict.INTACT.value
    row.locked_until = None  # read back when locks are next looked after
    session.flush()


def judged(session: Session, *, digest: Digest, store: str, verdict: Verdict, now: Instant) -> None:
    """Write down what reading a copy found; one that is not intact is never used for a repair, and is made anew."""
    hold(session, Noun.BYTES, digest.hex)
    row = session.get(Replica, (digest.hex, store))
    if row is not None:
        row.verdict, row.checked_at = verdict.value, now
        session.flush()


def restored(session: Session, *, was: Original, placed: Placed, store: str, now: Instant) -> bool:
    """Let the original be the version that was put in the place of a flawed one, and say whether it became so.

    It does not where somebody else repaired it meanwhile: what was put is then a version that nobody names. The items of these bytes that
    were never verified are read back anew.
    """
    hold(session, Noun.BYTES, was.digest.hex)
    row = session.get(StoredObject, was.digest.hex, populate_existing=True)
    if row is None or row.version_id != was.version or row.verdict == Verdict.INTACT:
        return False
    found = row.verdict or ""
    row.version_id, row.verdict, row.checked_at = placed.version, Verdict.INTACT.value, now
    if placed.version != was.version:
        row.locked_until = None  # the new version has a lock of its own, which is read back when locks are next looked after
    session.flush()
    for item in session.scalars(select(Item).where(Item.sha256 == was.digest.hex).order_by(Item.id)):
        _tell(session, item, was=was, placed=placed, found=found, store=store, now=now)
        if item.verified_at is None:
            again = {"after_repair": now}
            jobs.enqueue(session, kind="read_back", item_id=item.id, sha256=item.sha256, payload=again, now=now)
    return True


def _tell(session: Session, item: Item, *, was: Original, placed: Placed, found: str, store: str, now: Instant) -> None:
    """Put the repair on record; where the store re-read what it has and found it right after all, that."""
    facts: dict[str, Json] = {"sha256": was.digest.hex, "number": item.number}
    if placed == Placed(Put.ALREADY, was.version):
        kind = EventKind.READ_BACK
        facts["verdict"] = Verdict.INTACT.value
    else:
        kind = EventKind.REPAIRED
        facts.update(
            {
                "found": found,
                "from_store": store,
                "version": placed.version,
                "version_before": was.version,
                "put": placed.put.value,
            }
        )
    custody.record(session, kind=kind, at=now, actor="archive", subject=item.number, item_id=item.id, facts=facts)


def counts(session: Session, *, store: str) -> Copies:
    """Count the verified originals by their copies."""
    copies = dict(
        session.execute(select(Replica.verdict, func.count()).where(Replica.store == store).group_by(Replica.verdict)).all()
    )
    verified = select(func.count()).select_from(StoredObject).where(StoredObject.verdict == Verdict.INTACT.value)
    intact = copies.pop(Verdict.INTACT.value, 0)
    return Copies(two=intact, one=max(0, (session.scalar(verified) or 0) - intact), flawed=sum(copies.values()))


def copies_of(session: Session, digest: Digest) -> Sequence[Copy]:
    """Return every copy of an original, in whatever second store."""
    return [_copy(row) for row in session.scalars(select(Replica).where(Replica.sha256 == digest.hex).order_by(Replica.store))]


def _copy(row: Replica) -> Copy:
    checked = None if row.checked_at is None else Instant(row.checked_at)
    return Copy(Digest(row.sha256), row.version_id, Instant(row.copied_at), checked, row.verdict)
