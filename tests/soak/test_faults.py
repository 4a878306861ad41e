"""Every kind of fault once, on one running archive of the production profile: nothing that was acknowledged is lost, nothing happens twice.

`make soak` makes them with full counts, several at once, from a seed; docs/faults.md has what came of that.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.soak.campaign import Campaign
from tests.soak.plan import REDUCED, plan
from tests.soak.stack import running

STEPS = plan(0, REDUCED)
PAUSE_S = 0.3
"""Between two files of a station: under way is enough, and each one costs the two cores that judge it half a second."""


@pytest.fixture(scope="module")
def campaign():
    """An archive under steady docking from four stations, in a directory that servers of other accounts can reach."""
    with tempfile.TemporaryDirectory(prefix="liuhen-faults-") as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder)) as (stack, judge):
            held = Campaign(stack, judge, seed=0, hurry=True, patience_s=90, pause_s=PAUSE_S)
            held.begin()
            try:
                yield held
            finally:
                held.end()


@pytest.mark.parametrize("step", STEPS, ids=[step.name for step in STEPS])
def test_what_was_acknowledged_outlives(campaign, step):
    outcome = campaign.run(step)
    assert outcome.flaws == ()
    assert outcome.first_s is not None
    assert outcome.done_s is not None


def test_after_all_of_them_everything_is_there_through_store_and_api(campaign):
    assert campaign.judge_everything() == []
