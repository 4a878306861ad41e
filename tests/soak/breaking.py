"""How each fault is made, and made good again, on a running archive.

What is signalled is signalled by process number, and only if it is ours. A fault that ends a program ends that one process, as the kernel
does when memory runs out: what it started is left to notice by itself.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kombu import Connection
from sqlalchemy import text

from archive.actions import jobs
from archive.adapters.doorbell_celery import queue_of
from archive.core.jobs import LANES, LEASE
from archive.demo.server import Program
from archive.resources import Resources
from tests.soak.plan import Fault, Step
from tests.soak.stack import Stack

ROOM = 4096
"""Bytes to which a file may grow while there is no room: log lines and small files still fit, as on a disk that is nearly full."""
SLOW_S = 0.05
"""What each 64 KiB to and from a slow store take: 1.3 MB/s, and a tenth of a second for the shortest question."""
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Site:
    """Where a fault is made: on which archive, to which of several processes, and whether leases run out at once."""

    stack: Stack
    judge: Resources
    victim: int
    hurry: bool


@contextlib.contextmanager
def broken(stack: Stack, judge: Resources, step: Step, *, hurry: bool) -> Iterator[None]:
    """Have this step's faults stand within the block; at its end all is as it was, and whatever ended is started again.

    `hurry` lets time that only a lease needs to run out pass in the table instead of on the clock.
    """
    site = Site(stack, judge, step.victim, hurry)
    with contextlib.ExitStack() as faults:
        for fault in step.faults:
            faults.enter_context(MAKING[fault](site))
        yield
    stack.revive()


@contextlib.contextmanager
def _web_killed(site: Site) -> Iterator[None]:
    _killed(_chosen(site.stack.webs, site.victim))
    yield


@contextlib.contextmanager
def _worker_killed(site: Site) -> Iterator[None]:
    program = _chosen(site.stack.workers, site.victim)
    busy = _holding(site.judge, program)
    _killed(program)
    if site.hurry and busy:
        _lease_over(site.judge, f"%:{program.process.pid}:%")
    yield


@contextlib.contextmanager
def _beat_killed(site: Site) -> Iterator[None]:
    _killed(site.stack.beat)
    yield


def _database(end: Callable[[Stack], None]) -> Callable[[Site], contextlib.AbstractContextManager[None]]:
    @contextlib.contextmanager
    def made(site: Site) -> Iterator[None]:
        end(site.stack)
        try:
            yield
        finally:
            site.stack.postgres.start()

    return made


@contextlib.contextmanager
def _broker_down(site: Site) -> Iterator[None]:
    site.stack.rabbitmq.kill()
    try:
        yield
    finally:
        site.stack.rabbitmq.start()


@contextlib.contextmanager
def _queues_deleted(site: Site) -> Iterator[None]:
    with Connection(site.stack.rabbitmq.url("liuhen")) as connection, connection.channel() as channel:
        for lane in LANES:
            channel.queue_delete(queue_of(lane))
    yield


@contextlib.contextmanager
def _store_down(site: Site) -> Iterator[None]:
    site.stack.ceph.rgw.kill()
    try:
        yield
    finally:
        site.stack.ceph.start_gateway()


@contextlib.contextmanager
def _store_slow(site: Site) -> Iterator[None]:
    site.stack.relay.delay_s = SLOW_S
    try:
        yield
    finally:
        site.stack.relay.delay_s = 0


@contextlib.contextmanager
def _store_full(site: Site) -> Iterator[None]:
    bucket = ("--quota-scope=bucket", f"--bucket={site.judge.settings.s3_originals}")
    site.stack.ceph.admin("quota", "set", *bucket, "--max-objects=1")
    site.stack.ceph.admin("quota", "enable", *bucket)
    try:
        yield
    finally:
        site.stack.ceph.admin("quota", "disable", *bucket)


@contextlib.contextmanager
def _worker_frozen(site: Site) -> Iterator[None]:
    program = _chosen(site.stack.workers, site.victim)
    pid = program.process.pid
    until = time.monotonic() + PATIENCE_S
    while True:
        os.killpg(pid, signal.SIGSTOP)
        if held := _held(site.judge, pid):
            break
        os.killpg(pid, signal.SIGCONT)
        assert time.monotonic() < until, "this worker never holds a job"
        time.sleep(0.003)
    try:
        if site.hurry:
            _lease_over(site.judge, f"%:{pid}:%")
        until = time.monotonic() + LEASE / 1e6 + PATIENCE_S
        while not _done(site.judge, held):
            assert time.monotonic() < until, f"jobs {held} of a frozen worker were not done by another one"
            time.sleep(0.1)
        yield
    finally:
        os.killpg(pid, signal.SIGCONT)


@contextlib.contextmanager
def _spool_full(site: Site) -> Iterator[None]:
    """A file that would grow past a few KiB is refused (RLIMIT_FSIZE), which needs neither root nor a file system of one's own."""
    pid = _chosen(site.stack.webs, site.victim).process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def _clock_back(site: Site) -> Iterator[None]:
    site.stack.set_clocks("-1h")
    try:
        yield
    finally:
        site.stack.set_clocks("+0")


