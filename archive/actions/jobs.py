"""The queue's verbs: promise, claim, keep, finish, fail, run again.

A claim is one statement; a lease that ran out lets another worker claim; `attempt` fences, so that whoever lost the lease can neither
publish nor finish. A job is promised in the transaction of the fact that asks for it, and finished in the transaction of what it
found: it takes effect once or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, and_, case, func, or_, select, update
from sqlalchemy.orm import Session

from archive.core.access import PersonCaller
from archive.core.errors import JobNotDead, LeaseLost, NotFound
from archive.core.instant import Instant
from archive.core.jobs import KINDS, LEASE, MAX_ATTEMPTS, TAIL, retry_at
from archive.records.items import Item
from archive.records.jobs import Job

RING = "ring"
"""In a session's `info`, the lanes in which it promised work, one for each job: the workers are told once it has committed."""

PER_ITEM = ("examine", "read_back")
"""Kinds that belong to an accession; every other belongs to the bytes and is shared by all accessions of them."""


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
    """A job as people read it; `permille` of its work is done, `note` names the step."""

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


def enqueue(
    session: Session, *, kind: str, item_id: int, sha256: str, payload: Mapping[str, Any] | None = None, now: Instant
) -> None:
    """Promise a job; promising the same work twice promises it once."""
    job = _job(kind, item_id=item_id, sha256=sha256, payload=payload or {}, now=now)
    if session.scalar(select(Job.id).where(Job.key == job.key)) is not None:
        return
    session.add(job)
    session.flush()
    _ring(session, job.lane)


def enqueue_first(session: Session, *, item_id: int, sha256: str, now: Instant) -> None:
    """Promise the jobs of an item that was written in this very transaction, so that nobody can have promised them before."""
    for kind in PER_ITEM:
        job = _job(kind, item_id=item_id, sha256=sha256, payload={}, now=now)
        session.add(job)
        _ring(session, job.lane)


def claim(session: Session, *, lane: str, owner: str, now: Instant) -> ClaimedJob | None:
    """Take the next due job of the lane (priority, then age), or one whose worker was not heard of in time.

    A job whose lease ran out with its attempts spent is dead: whatever it does to a worker, it did it often enough.
    """
    lost = and_(Job.state == "running", Job.lease_until < now)
    session.execute(
        update(Job)
        .where(Job.lane == lane, lost, Job.attempt >= MAX_ATTEMPTS)
        .values(state="dead", error="worker_lost", ended_at=now, lease_owner=None, lease_until=None)
    )
    due = or_(and_(Job.state == "waiting", Job.run_after <= now), lost)
    chosen = (
        select(Job.id)
        .where(Job.lane == lane, due)
        .order_by(Job.priority.desc(), Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = session.execute(
        update(Job)
        .where(Job.id == chosen.scalar_subquery())
        .values(
            state="running",
            lease_owner=owner,
            lease_until=now + LEASE,
            attempt=Job.attempt + 1,
            started_at=now,
            permille=0,
            note="",
        )
        .returning(Job.id, Job.kind, Job.lane, Job.item_id, Job.sha256, Job.payload, Job.attempt)
    ).first()
    if row is None:
        return None
    return ClaimedJob(
        id=row.id,
        kind=row.kind,
        lane=row.lane,
        item_id=row.item_id or 0,
        sha256=row.sha256 or "",
        payload=row.payload,
        attempt=row.attempt,
        owner=owner,
    )


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
    _mine(
        session,
        job,
        state="dead" if dead else "waiting",
        run_after=now if dead else retry_at(job.attempt, now=now),
        ended_at=now if dead else None,
        lease_owner=None,
        lease_until=None,
        error=error[:80],
        error_tail=tail[-TAIL:],
    )


def hand_back(session: Session, job: ClaimedJob, *, now: Instant) -> None:
    """Give an unfinished job back, as a worker that is asked to stop does; the attempt does not count.

    Raises:
        LeaseLost: the job is no longer this worker's.
    """
    _mine(session, job, state="waiting", run_after=now, lease_owner=None, lease_until=None, attempt=job.attempt - 1)


def release(session: Session, *, now: Instant) -> None:
    """Put back every running job: for a worker that knows itself to be the only one, whose predecessor is therefore gone.

    A job that has spent its attempts is dead: it took a worker with it each time.
    """
    running = Job.state == "running"
    session.execute(
        update(Job)
        .where(running, Job.attempt >= MAX_ATTEMPTS)
        .values(state="dead", error="worker_lost", ended_at=now, lease_owner=None, lease_until=None)
    )
    session.execute(update(Job).where(running).values(state="waiting", run_after=now, lease_owner=None, lease_until=None))


def rerun(session: Session, *, job_id: int, by: PersonCaller, now: Instant) -> None:
    """Let a dead job be run again, with its attempts anew.

    Raises:
        NotFound: there is no such job.
        JobNotDead: it has not failed for good.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound(what="job", id=job_id)
    if job.state != "dead":
        raise JobNotDead(state=job.state)
    job.state, job.attempt, job.run_after, job.ended_at = "waiting", 0, now, None
    job.note = f"rerun by {by.login}"[:80]
    session.flush()
    _ring(session, job.lane)


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


def next_due(session: Session, *, lane: str) -> Instant | None:
    """Return when the lane's earliest waiting job is due, or its earliest lease runs out."""
    when = case((Job.state == "waiting", Job.run_after), else_=Job.lease_until)
    found = session.scalar(select(func.min(when)).where(Job.lane == lane, Job.state.in_(("waiting", "running"))))
    return None if found is None else Instant(found)


def waits(session: Session, *, lane: str, above: int, now: Instant) -> bool:
    """Say whether a job of a higher priority than `above` is due in the lane: a long job that keeps what it made lets it go first."""
    due = (Job.lane == lane, Job.state == "waiting", Job.run_after <= now, Job.priority > above)
    return session.scalar(select(Job.id).where(*due).limit(1)) is not None


def _ring(session: Session, lane: str) -> None:
    session.info.setdefault(RING, []).append(lane)


def _job(kind: str, *, item_id: int, sha256: str, payload: Mapping[str, Any], now: Instant) -> Job:
    subject = f"item-{item_id}" if kind in PER_ITEM else sha256
    work = KINDS[kind]
    return Job(
        kind=kind,
        lane=work.lane,
        key=":".join([kind, subject, *(str(payload[name]) for name in sorted(payload))]),
        item_id=item_id,
        sha256=sha256,
        payload=dict(payload),
        priority=work.priority,
        run_after=now,
        created_at=now,
    )


def _mine(session: Session, job: ClaimedJob, **values: object) -> None:
    result = session.execute(
        update(Job)
        .where(Job.id == job.id, Job.state == "running", Job.lease_owner == job.owner, Job.attempt == job.attempt)
        .values(**values)
    )
    assert isinstance(result, CursorResult)
    if result.rowcount != 1:
        raise LeaseLost(job=job.id, kind=job.kind, attempt=job.attempt)


def _views(session: Session, where: Any, *, limit: int, newest: bool = False) -> list[JobView]:  # noqa: ANN401 - a column expression
    rows = session.execute(
        select(Job, Item.number, Item.name)
        .join(Item, Item.id == Job.item_id)
        .where(where)
        .order_by(Job.id.desc() if newest else Job.id)
        .limit(limit)
    )
    return [
        JobView(
            id=job.id,
            kind=job.kind,
            state=job.state,
            number=number,
            item_name=name,
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
