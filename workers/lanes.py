"""The hands of a worker, for both profiles: threads that each serve one lane, woken by a bell and looking by themselves now and then.

Invariants: a thread that has done a job looks for the next before it rests, so what waits is worked off whether anybody rings for it or
not; a ring only ends a rest. Nothing else is remembered between two looks: the job table says what there is to do.

Threads are enough: they wait for the store, the database and tools that run as processes of their own.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping

from archive.core.errors import Unavailable
from archive.resources import Resources
from workers.runner import Handler, run_next

log = logging.getLogger("liuhen.worker")

QUICK_BEHIND = 5
"""Niceness of the quick lane. A person may be waiting for it, so it comes before the others; but a card full of photos, each of which wants
to be examined at once, must not halve the rate at which its bytes come in, and what is not yet here can only be lost."""
BEHIND = 10
"""Niceness of every other lane."""


class Lanes:
    """Threads at work on lanes, from `start` until they are told to stop and have been waited for."""

    def __init__(
        self,
        resources: Resources,
        handlers: Mapping[str, Handler],
        *,
        owner: str,
        threads: Mapping[str, int],
        glance: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Make so many threads for each lane; they look at the table every `glance` seconds when nobody rings.

        `chance` spreads the glances of many workers that were started together.
        """
        self._resources, self._handlers, self._glance, self._chance = resources, handlers, glance, chance
        self._stop, self._drop = threading.Event(), threading.Event()
        self._bells: dict[str, list[threading.Event]] = {lane: [] for lane in threads}
        self._threads: list[threading.Thread] = []
        for lane, count in threads.items():
            for number in range(count):
                bell = threading.Event()
                self._bells[lane].append(bell)
                name = f"{lane}-{number}"
                work = threading.Thread(target=self._work, args=(lane, f"{owner}:{name}", bell), name=name, daemon=True)
                self._threads.append(work)

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def ring(self, lane: str) -> None:
        """End the rest of whoever serves this lane; of no account if nobody here does."""
        for bell in self._bells.get(lane, ()):
            bell.set()

    def ring_all(self) -> None:
        """End every rest."""
        for lane in self._bells:
            self.ring(lane)

    def stop(self) -> None:
        """Begin nothing more; what has begun goes on."""
        self._stop.set()
        self.ring_all()

    def hand_back(self) -> None:
        """Begin nothing more, and give back what has begun the next time its handler reports."""
        self._drop.set()
        self.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all have stopped, at most so long, and say whether they have."""
        until = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, lane: str, owner: str, bell: threading.Event) -> None:
        # Linux counts niceness by thread, and the tools a thread starts inherit it: whoever sends or is looking at something comes first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), QUICK_BEHIND if lane == "quick" else BEHIND)
        while not self._stop.is_set():
            bell.clear()
            try:
                busy = run_next(self._resources, self._handlers, lane=lane, owner=owner, stopping=self._drop.is_set)
            except Unavailable as why:
                log.warning("lane %s cannot reach its work (%s); looking again", lane, why)
                busy = False
            except Exception:
                log.exception("lane %s could not reach its work; looking again", lane)
                busy = False
            if not busy and not self._stop.is_set():
                bell.wait(self._glance * (0.75 + self._chance() / 2))
