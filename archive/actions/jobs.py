"""The queue's verbs: promise, claim, keep, finish, fail, run again.

A claim takes the most urgent job; among equals the agency that was served least lately; within an agency the source whose turn it is;
then the oldest. One claim in eight takes, before all that, the job that has been due longest, if that is over an hour and nobody has a page
open for what waits in the lane: so a lane that never catches up starves no kind. A lease that ran out lets another worker claim; `attempt`
fences, so that whoever lost the lease can neither publish nor finish. A job is promised in the transaction of the fact that asks for it,
and finished in the transaction of what it found: it takes effect once or not at all.

Many workers may claim at once: rows that another is taking are stepped over, not waited for. So among claims of the very same moment the
order of agencies is not exact, only over time.

Leases go by one clock: `clock` says which, and what it says is given to the verbs that claim, keep, fail and settle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, Row, and_, exists, func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from archive.core.access import PersonCaller
from archive.core.errors import JobNotDead, LeaseLost, NotFound
from archive.core.instant import Instant
from archive.core.jobs import (
    AWAITED,
    KINDS,
    LEASE,
    LONGEST_PAUSE,
    MAX_ATTEMPTS,
    OVERDUE,
    SHOWS,
    STORE_PAUSE,
    TAIL,
    late_turn,
    opened,
    retry_at,
)
from archive.records.items import Item
from archive.records.jobs import (
    HEADS,
    JOBS,
    PROMISE,
    SERVED,
    TAKE,
    TAKE_OVERDUE,
    TURNS,
    WAKE,
    Job,
    first_turn,
    ready,
    same_turn,
    turn_for,
)

RING = "ring"
"""In a session's `info`, the lanes in which it promised work, one for each job: the workers are told once it has committed."""

PER_ITEM = ("examine", "read_back")
"""Kinds that belong to an accession; every other belongs to the bytes and is shared by all accessions of them."""

_ALONE: dict[str, Any] = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job in the hands of a worker; housekeeping is about no item: its `item_id` is 0, its `sha256` empty."""

    id: int
    kind: str
    lane: str
    item_id: int
    sha256: str
    payload: Mapping[str, Any]
    attempt: int
    owner: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as people read it; `permille` of its work is done, `note` names the step. Housekeeping has no number and no name."""

    id: int
    kind: str
    state: str
    number: str
    item_name: str
    permille: int
    note: str
    attempt: int
    error: str | None
    error_tail: str | None
    payload: Mapping[str, Any]
    created_at: Instant
    started_at: Instant | None
    ended_at: Instant | None


def clock(session: Session, *, now: Instant) -> Instant:
    """Return the time by which leases go: the database's own where many hosts share it, `now` where there is one host only.

    So one host's wrong clock neither takes others' jobs away nor loses its own.
    """
    if session.get_bind().dialect.name != "postgresql":
        return now
    return Instant(int(session.scalar(_CLOCK) or now))


_CLOCK = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


def enqueue(
    session: Session,
    *,
    kind: str,
    item_id: int | None = None,
    sha256: str | None = None,
    payload: Mapping[str, Any] | None = None,
    whose: tuple[str, str] | None = None,
    now: Instant,
) -> bool:
    """Promise a job and say whether it is a new one: the same work is promised once, however many promise it at the same moment.

    Work is the same if kind, item or bytes, and the payload's values are. Housekeeping is about no item and maybe no bytes: its payload
    says what makes it another job than the last one, as its day does. It is the archive's own, unless `whose` names agency and
    source of what is no item yet; an item's job is its source's.
    """
    whose = whose or _whose(session, item_id)
    return _promise(session, [_job(kind, item_id=item_id, sha256=sha256, payload=payload or {}, whose=whose, now=now)])


def enqueue_first(session: Session, *, item_id: int, sha256: str, now: Instant) -> None:
    """Promise the jobs of an item that was written in this very transaction."""
    whose = _whose(session, item_id)
    _promise(session, [_job(kind, item_id=item_id, sha256=sha256, payload={}, whose=whose, now=now) for kind in PER_ITEM])


