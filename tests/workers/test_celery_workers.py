"""Workers in production: told by Celery, working by the table, and none the worse for what goes wrong with either."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING

import pytest
from kombu import Connection

from archive.adapters.doorbell_celery import TASK, CeleryBell, celery_app, queue_of
from tests import services
from tests.workers.working import LANE, Worker, effects, found, jobs_in, lapse, promise, resources, until, worker
from workers import beat

if TYPE_CHECKING:
    from archive.resources import Resources


class Crew:
    """The workers of one archive. A process takes seconds to begin, so who runs and is sound serves the next test as well."""

    def __init__(self, held: Resources) -> None:
        self._held = held
        self._all: list[Worker] = []
        self._started = contextlib.ExitStack()

    def one(self) -> Worker:
        """Return the worker that runs; one is started where none does."""
        return next((one for one in self._all if one.process.poll() is None), None) or self.another()

    def another(self) -> Worker:
        """Start a worker on the archive's lane."""
        told = self._held.settings
        one = self._started.enter_context(worker(told.data_dir, told.database_url, told.broker_url, threads=2))
        self._all.append(one)
        return one

    def dismiss(self) -> None:
        """Tell whoever still runs to end, and see it obey."""
        with self._started:
            for one in self._all:
                if one.process.poll() is None:
                    one.signal(signal.SIGTERM)
                    assert one.ended() == 0


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """An archive for every test of the crew: each promises jobs of numbers of its own."""
    data = tmp_path_factory.mktemp("crew") / "data"
    with services.fresh_database() as database, resources(data, database, services.fresh_vhost()) as made:
        yield made


@pytest.fixture(scope="module")
def crew(held):
    made = Crew(held)
    yield made
    made.dismiss()


@pytest.fixture
def alone(tmp_path, postgres_url, rabbit_url):
    """An archive at which nobody works."""
    with resources(tmp_path / "data", postgres_url, rabbit_url) as made:
        yield made


def took_effect(held, *numbers: int) -> list[int]:
    """Return which of these jobs took effect, as often as they did."""
    return [number for number in effects(held) if number in numbers]


def begun(held, number: int, attempt: int = 1):
    return (held.settings.data_dir / f"{number}-{attempt}.begun").exists


def go(held, number: int, attempt: int = 1) -> None:
    (held.settings.data_dir / f"{number}-{attempt}.go").touch()


def test_a_ring_that_comes_again_and_again_has_one_effect(held, crew):
    promise(held, 1, 2, 3)
    app = celery_app(held.settings.broker_url)
    with app.connection_for_write() as connection, connection.channel() as channel:
        producer = app.amqp.Producer(channel, auto_declare=False)
        for _ in range(20):
            app.send_task(TASK, args=[LANE], queue=queue_of(LANE), producer=producer, ignore_result=True)
    crew.one()
    with CeleryBell(held.settings.broker_url) as bell:
        until(lambda: len(took_effect(held, 1, 2, 3)) == 3)
        until(lambda: bell.depths()[LANE] == 0)
        promise(held, 4)
        until(lambda: 4 in effects(held))
    assert took_effect(held, 1, 2, 3, 4) == [1, 2, 3, 4]


def test_a_worker_whose_queues_were_deleted_makes_them_anew_and_hears_again(held, crew):
    crew.one()
    with CeleryBell(held.settings.broker_url) as bell:
        promise(held, 11)
        until(lambda: took_effect(held, 11, 12) == [11])
        with Connection(held.settings.broker_url) as connection:
            until(lambda: _consumers(connection) == 1)
            time.sleep(0.5)  # while Celery begins to consume it does not hear of the end; see RENEWED
            for lane in bell.depths():
                connection.default_channel.queue_delete(queue_of(lane))
            until(lambda: _consumers(connection) == 1)
        promise(held, 12)
        until(lambda: took_effect(held, 11, 12) == [11, 12])


def _consumers(connection: Connection) -> int:
    try:
        return int(connection.channel().queue_declare(queue_of(LANE), passive=True).consumer_count)
    except connection.channel_errors:
        return 0


def test_a_worker_that_was_frozen_past_its_lease_publishes_nothing_over_its_successor(held, crew):
    frozen = crew.one()
    promise(held, 21, do="deaf")
    until(begun(held, 21))
    frozen.signal(signal.SIGSTOP)
    lapse(held)
    crew.another()
    until(begun(held, 21, attempt=2))
    go(held, 21, attempt=2)
    until(lambda: took_effect(held, 21) == [21])
    key, attempt = found(held, 21)
    go(held, 21)
    frozen.signal(signal.SIGCONT)
    until((held.settings.data_dir / "21-1.put").exists)
    frozen.signal(signal.SIGTERM)
    assert frozen.ended() == 0
    assert (took_effect(held, 21), found(held, 21), attempt) == ([21], (key, 2), 2)
    assert b"".join(held.store.read(key, 0, 100, version="")).split()[:2] == [b"21", b"2"]


def test_a_killed_worker_loses_nothing_and_one_that_is_told_to_end_hands_back_without_an_attempt(held, crew):
    killed = crew.one()
    promise(held, 31, do="deaf")
    until(begun(held, 31))
    killed.signal(signal.SIGKILL)
    killed.ended()
    lapse(held)
    promise(held, 32, do="wait")
    told = crew.another()
    until(begun(held, 31, attempt=2))
    until(begun(held, 32))
    told.signal(signal.SIGTERM)
    go(held, 31, attempt=2)  # is nearly done: it is finished
    until(lambda: took_effect(held, 31) == [31])
    told.signal(signal.SIGTERM)  # the second time, at once
    began = time.monotonic()
    assert told.ended() == 0
    assert time.monotonic() - began < 5
    (waiting,) = jobs_in(held, "waiting")
    assert (waiting.payload["n"], waiting.attempt, waiting.lease_owner) == (32, 0, None)


def test_a_worker_without_a_broker_works_and_ends_when_told(alone):
    promise(alone, 1)
    with worker(alone.settings.data_dir, alone.settings.database_url, "amqp://nobody:listens@127.0.0.1:9//") as deaf:
        until(lambda: effects(alone) == [1])
        promise(alone, 2)
        until(lambda: effects(alone) == [1, 2])
        deaf.signal(signal.SIGTERM)
        assert deaf.ended() == 0


def test_rings_that_were_lost_are_rung_again_and_beats_that_run_twice_ring_no_more(alone):
    with CeleryBell(alone.settings.broker_url) as bell, CeleryBell(alone.settings.broker_url) as other:
        promise_quietly(alone, 1, 2, 3)
        assert beat.sweep(alone, bell)[LANE] == 3
        until(lambda: bell.depths()[LANE] == 3)
        assert beat.sweep(alone, other)[LANE] == 0
        assert beat.sweep(alone, bell)[LANE] == 0


def promise_quietly(held, *numbers: int) -> None:
    """Promise jobs and lose the rings."""
    with resources(held.settings.data_dir, held.settings.database_url, None) as mute:
        promise(mute, *numbers)
