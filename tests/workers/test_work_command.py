"""`liuhen work` and `liuhen beat` as an operator meets them."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from archive.cli import cli
from archive.records.jobs import Job
from tests.workers.working import LANE, promise, resources, until
from workers import beat
from workers.celery_app import THREADS


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["work", "--lanes", "quick,nowhere"], "nowhere: lanes are quick, verify, media, heavy"),
        (["work", "--lanes", ""], "lanes are"),
        (["work", "--lanes", "quick"], "--lanes and --threads are production's"),
        (["work", "--threads", "2"], "--lanes and --threads are production's"),
        (["beat"], "needs no beat"),
    ],
)
def test_what_makes_no_sense_is_misuse_and_says_why(argv, said, tmp_path):
    done = CliRunner().invoke(cli, [*argv, "--data", str(tmp_path)])
    assert done.exit_code == 2
    assert said in done.output


def test_help_says_how_many_threads_a_lane_has_if_nobody_says():
    helped = " ".join(CliRunner().invoke(cli, ["work", "--help"]).output.split())
    assert ", ".join(f"{lane} {count}" for lane, count in THREADS.items()) in helped


def test_a_beat_rings_for_what_was_not_heard_promises_the_calendar_and_ends_when_told(tmp_path, postgres_url, rabbit_url):
    with resources(tmp_path, postgres_url, None) as mute:
        promise(mute, 1, 2)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with resources(tmp_path, postgres_url, rabbit_url) as held, beat.CeleryBell(rabbit_url) as bell:

            def watch() -> None:
                try:
                    until(lambda: bell.depths()[LANE] >= 2 and _kinds(held) >= {"prune"})
                finally:
                    os.kill(os.getpid(), signal.SIGTERM)

            watching = threading.Thread(target=watch)
            watching.start()
            beat.run(held)
            watching.join()
            assert bell.depths()[LANE] >= 2
            assert "prune" in _kinds(held)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kinds(held) -> set[str]:
    with held.reading() as session:
        return set(session.scalars(select(Job.kind)))
