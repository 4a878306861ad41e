"""Claims about limits and patience."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.errors import Malformed, Unavailable
from archive.dock.pace import Limit, Patience, Stop, Stopped, parse_rate


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Waiting(Stop):
    """A stop whose waits move a clock instead of taking time."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def wait(self, seconds):
        self.check()
        self.clock.now += seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20M", 20_000_000),
        ("512k", 512_000),
        ("1.5MiB/s", 1_572_864),
        ("800000", 800_000),
        ("1G", 10**9),
        ("64Ki", 65_536),
        ("2 MB", 2 * 10**6),
    ],
)
def test_rates_are_read_as_people_write_them(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "1T", "0.0M", "1e6"])
def test_a_rate_that_means_nothing_is_refused(text):
    with pytest.raises(Malformed):
        parse_rate(text)


@given(st.lists(st.integers(1, 65_536), min_size=2, max_size=60), st.integers(1_000, 10**7))
def test_the_limit_holds_over_all_pieces_together(counts, rate):
    clock = Clock()
    limit = Limit(rate, stop=Waiting(clock), clock=clock)
    for count in counts:
        limit.take(count)
    assert clock.now == pytest.approx(sum(counts[:-1]) / rate)


def test_without_a_limit_nothing_waits():
    clock = Clock()
    limit = Limit(None, stop=Waiting(clock), clock=clock)
    limit.take(10**12)
    assert clock.now == 0
    assert limit.chunk is None


def test_patience_ends_after_its_time_and_not_before():
    clock = Clock()
    patience = Patience(60, stop=Waiting(clock), chance=random.Random(7), clock=clock)
    waits = 0

    def keep_waiting():
        nonlocal waits
        while True:
            patience.wait(Unavailable(what="server"))
            waits += 1

    with pytest.raises(Unavailable):
        keep_waiting()
    assert clock.now == pytest.approx(60)
    assert 5 <= waits <= 20


def test_progress_renews_patience():
    clock = Clock()
    patience = Patience(10, stop=Waiting(clock), chance=random.Random(7), clock=clock)
    for _ in range(20):
        patience.wait(Unavailable(what="server"))
        patience.progress()
    assert clock.now > 5


def test_what_the_server_asks_for_is_waited():
    clock = Clock()
    Patience(600, stop=Waiting(clock), chance=random.Random(7), clock=clock).wait(Unavailable(what="disk"), asked_s=45)
    assert clock.now == 45


def test_a_wait_ends_when_the_run_is_stopped():
    stop = Stop()
    stop.ask()
    with pytest.raises(Stopped):
        Patience(600, stop=stop, chance=random.Random(7)).wait(Unavailable(what="server"))
    with pytest.raises(Stopped):
        stop.check()
