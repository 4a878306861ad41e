"""What stores hold against what is on record of them: originals, renditions, quarantine, copies, locks.

Rows and lists are walked side by side in the order of their digests, so that neither is ever held whole, and a store is asked for its
list, a thousand versions at a time, and not for each object. `deep` reads every byte by the version on record instead of taking the
list's word.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from archive.core.digest import Digest, original_key
from archive.core.errors import Malformed, ObjectMissing, Unavailable
from archive.core.instant import Instant, iso
from archive.ports import Kept, ObjectStore
from archive.records.items import Rendition, StoredObject
from archive.records.stores import Replica
from archive.records.uploads import Quarantined
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


@dataclass(frozen=True, slots=True)
class Second:
    """The second store, under its name on record."""

    name: str
    store: ObjectStore


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a row says of one object."""

    key: str
    version: str
    digest: Digest
    size: int
    sm3: str | None = None
    locked_until: Instant | None = None


_UNRECORDED: Final = "stored, not recorded: the process ended between the two"
_KEY: Final = re.compile(r"(?:originals|derived)/sha256/([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{60})(?:/.+)?")


def originals(
    session: Session, store: ObjectStore, *, locks: bool, deep: bool, now: Instant, progress: Progress
) -> Iterator[Finding]:
    """Look at every original, at what else lies there, and, where `locks` says that the store locks, at the ends of the locks."""
    total = session.scalar(select(func.count()).select_from(StoredObject)) or 0
    rows = session.scalars(select(StoredObject).order_by(StoredObject.sha256).execution_options(yield_per=500))
    expected = (
        _Expected(
            original_key(digest := Digest(row.sha256)),
            row.version_id,
            digest,
            row.size,
            row.sm3,
            None if row.locked_until is None else Instant(row.locked_until),
        )
        for row in rows
    )
    for done, (row, there) in enumerate(_side_by_side(expected, store.versions("originals/")), 1):
        for each in row:
            yield from _compared(store, each, there, deep=deep)
            if locks:
                yield from _lock(store, each, deep=deep, now=now)
        yield from _unreferenced(row, there)
        progress("originals", min(done, total), total)
    progress("originals", total, total)


def renditions(session: Session, store: ObjectStore, *, deep: bool, progress: Progress) -> Iterator[Finding]:
    """Look at every rendition, and at what else lies there."""
    total = session.scalar(select(func.count()).select_from(Rendition)) or 0
    rows = session.scalars(select(Rendition).order_by(Rendition.sha256).execution_options(yield_per=500))
    expected = (_Expected(row.key, row.version_id, Digest(row.digest), row.size) for row in rows)
    done = 0
    for row, there in _side_by_side(expected, store.versions("derived/")):
        for each in row:
            yield from _compared(store, each, [kept for kept in there if kept.key == each.key], deep=deep)
        yield from _unreferenced(row, there)
        done += len(row)
        progress("renditions", done, total)
    progress("renditions", total, total)


def quarantine(session: Session, store: ObjectStore) -> Iterator[Finding]:
    """Look at what was put aside because it was not what was declared."""
    for row in session.scalars(select(Quarantined).execution_options(yield_per=500)):
        expected = _Expected(row.key, row.version_id, Digest(row.actual_sha256), row.size)
        yield from _read(store, expected, deep=False)


def copies(session: Session, second: Second, *, deep: bool, now: Instant, progress: Progress) -> Iterator[Finding]:
    """Look at every copy in the second store; what has no copy yet is told as one note."""
    total = session.scalar(select(func.count()).where(Replica.store == second.name)) or 0
    join = StoredObject.sha256 == Replica.sha256
    query = select(Replica, StoredObject.size).join(StoredObject, join).where(Replica.store == second.name)
    rows = session.execute(query.order_by(Replica.sha256).execution_options(yield_per=500))
    expected = (
        _Expected(
            original_key(digest := Digest(row.sha256)),
            row.version_id,
            digest,
            size,
            locked_until=None if row.locked_until is None else Instant(row.locked_until),
        )
        for row, size in rows
    )
    for done, (row, there) in enumerate(_side_by_side(expected, second.store.versions("originals/")), 1):
        for each in row:
            yield from _in_second(_compared(second.store, each, there, deep=deep), second.name)
            yield from _in_second(_lock(second.store, each, deep=deep, now=now), second.name)
        yield from _in_second(_unreferenced(row, there), second.name)
        progress("copies", min(done, total), total)
    progress("copies", total, total)
    has = and_(Replica.sha256 == StoredObject.sha256, Replica.store == second.name, Replica.verdict == "intact")
    lacking = select(func.count()).select_from(StoredObject).outerjoin(Replica, has)
    alone = session.scalar(lacking.where(StoredObject.verdict == "intact", Replica.sha256.is_(None))) or 0
    if alone:
        yield Finding("one_copy", second.name, f"{alone} verified originals have no copy there yet", flaw=False)


