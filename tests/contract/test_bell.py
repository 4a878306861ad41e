"""What is asked of a Bell, of both that there are: it tells whoever listens, and never waits, never fails, never says anything back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from archive.adapters.doorbell import Doorbell, Ear
from archive.adapters.doorbell_celery import CeleryBell
from archive.core.jobs import LANES
from archive.ports import Bell


@dataclass
class Rung:
    """A bell, and how to find out that it was heard."""

    bell: Bell
    heard: Callable[[], bool]


@pytest.fixture(params=["embedded", "celery"])
def rung(request, tmp_path: Path):
    if request.param == "embedded":
        ear = Ear(tmp_path / "bell")
        yield Rung(Doorbell(tmp_path / "bell"), lambda: ear.wait(0))
        ear.close()
    else:
        url = request.getfixturevalue("rabbit_url")
        with CeleryBell(url) as listener:
            yield Rung(CeleryBell(url), lambda: any(listener.depths().values()))


@pytest.fixture(params=["embedded", "celery"])
def lonely(request, tmp_path: Path):
    """A bell that nobody can hear."""
    return Doorbell(tmp_path / "nobody") if request.param == "embedded" else CeleryBell("amqp://nobody:listens@127.0.0.1:9//")


def test_whoever_listens_hears_it_and_nothing_is_heard_that_was_not_rung(rung):
    rung.bell.ring(())
    assert not rung.heard()
    rung.bell.ring(LANES)
    end = time.monotonic() + 30
    while not rung.heard():
        assert time.monotonic() < end
        time.sleep(0.05)
    rung.bell.close()


def test_ringing_where_nobody_listens_neither_fails_nor_waits_and_ringing_after_the_end_is_no_error(lonely):
    began = time.monotonic()
    for _ in range(100):
        lonely.ring(["quick", "verify"])
    assert time.monotonic() - began < 1
    lonely.close()
    lonely.ring(["quick"])
    lonely.close()
