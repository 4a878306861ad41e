"""The archive's invariants as code: what must be true whatever crashed when.

A flaw is something that must not be; a note is something that may be left by a crash and does no harm. Nothing is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.actions import custody, document
from archive.core import manifest as manifests
from archive.core import paper
from archive.core.custody import EventKind, flaws
from archive.core.digest import Digest, original_key
from archive.core.errors import Malformed, ObjectMissing, TooEarly, Unavailable
from archive.core.instant import Instant
from archive.ports import ObjectStore
from archive.records.custody import CustodyEvent
from archive.records.items import Item, Rendition, Serial, StoredObject
from archive.records.jobs import Job
from archive.records.papers import Paper
from archive.records.releases import Release
from archive.records.uploads import Quarantined, Upload
from archive.sm3 import Sm3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something fsck found: a stable code, what it is about, and details. `flaw` says whether it must not be."""

    code: str
    subject: str
    detail: str
    flaw: bool = True


Progress = Callable[[str, int, int], None]
"""(what is looked at, how many of them were, of how many)."""


def check(session: Session, store: ObjectStore, *, deep: bool, now: Instant, progress: Progress) -> Iterator[Finding]:
    """Yield everything found; `deep` re-hashes every original and rendition, otherwise sizes are compared."""
    yield from _objects(session, store, deep=deep, progress=progress)
    yield from _renditions(session, store, deep=deep, progress=progress)
    yield from _items(session)
    yield from _signed_sm3(session)
    yield from _releases(session)
    yield from _uploads(session, store)
    yield from _papers(session, store)
    yield from _serials(session)
    yield from _chain(session)
    yield from _unreferenced(session, store)
    yield from _jobs(session, now=now)


def _objects(session: Session, store: ObjectStore, *, deep: bool, progress: Progress) -> Iterator[Finding]:
    total = session.scalar(select(func.count()).select_from(StoredObject)) or 0
    for done, row in enumerate(session.scalars(select(StoredObject).execution_options(yield_per=500)), 1):
        digest = Digest(row.sha256)
        yield from _bytes(store, original_key(digest), digest, row.size, version=row.version_id, deep=deep, sm3=row.sm3)
        progress("originals", done, total)


def _renditions(session: Session, store: ObjectStore, *, deep: bool, progress: Progress) -> Iterator[Finding]:
    total = session.scalar(select(func.count()).select_from(Rendition)) or 0
    for done, row in enumerate(session.scalars(select(Rendition).execution_options(yield_per=500)), 1):
        yield from _bytes(store, row.key, Digest(row.digest), row.size, version=row.version_id, deep=deep)
        progress("renditions", done, total)


def _bytes(
    store: ObjectStore, key: str, digest: Digest, size: int, *, version: str, deep: bool, sm3: str | None = None
) -> Iterator[Finding]:
    try:
        actual = store.size(key, version=version)
        if actual != size:
            yield Finding("size_differs", key, f"{size} bytes recorded, {actual} stored")
        elif deep:
            whole, beside = hashlib.sha256(), None if sm3 is None else Sm3()
            for piece in store.reread(key, version=version):
                whole.update(piece)
                if beside is not None:
                    beside.update(piece)
            if whole.hexdigest() != digest.hex:
                yield Finding("bytes_altered", key, f"{digest.hex} recorded, {whole.hexdigest()} read")
            elif beside is not None and (found := beside.hexdigest()) != sm3:
                yield Finding("sm3_differs", key, f"SM3 {sm3} recorded, {found} read")
    except ObjectMissing:
        yield Finding("bytes_missing", key, "recorded, not stored")
    except Unavailable as why:
        yield Finding("bytes_unreadable", key, str(why))


