"""Object stores: what their trials showed, and how long the originals in them are locked.

Invariants: a trial's facts are kept as they came, and judged when they are read; a change of what they show is one custody event, however
often it is shown again. A lock's end is written down only as the store itself said it, read back after it was set, and never earlier than
it was.

Not guaranteed: that a lock on record still holds. `liuhen fsck --deep` asks the store for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, literal, or_, select, tuple_, update
from sqlalchemy.orm import Session

from archive.actions import custody
from archive.actions.fixity import Verdict
from archive.core import worm
from archive.core.canonical import Json
from archive.core.custody import EventKind
from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.core.worm import Judgement, Standing
from archive.records.items import StoredObject
from archive.records.locks import Noun, hold
from archive.records.stores import Probe, Replica

CANARY = "canary"
KEPT = 100
"""Trials of one store that are kept; the custody events tell every change since the first."""


@dataclass(frozen=True, slots=True)
class TrialView:
    """The newest trial of a store: when, what it came to, and what each part of it showed."""

    at: Instant
    standing: Standing
    judged: Sequence[Judgement]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Locked:
    """An original whose lock is to be looked at: its version, and the end of its lock as it was last read back (None: never)."""

    digest: Digest
    version: str
    until: Instant | None


@dataclass(frozen=True, slots=True)
class Locks:
    """How many originals have a lock that was read back, one that ran out, one that ends soon; and how many locks nobody looked at."""

    held: int
    ran_out: int
    soon: int
    unread: int


def record_trial(session: Session, *, store: str, facts: Mapping[str, Json], now: Instant) -> Standing:
    """Keep what a trial showed, and put it on record if it is not what the last one showed; return what it comes to."""
    hold(session, Noun.STORE, store)
    standing, shown = worm.standing(facts), worm.outcomes(worm.judge(facts))
    before = newest(session, store=store)
    session.add(Probe(store=store, at=now, kind=CANARY, facts=dict(facts), passed=standing is not Standing.BROKEN))
    session.flush()
    if before is None or worm.outcomes(before.judged) != shown:
        was: dict[str, Json] = {} if before is None else worm.outcomes(before.judged)
        changed: dict[str, Json] = {name: outcome for name, outcome in shown.items() if was.get(name) != outcome}
        custody.record(
            session,
            kind=EventKind.STORE_TRIED,
            at=now,
            actor="archive",
            subject=store,
            facts={"standing": standing.value, "was": None if before is None else before.standing.value, "shown": changed},
        )
    old = select(Probe.id).where(Probe.store == store).order_by(Probe.at.desc(), Probe.id.desc()).offset(KEPT)
    for probe in session.scalars(select(Probe).where(Probe.id.in_(list(session.scalars(old))))):
        session.delete(probe)
    return standing


def newest(session: Session, *, store: str) -> TrialView | None:
    """Return the newest trial of a store, None if it was never tried."""
    row = session.scalar(
        select(Probe).where(Probe.store == store, Probe.kind == CANARY).order_by(Probe.at.desc(), Probe.id.desc()).limit(1)
    )
    if row is None:
        return None
    judged = worm.judge(row.facts)
    return TrialView(Instant(row.at), worm.standing(row.facts), judged, row.facts)


def locks_due(session: Session, *, before: Instant, after: Locked | None = None, limit: int, copies_in: str = "") -> list[Locked]:
    """Return originals whose lock ends before then, the earliest first and before them those that nobody looked at, from `after` on.

    With `copies_in` these are the intact copies in that second store: a copy is locked when it is made, and has a calendar of its own.
    """
    table = Replica if copies_in else StoredObject
    column, last = table.locked_until, "" if after is None else after.digest.hex
    columns = select(table.sha256, table.version_id, column).where(*_among(copies_in))
    ending = columns.where(column < before)
    rows: list[Row[str, str, int | None]] = []
    if after is None or after.until is None:
        unread = columns.where(column.is_(None), table.sha256 > last)
        rows += session.execute(unread.order_by(table.sha256).limit(limit))
    else:
        ending = ending.where(tuple_(column, table.sha256) > tuple_(literal(after.until), literal(last)))
    if len(rows) < limit:
        rows += session.execute(ending.order_by(column, table.sha256).limit(limit - len(rows)))
    return [Locked(Digest(sha256), version, None if until is None else Instant(until)) for sha256, version, until in rows]


def locked(session: Session, *, found: Locked, until: Instant, copies_in: str = "") -> None:
    """Write down the end of a lock as the store says it; of a version that is no longer the object's, or the copy's, nothing."""
    table = Replica if copies_in else StoredObject
    session.execute(
        update(table)
        .where(
            table.sha256 == found.digest.hex,
            table.version_id == found.version,
            or_(table.locked_until.is_(None), table.locked_until < until),
            *_among(copies_in),
        )
        .values(locked_until=until)
    )


def _among(copies_in: str) -> list[ColumnElement[bool]]:
    return [Replica.store == copies_in, Replica.verdict == Verdict.INTACT.value] if copies_in else []


def locks(session: Session, *, now: Instant, soon: Instant) -> Locks:
    """Count the originals by their locks; `soon` is when a lock should long have been extended."""
    column = StoredObject.locked_until
    ran_out = session.scalar(select(func.count()).where(column < now)) or 0
    ends_soon = session.scalar(select(func.count()).where(column >= now, column < soon)) or 0
    held = session.scalar(select(func.count()).where(column >= soon)) or 0
    unread = session.scalar(select(func.count()).select_from(StoredObject).where(column.is_(None))) or 0
    return Locks(held + ends_soon, ran_out, ends_soon, unread)