def _job(
    kind: str, *, item_id: int | None, sha256: str | None, payload: Mapping[str, Any], whose: tuple[str, str], now: Instant
) -> dict[str, Any]:
    """Return the values of a new job's row."""
    (agency, source), work = whose, KINDS[kind]
    subject = f"item-{item_id}" if kind in PER_ITEM else sha256
    return {
        "kind": kind,
        "lane": work.lane,
        "key": ":".join([kind, *([subject] if subject else []), *(str(payload[name]) for name in sorted(payload))]),
        "item_id": item_id,
        "sha256": sha256,
        "agency": agency,
        "source": source,
        "payload": dict(payload),
        "priority": work.priority,
        "run_after": now,
        "created_at": now,
        **turn_for(lane=work.lane, priority=work.priority, agency=agency, source=source, otherwise=now),
    }


def _promise(session: Session, rows: list[dict[str, Any]]) -> bool:
    """Write the jobs that are new, and say whether any is; their lanes are rung for."""
    statement = PROMISE["postgresql" if session.get_bind().dialect.name == "postgresql" else "sqlite"]
    made = session.execute(statement, rows).all()
    for job in made:
        _ring(session, job.lane)
    return bool(made)


def claim(session: Session, *, lane: str, owner: str, now: Instant) -> ClaimedJob | None:
    """Take the next job of the lane that is due, or whose worker was not heard of in time; None if there is none.

    At a late turn (`core.jobs.late_turn`) that is the one that has been due longest, if it is overdue and nobody waits at a page;
    else the order is priority, agency, source, age.

    A job whose lease ran out with its attempts spent is dead: whatever it does to a worker, it did it often enough.
    """
    session.execute(WAKE, {"in_lane": lane, "at": now}, execution_options=_ALONE)
    mine = {"in_lane": lane, "by": owner, "at": now, "until": now + LEASE}
    if late_turn(now):
        overdue = {**mine, "overdue": now - OVERDUE, "opened": opened(lane)}
        row = session.execute(TAKE_OVERDUE, overdue, execution_options=_ALONE).first()
        if row is not None:
            _served(session, lane, row.agency, first=True, now=now)
            return _claimed(row, owner)
    under = 1 << 30
    while heads := session.execute(HEADS, {"lane": lane, "under": under}).all():
        for head in heads:
            taking = {**mine, "of": head.priority, "for": head.agency}
            row = session.execute(TAKE, taking, execution_options=_ALONE).first()
            if row is not None:
                _served(session, lane, head.agency, first=head.served_at is None, now=now)
                return _claimed(row, owner)
        under = heads[0].priority  # others are taking the last jobs of this priority: one of a lower is ours
    return None


def _claimed(row: Row[Any], owner: str) -> ClaimedJob:
    return ClaimedJob(row.id, row.kind, row.lane, row.item_id or 0, row.sha256 or "", row.payload, row.attempt, owner)


def _served(session: Session, lane: str, agency: str, *, first: bool, now: Instant) -> None:
    """Note that an agency was served; nobody waits to note it."""
    turn = {"in_lane": lane, "for": agency, "at": now}
    if not first:
        session.execute(SERVED, turn, execution_options=_ALONE)
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    new = dialect.insert(TURNS).values(lane=lane, agency=agency, served_at=now)
    session.execute(new.on_conflict_do_nothing())
    session.execute(SERVED, turn, execution_options=_ALONE)


def anything_due(session: Session, *, lane: str, now: Instant) -> bool:
    """Say whether a claim would find a job, so that whoever looks for nothing writes nothing."""
    late = exists().where(JOBS.c.lane == lane, JOBS.c.lease_until.is_not(None), JOBS.c.lease_until < now)
    return bool(session.scalar(select(or_(exists().where(JOBS.c.lane == lane, ready()), late))))


def keep(session: Session, job: ClaimedJob, *, permille: int, note: str, now: Instant) -> None:
    """Extend the lease and note the progress.

    Raises:
        LeaseLost: the job is no longer this worker's.
    """
    _mine(session, job, lease_until=now + LEASE, permille=max(0, min(permille, 1000)), note=note[:80])


