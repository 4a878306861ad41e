"""Workers in production: told by Celery, working by the table, and none the worse for what goes wrong with either."""

from __future__ import annotations

import signal
import time

import pytest
from kombu import Connection

from archive.adapters.doorbell_celery import TASK, CeleryBell, celery_app, queue_of
from tests.workers.working import LANE, effects, found, jobs_in, lapse, promise, resources, until, worker
from workers import beat


@pytest.fixture
def held(tmp_path, postgres_url, rabbit_url):
    with resources(tmp_path / "data", postgres_url, rabbit_url) as made:
        yield made


@pytest.fixture
def start(held):
    """Start a worker on the archive's lane, in a block."""

    def started(**how):
        return worker(held.settings.data_dir, held.settings.database_url, held.settings.broker_url, **how)

    return started


def begun(held, number: int, attempt: int = 1):
    return (held.settings.data_dir / f"{number}-{attempt}.begun").exists


def go(held, number: int, attempt: int = 1) -> None:
    (held.settings.data_dir / f"{number}-{attempt}.go").touch()


def test_a_ring_that_comes_a_hundred_times_has_one_effect(held, start):
    promise(held, 1, 2, 3)
    app = celery_app(held.settings.broker_url)
    with app.connection_for_write() as connection, connection.channel() as channel:
        producer = app.amqp.Producer(channel, auto_declare=False)
        for _ in range(100):
            app.send_task(TASK, args=[LANE], queue=queue_of(LANE), producer=producer, ignore_result=True)
    with start(threads=2), CeleryBell(held.settings.broker_url) as bell:
        until(lambda: len(effects(held)) == 3)
        until(lambda: bell.depths()[LANE] == 0)
        promise(held, 4)
        until(lambda: 4 in effects(held))
    assert effects(held) == [1, 2, 3, 4]


def test_a_worker_whose_queues_were_deleted_makes_them_anew_and_hears_again(held, start):
    with start(), CeleryBell(held.settings.broker_url) as bell:
        promise(held, 1)
        until(lambda: effects(held) == [1])
        with Connection(held.settings.broker_url) as connection:
            until(lambda: _consumers(connection) == 1)
            time.sleep(0.5)  # while Celery begins to consume it does not hear of the end; see RENEWED
            for lane in bell.depths():
                connection.default_channel.queue_delete(queue_of(lane))
            until(lambda: _consumers(connection) == 1)
        promise(held, 2)
        until(lambda: effects(held) == [1, 2])


def _consumers(connection: Connection) -> int:
    try:
        return int(connection.channel().queue_declare(queue_of(LANE), passive=True).consumer_count)
    except connection.channel_errors:
        return 0


def test_a_worker_that_was_frozen_past_its_lease_publishes_nothing_over_its_successor(held, start):
    promise(held, 1, do="deaf")
    with start() as frozen:
        until(begun(held, 1))
        frozen.signal(signal.SIGSTOP)
        lapse(held)
        with start() as successor:
            until(begun(held, 1, attempt=2))
            go(held, 1, attempt=2)
            until(lambda: effects(held) == [1])
            key, attempt = found(held, 1)
            go(held, 1)
            frozen.signal(signal.SIGCONT)
            until((held.settings.data_dir / "1-1.put").exists)
            frozen.signal(signal.SIGTERM)
            assert frozen.ended() == 0
            successor.signal(signal.SIGTERM)
            assert successor.ended() == 0
    assert (effects(held), found(held, 1), attempt) == ([1], (key, 2), 2)
    assert b"".join(held.store.read(key, 0, 100, version="")).split()[:2] == [b"1", b"2"]


def test_a_killed_worker_loses_nothing_and_one_that_is_told_to_end_hands_back_without_an_attempt(held, start):
    promise(held, 1, do="deaf")
    with start() as killed:
        until(begun(held, 1))
        killed.signal(signal.SIGKILL)
        killed.ended()
    lapse(held)
    promise(held, 2, do="wait")
    with start(threads=2) as told:
        until(begun(held, 1, attempt=2))
        until(begun(held, 2))
        told.signal(signal.SIGTERM)
        go(held, 1, attempt=2)  # is nearly done: it is finished
        until(lambda: effects(held) == [1])
        told.signal(signal.SIGTERM)  # the second time, at once
        began = time.monotonic()
        assert told.ended() == 0
        assert time.monotonic() - began < 5
    (waiting,) = jobs_in(held, "waiting")
    assert (waiting.payload["n"], waiting.attempt, waiting.lease_owner) == (2, 0, None)


def test_a_worker_without_a_broker_works_and_ends_when_told(held, start):
    promise(held, 1)
    with worker(held.settings.data_dir, held.settings.database_url, "amqp://nobody:listens@127.0.0.1:9//") as deaf:
        until(lambda: effects(held) == [1])
        promise(held, 2)
        until(lambda: effects(held) == [1, 2])
        deaf.signal(signal.SIGTERM)
        assert deaf.ended() == 0


def test_rings_that_were_lost_are_rung_again_and_beats_that_run_twice_ring_no_more(held):
    with CeleryBell(held.settings.broker_url) as bell, CeleryBell(held.settings.broker_url) as other:
        promise_quietly(held, 1, 2, 3)
        assert beat.sweep(held, bell)[LANE] == 3
        until(lambda: bell.depths()[LANE] == 3)
        assert beat.sweep(held, other)[LANE] == 0
        assert beat.sweep(held, bell)[LANE] == 0


def promise_quietly(held, *numbers: int) -> None:
    """Promise jobs and lose the rings."""
    with resources(held.settings.data_dir, held.settings.database_url, None) as mute:
        promise(mute, *numbers)
