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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from archive.actions import jobs
from archive.adapters.doorbell import Ear
from archive.core.jobs import LANES
from archive.resources import Resources, bell_path
from workers.handlers import HANDLERS
from workers.runner import run_next

log = logging.getLogger("liuhen.worker")

GLANCE = 1.0
"""Seconds between looks at the table when nobody rings."""
LOCK_GLANCE = 0.1
QUICK_BEHIND = 5
"""Niceness of the quick lane. A person may be waiting for it, so it comes before the others; but a card full of photos, each of which wants
to be examined at once, must not halve the rate at which its bytes come in, and what is not yet here can only be lost."""
BEHIND = 10
"""Niceness of every other lane."""


def run(resources: Resources) -> None:
    """Work until told to stop."""
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

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
    bells = [threading.Event() for _ in LANES]
    owner = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
    threads = [
        threading.Thread(target=_work, args=(resources, lane, f"{owner}:{lane}", bell, stop), name=lane)
        for lane, bell in zip(LANES, bells, strict=True)
    ]
    ear = Ear(bell_path(resources.settings))
    for thread in threads:
        thread.start()
    try:
        while not stop.is_set():
            if ear.wait(GLANCE):
                for bell in bells:
                    bell.set()
            if _parent_gone():
                stop.set()
    finally:
        stop.set()
        for bell in bells:
            bell.set()
        for thread in threads:
            thread.join()
        ear.close()


def _work(resources: Resources, lane: str, owner: str, bell: threading.Event, stop: threading.Event) -> None:
    # Linux counts niceness by thread, and the tools a thread starts inherit it: whoever sends or is looking at something comes first.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), QUICK_BEHIND if lane == "quick" else BEHIND)
    while not stop.is_set():
        bell.clear()
        try:
            busy = run_next(resources, HANDLERS, lane=lane, owner=owner, stopping=stop.is_set)
        except Exception:
            log.exception("lane %s could not reach its work; looking again", lane)
            busy = False
        if not busy:
            bell.wait(GLANCE)


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