def finish(session: Session, job: ClaimedJob, *, now: Instant) -> None:
    """Mark the job done, in the transaction that publishes what it found.

    Raises:
        LeaseLost: the job is no longer this worker's; the caller rolls back.
    """
    _mine(
        session, job, state="done", permille=1000, ended_at=now, lease_owner=None, lease_until=None, error=None, error_tail=None
    )


def fail(session: Session, job: ClaimedJob, *, error: str, tail: str, again: bool, now: Instant) -> None:
    """Note the failure with the tool's last words: due again later, or dead when trying again is no use or was tried enough.

    Raises:
        LeaseLost: the job is no longer this worker's.
    """
    dead = not again or job.attempt >= MAX_ATTEMPTS
    again_at = now if dead else retry_at(job.attempt, now=now)
    _mine(
        session,
        job,
        state="dead" if dead else "waiting",
        run_after=again_at,
        ended_at=now if dead else None,
        lease_owner=None,
        lease_until=None if dead else again_at,
        error=error[:80],
        error_tail=tail[-TAIL:],
    )


def put_off(session: Session, job: ClaimedJob, *, error: str, tail: str, now: Instant) -> None:
    """Let a job wait for a store that is away: due again soon, with the reason beside it; the attempt does not count.

    Raises:
        LeaseLost: the job is no longer this worker's.
    """
    again_at, attempt = Instant(now + STORE_PAUSE), job.attempt - 1
    waits = {"run_after": again_at, "lease_until": again_at, "lease_owner": None, "attempt": attempt}
    _mine(session, job, state="waiting", error=error[:80], error_tail=tail[-TAIL:], **waits)


def hand_back(session: Session, job: ClaimedJob, *, now: Instant) -> None:
    """Give an unfinished job back, as a worker that is asked to stop does; the attempt does not count.

    Raises:
        LeaseLost: the job is no longer this worker's.
    """
    attempt = job.attempt - 1
    _mine(session, job, state="waiting", run_after=now, turn=same_turn(), lease_owner=None, lease_until=None, attempt=attempt)
    _ring(session, job.lane)


def release(session: Session, *, now: Instant) -> None:
    """End every lease: for a worker that knows itself to be the only one, whose predecessor is therefore gone.

    The next claim finds those jobs as it finds any whose worker was not heard of.
    """
    session.execute(update(JOBS).where(JOBS.c.state == "running").values(lease_until=now - 1), execution_options=_ALONE)


def settle(session: Session, *, now: Instant) -> None:
    """Bring back what lies further ahead than any lease or pause can: the clock was set back since it was written.

    A worker that is alive renews its lease long before it runs out, by the new clock.
    """
    for state, most in (("running", LEASE), ("waiting", LONGEST_PAUSE)):
        astray = and_(JOBS.c.state == state, JOBS.c.lease_until.is_not(None), JOBS.c.lease_until > now + most)
        session.execute(update(JOBS).where(astray).values(lease_until=now + most), execution_options=_ALONE)


def rerun(session: Session, *, job_id: int, by: PersonCaller, now: Instant) -> None:
    """Let a dead job be run again, with its attempts anew.

    Raises:
        NotFound: there is no such job.
        JobNotDead: it has not failed for good.
    """
    job = session.get(Job, job_id, with_for_update=True)
    if job is None:
        raise NotFound(what="job", id=job_id)
    if job.state != "dead":
        raise JobNotDead(state=job.state)
    session.execute(
        update(JOBS)
        .where(JOBS.c.id == job_id)
        .values(state="waiting", attempt=0, run_after=now, ended_at=None, turn=same_turn(), note=f"rerun by {by.login}"[:80]),
        execution_options=_ALONE,
    )
    session.expire(job)
    _ring(session, job.lane)


def hasten(session: Session, *, sha256: str) -> None:
    """Let work that waits and without which these bytes cannot be shown go before all else in its lane: somebody waits for it."""
    waits = (JOBS.c.sha256 == sha256, JOBS.c.state == "waiting", JOBS.c.kind.in_(SHOWS), JOBS.c.priority < AWAITED)
    found = session.execute(select(JOBS.c.id, JOBS.c.lane, JOBS.c.agency, JOBS.c.source, JOBS.c.turn).where(*waits)).all()
    for job in found:
        turn = first_turn(lane=job.lane, priority=AWAITED, agency=job.agency, source=job.source, otherwise=job.turn)
        session.execute(
            update(JOBS).where(JOBS.c.id == job.id, *waits).values(priority=AWAITED, turn=turn), execution_options=_ALONE
        )


