"""The archive's invariants as code: what must be true whatever crashed when.

A flaw is something that must not be; a note is something that may be left by a crash and does no harm. Nothing is changed. Everything is
looked at as it streams by, so that an archive may be as large as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.actions import custody, document, fsck_bytes
from archive.actions.fsck_bytes import Finding, Progress, Second
from archive.core import manifest as manifests
from archive.core import paper
from archive.core.custody import EventKind, flaws
from archive.core.digest import Digest, original_key
from archive.core.errors import Malformed, ObjectMissing, TooEarly, Unavailable
from archive.core.instant import Instant
from archive.ports import ObjectStore
from archive.records.custody import CustodyEvent
from archive.records.items import Item, Serial, StoredObject
from archive.records.jobs import Job
from archive.records.papers import Paper
from archive.records.releases import Release
from archive.records.session import patiently
from archive.records.uploads import Upload

__all__ = ["Finding", "Progress", "Second", "check"]

_AT_ONCE = 500


def check(
    session: Session,
    store: ObjectStore,
    *,
    deep: bool,
    now: Instant,
    progress: Progress,
    locks: bool = False,
    second: Second | None = None,
) -> Iterator[Finding]:
    """Yield everything found.

    `deep` re-hashes every original, rendition and copy, and asks the store for every lock; otherwise its list is compared. `locks` says
    that the store locks originals, `second` is the store that has a copy of each.
    """
    patiently(session)
    yield from fsck_bytes.originals(session, store, locks=locks, deep=deep, now=now, progress=progress)
    yield from fsck_bytes.renditions(session, store, deep=deep, progress=progress)
    if second is not None:
        yield from fsck_bytes.copies(session, second, deep=deep, now=now, progress=progress)
    yield from _items(session)
    yield from _signed_sm3(session)
    yield from _releases(session)
    yield from _uploads(session)
    yield from fsck_bytes.quarantine(session, store)
    yield from _papers(session, store)
    yield from _serials(session)
    yield from _chain(session)
    yield from _jobs(session, now=now)


def _items(session: Session) -> Iterator[Finding]:
    last = 0
    while items := list(session.scalars(select(Item).where(Item.id > last).order_by(Item.id).limit(_AT_ONCE))):
        last = items[-1].id
        yield from _some_items(session, items)


def _some_items(session: Session, items: Sequence[Item]) -> Iterator[Finding]:
    ids = [item.id for item in items]
    counted = {
        (item_id, kind): count
        for item_id, kind, count in session.execute(
            select(CustodyEvent.item_id, CustodyEvent.kind, func.count())
            .where(CustodyEvent.item_id.in_(ids), CustodyEvent.kind.in_((EventKind.STORED.value, EventKind.READ_BACK.value)))
            .group_by(CustodyEvent.item_id, CustodyEvent.kind)
        )
    }
    promised = {(item_id, kind) for item_id, kind in session.execute(select(Job.item_id, Job.kind).where(Job.item_id.in_(ids)))}
    uploads = dict(
        session.execute(select(Upload.id, Upload.item_id).where(Upload.id.in_([item.upload_id for item in items]))).all()
    )
    papers = set(session.scalars(select(Paper.item_id).where(Paper.item_id.in_(ids))))
    for item in items:
        stored = counted.get((item.id, EventKind.STORED.value), 0)
        if stored != 1:
            yield Finding("ingestion_events", item.number, f"{stored} custody events of ingestion, 1 expected")
        if item.verified_at is not None and (item.id, EventKind.READ_BACK.value) not in counted:
            yield Finding("verified_unproved", item.number, "verified, but no fixity check is on record")
        if item.upload_id is None:
            if item.id not in papers:
                yield Finding("upload_differs", item.number, "neither an upload nor a document of scans names this item")
        elif uploads.get(item.upload_id) != item.id:
            yield Finding("upload_differs", item.number, f"upload {item.upload_id} does not name this item")
        # What a job has done shows in the item for good; its own row is removed after a while.
        over = {"examine": item.condition != "unchecked", "read_back": (item.id, EventKind.READ_BACK.value) in counted}
        for kind, done in over.items():
            if not done and (item.id, kind) not in promised:
                yield Finding("job_missing", item.number, f"{kind} was never promised")


def _signed_sm3(session: Session) -> Iterator[Finding]:
    """An item whose station signed an SM3 is verified only if the read-back reckoned that very one."""
    rows = select(Item.number, Item.manifest, StoredObject.sm3).join(StoredObject, StoredObject.sha256 == Item.sha256)
    rows = rows.where(Item.verified_at.is_not(None), Item.manifest.is_not(None))
    for number, manifest, sm3 in session.execute(rows.execution_options(yield_per=500)):
        signed = None if manifest is None else manifests.decode(manifest).sm3
        if signed is not None and signed != sm3:
            yield Finding("sm3_differs", number, f"SM3 {signed} signed, {sm3 or 'none'} recorded of its bytes")


def _releases(session: Session) -> Iterator[Finding]:
    """What was removed from a carrier is on record as often as it happened, and of verified items only."""
    events = (
        select(CustodyEvent.item_id, func.count())
        .where(CustodyEvent.kind == EventKind.RELEASED.value, CustodyEvent.item_id.is_not(None))
        .group_by(CustodyEvent.item_id)
    )
    told: dict[int, int] = {item_id: count for item_id, count in session.execute(events) if item_id is not None}
    rows = select(Release.item_id, func.count()).where(Release.state == "done").group_by(Release.item_id)
    done: dict[int, int] = dict(session.execute(rows).all())
    for item_id in sorted({*told, *done}):
        item = session.get(Item, item_id)
        number, seen, expected = f"item {item_id}" if item is None else item.number, told.get(item_id, 0), done.get(item_id, 0)
        if seen != expected:
            yield Finding("release_events", number, f"{seen} custody events of release, {expected} expected")
        if item is None or item.verified_at is None:
            yield Finding("released_unverified", number, "removed from its carrier, but never verified")


def _uploads(session: Session) -> Iterator[Finding]:
    acknowledged = select(Upload.id).outerjoin(Item, Item.id == Upload.item_id).where(Upload.state == "stored", Item.id.is_(None))
    for upload_id in session.scalars(acknowledged.execution_options(yield_per=_AT_ONCE)):
        yield Finding("upload_without_item", upload_id, "acknowledged as stored, but there is no item")


def _papers(session: Session, store: ObjectStore) -> Iterator[Finding]:
    """A document of several scans names, in its bytes, exactly the items that are its pages on record, with their digests."""
    for row in session.scalars(select(Paper).where(Paper.item_id.is_not(None))):
        item = session.get(Item, row.item_id)
        if item is None:
            yield Finding("paper_differs", row.id, "put together, but there is no item")
            continue
        try:
            stored = session.get(StoredObject, item.sha256)
            key, version = original_key(Digest(item.sha256)), "" if stored is None else stored.version_id
            size = store.size(key, version=version)
            listed = paper.decode(b"".join(store.read(key, 0, min(size, paper.MAX_ENCODED + 1), version=version)))
        except (ObjectMissing, Unavailable):
            continue  # told already, with the other bytes
        except Malformed as why:
            yield Finding("paper_unreadable", item.number, str(why))
            continue
        try:
            recorded = document.gathered(session, row.id)
        except (Malformed, TooEarly) as why:
            yield Finding("paper_differs", item.number, f"its pages on record make no document: {why}")
            continue
        for place, (said, known) in enumerate(zip(listed.pages, recorded.pages, strict=False), 1):
            if (said.number, said.sha256) != (known.number, known.sha256):
                yield Finding(
                    "paper_differs", item.number, f"page {place} is {known.number} on record, {said.number} in the list"
                )
        if len(listed.pages) != len(recorded.pages):
            yield Finding("paper_differs", item.number, f"{len(recorded.pages)} pages on record, {len(listed.pages)} in the list")


def _serials(session: Session) -> Iterator[Finding]:
    """Numbers run without a gap, because they are taken in the accession's own transaction; what custody knows of a gap is said."""
    for row in session.scalars(select(Serial)):
        series = f"{row.agency}-{row.letters}-{row.year}"
        where = (Item.agency == row.agency, Item.letters == row.letters, Item.year == row.year)
        expected = 1
        taken = select(Item.serial).where(*where).order_by(Item.serial).execution_options(yield_per=_AT_ONCE)
        for serial in session.scalars(taken):
            yield from _gaps(session, series, expected, min(serial, row.last + 1))
            if serial > row.last:
                yield Finding("number_ahead", f"{series}-{serial:08d}", f"the counter stands at {row.last}")
            expected = serial + 1
        yield from _gaps(session, series, expected, row.last + 1)


