"""What must hold after every fault, whatever it was: judged from the senders' books, the tables, the store and the API.

Each check returns what it found against the archive and changes nothing. Those named `at_rest` need the senders to hold and the jobs to be
done: only then is «exactly once» a number that can be counted. `test_invariants` plants a violation of each and sees it found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import httpx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.actions import fsck
from archive.adapters import signing
from archive.core import canonical, note
from archive.core.custody import EventKind
from archive.core.digest import Digest, original_key
from archive.core.errors import LiuhenError
from archive.core.receipt import Receipt
from archive.ports import ObjectStore
from archive.records.custody import CustodyEvent
from archive.records.items import Item, Rendition, StoredObject
from archive.records.jobs import Job
from archive.records.session import patiently
from archive.records.stations import Station
from archive.records.uploads import Upload
from archive.resources import Resources
from tests.soak.books import Book, Deposit, all_of

EACH_ITEM = (EventKind.STORED, EventKind.READ_BACK, EventKind.EXAMINED)
"""What is on record of every item exactly once when its jobs are done."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A violation: which invariant, of what, and how."""

    invariant: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.subject}: {self.detail}"


def judged(
    resources: Resources, books: Sequence[Book], *, read: Sequence[Deposit] | None = None, deep: bool = True
) -> list[Flaw]:
    """Return every flaw of an archive at rest: senders hold, jobs are done.

    `read`: the files whose bytes are read here, all of them if not given. `deep`: fsck reads every byte, of renditions as well.
    """
    deposits = list(all_of(list(books)))
    read_too = {deposit.number for deposit in (deposits if read is None else read)}
    found = [Flaw("answers", book.station, flaw) for book in books for flaw in book.flaws()]
    with resources.reading() as session:
        patiently(session)  # bytes are read between its questions
        found += acknowledged(session, resources.store, deposits, read_too)
        found += receipts(resources, deposits)
        found += once_at_rest(session)
        found += nothing_else_at_rest(session, deposits)
        found += unbroken(session, resources, deep=deep)
    return found


def acknowledged(session: Session, store: ObjectStore, deposits: Iterable[Deposit], read: set[str | None]) -> Iterator[Flaw]:
    """What was acknowledged as stored is on record as what it is, and is read from the store, by its version, with its digest."""
    rows = select(Item, StoredObject, Station.name)
    rows = rows.outerjoin(StoredObject, StoredObject.sha256 == Item.sha256).outerjoin(Station, Station.id == Item.station_id)
    known = {item.number: (item, stored, station) for item, stored, station in session.execute(rows)}
    for deposit in deposits:
        if deposit.number is None:
            continue
        if deposit.number not in known:
            yield Flaw("acknowledged", deposit.number, f"{deposit.name} was acknowledged, and there is no such item")
            continue
        item, stored, station = known[deposit.number]
        told = (deposit.sha256, deposit.size, deposit.name, deposit.station)
        recorded = (item.sha256, None if stored is None else stored.size, item.name, station)
        if told != recorded:
            yield Flaw("acknowledged", deposit.number, f"{told} was acknowledged, {recorded} is on record")
        if stored is not None and deposit.number in read and (why := _read(store, stored)) is not None:
            yield Flaw("bytes", deposit.number, f"{deposit.name}: {why}")


def _read(store: ObjectStore, stored: StoredObject) -> str | None:
    """Read an original as it is recorded; return what is wrong with it."""
    whole = hashlib.sha256()
    try:
        for piece in store.reread(original_key(Digest(stored.sha256)), version=stored.version_id):
            whole.update(piece)
    except LiuhenError as why:
        return f"version {stored.version_id or '-'} cannot be read: {why}"
    return None if whole.hexdigest() == stored.sha256 else f"version {stored.version_id or '-'} hashes to {whole.hexdigest()}"


def receipts(resources: Resources, deposits: Iterable[Deposit]) -> Iterator[Flaw]:
    """A receipt is signed by this archive and says of the file what its sender knows of it."""
    key = resources.signer.key
    for deposit in deposits:
        if deposit.receipt is None:
            continue
        try:
            said = Receipt.parse(note.read(deposit.receipt, keys=[key], verify=signing.verify))
        except LiuhenError as why:
            yield Flaw("receipt", str(deposit.number), f"{deposit.name}: {why}")
            continue
        told = (str(said.number), said.sha256.hex, said.size, said.station)
        if told != (deposit.number, deposit.sha256, deposit.size, deposit.station):
            yield Flaw("receipt", str(deposit.number), f"{deposit.name}: the receipt says {told}")


