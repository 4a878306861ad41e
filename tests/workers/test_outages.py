"""What a worker and a bell do while the database or the broker is away: nothing is lost, nobody is kept waiting."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from archive.adapters.doorbell_celery import CeleryBell
from archive.core.errors import Unavailable
from archive.records.migrations import upgrade
from archive.records.postgresql import open_postgresql
from infra.services import postgres
from tests.workers import working
from tests.workers.working import KIND, LANE, effects, jobs_in, promise, resources, until
from workers.lanes import Lanes


class Line:
    """A line to a server that can be cut, and that can fall silent: connections stand and nothing comes through."""

    def __init__(self, url: str) -> None:
        there = urlsplit(url)
        self._there = (there.hostname, there.port)
        self._heard = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f"{there.hostname}:{there.port}", f"127.0.0.1:{self._heard.getsockname()[1]}")
        self._open: set[socket.socket] = set()
        self.state = "up"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._heard.accept()
                if self.state == "cut":
                    here.close()
                    continue
                there = socket.create_connection(self._there)
                self._open |= {here, there}
                for pair in ((here, there), (there, here)):
                    self._threads.append(threading.Thread(target=self._carry, args=pair, daemon=True))
                    self._threads[-1].start()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                while self.state == "silent":
                    time.sleep(0.01)
                there.sendall(data)
        for end in (here, there):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.state = "cut"
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._heard.shutdown(socket.SHUT_RDWR)
        self._heard.close()
        for thread in self._threads:
            thread.join()
        for end in self._open:
            end.close()


@pytest.fixture
def line(rabbit_url):
    made = Line(rabbit_url)
    yield made
    made.close()


def took(act) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


@pytest.mark.parametrize("state", ["cut", "silent"])
def test_ringing_waits_for_no_broker_and_what_was_not_heard_is_rung_when_it_is_back(line, rabbit_url, state, monkeypatch):
    monkeypatch.setattr("archive.adapters.doorbell_celery.AGAIN", 0.2)
    with CeleryBell(line.url) as bell, CeleryBell(rabbit_url) as other:
        bell.ring([LANE])
        until(lambda: other.depths()[LANE] == 1)
        if state == "cut":
            line.cut()
        line.state = state
        assert took(lambda: [bell.ring([LANE, "quick"]) for _ in range(20)]) < 0.5
        time.sleep(0.3)
        line.state = "up"
        until(lambda: other.depths()[LANE] >= 21 and other.depths()["quick"] >= 20)


def test_a_bell_lets_go_in_a_moment_though_its_broker_is_silent(line):
    with CeleryBell(line.url) as bell:
        line.state = "silent"
        bell.ring([LANE])
        assert took(bell.close) < 2
    line.state = "up"


def test_a_committed_action_neither_fails_nor_waits_because_the_broker_is_away(tmp_path, postgres_url):
    with resources(tmp_path / "data", postgres_url, "amqp://nobody:listens@127.0.0.1:9//") as held:
        assert took(lambda: [promise(held, number) for number in range(5)]) < 5
        assert len(jobs_in(held, "waiting")) == 5


def test_a_worker_outlasts_a_database_that_is_started_again_and_loses_no_job(tmp_path, monkeypatch):
    monkeypatch.setattr("workers.runner._BEAT", 0.2)
    worked, go = threading.Event(), threading.Event()

    def work(held, job, report):
        worked.set()
        while not go.wait(0.05):
            report(1, "working")
        return working.work(held, job, report)

    with tempfile.TemporaryDirectory(prefix="liuhen-outage-") as place, postgres.running(Path(place)) as server:
        url = server.create("outage")
        engine = open_postgresql(url, patient=True)
        upgrade(engine)
        engine.dispose()
        with resources(tmp_path / "data", url, None) as held:
            promise(held, 1)
            hands = Lanes(held, {KIND: work}, owner="w", threads={LANE: 1}, glance=0.2)
            hands.start()
            assert worked.wait(30)
            server.kill()
            with pytest.raises(Unavailable), held.reading():
                pass
            go.set()  # it has its result, and nobody to tell it to
            time.sleep(0.5)
            server.start()
            until(lambda: effects(held) == [1])
            promise(held, 2)
            until(lambda: effects(held) == [1, 2])
            hands.hand_back()
            assert hands.wait(30)
            assert [job.attempt for job in jobs_in(held, "done")] == [1, 1]
