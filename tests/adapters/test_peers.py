"""When a web host counts as gone: by what one process saw, all the time, on its own clock."""

from hypothesis import given
from hypothesis import strategies as st

from archive.adapters.peers import Peers

AFTER = 10.0
STEPS = st.lists(st.tuples(st.floats(0.1, 4.0), st.booleans()), min_size=1, max_size=60)


def test_a_host_that_is_silent_is_gone_after_its_time_and_no_sooner():
    peers = Peers(AFTER)
    for at in range(11):
        peers.note({"a": 1, "b": at}, at=float(at))
        assert not peers.gone("a", at=float(at))
    peers.note({"a": 1, "b": 11}, at=11.0)
    assert peers.gone("a", at=11.0)
    assert peers.all_gone(at=11.0) == {"a"}
    peers.note({"a": 2, "b": 12}, at=12.0)
    assert not peers.gone("a", at=12.0), "it has come back"


def test_nobody_is_gone_while_nobody_could_look():
    peers = Peers(AFTER)
    assert not peers.gone("a", at=1000.0), "we have only begun"
    peers.note({"a": 1}, at=1000.0)
    assert not peers.gone("a", at=1100.0), "the database was away, for everybody"
    peers.note({"a": 1}, at=1100.0)
    assert not peers.gone("a", at=1100.0), "and from here on it is watched anew"


def test_a_host_that_has_no_row_is_looked_for_as_long_as_one_that_is_silent():
    peers = Peers(AFTER)
    for at in range(0, 10, 2):
        peers.note({"b": at}, at=float(at))
        assert not peers.gone("a", at=float(at))
    for at in range(10, 14, 2):
        peers.note({"b": at}, at=float(at))
    assert peers.gone("a", at=12.0)


@given(STEPS)
def test_only_a_host_that_was_watched_all_the_time_and_never_stirred_is_gone(steps):
    peers, at, beat = Peers(AFTER), 0.0, 0
    watched_since = stirred = 0.0
    last = None
    for passed, stirs in steps:
        at += passed
        if stirs:
            beat += 1
        if last is None or at - last > AFTER / 2:
            watched_since = at
        if stirs or last is None:
            stirred = at
        last = at
        peers.note({"a": beat}, at=at)
        assert peers.gone("a", at=at) == (at - max(watched_since, stirred) > AFTER)
