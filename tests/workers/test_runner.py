"""What a worker does with a job whose outcome cannot be written yet, or whose stores are away."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import select

from archive.actions import jobs
from archive.core.errors import Unavailable
from archive.records.jobs import Job
from tests.media_files import workshop
from workers import runner


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with workshop(tmp_path_factory.mktemp("runner")) as made:
        yield made


class Answering:
    """As much of a store as is asked whether it answers."""

    def __init__(self, *, answer: bool) -> None:
        self._answer = answer

    def answers(self) -> bool:
        return self._answer


def run(held, kind, handler) -> Job:
    """Promise a job of this kind, run it once by this handler, and return its row."""
    with held.transaction() as session:
        session.query(Job).delete()
        jobs.enqueue(session, kind=kind, now=held.now())
    assert runner.run_next(held, {kind: handler}, lane="verify", owner="test", stopping=lambda: False)
    return row(held)


def row(held) -> Job:
    with held.reading() as session:
        return session.scalars(select(Job)).one()


def test_a_lease_is_kept_while_what_was_found_cannot_be_written(shop, monkeypatch):
    for name in ("_BEAT", "_MOMENT"):
        monkeypatch.setattr(runner, name, 0.02)
    held, seen = shop.resources, []

    def publish(_session, _now):
        seen.append(row(held).lease_until)
        if len(seen) < 4:
            raise Unavailable(what="database")

    done = run(held, "canary", lambda *_: publish)
    assert (done.state, done.lease_until) == ("done", None)
    assert seen == sorted(set(seen)), "it ended later each time"


def away(*_words):
    raise Unavailable(what="store")


@pytest.mark.parametrize(("kind", "second", "waits"), [
    ("replicate", False, True), ("restore", False, True), ("extend_locks", False, True), ("replicate", True, False),
    ("canary", False, False),
])  # fmt: skip
def test_what_asks_a_second_store_that_is_away_waits_for_it_at_no_cost_of_its_tries(shop, kind, second, waits):
    held = dataclasses.replace(shop.resources, store=Answering(answer=True), replica=Answering(answer=second))
    job = run(held, kind, away)
    assert (job.state, job.attempt) == ("waiting", 0 if waits else 1)