MAKING = {
    Fault.WEB_KILLED: _web_killed,
    Fault.WORKER_KILLED: _worker_killed,
    Fault.BEAT_KILLED: _beat_killed,
    Fault.DATABASE_RESTARTED: _database(lambda stack: stack.postgres.stop()),
    Fault.DATABASE_STOPPED_AT_ONCE: _database(lambda stack: stack.postgres.daemon.stop(signal.SIGQUIT)),
    Fault.DATABASE_KILLED: _database(lambda stack: stack.postgres.kill()),
    Fault.BROKER_DOWN: _broker_down,
    Fault.QUEUES_DELETED: _queues_deleted,
    Fault.STORE_DOWN: _store_down,
    Fault.STORE_SLOW: _store_slow,
    Fault.STORE_FULL: _store_full,
    Fault.WORKER_FROZEN: _worker_frozen,
    Fault.SPOOL_FULL: _spool_full,
    Fault.CLOCK_BACK: _clock_back,
}


def pauses_over(judge: Resources) -> None:
    """Let jobs that failed be due at once, as if their pause had passed."""
    with judge.transaction() as session:
        over = "UPDATE jobs SET run_after = LEAST(run_after, :now), lease_until = :now WHERE state = 'waiting' AND lease_until > :now"
        session.execute(text(over), {"now": int(jobs.clock(session, now=judge.now()))})


def _chosen(programs: Sequence[Program], victim: int) -> Program:
    return programs[victim % len(programs)]


def _killed(program: Program) -> None:
    os.kill(program.process.pid, signal.SIGKILL)
    assert program.ended(wait_s=10)


def _held(judge: Resources, pid: int) -> list[int]:
    """Return the jobs that a worker holds."""
    with judge.reading() as session:
        held = text("SELECT id FROM jobs WHERE state = 'running' AND lease_owner LIKE :owner")
        return [row.id for row in session.execute(held, {"owner": f"%:{pid}:%"})]


def _holding(judge: Resources, program: Program) -> bool:
    """Wait a moment for a worker to hold a job, so that its end is felt; say whether it does."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if _held(judge, program.process.pid):
            return True
        time.sleep(0.003)
    return False


def _done(judge: Resources, held: list[int]) -> bool:
    with judge.reading() as session:
        left = text("SELECT count(*) FROM jobs WHERE id = ANY(:held) AND state <> 'done'")
        return session.execute(left, {"held": held}).scalar() == 0


def _lease_over(judge: Resources, owner: str) -> None:
    """Let the lease of whoever holds one by this name be over, as if its minute had passed."""
    with judge.transaction() as session:
        over = text("UPDATE jobs SET lease_until = lease_until - :lease WHERE state = 'running' AND lease_owner LIKE :owner")
        session.execute(over, {"lease": int(LEASE), "owner": owner})
