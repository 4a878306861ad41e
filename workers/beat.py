"""The beat of the production profile: every so often it promises what is due by the calendar, and rings again for what nobody heard of.

A ring may be lost with its broker, a worker with its lease: both leave a job in the table that is due. The sweep counts those, takes off
the rings that lie unheard in the queues, and rings for the rest, a bounded number at a time. Rings name no job, so that one too many finds
nothing to do: any number of beats may run, and each says what the others say. Calendar work carries its day in its key and is promised
once.

It counts its seconds by a clock that nobody sets. Celery's own beat goes by the wall clock, and would be silent for the hour by which
that is set back; its schedule would also have to pass through the broker before it is a fact.

Not guaranteed: that a beat runs. Without one, lost work waits for a worker's next glance, and the calendar for the next beat.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Final

from archive.actions import jobs
from archive.adapters.doorbell_celery import CeleryBell
from archive.core.jobs import LANES
from archive.resources import Resources
from workers import schedule

log = logging.getLogger("liuhen.beat")

SWEEP: Final = 15.0
"""Seconds between sweeps; a lease is four of them long."""
CALENDAR: Final = 60.0
"""Seconds between looks at the calendar."""
MOST: Final = 500
"""Rings for a lane in one sweep; workers that found one job look for the next without being rung for."""


def run(resources: Resources) -> None:
    """Sweep and promise until told to stop. To be called in the main thread."""
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    bell = CeleryBell(resources.settings.broker_url)
    looked: float | None = None
    try:
        while not stop.is_set():
            _try_to_sweep(resources, bell)
            if looked is None or time.monotonic() - looked >= CALENDAR:
                _try_to_promise(resources, started=looked is None)
                looked = time.monotonic()
            stop.wait(SWEEP)
    finally:
        bell.close()


def sweep(resources: Resources, bell: CeleryBell) -> Mapping[str, int]:
    """Ring for what is due and not rung for; return how often in each lane.

    Raises:
        Unavailable: the database does not answer.
        OSError: the broker is away; workers look by themselves meanwhile.
    """
    with resources.transaction() as session:
        jobs.settle(session, now=jobs.clock(session, now=resources.now()))
    with resources.reading() as session:
        now = jobs.clock(session, now=resources.now())
        due = {lane: jobs.due(session, lane=lane, most=MOST, now=now) for lane in LANES}
    unheard = bell.depths()
    rung = {lane: max(0, due[lane] - unheard[lane]) for lane in LANES}
    bell.ring([lane for lane in LANES for _ in range(rung[lane])])
    return rung


def _try_to_sweep(resources: Resources, bell: CeleryBell) -> None:
    try:
        rung = sweep(resources, bell)
    except OSError as why:
        log.warning("the broker is away (%s); workers look by themselves", why)
    except Exception:
        log.exception("a sweep did not go through; another follows")
    else:
        if any(rung.values()):
            log.info("rung again: %s", ", ".join(f"{lane} {times}" for lane, times in rung.items() if times))


def _try_to_promise(resources: Resources, *, started: bool) -> None:
    try:
        schedule.promise(resources, now=resources.now(), started=started)
    except Exception:
        log.exception("the calendar could not be looked at; another look follows")