def once_at_rest(session: Session) -> Iterator[Flaw]:
    """Every job was done, and took effect once: one event of each of an item's steps, one of each rendition."""
    for job in session.scalars(select(Job).where(Job.state != "done", Job.item_id.is_not(None))):
        yield Flaw(
            "jobs",
            f"{job.kind} {job.id}",
            f"{job.state} at attempt {job.attempt}: {job.error or ''} {(job.error_tail or '')[-300:]}",
        )
    counted = Counter(
        {
            (item_id, kind): count
            for item_id, kind, count in session.execute(
                select(CustodyEvent.item_id, CustodyEvent.kind, func.count()).group_by(CustodyEvent.item_id, CustodyEvent.kind)
            )
        }
    )
    for item_id, number in session.execute(select(Item.id, Item.number)):
        for kind in EACH_ITEM:
            if (count := counted[item_id, kind.value]) != 1:
                yield Flaw("once", number, f"{count} events of {kind.value}")
    derived: Counter[tuple[str, str]] = Counter()
    for body in session.scalars(select(CustodyEvent.body).where(CustodyEvent.kind == EventKind.RENDITION.value)):
        facts = canonical.decode(body.encode())["facts"]
        derived[facts["sha256"], facts["recipe"]] += 1
    made = {(sha256, recipe) for sha256, recipe in session.execute(select(Rendition.sha256, Rendition.recipe))}
    for sha256, recipe in sorted({*derived, *made}):
        if derived[sha256, recipe] != int((sha256, recipe) in made):
            count = f"{derived[sha256, recipe]} events of derivation, {int((sha256, recipe) in made)} renditions"
            yield Flaw("once", f"{recipe} of {sha256[:16]}", count)
    subjects = select(Job.kind, Job.item_id, Job.sha256, Job.payload).where(Job.item_id.is_not(None))
    promised = Counter((kind, item_id, sha256, str(payload)) for kind, item_id, sha256, payload in session.execute(subjects))
    yield from (
        Flaw("doubled", f"job {key[0]}", f"promised {count} times: {key}") for key, count in promised.items() if count > 1
    )


def nothing_else_at_rest(session: Session, deposits: Iterable[Deposit]) -> Iterator[Flaw]:
    """One item of each file that was acknowledged, and of nothing else: no manifest came in twice, no item is nobody's."""
    told = Counter(deposit.number for deposit in deposits if deposit.number is not None)
    yield from (Flaw("doubled", number, f"acknowledged for {count} files") for number, count in told.items() if count > 1)
    for number, name in session.execute(select(Item.number, Item.name).where(Item.station_id.is_not(None)).order_by(Item.id)):
        if number not in told:
            yield Flaw("doubled", number, f"{name} was taken in, and no sender was told of this number")
    for table, rows in (
        ("item", select(Item.manifest, func.count()).where(Item.manifest.is_not(None)).group_by(Item.manifest)),
        ("upload", select(Upload.manifest, func.count()).where(Upload.state == "stored").group_by(Upload.manifest)),
    ):
        for manifest, count in session.execute(rows.having(func.count() > 1)):
            yield Flaw("doubled", table, f"{count} of the manifest {manifest!r}")


def unbroken(session: Session, resources: Resources, *, deep: bool) -> Iterator[Flaw]:
    """`fsck` finds nothing."""
    found = fsck.check(session, resources.store, deep=deep, now=resources.now(), progress=lambda *_: None)
    yield from (Flaw("fsck", f"{each.code} {each.subject}", each.detail) for each in found if each.flaw)


def through_api(client: httpx.Client, deposits: Iterable[Deposit]) -> Iterator[Flaw]:
    """What was acknowledged comes back through the API as it was sent."""
    for deposit in deposits:
        if deposit.number is None:
            continue
        whole = hashlib.sha256()
        try:
            with client.stream("GET", f"/api/v1/items/{deposit.number}/download") as answer:
                for piece in answer.iter_bytes():
                    whole.update(piece)
        except httpx.HTTPError as why:
            yield Flaw("api", deposit.number, repr(why))
            continue
        if answer.status_code != 200 or whole.hexdigest() != deposit.sha256:
            yield Flaw("api", deposit.number, f"{deposit.name}: {answer.status_code}, {whole.hexdigest()} of {deposit.sha256}")


def unfinished(session: Session, *, most_item: int) -> int:
    """Return how many jobs of the items up to this one are not done."""
    rows = select(func.count()).select_from(Job).where(Job.item_id <= most_item, Job.state != "done")
    return session.scalar(rows) or 0
