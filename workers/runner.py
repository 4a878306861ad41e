"""Claim → run → finish, for both profiles.

The work is done with no transaction open. What it found is written in the one short transaction that finishes the job, fenced: a worker
that lost its lease writes nothing. A heartbeat keeps the lease while the handler is busy between its reports. It counts its seconds by a
clock that nobody sets, and leases go by the database's where it is shared.

A database that does not answer for a while costs no work: heartbeats are tried again, and what was found is kept until it can be written,
with the lease. A store that does not answer at all, the second one too, puts off what asks it.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from archive.actions import jobs
from archive.actions.jobs import ClaimedJob
from archive.core.errors import DiskFull, Fault, Internal, LeaseLost, LiuhenError, StoreRefuses, Unavailable
from archive.core.instant import SECOND, Instant
from archive.core.jobs import ASK_SECOND, HEARTBEAT
from archive.failpoints import failpoint
from archive.resources import Resources

log = logging.getLogger("liuhen.worker")

_MOMENT = 0.5
_BEAT = HEARTBEAT / SECOND
PATIENCE = 120.0
"""Seconds for which a worker holds what it found against a database that does not answer: a restart takes less, and a copy of the job that
began meanwhile fences it off."""

Publish = Callable[[Session, Instant], object]
"""Writes what a job found, in the transaction that finishes it and at its time: what began earlier is not on record as earlier. It is
called again in another transaction if that one was broken off."""

Report = Callable[[int, str], None]
"""(permille done, note): called often by handlers; raises LeaseLost or HandBack, upon which the handler ends its tool."""

Handler = Callable[[Resources, ClaimedJob, Report], Publish]


class HandBack(Exception):
    """The worker is stopping; the job goes back to the queue."""


def run_next(
    resources: Resources, handlers: Mapping[str, Handler], *, lane: str, owner: str, stopping: Callable[[], bool]
) -> bool:
    """Run the lane's next due job, if there is one, and say whether there was."""
    if not resources.settings.production:  # one writer at a time: whoever finds nothing to do does not ask to be that one
        with resources.reading() as session:
            if not jobs.anything_due(session, lane=lane, now=resources.now()):
                return False
    with resources.transaction() as session:
        job = jobs.claim(session, lane=lane, owner=owner, now=jobs.clock(session, now=resources.now()))
    if job is None:
        return False
    failpoint("job.claimed")
    try:
        _run(resources, handlers, job, stopping=stopping)
    except LeaseLost:
        log.warning("job %s (%s) was given to another worker; its result is thrown away", job.id, job.kind)
    return True


def _run(resources: Resources, handlers: Mapping[str, Handler], job: ClaimedJob, *, stopping: Callable[[], bool]) -> None:
    # The lease is kept until the outcome is written too: a database may be away just then, for longer than a lease lasts.
    with _kept(resources, job, stopping=stopping) as report:
        try:
            publish = handlers[job.kind](resources, job, report)
            failpoint("job.worked")
            _insist(lambda: _finish(resources, job, publish))
            failpoint("job.committed")
        except LeaseLost:
            raise
        except HandBack:
            _insist(lambda: _hand_back(resources, job))
        except Unavailable as why:
            if _store_is_away(resources, job, why):
                _put_off(resources, job, why)
            else:
                _fail(resources, job, error=why.code, tail=str(why.facts.get("tail", why)), again=True)
        except LiuhenError as why:
            again = why.again if isinstance(why, Fault) else False
            _fail(resources, job, error=why.code, tail=str(why.facts.get("tail", why)), again=again)
        except Exception:  # noqa: BLE001 - a handler's bug fails its job, with its words, and no other's
            _fail(resources, job, error=Internal.code, tail=traceback.format_exc(), again=True)


def _finish(resources: Resources, job: ClaimedJob, publish: Publish) -> None:
    with resources.transaction() as session:
        now = resources.now()
        jobs.finish(session, job, now=now)
        publish(session, now)
        failpoint("job.published")