def unknown(session: Session, store: ObjectStore, *, copies_in: str = "") -> Iterator[Kept]:
    """Yield every version of an original in the store, or in that second one, that no row names: what a restored database forgot."""
    query = select(StoredObject.sha256, StoredObject.version_id, StoredObject.size)
    if copies_in:
        query = select(Replica.sha256, Replica.version_id, StoredObject.size)
        query = query.join(StoredObject, StoredObject.sha256 == Replica.sha256).where(Replica.store == copies_in)
    rows = session.execute(query.order_by(Replica.sha256 if copies_in else StoredObject.sha256).execution_options(yield_per=500))
    expected = (_Expected(original_key(digest := Digest(sha256)), version, digest, size) for sha256, version, size in rows)
    for row, there in _side_by_side(expected, store.versions("originals/")):
        known = {(each.key, each.version) for each in row}
        yield from (kept for kept in there if (kept.key, kept.version) not in known)


def _in_second(found: Iterable[Finding], name: str) -> Iterator[Finding]:
    for each in found:
        yield Finding(each.code, f"{name}: {each.subject}", each.detail, each.flaw)


def _side_by_side(rows: Iterator[_Expected], listed: Iterator[Kept]) -> Iterator[tuple[Sequence[_Expected], Sequence[Kept]]]:
    """Yield, for each original's digest in order, what is on record under it and what the store lists; either may be empty.

    Both come in the order of the digests. What the store lists under no digest is yielded by itself.
    """
    row, kept = next(rows, None), next(listed, None)
    while row is not None or kept is not None:
        has = None if kept is None else _digest(kept.key)
        if kept is not None and has is None:
            yield [], [kept]
            kept = next(listed, None)
            continue
        wanted = None if row is None else _digest(row.key)
        if row is not None and wanted is None:
            yield [row], []
            row = next(rows, None)
            continue
        lowest = min(each for each in (wanted, has) if each is not None)
        under: list[_Expected] = []
        while row is not None and _digest(row.key) == lowest:
            under.append(row)
            row = next(rows, None)
        there: list[Kept] = []
        while kept is not None and _digest(kept.key) == lowest:
            there.append(kept)
            kept = next(listed, None)
        yield under, there


def _digest(key: str) -> str | None:
    found = _KEY.fullmatch(key)
    return None if found is None else found[3]


def _compared(store: ObjectStore, expected: _Expected, there: Sequence[Kept], *, deep: bool) -> Iterator[Finding]:
    """Hold what is on record against the list, or, if deep, against the bytes."""
    listed = [each for each in there if each.version == expected.version]
    if deep:
        yield from _read(store, expected, deep=True)
    elif not listed:
        # A list may lag behind; the store is asked for the version itself before it is said to be missing.
        yield from _read(store, expected, deep=False)
    elif listed[0].size != expected.size:
        yield Finding("size_differs", expected.key, f"{expected.size} bytes recorded, {listed[0].size} stored")


def _read(store: ObjectStore, expected: _Expected, *, deep: bool) -> Iterator[Finding]:
    key, version = expected.key, expected.version
    try:
        actual = store.size(key, version=version)
        if actual != expected.size:
            yield Finding("size_differs", key, f"{expected.size} bytes recorded, {actual} stored")
        elif deep:
            whole, beside = hashlib.sha256(), None if expected.sm3 is None else Sm3()
            for piece in store.reread(key, version=version):
                whole.update(piece)
                if beside is not None:
                    beside.update(piece)
            if whole.hexdigest() != expected.digest.hex:
                yield Finding("bytes_altered", key, f"{expected.digest.hex} recorded, {whole.hexdigest()} read")
            elif beside is not None and (found := beside.hexdigest()) != expected.sm3:
                yield Finding("sm3_differs", key, f"SM3 {expected.sm3} recorded, {found} read")
    except ObjectMissing:
        yield Finding("bytes_missing", key, "recorded, not stored")
    except Malformed:
        yield Finding("bytes_missing", key, "recorded without the version that this store reads by")
    except Unavailable as why:
        yield Finding("bytes_unreadable", key, str(why))


def _lock(store: ObjectStore, expected: _Expected, *, deep: bool, now: Instant) -> Iterator[Finding]:
    """A lock that ran out is a flaw; one that was never read back is not known to be one. `deep` asks the store itself."""
    until, says = expected.locked_until, "on record"
    if deep:
        try:
            until, says = store.locked(expected.key, version=expected.version), "by the store's word"
        except (ObjectMissing, Malformed):
            return  # told already
        except Unavailable as why:
            yield Finding("bytes_unreadable", expected.key, f"its lock: {why}")
            return
        if until is None or (expected.locked_until is not None and until < expected.locked_until):
            wanted = "" if expected.locked_until is None else f", {iso(expected.locked_until)} on record"
            yield Finding("lock_shorter", expected.key, f"{'not locked' if until is None else iso(until)}{wanted}")
    if until is not None and until < now:
        yield Finding("lock_ran_out", expected.key, f"{iso(until)} {says}")


def _unreferenced(rows: Sequence[_Expected], there: Sequence[Kept]) -> Iterator[Finding]:
    """What lies in the store and no row names: harmless, and the price of writing bytes before rows."""
    known = {(row.key, row.version) for row in rows}
    keys = {row.key for row in rows}
    for kept in there:
        if (kept.key, kept.version) in known:
            continue
        if kept.key in keys:
            yield Finding("unreferenced", kept.key, f"version {kept.version}: another one is on record", flaw=False)
        else:
            yield Finding("unreferenced", kept.key, _UNRECORDED, flaw=False)