def _items(session: Session) -> Iterator[Finding]:
    counted = dict(
        session.execute(
            select(CustodyEvent.item_id, func.count())
            .where(CustodyEvent.kind == EventKind.STORED.value)
            .group_by(CustodyEvent.item_id)
        ).all()
    )
    read_back = set(
        session.scalars(select(CustodyEvent.item_id).where(CustodyEvent.kind == EventKind.READ_BACK.value).distinct())
    )
    promised = {(item_id, kind) for item_id, kind in session.execute(select(Job.item_id, Job.kind))}
    uploads = dict(session.execute(select(Upload.id, Upload.item_id)).all())
    papers = set(session.scalars(select(Paper.item_id).where(Paper.item_id.is_not(None))))
    for item in session.scalars(select(Item).execution_options(yield_per=500)):
        if counted.get(item.id, 0) != 1:
            yield Finding("ingestion_events", item.number, f"{counted.get(item.id, 0)} custody events of ingestion, 1 expected")
        if item.verified_at is not None and item.id not in read_back:
            yield Finding("verified_unproved", item.number, "verified, but no fixity check is on record")
        if item.upload_id is None:
            if item.id not in papers:
                yield Finding("upload_differs", item.number, "neither an upload nor a document of scans names this item")
        elif uploads.get(item.upload_id) != item.id:
            yield Finding("upload_differs", item.number, f"upload {item.upload_id} does not name this item")
        for kind in ("examine", "read_back"):
            if (item.id, kind) not in promised:
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


def _uploads(session: Session, store: ObjectStore) -> Iterator[Finding]:
    for upload in session.scalars(select(Upload).where(Upload.state == "stored")):
        if upload.item_id is None or session.get(Item, upload.item_id) is None:
            yield Finding("upload_without_item", upload.id, "acknowledged as stored, but there is no item")
    for kept in session.scalars(select(Quarantined)):
        yield from _bytes(store, kept.key, Digest(kept.actual_sha256), kept.size, version=kept.version_id, deep=False)


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
        where = (Item.agency == row.agency, Item.letters == row.letters, Item.year == row.year)
        taken = set(session.scalars(select(Item.serial).where(*where)))
        for serial in sorted(set(range(1, row.last + 1)) - taken):
            number = f"{row.agency}-{row.letters}-{row.year}-{serial:08d}"
            event = session.scalar(
                select(CustodyEvent.seq).where(
                    CustodyEvent.kind == EventKind.STORED.value,
                    CustodyEvent.body.contains(f'"number":"{number}"', autoescape=True),
                )
            )
            why = f"custody event {event} says it was taken in: the row was removed" if event else "no custody event names it"
            yield Finding("number_gap", number, why)
        for serial in sorted(serial for serial in taken if serial > row.last):
            yield Finding(
                "number_ahead", f"{row.agency}-{row.letters}-{row.year}-{serial:08d}", f"the counter stands at {row.last}"
            )


def _chain(session: Session) -> Iterator[Finding]:
    for flaw in flaws(custody.chain(session)):
        yield Finding("custody_chain", f"event {flaw.seq}", flaw.what)


def _unreferenced(session: Session, store: ObjectStore) -> Iterator[Finding]:
    known = {original_key(Digest(sha256)) for sha256 in session.scalars(select(StoredObject.sha256))}
    for key in store.keys("originals/"):
        if key not in known:
            yield Finding("unreferenced", key, "stored, not recorded: the process ended between the two", flaw=False)
    derived = set(session.scalars(select(Rendition.key)))
    for key in store.keys("derived/"):
        if key not in derived:
            yield Finding("unreferenced", key, "stored, not recorded: the process ended between the two", flaw=False)


def _jobs(session: Session, *, now: Instant) -> Iterator[Finding]:
    for job in session.scalars(select(Job).where(Job.state.in_(("running", "dead")))):
        if job.state == "dead":
            yield Finding("job_dead", f"{job.kind} of {(job.sha256 or job.key)[:16]}", job.error or "", flaw=False)
        elif job.lease_until is not None and job.lease_until < now:
            yield Finding(
                "job_lost",
                f"{job.kind} of {(job.sha256 or job.key)[:16]}",
                "its worker is gone; the next one takes over",
                flaw=False,
            )
