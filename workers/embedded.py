"""The embedded worker: a child of `liuhen serve` that polls the job table, one thread for each lane.

It ends when it is told to (SIGTERM) or when its parent is gone (standard input closes): what was running is handed back, its tool
ended. There is one worker for a data directory, by a lock that the kernel drops when it dies; so the next one knows that whatever is
still marked as running is nobody's, and takes it over at once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from archive.actions import jobs
from archive.adapters.doorbell import Ear
from archive.core.jobs import LANES
from archive.resources import Resources, bell_path
from workers import schedule
from workers.handlers import HANDLERS
from workers.lanes import Lanes

log = logging.getLogger("liuhen.worker")

GLANCE = 1.0
"""Seconds between looks at the table when nobody rings."""
LOCK_GLANCE = 0.1
SETTLE = 60.0
"""Seconds between looks at the calendar, and for what a clock that was set back left in the future."""


def run(resources: Resources) -> None:
    """Work until told to stop."""
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        resources.bell.ring(LANES)  # a handler that returns lets what it interrupted go on waiting

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells us when
    with _only_one(resources, stop):
        if not stop.is_set():
            _run(resources, stop)


def take_over(resources: Resources) -> None:
    """Put back what a killed worker left: its jobs, and its scratch directories."""
    with resources.transaction() as session:
        jobs.release(session, now=resources.now())
    for left in (resources.settings.data_dir / "scratch").iterdir():
        shutil.rmtree(left, ignore_errors=True)


def _run(resources: Resources, stop: threading.Event) -> None:
    take_over(resources)
    owner = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
    lanes = Lanes(resources, HANDLERS, owner=owner, threads=dict.fromkeys(LANES, 1), glance=GLANCE)
    ear = Ear(bell_path(resources.settings))
    lanes.start()
    settled = time.monotonic()
    try:
        while not stop.is_set():
            if ear.wait(GLANCE, sys.stdin.fileno()):
                lanes.ring_all()
            if time.monotonic() - settled > SETTLE:
                settled = time.monotonic()
                _settle(resources)
            if _parent_gone():
                stop.set()
    finally:
        lanes.hand_back()
        lanes.wait()
        ear.close()


def _settle(resources: Resources) -> None:
    try:
        with resources.transaction() as session:
            jobs.settle(session, now=resources.now())
        schedule.promise(resources, now=resources.now())
    except Exception:
        log.exception("leases and the calendar could not be looked over; doing it again")


def _parent_gone() -> bool:
    """Say whether standard input, a pipe that the parent holds open, was closed."""
    readable = select.select([sys.stdin.fileno()], [], [], 0)[0]
    return bool(readable) and os.read(sys.stdin.fileno(), 1) == b""


@contextmanager
def _only_one(resources: Resources, stop: threading.Event) -> Iterator[None]:
    """Wait until no other worker works on this data directory, then keep others out."""
    with (resources.settings.data_dir / "run" / "worker.lock").open("ab") as lock:
        while not stop.is_set() and not _parent_gone():
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            stop.wait(LOCK_GLANCE)
        yield
