"""What a monitor asks every few seconds: how long work waits, how much of it there is, how many uploads are under way.

Everything is counted on indexes that hold what is asked for and little else; what is done, which is nearly all, is never counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.actions.jobs import clock
from archive.core.instant import Instant
from archive.core.jobs import LANES
from archive.records.hosts import Host
from archive.records.jobs import JOBS, ready
from archive.records.uploads import Upload


@dataclass(frozen=True, slots=True)
class LaneLoad:
    """One lane: jobs that wait for a worker, that pause after a failure, that run, that are dead; and for how long the oldest has waited.

    `waited` is microseconds, 0 if nothing waits; a job that pauses is not due, so does not wait.
    """

    waiting: int
    paused: int
    running: int
    dead: int
    waited: int


@dataclass(frozen=True, slots=True)
class Load:
    """The load of the archive at one moment.

    Attributes:
        lanes: Each lane's jobs.
        uploads: Uploads under way by web host and state; by an empty name those that go straight to the store, or are the only host's.
    """

    lanes: Mapping[str, LaneLoad]
    uploads: Mapping[tuple[str, str], int]


def load(session: Session, *, now: Instant) -> Load:
    """Return what there is to do."""
    at = clock(session, now=now)
    lane, state, count = JOBS.c.lane, JOBS.c.state, func.count()
    waiting = {name: (many, at - since) for name, many, since in session.execute(_WAITING)}
    held = {
        (name, its): many
        for name, its, many in session.execute(
            select(lane, state, count).where(JOBS.c.lease_until.is_not(None)).group_by(lane, state)
        )
    }
    dead: dict[str, int] = dict(session.execute(select(lane, count).where(state == "dead").group_by(lane)).all())
    host = func.coalesce(Upload.host, "").label("host")
    under_way = select(host, Upload.state, count).where(Upload.state.in_(UNDER_WAY)).group_by(host, Upload.state)
    uploads = {(name, its): many for name, its, many in session.execute(under_way)}
    names = {"", *session.scalars(select(Host.name)), *(name for name, _ in uploads)}
    lanes = {
        name: LaneLoad(
            waiting=waiting.get(name, (0, 0))[0],
            paused=held.get((name, "waiting"), 0),
            running=held.get((name, "running"), 0),
            dead=dead.get(name, 0),
            waited=max(0, waiting.get(name, (0, 0))[1]),
        )
        for name in LANES
    }
    return Load(lanes, {(name, its): uploads.get((name, its), 0) for name in sorted(names) for its in UNDER_WAY})


UNDER_WAY = ("receiving", "arrived")
_WAITING = select(JOBS.c.lane, func.count(), func.min(JOBS.c.run_after)).where(ready()).group_by(JOBS.c.lane)
