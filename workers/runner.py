"""Claim → run → finish, for both profiles.

The work is done with no transaction open. What it found is written in the one short transaction that finishes the job, fenced: a worker
that lost its lease writes nothing. A heartbeat keeps the lease while the handler is busy between its reports.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from archive.actions import jobs
from archive.actions.jobs import ClaimedJob
from archive.core.errors import Fault, Internal, LeaseLost, LiuhenError
from archive.core.instant import SECOND, Instant
from archive.core.jobs import HEARTBEAT
from archive.failpoints import failpoint
from archive.resources import Resources

log = logging.getLogger("liuhen.worker")

_MOMENT = SECOND // 2

Publish = Callable[[Session, Instant], None]
"""Writes what a job found, in the transaction that finishes it and at its time: what began earlier is not on record as earlier."""

Report = Callable[[int, str], None]
"""(permille done, note): called often by handlers; raises LeaseLost or HandBack, upon which the handler ends its tool."""

Handler = Callable[[Resources, ClaimedJob, Report], Publish]


class HandBack(Exception):
    """The worker is stopping; the job goes back to the queue."""


def run_next(
    resources: Resources, handlers: Mapping[str, Handler], *, lane: str, owner: str, stopping: Callable[[], bool]
) -> bool:
    """Run the lane's next due job, if there is one, and say whether there was."""
    with resources.reading() as session:
        due = jobs.next_due(session, lane=lane)
    if due is None or due > resources.now():
        return False
    with resources.transaction() as session:
        job = jobs.claim(session, lane=lane, owner=owner, now=resources.now())
    if job is None:
        return False
    failpoint("job.claimed")
    try:
        _run(resources, handlers[job.kind], job, stopping=stopping)
    except LeaseLost:
        log.warning("job %s (%s) was given to another worker; its result is thrown away", job.id, job.kind)
    return True


def _run(resources: Resources, handler: Handler, job: ClaimedJob, *, stopping: Callable[[], bool]) -> None:
    try:
        with _kept(resources, job, stopping=stopping) as report:
            publish = handler(resources, job, report)
        failpoint("job.worked")
        with resources.transaction() as session:
            now = resources.now()
            jobs.finish(session, job, now=now)
            publish(session, now)
            failpoint("job.published")
        failpoint("job.committed")
    except LeaseLost:
        raise
    except HandBack:
        with resources.transaction() as session:
            jobs.hand_back(session, job, now=resources.now())
    except LiuhenError as why:
        again = why.again if isinstance(why, Fault) else False
        _fail(resources, job, error=why.code, tail=str(why.facts.get("tail", why)), again=again)
    except Exception:  # noqa: BLE001 - a handler's bug fails its job, with its words, and no other's
        _fail(resources, job, error=Internal.code, tail=traceback.format_exc(), again=True)


def _fail(resources: Resources, job: ClaimedJob, *, error: str, tail: str, again: bool) -> None:
    log.warning("job %s (%s) failed: %s", job.id, job.kind, tail.strip().splitlines()[-1:] or error)
    with resources.transaction() as session:
        jobs.fail(session, job, error=error, tail=tail, again=again, now=resources.now())


@contextmanager
def _kept(resources: Resources, job: ClaimedJob, *, stopping: Callable[[], bool]) -> Iterator[Report]:
    """Keep the lease while the block runs; give the report function to call from it."""
    done = threading.Event()
    lost: list[LeaseLost] = []
    told = _Told(written=resources.now())

    def beat() -> None:
        while not done.wait(_MOMENT / SECOND) and not lost:
            if told.due(resources.now()):
                lost.extend(_written(resources, job, told))

    def report(permille: int, note: str) -> None:
        told.take(permille, note)
        if resources.now() - told.written >= SECOND:
            lost.extend(_written(resources, job, told))
        if lost:
            raise lost[0]
        if stopping():
            raise HandBack

    heart = threading.Thread(target=beat, name=f"heartbeat-{job.id}", daemon=True)
    heart.start()
    try:
        yield report
        if lost:
            raise lost[0]
    finally:
        done.set()
        heart.join()


def _written(resources: Resources, job: ClaimedJob, told: _Told) -> list[LeaseLost]:
    """Write where the job is and keep its lease; return the loss of it, if it is lost."""
    told.written, told.unwritten = resources.now(), False
    try:
        with resources.transaction() as session:
            jobs.keep(session, job, permille=told.permille, note=told.note, now=told.written)
    except LeaseLost as why:
        return [why]
    return []


@dataclass(slots=True)
class _Told:
    """What the handler last reported, and when the table last heard of it."""

    written: Instant
    permille: int = 0
    note: str = ""
    unwritten: bool = False

    def take(self, permille: int, note: str) -> None:
        """Note what the handler says."""
        self.unwritten = self.unwritten or note != self.note
        self.permille, self.note = permille, note

    def due(self, now: Instant) -> bool:
        """Say whether to write: a step's name when it has lasted a moment, since most jobs are over before anybody could read it."""
        return self.unwritten or now - self.written >= HEARTBEAT