def _hand_back(resources: Resources, job: ClaimedJob) -> None:
    with resources.transaction() as session:
        jobs.hand_back(session, job, now=resources.now())


def _store_is_away(resources: Resources, job: ClaimedJob, why: Unavailable) -> bool:
    """Say whether a fault is a store's and no object's: one that the job asks has no room, refuses us, or answers nothing at all."""
    if why.facts.get("what") != "store":
        return False
    if isinstance(why, DiskFull | StoreRefuses) or not resources.store.answers():
        return True
    return job.kind in ASK_SECOND and resources.replica is not None and not resources.replica.answers()


def _put_off(resources: Resources, job: ClaimedJob, why: Unavailable) -> None:
    log.warning("job %s (%s) waits for the store: %s", job.id, job.kind, why)

    def note() -> None:
        with resources.transaction() as session:
            jobs.put_off(session, job, error=why.code, tail=str(why), now=jobs.clock(session, now=resources.now()))

    _insist(note)


def _fail(resources: Resources, job: ClaimedJob, *, error: str, tail: str, again: bool) -> None:
    log.warning("job %s (%s) failed: %s", job.id, job.kind, tail.strip().splitlines()[-1:] or error)

    def note() -> None:
        with resources.transaction() as session:
            jobs.fail(session, job, error=error, tail=tail, again=again, now=jobs.clock(session, now=resources.now()))

    _insist(note)


def _insist(act: Callable[[], None]) -> None:
    """Do this, again and again while the database does not answer.

    If a commit went through and only its answer was lost, doing it again finds the job gone: LeaseLost, and all is written.

    Raises:
        Unavailable: it did not answer for two minutes; the lease runs out, and the job is done again.
    """
    until, pause = time.monotonic() + PATIENCE, 0.1
    while True:
        try:
            act()
        except Unavailable as why:
            if why.facts.get("what") != "database" or time.monotonic() > until:
                raise
            log.warning("the database does not answer; what was found is kept until it does")
        else:
            return
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


@contextmanager
def _kept(resources: Resources, job: ClaimedJob, *, stopping: Callable[[], bool]) -> Iterator[Report]:
    """Keep the lease while the block runs; give the report function to call from it.

    Whether the lease was kept to the end is for whoever writes the outcome to find: it is fenced.
    """
    done = threading.Event()
    lost: list[LeaseLost] = []
    told = _Told()

    def beat() -> None:
        while not done.wait(_MOMENT) and not lost:
            if told.due():
                lost.extend(_written(resources, job, told))

    def report(permille: int, note: str) -> None:
        told.take(permille, note)
        if time.monotonic() - told.written >= 1:
            lost.extend(_written(resources, job, told))
        if lost:
            raise lost[0]
        if stopping():
            raise HandBack

    heart = threading.Thread(target=beat, name=f"heartbeat-{job.id}", daemon=True)
    heart.start()
    try:
        yield report
    finally:
        done.set()
        heart.join()


def _written(resources: Resources, job: ClaimedJob, told: _Told) -> list[LeaseLost]:
    """Write where the job is and keep its lease; return the loss of it, if it is lost."""
    told.written, told.unwritten = time.monotonic(), False
    try:
        with resources.transaction() as session:
            now = jobs.clock(session, now=resources.now())
            jobs.keep(session, job, permille=told.permille, note=told.note, now=now)
    except LeaseLost as why:
        return [why]
    except Unavailable:
        told.unwritten = True  # said again in a moment: a lease is four heartbeats long
    return []


@dataclass(slots=True)
class _Told:
    """What the handler last reported, and when the table last heard of it, by the clock that nobody sets."""

    written: float = field(default_factory=time.monotonic)
    permille: int = 0
    note: str = ""
    unwritten: bool = False

    def take(self, permille: int, note: str) -> None:
        """Note what the handler says."""
        self.unwritten = self.unwritten or note != self.note
        self.permille, self.note = permille, note

    def due(self) -> bool:
        """Say whether to write: a step's name when it has lasted a moment, since most jobs are over before anybody could read it."""
        return self.unwritten or time.monotonic() - self.written >= _BEAT