def of_item(session: Session, item_id: int, sha256: str) -> list[JobView]:
    """Return the jobs of an item: its own, and those of its bytes."""
    own = or_(Job.item_id == item_id, and_(Job.sha256 == sha256, Job.kind.not_in(PER_ITEM)))
    return _views(session, own, limit=200)


def overview(session: Session, *, states: tuple[str, ...], before: int | None = None, limit: int = 50) -> list[JobView]:
    """Return jobs in these states, newest first, those with an id below `before`."""
    wanted = Job.state.in_(states)
    return _views(session, wanted if before is None else and_(wanted, Job.id < before), limit=limit, newest=True)


def counts(session: Session) -> dict[str, int]:
    """Return how many jobs are in each state."""
    found = dict.fromkeys(("waiting", "running", "done", "dead"), 0)
    found.update(dict(session.execute(select(Job.state, func.count()).group_by(Job.state)).all()))
    return found


def failed(session: Session) -> int:
    """Return how many jobs are dead: what every page shows, so that it asks for no more than this."""
    return session.scalar(select(func.count()).where(Job.state == "dead")) or 0


def due(session: Session, *, lane: str, most: int, now: Instant) -> int:
    """Return how many jobs of the lane a claim would find, counting no further than `most`."""
    waiting = select(JOBS.c.id).where(JOBS.c.lane == lane, ready()).limit(most).subquery()
    late = JOBS.c.lease_until.is_not(None) & (JOBS.c.lease_until < now)
    overdue = select(JOBS.c.id).where(JOBS.c.lane == lane, late).limit(most).subquery()
    found = sum(session.scalar(select(func.count()).select_from(each)) or 0 for each in (waiting, overdue))
    return min(found, most)


def waits(session: Session, *, lane: str, above: int) -> bool:
    """Say whether a job of a higher priority than `above` is due in the lane: a long job that keeps what it made lets it go first."""
    return session.scalar(select(JOBS.c.id).where(JOBS.c.lane == lane, JOBS.c.priority > above, ready()).limit(1)) is not None


def _whose(session: Session, item_id: int | None) -> tuple[str, str]:
    """Return the agency and the source that a job about this item is done for."""
    item = None if item_id is None else session.get(Item, item_id)
    if item is None:
        return "", "archive"
    if item.station_id is not None:
        return item.agency, f"station:{item.station_id}"
    return item.agency, "archive" if item.person_id is None else f"person:{item.person_id}"


def _ring(session: Session, lane: str) -> None:
    session.info.setdefault(RING, []).append(lane)


def _mine(session: Session, job: ClaimedJob, **values: object) -> None:
    result = session.execute(
        update(JOBS)
        .where(JOBS.c.id == job.id, JOBS.c.state == "running", JOBS.c.lease_owner == job.owner, JOBS.c.attempt == job.attempt)
        .values(**values),
        execution_options=_ALONE,
    )
    assert isinstance(result, CursorResult)
    if result.rowcount != 1:
        raise LeaseLost(job=job.id, kind=job.kind, attempt=job.attempt)


def _views(session: Session, where: Any, *, limit: int, newest: bool = False) -> list[JobView]:  # noqa: ANN401 - a column expression
    rows = session.execute(
        select(Job, Item.number, Item.name)
        .outerjoin(Item, Item.id == Job.item_id)
        .where(where)
        .order_by(Job.id.desc() if newest else Job.id)
        .limit(limit)
    )
    return [
        JobView(
            id=job.id,
            kind=job.kind,
            state=job.state,
            number=number or "",
            item_name=name or "",
            permille=job.permille,
            note=job.note,
            attempt=job.attempt,
            error=job.error,
            error_tail=job.error_tail,
            payload=job.payload,
            created_at=Instant(job.created_at),
            started_at=None if job.started_at is None else Instant(job.started_at),
            ended_at=None if job.ended_at is None else Instant(job.ended_at),
        )
        for job, number, name in rows
    ]
