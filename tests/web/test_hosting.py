"""When a web host takes the name of one that had it before: only of one that was silent while it could have spoken."""

import contextlib
import dataclasses
import types

import pytest

from archive.actions import hosts
from archive.resources import Resources, opened
from archive.settings import BadSettings, read
from archive.web import hosting

GONE = 10


@dataclasses.dataclass
class Clock:
    """A monotonic clock that goes on only while somebody sleeps."""

    at: float = 1000.0

    def monotonic(self):
        return self.at

    def sleep(self, seconds):
        self.at += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(hosting, "time", types.SimpleNamespace(monotonic=made.monotonic, sleep=made.sleep))
    return made


@pytest.fixture
def resources(tmp_path):
    settings = read({"LIUHEN_WEB_NAME": "a", "LIUHEN_WEB_GONE_SECONDS": str(GONE)}, data_dir=tmp_path / "data")
    with opened(settings) as made:
        with made.transaction() as session:
            hosts.claim(session, name="a", nonce="theirs", now=made.now())
        yield made


def owner(resources):
    with resources.reading() as session:
        return hosts.every(session)[0].nonce


def freezing(resources, clock, *, frozen, then):
    """The same resources over a database that stands still for `frozen` seconds at the third question; `then` is done before the fifth."""
    asked = 0

    class Freezing(Resources):
        @contextlib.contextmanager
        def transaction(self):
            nonlocal asked
            asked += 1
            clock.at += frozen if asked == 3 else 0.0
            if asked == 5:
                then()
            with super().transaction() as session:
                yield session

    return Freezing(**{field.name: getattr(resources, field.name) for field in dataclasses.fields(resources)})


def test_the_name_of_a_host_that_is_silent_is_taken_after_its_time(resources, clock):
    began = clock.at
    hosting._claim(resources, "ours")
    assert owner(resources) == "ours"
    assert GONE <= clock.at - began <= GONE + 2


def test_a_host_that_could_not_speak_because_the_database_stood_still_keeps_its_name(resources, clock):
    def speak():
        with resources.transaction() as session:
            assert hosts.beat(session, name="a", nonce="theirs", now=resources.now()), (
                "it was taken over while it could not be heard"
            )

    with pytest.raises(BadSettings, match="another web process runs as a"):
        hosting._claim(freezing(resources, clock, frozen=GONE * 3, then=speak), "ours")
    assert owner(resources) == "theirs"


def test_a_host_that_is_silent_after_the_database_stood_still_is_waited_for_from_then_on(resources, clock):
    began = clock.at
    hosting._claim(freezing(resources, clock, frozen=GONE * 3, then=lambda: None), "ours")
    assert owner(resources) == "ours"
    assert clock.at - began >= GONE * 4
