"""The doorbell of many hosts: a Celery message through RabbitMQ, `work(lane)`, that names no job.

Invariants: ringing takes as long as counting does. A thread of its own sends what was counted, one message for each ring, and is the only
one that ever waits for the broker; what a committed action did stays done and its answer goes out, whether there is a broker or not.
Each wait is bounded. What a broker that is away did not take is kept by number, at most `MOST` for a lane, and sent when it is back.

Not guaranteed: that a ring arrives. Messages are not written to the broker's disk; the sweeper rings again, and workers look by themselves.

Nothing is imported from Celery before a bell is made: the embedded profile and the station's program never pay for it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from archive.core.jobs import LANES

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

log = logging.getLogger("liuhen.bell")

TASK: Final = "work"
MOST: Final = 1000
"""Rings of a lane that are kept while the broker is away. More workers than that do not wait for one; the sweeper tells of the rest."""
KEPT: Final = 10_000
"""Rings that the broker keeps for a lane whose workers are away; it drops older ones, which say the same."""
BOUND: Final = 3.0
"""Seconds for which one step at the broker may take."""
AGAIN: Final = 5.0
"""Seconds between tries while the broker is away."""
LAST: Final = 1.0
"""Seconds that closing waits for what was counted to be sent."""


def queue_of(lane: str) -> str:
    """Return the name of a lane's queue."""
    return f"liuhen.{lane}"


def celery_app(url: str) -> Celery:
    """Return the Celery application, as whoever rings and whoever works configures it.

    No results, no retries, no ETA, no events, no remote control; JSON only; a message is acknowledged before it is worked on and one is
    fetched at a time, because it promises nothing: the job table does.
    """
    from celery import Celery  # noqa: PLC0415 - see the module's docstring
    from kombu import Exchange, Queue  # noqa: PLC0415 - the same

    app = Celery("liuhen", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[
            Queue(queue_of(lane), Exchange(""), queue_of(lane), durable=True, queue_arguments={"x-max-length": KEPT})
            for lane in LANES
        ],
        task_default_queue=queue_of(LANES[0]),
        task_create_missing_queues=False,
        task_default_delivery_mode="transient",
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_publish_retry=False,
        task_send_sent_event=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_detect_quorum_queues=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_heartbeat=10,
        broker_connection_timeout=BOUND,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # `send_task` would otherwise try a dead broker for six seconds, whatever its own retry says
        broker_transport_options={"max_retries": 0, "confirm_publish": True},
        enable_utc=True,
    )
    return app


class CeleryBell:
    """Rings through the broker; see the module's docstring."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url)
        self._counted: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._closing = False
        self._away = False
        self._thread: threading.Thread | None = None

    def ring(self, lanes: Sequence[str]) -> None:
        """Count these rings, to be sent; never waits, never fails."""
        if not lanes:
            return
        with self._changed:
            if self._closing:
                return
            self._count(Counter(lanes))
            if self._thread is None:  # not before there is something to send: most commands never ring
                self._thread = threading.Thread(target=self._send_all, name="bell", daemon=True)
                self._thread.start()
            self._changed.notify()

    def depths(self) -> Mapping[str, int]:
        """Return how many rings lie unheard in each lane's queue, making the queues if they are gone; for the sweeper, which may wait.

        Raises:
            OSError: the broker is away.
        """
        with self._connected() as connection:
            found: dict[str, int] = {}
            for lane in LANES:
                queue = self._app.amqp.queues[queue_of(lane)](connection.default_channel)
                queue.declare()
                found[lane] = int(queue.queue_declare(passive=True).message_count)
            return found

    def __enter__(self) -> Self:
        """Give the bell."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Send what is counted if that is done in a moment, and let go."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(LAST)

    def _count(self, lanes: Counter[str]) -> None:
        for lane, times in lanes.items():
            self._counted[lane] = min(self._counted[lane] + times, MOST)

    def _send_all(self) -> None:
        connection: Any = None
        while (taken := self._take()) is not None:
            failed, fresh = False, connection is None
            try:
                connection = connection or self._connection()
                self._send(connection, taken)
            except Exception as why:  # noqa: BLE001 - whatever it is, it is the broker's, and no reason to stop
                failed = fresh  # over an old connection it may be that alone that is gone
                if failed and not self._away:
                    log.warning("the broker takes no rings (%s); workers find their work by looking", why)
                _drop(connection)
                connection = None
            else:
                if self._away:
                    log.info("the broker takes rings again")
                self._away = False
            self._away = self._away or failed
            with self._changed:
                self._count(taken)  # what was sent has been taken off
                if failed and self._closing:
                    break
                if failed:
                    self._changed.wait_for(lambda: self._closing, AGAIN)
        _drop(connection)

    def _take(self) -> Counter[str] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._counted.total())
            if not self._counted.total():
                return None
            taken, self._counted = self._counted, Counter()
            return taken

    def _send(self, connection: Connection, rings: Counter[str]) -> None:
        """Send so many rings for each lane, counting them off as they go."""
        producer = self._app.amqp.Producer(connection, auto_declare=False)
        started = time.monotonic()
        for lane in [lane for lane in LANES if rings[lane]]:
            while rings[lane]:
                self._app.send_task(
                    TASK,
                    args=[lane],
                    queue=queue_of(lane),
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                    add_to_parent=False,
                    timeout=BOUND,
                    confirm_timeout=BOUND,
                )
                rings[lane] -= 1
                if self._closing and time.monotonic() - started > LAST:
                    return

    def _connection(self) -> Connection:
        # No heartbeat: nothing here listens between rings. A connection that died meanwhile is found out by the first ring over it.
        connection = self._app.connection_for_write(connect_timeout=BOUND, heartbeat=0)
        connection.transport_options |= {"read_timeout": BOUND, "write_timeout": BOUND}
        connection.connect()
        return connection

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        connection = self._connection()
        try:
            yield connection
        except connection.connection_errors + connection.channel_errors as why:
            raise OSError(str(why)) from why
        finally:
            _drop(connection)


def _drop(connection: Connection | None) -> None:
    """Let go of a connection, without the farewell that a dead broker would be waited for."""
    if connection is not None:
        with contextlib.suppress(Exception):
            connection.collect(socket_timeout=LAST)
