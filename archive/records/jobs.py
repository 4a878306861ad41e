"""The job table, which is the queue: written in the action's own transaction, so that work is promised exactly when facts are.

Every question that a promise, a claim or a count asks is answered from an index, most of them from one that holds nothing but what waits:
how much has been done, and how much waits, is no matter to whoever takes the next job.
"""

from __future__ import annotations

from typing import Any, Final, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate

from archive.core.jobs import MAX_ATTEMPTS
from archive.records.base import Base, Facts, IntKey, MaybeWhen, When

READY: Final = "state = 'waiting' AND lease_until IS NULL"
"""What may be claimed at once. The words stand in the indexes, so statements say them literally: a database does not use such an index for
a value that it is yet to be given."""


def _waiting_index(name: str, *columns: str) -> Index:
    return Index(name, *columns, postgresql_where=text(READY), sqlite_where=text(READY))


class Job(Base):
    """One promised piece of work.

    waiting → running → done, or back to waiting after a failure until the attempts are spent, then dead. The lease says until when
    the claim holds; `attempt` fences: a worker that lost its lease cannot finish. Housekeeping has no item.

    `lease_until` is, of a running job, the end of its worker's lease; of a waiting one, the end of the pause that follows a failure. A job
    without it waits for nothing but a worker. `run_after` is when it was, or will be, due.

    `agency` and `source` (a station, a person, the archive) are whose turn it is; `turn` is the job's place in the round of its lane.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'dead')", name="state"),
        CheckConstraint("lane IN ('quick', 'media', 'heavy', 'verify')", name="lane"),
        _waiting_index("ix_jobs_turn", "lane", "priority", "agency", "turn", "id"),
        _waiting_index("ix_jobs_source", "lane", "priority", "agency", "source", "turn"),
        _waiting_index("ix_jobs_oldest", "lane", "run_after"),
        Index(
            "ix_jobs_until",
            "lane",
            "lease_until",
            postgresql_where=text("lease_until IS NOT NULL"),
            sqlite_where=text("lease_until IS NOT NULL"),
        ),
        Index("ix_jobs_ended", "ended_at", postgresql_where=text("state = 'done'"), sqlite_where=text("state = 'done'")),
        Index("ix_jobs_state", "state", "id"),
    )

    id: Mapped[IntKey]
    kind: Mapped[str]
    lane: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"), index=True)
    sha256: Mapped[str | None] = mapped_column(index=True)
    agency: Mapped[str] = mapped_column(default="", server_default="")
    source: Mapped[str] = mapped_column(default="archive", server_default="archive")
    turn: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    payload: Mapped[Facts]
    priority: Mapped[int]
    state: Mapped[str] = mapped_column(default="waiting")
    run_after: Mapped[When]
    lease_owner: Mapped[str | None]
    lease_until: Mapped[MaybeWhen]
    attempt: Mapped[int] = mapped_column(default=0)
    permille: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(default="")
    error: Mapped[str | None]
    error_tail: Mapped[str | None]
    created_at: Mapped[When]
    started_at: Mapped[MaybeWhen]
    ended_at: Mapped[MaybeWhen]


class LaneTurn(Base):
    """When an agency was last served in a lane."""

    __tablename__ = "lane_turns"

    lane: Mapped[str] = mapped_column(primary_key=True)
    agency: Mapped[str] = mapped_column(primary_key=True)
    served_at: Mapped[When]


JOBS: Final = cast("Table", Job.__table__)
TURNS: Final = cast("Table", LaneTurn.__table__)
_OTHERS: Final = JOBS.alias("others")

HEADS: Final = text(
    f"""
    WITH RECURSIVE
      top(priority) AS (SELECT max(priority) FROM jobs WHERE lane = :lane AND priority < :under AND {READY}),
      head(agency) AS (
        SELECT min(agency) FROM jobs WHERE lane = :lane AND priority = (SELECT priority FROM top) AND {READY}
        UNION ALL
        SELECT (
          SELECT min(agency) FROM jobs
          WHERE lane = :lane AND priority = (SELECT priority FROM top) AND agency > head.agency AND {READY}
        ) FROM head WHERE head.agency IS NOT NULL
      )
    SELECT (SELECT priority FROM top) AS priority, head.agency, served.served_at
    FROM head LEFT JOIN lane_turns AS served ON served.lane = :lane AND served.agency = head.agency
    WHERE head.agency IS NOT NULL
    ORDER BY coalesce(served.served_at, -1), head.agency
    """  # noqa: S608 - no more than this module's own words
)
"""The agencies that have work of the highest priority below `under`, the one that was served least lately first. It leaps from agency to
agency over the index: how many jobs each has waiting does not matter."""


def ready(table: FromClause = JOBS) -> ColumnElement[bool]:
    """Return the condition that a job may be claimed at once, in the words of the indexes."""
    return and_(table.c.state == literal_column("'waiting'"), table.c.lease_until.is_(None))


def first_turn(
    *,
    lane: str | ColumnElement[str],
    priority: int | ColumnElement[int],
    agency: str | ColumnElement[str],
    source: str | ColumnElement[str],
    otherwise: int | ColumnElement[int],
) -> ColumnElement[int]:
    """Return the turn of a source's next job: after its own last one that waits, and not before the head of the line.

    This is start-time fair queueing (Goyal, Vin and Cheng, 1996) with jobs of equal length: a source that brings five thousand files gets
    five thousand turns in a row, and one that comes later with its first begins where the line is now. `otherwise` is the turn when
    nobody waits.
    """
    line = _line(lane, priority, agency)
    head = select(func.min(_OTHERS.c.turn)).where(line).scalar_subquery()
    own = select(func.max(_OTHERS.c.turn) + 1).where(line, _OTHERS.c.source == source).scalar_subquery()
    return case((own > head, own), (head.is_not(None), head), else_=otherwise)


def turn_for(*, lane: str, priority: int, agency: str, source: str, otherwise: int) -> dict[str, str | int]:
    """Return what a row of `PROMISE` is given beside its columns, so that it gets its `first_turn`."""
    return {"for_lane": lane, "for_priority": priority, "for_agency": agency, "for_source": source, "for_turn": otherwise}


def same_turn() -> ColumnElement[int]:
    """Return the turn at which a job that had its turn comes back: at the head of its line, before which nobody else lines up."""
    line = _line(JOBS.c.lane, JOBS.c.priority, JOBS.c.agency)
    head = select(func.min(_OTHERS.c.turn)).where(line).correlate(JOBS).scalar_subquery()
    return func.coalesce(head, JOBS.c.turn)


def _line(
    lane: str | ColumnElement[str], priority: int | ColumnElement[int], agency: str | ColumnElement[str]
) -> ColumnElement[bool]:
    return and_(_OTHERS.c.lane == lane, _OTHERS.c.priority == priority, _OTHERS.c.agency == agency, ready(_OTHERS))


_TURN: Final = first_turn(
    lane=bindparam("for_lane", type_=String),
    priority=bindparam("for_priority", type_=Integer),
    agency=bindparam("for_agency", type_=String),
    source=bindparam("for_source", type_=String),
    otherwise=bindparam("for_turn", type_=BigInteger),
)
PROMISE: Final = {
    name: dialect.insert(JOBS).values(turn=_TURN).on_conflict_do_nothing(index_elements=["key"]).returning(JOBS.c.id, JOBS.c.lane)
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}
"""Writes jobs' rows, those whose key is new, and returns them; by dialect."""

