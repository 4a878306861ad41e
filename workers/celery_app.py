"""The worker of the production profile: threads on lanes, and a Celery consumer that wakes them.

A message is a ring, `work(lane)`. Its task wakes the lane's threads and is over; they claim, work and finish by the job table, and so does
whoever was not rung for: every `GLANCE` seconds each thread that rests looks by itself. A broker that is away, empty or slow makes work
begin up to that much later, and changes nothing else.

Celery's own pool of processes or threads does not do the work, for three reasons. A task that lasted as long as its job would keep
the messages fetched behind it from workers that are free. A pool shared by all lanes would let six transcodes keep a reviewer's page
waiting. And whether a worker can be told to stop must not depend on its broker: Celery's shutdown waits for one that is silent.

So the consumer runs in a thread of its own, and the main thread hears signals: the first SIGTERM ends claiming, lets what is nearly done be
finished, then hands back the rest; the second hands back at once; whoever has not let go by then is left to its lease.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, Final

from archive.adapters import scratch
from archive.adapters.doorbell_celery import TASK, celery_app, queue_of
from archive.core.jobs import LANES
from archive.resources import Resources
from workers.lanes import Lanes
from workers.runner import Handler

log = logging.getLogger("liuhen.worker")

GLANCE: Final = 2.0
"""Seconds between looks at the table when nobody rings: what a lost ring costs. A look is one question to an index."""
FINISH: Final = 5.0
"""Seconds that jobs which have begun get to end by themselves when the worker is asked to stop: an examination takes one or two."""
LET_GO: Final = 15.0
"""Seconds in which the rest must be handed back: a tool has ten between being asked and being killed."""
AGAIN: Final = 5.0
"""Seconds until a consumer that broke down begins anew."""
RENEWED: Final = 600.0
"""Seconds that a consumer lasts. A queue that is deleted while Celery begins to consume from it ends that consumption without a word."""

THREADS: Final[Mapping[str, int]] = {"quick": 2, "verify": 2, "media": 1, "heavy": 1}
"""Threads of each lane where the command line does not say: together about what two cores bear.

quick: short, and mostly waiting for a tool to start; two, so that one odd file does not hold up the rest.
verify: one fetches from the store while the other hashes.
media: one tool, one core. heavy: the encoder itself takes every core there is.
"""


def run(
    resources: Resources,
    *,
    lanes: Sequence[str] = LANES,
    threads: int | None = None,
    handlers: Mapping[str, Handler] | None = None,
) -> None:
    """Work until told to stop; `threads` for each lane, every kind's own handler if none are given. To be called in the main thread."""
    if handlers is None:
        from workers.handlers import HANDLERS  # noqa: PLC0415 - the tools of every kind, which take a while to load

        handlers = HANDLERS
    asked = _Asked()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked.hear)
    owner = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
    if left := scratch.clear(resources.settings.data_dir / "scratch"):
        log.info("cleared %s scratch directories that killed workers left", left)
    hands = Lanes(
        resources,
        handlers,
        owner=owner,
        threads={lane: threads or THREADS[lane] for lane in lanes},
        glance=GLANCE,
    )
    ear = Ear(resources.settings.broker_url, lanes, hands.ring)
    hands.start()
    ear.start()
    log.info("working on %s as %s", ", ".join(lanes), owner)
    asked.wait_for(1)
    ear.stop()
    hands.stop()
    _drain(hands, asked)


def _drain(hands: Lanes, asked: _Asked) -> None:
    """Wait for what has begun; hand back what lasts; leave what does not let go."""
    until = time.monotonic() + FINISH
    while not hands.wait(0.1) and time.monotonic() < until and asked.times < 2:  # noqa: PLR2004 - the second time
        pass
    hands.hand_back()
    if not hands.wait(LET_GO):
        log.warning("something did not let go in time; its lease will run out, and another worker takes it over")
        os._exit(0)


class _Asked:
    """How often this process was asked to stop."""

    def __init__(self) -> None:
        self.times = 0
        self._changed = threading.Event()

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """Count; a handler of signals."""
        self.times += 1
        self._changed.set()

    def wait_for(self, times: int) -> None:
        """Wait until it was asked so often."""
        while self.times < times:
            self._changed.wait(1.0)


class Ear:
    """A Celery consumer of the lanes' queues, in a thread of its own that nobody waits for."""

    def __init__(self, url: str, lanes: Sequence[str], hear: Callable[[str], None]) -> None:
        for noisy in ("celery", "kombu", "amqp"):  # two lines for each ring, otherwise
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._app = celery_app(url)
        self._queues = [queue_of(lane) for lane in lanes]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="ear", daemon=True)

        def work(lane: str) -> None:
            hear(lane)

        self._app.task(name=TASK)(work)

    def start(self) -> None:
        """Begin to listen, now or when there is a broker."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; the connection is given up, if need be with the process."""
        self._stopped.set()
        _end_consumer()
        self._thread.join(1.0)

    def _listen(self) -> None:
        """Consume; Celery itself connects again whenever the broker went away, and what it takes for hopeless is begun anew."""
        from celery.worker import state  # noqa: PLC0415 - the embedded profile never loads it

        while not self._stopped.is_set():
            state.should_stop = state.should_terminate = None
            renewal = threading.Timer(RENEWED, _end_consumer)
            renewal.daemon = True
            renewal.start()
            began = time.monotonic()
            try:
                self._worker().start()
            except Exception:
                log.exception("the consumer of rings broke down; work goes on without, and it begins anew")
            renewal.cancel()
            self._stopped.wait(0 if time.monotonic() - began >= RENEWED else AGAIN)

    def _worker(self) -> Any:  # noqa: ANN401 - Celery is not typed
        return self._app.WorkController(
            hostname=f"liuhen@{os.uname().nodename}-{os.getpid()}",
            pool="solo",
            concurrency=1,
            queues=self._queues,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )


def _end_consumer() -> None:
    """Tell this process's consumer to end; it does so within a second, or at the latest when its broker answers."""
    from celery.worker import state  # noqa: PLC0415 - the embedded profile never loads it

    state.should_stop = 0
