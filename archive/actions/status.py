"""How the archive is: its queue, its last read-backs, its stores, its database; what the page of that name shows.

Read only. «Nothing was read back» is not «all is well»: a verdict that nobody reached is None here, and grey on the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.actions import metrics, store
from archive.actions.store import TrialView
from archive.core import worm
from archive.core.canonical import decode
from archive.core.custody import EventKind
from archive.core.instant import Instant
from archive.core.worm import Standing
from archive.records.custody import CustodyEvent
from archive.records.items import Item
from archive.records.migrations import current

LAST = 200
"""How many read-backs, from the newest, the page judges by."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane of the queue: how many jobs are in which state, and since when the oldest of those waiting is due."""

    name: str
    waiting: int
    running: int
    dead: int
    oldest: Instant | None


@dataclass(frozen=True, slots=True)
class ReadBacks:
    """The last `LAST` read-backs: when the newest was, and how many came to which verdict."""

    newest: Instant | None
    verdicts: Mapping[str, int]
    never: int
    """Items that were never read back whole and right."""


def lanes(session: Session, *, now: Instant) -> list[Lane]:
    """Return the lanes in their order; a job that failed and waits for its next try is not due, so does not age."""
    return [
        Lane(name, lane.waiting + lane.paused, lane.running, lane.dead, Instant(now - lane.waited) if lane.waiting else None)
        for name, lane in metrics.load(session, now=now).lanes.items()
    ]


def read_backs(session: Session) -> ReadBacks:
    """Return what the last read-backs found."""
    checked = select(CustodyEvent).where(CustodyEvent.kind == EventKind.READ_BACK.value)
    verdicts: dict[str, int] = {}
    newest: Instant | None = None
    for event in session.scalars(checked.order_by(CustodyEvent.seq.desc()).limit(LAST)):
        newest = newest or Instant(event.at)
        body = decode(event.body.encode())
        facts = body.get("facts") if isinstance(body, dict) else None
        verdict = str(facts.get("verdict")) if isinstance(facts, dict) else ""
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    never = session.scalar(select(func.count()).select_from(Item).where(Item.verified_at.is_(None))) or 0
    return ReadBacks(newest, verdicts, never)


@dataclass(frozen=True, slots=True)
class StoreView:
    """One object store: its name on record, its newest trial (None: never tried), and whether that is too long ago to say anything."""

    name: str
    trial: TrialView | None
    overdue: bool

    @property
    def standing(self) -> str:
        """One word for all of it: untried and overdue, where nothing better may be said; what gave way stays broken however long ago."""
        if self.trial is None:
            return "untried"
        return "overdue" if self.overdue and self.trial.standing is not Standing.BROKEN else self.trial.standing.value


WORST = ("broken", "untried", "overdue", "unproved", "holds", "nothing")
"""Standings, the worst first."""


def stores(session: Session, *, names: Iterable[str], now: Instant) -> list[StoreView]:
    """Return what is known of the stores of these names, in their order."""
    trials = [(name, store.newest(session, store=name)) for name in names]
    return [StoreView(name, trial, worm.overdue(None if trial is None else trial.at, now=now)) for name, trial in trials]


def worst(found: Iterable[StoreView]) -> str:
    """Return one word for several stores, the worst that is true of any; «nothing» where there is none that could enforce anything."""
    return min((each.standing for each in found), key=WORST.index, default="nothing")


def database(session: Session) -> str:
    """Return the name and the version of the database."""
    dialect = session.connection().dialect
    named = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}.get(dialect.name, dialect.name)
    return f"{named} {'.'.join(str(part) for part in dialect.server_version_info or ())}"


def schema(session: Session) -> str:
    """Return the name of the last step that the database took."""
    return current(session.connection()) or ""