_AT_ONCE: Final = 100
"""Lost leases and ended pauses that one claim puts right: it must stay short when a whole host was lost."""

_LATE: Final = (
    select(JOBS.c.id)
    .where(JOBS.c.lane == bindparam("in_lane"), JOBS.c.lease_until.is_not(None), JOBS.c.lease_until < bindparam("at"))
    .order_by(JOBS.c.lease_until)
    .limit(_AT_ONCE)
    .with_for_update(skip_locked=True)
    .cte("late")
)
_SPENT: Final = and_(JOBS.c.state == "running", JOBS.c.attempt >= MAX_ATTEMPTS)
WAKE: Final = (
    update(JOBS)
    .where(JOBS.c.id.in_(select(_LATE.c.id)))
    .values(
        state=case((_SPENT, "dead"), else_="waiting"),
        error=case((_SPENT, "worker_lost"), else_=JOBS.c.error),
        ended_at=case((_SPENT, bindparam("at")), else_=JOBS.c.ended_at),
        turn=same_turn(),
        lease_owner=None,
        lease_until=None,
    )
)
"""Puts right what is late: a pause that ended, or a lease that ran out, with which a job is due again, or dead if it spent its attempts."""

_NEXT: Final = (
    select(JOBS.c.id)
    .where(
        JOBS.c.lane == bindparam("in_lane"),
        JOBS.c.priority == bindparam("of"),
        JOBS.c.agency == bindparam("for"),
        ready(),
    )
    .order_by(JOBS.c.turn, JOBS.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)


def _take(chosen: Select[tuple[int]]) -> ReturningUpdate[Any]:
    return (
        update(JOBS)
        .where(JOBS.c.id == chosen.scalar_subquery())
        .values(
            state="running",
            lease_owner=bindparam("by"),
            lease_until=bindparam("until"),
            attempt=JOBS.c.attempt + 1,
            started_at=bindparam("at"),
            permille=0,
            note="",
        )
        .returning(
            JOBS.c.id, JOBS.c.kind, JOBS.c.lane, JOBS.c.item_id, JOBS.c.sha256, JOBS.c.payload, JOBS.c.attempt, JOBS.c.agency
        )
    )


TAKE: Final = _take(_NEXT)
"""Takes the next job of an agency at a priority, stepping over those that another is taking at this moment."""

_OPENED: Final = exists().where(
    _OTHERS.c.lane == bindparam("in_lane"), _OTHERS.c.priority.in_(bindparam("opened", expanding=True)), ready(_OTHERS)
)
_OVERDUE: Final = (
    select(JOBS.c.id)
    .where(JOBS.c.lane == bindparam("in_lane"), JOBS.c.run_after < bindparam("overdue"), ready(), ~_OPENED)
    .order_by(JOBS.c.run_after)
    .limit(1)
    .with_for_update(skip_locked=True, of=JOBS)
)
TAKE_OVERDUE: Final = _take(_OVERDUE)
"""Takes the job of a lane that has been due longest, if it was due before then and nobody has a page open for what waits there."""

_LAST: Final = select(func.max(TURNS.alias("others").c.served_at)).scalar_subquery()
_FREE: Final = (
    select(TURNS.c.agency)
    .where(TURNS.c.lane == bindparam("in_lane"), TURNS.c.agency == bindparam("for"))
    .with_for_update(skip_locked=True)
)
SERVED: Final = (
    update(TURNS)
    .where(TURNS.c.lane == bindparam("in_lane"), TURNS.c.agency == _FREE.scalar_subquery())
    .values(served_at=case((bindparam("at") <= _LAST, _LAST + 1), else_=bindparam("at")))
)
"""Puts an agency behind all others, whatever the clock says; not at all if another claim is doing so at this moment."""