def _gaps(session: Session, series: str, start: int, stop: int) -> Iterator[Finding]:
    for serial in range(start, stop):
        number = f"{series}-{serial:08d}"
        event = session.scalar(
            select(CustodyEvent.seq).where(
                CustodyEvent.kind == EventKind.STORED.value,
                CustodyEvent.body.contains(f'"number":"{number}"', autoescape=True),
            )
        )
        why = f"custody event {event} says it was taken in: the row was removed" if event else "no custody event names it"
        yield Finding("number_gap", number, why)


def _chain(session: Session) -> Iterator[Finding]:
    for flaw in flaws(custody.chain(session)):
        yield Finding("custody_chain", f"event {flaw.seq}", flaw.what)


def _jobs(session: Session, *, now: Instant) -> Iterator[Finding]:
    for job in session.scalars(select(Job).where(Job.state.in_(("running", "dead"))).execution_options(yield_per=_AT_ONCE)):
        if job.state == "dead":
            yield Finding("job_dead", f"{job.kind} of {(job.sha256 or job.key)[:16]}", job.error or "", flaw=False)
        elif job.lease_until is not None and job.lease_until < now:
            yield Finding(
                "job_lost",
                f"{job.kind} of {(job.sha256 or job.key)[:16]}",
                "its worker is gone; the next one takes over",
                flaw=False,
            )
