"""A plan is told by its seed, breaks everything there is to break, and nothing that cannot be broken at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.soak import plan
from tests.soak.plan import FULL, REDUCED, Fault

SEEDS = st.integers(0, 2**32)


@given(SEEDS)
def test_the_same_seed_gives_the_same_steps(seed):
    assert plan.plan(seed, FULL) == plan.plan(seed, FULL)


@given(SEEDS, st.sampled_from([REDUCED, FULL]))
def test_every_kind_of_fault_comes_once_by_itself_first(seed, counts):
    steps = plan.plan(seed, counts)
    assert [step.faults for step in steps[: len(Fault)]] == [(fault,) for fault in Fault]
    assert [step.number for step in steps] == list(range(len(Fault) + counts.drawn))


@given(SEEDS)
def test_faults_at_once_are_of_different_things(seed):
    for step in plan.plan(seed, FULL):
        assert 1 <= len(step.faults) <= 3
        assert len(set(step.faults)) == len(step.faults)
        assert all(len(kind & set(step.faults)) <= 1 for kind in plan._SAME_THING)
        assert len(step.faults) == 1 or not plan.ALONE & set(step.faults)
        if step.number == list(Fault).index(Fault.BROKER_DOWN):
            assert step.lasts_s == FULL.broker_s
        else:
            assert FULL.shortest_s <= step.lasts_s <= FULL.longest_s


def test_two_seeds_draw_differently():
    assert plan.plan(1, FULL)[len(Fault) :] != plan.plan(2, FULL)[len(Fault) :]


def test_among_three_seeds_every_fault_comes_with_another_one():
    drawn = [step.faults for seed in (1, 2, 3) for step in plan.plan(seed, FULL)[len(Fault) :]]
    together = {fault for faults in drawn if len(faults) > 1 for fault in faults}
    assert together == set(Fault) - plan.ALONE
