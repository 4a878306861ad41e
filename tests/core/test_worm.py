"""What a trial of a store means: each way to break a lock is told, and nothing that was not shown looks fine."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core import worm
from archive.core.instant import DAY, HOUR, SECOND, Instant
from archive.core.worm import KNOWN, Outcome, Standing, Trial

UNTIL = 1_795_393_491_000_000
REFUSED = {"status": 403, "survived": True}
KEPT = {"status": 403, "before": UNTIL, "until": UNTIL, "mode": "COMPLIANCE"}
GOOD = {
    "kind": "s3",
    "versioning": "Enabled",
    "object_lock": "Enabled",
    "clock_us": -300_000,
    "fraction_digits": 9,
    "steps": {
        "control": {"status": 204, "survived": False},
        "locked_put": {"status": 200, "mode": "COMPLIANCE", "asked": UNTIL + 999_999, "until": UNTIL},
        "delete_version": REFUSED,
        "delete_bypass": REFUSED,
        "delete_batch": REFUSED,
        "shorten": KEPT,
        "shorten_bypass": KEPT,
        "weaken": KEPT,
        "extend": {"status": 200, "asked": UNTIL + HOUR, "until": UNTIL + HOUR},
        "overwrite": {"status": 200, "survived": True},
        "marker": {"status": 204, "survived": True},
        "hold": REFUSED,
        "hold_lifted": {"status": 204, "survived": False},
        "checksum": {"status": 200},
        "content_md5": {"status": 400},
        "create_only": {"status": 200},
    },
}


def changed(step: str | None = None, /, **facts):
    made = json.loads(json.dumps(GOOD))
    (made if step is None else made["steps"][step]).update(facts)
    return made


def outcome(facts, trial: Trial) -> Outcome:
    return {each.trial: each.outcome for each in worm.judge(facts)}[trial]


def alarms(facts) -> set[str]:
    return {each.trial.value for each in worm.judge(facts) if each.alarming}


def test_a_store_that_refuses_what_it_must_holds_whatever_its_known_limits():
    assert worm.standing(GOOD) is Standing.HOLDS
    assert alarms(GOOD) == set()
    assert outcome(GOOD, Trial.CHECKSUM) is Outcome.NOT_ENFORCED
    assert outcome(GOOD, Trial.CREATE_ONLY) is Outcome.NOT_ENFORCED
    assert outcome(GOOD, Trial.DATES) is Outcome.NOT_ENFORCED
    assert outcome(GOOD, Trial.CONTENT_MD5) is Outcome.ENFORCED


@pytest.mark.parametrize("step", ["delete_version", "delete_bypass", "delete_batch", "hold"])
@pytest.mark.parametrize("what", [{"status": 204, "survived": False}, {"survived": False}, {"status": 204}])
def test_a_locked_version_that_could_be_deleted_alarms_even_where_the_store_said_no_or_has_not_done_it_yet(step, what):
    assert alarms(changed(step, **what)) == {step}
    assert worm.standing(changed(step, **what)) is Standing.BROKEN


def test_an_account_that_may_delete_nothing_shows_nothing_of_a_lock():
    facts = changed("control", status=403, survived=True)
    for trial in (Trial.DELETE_VERSION, Trial.DELETE_BYPASS, Trial.DELETE_BATCH):
        assert outcome(facts, trial) is Outcome.UNKNOWN
    assert worm.standing(facts) is Standing.UNPROVED


@pytest.mark.parametrize("step", ["shorten", "shorten_bypass", "weaken"])
def test_a_lock_that_could_be_shortened_alarms(step):
    assert alarms(changed(step, status=200, until=UNTIL - HOUR)) == {step}


def test_a_lock_that_became_one_that_can_be_lifted_alarms_though_it_is_as_long():
    assert alarms(changed("weaken", status=200, mode="GOVERNANCE")) == {"weaken"}


def test_a_refused_shortening_shows_nothing_where_extending_is_refused_too():
    facts = changed("extend", status=403, until=UNTIL)
    assert outcome(facts, Trial.SHORTEN) is Outcome.UNKNOWN
    assert alarms(facts) == {"extend"}


@pytest.mark.parametrize(
    "what", [{"status": 400, "until": None, "mode": ""}, {"mode": "GOVERNANCE"}, {"until": UNTIL - DAY}, {"until": None}]
)
def test_a_put_that_is_not_locked_from_its_first_moment_alarms(what):
    assert alarms(changed("locked_put", **what)) == {"locked_put"}


@pytest.mark.parametrize("step", ["overwrite", "marker"])
def test_what_is_allowed_must_leave_the_locked_version_alone(step):
    assert alarms(changed(step, survived=False)) == {step}
    assert outcome(changed(step, status=403), Trial(step)) is Outcome.UNKNOWN


def test_versions_and_locks_that_are_off_alarm_and_unasked_ones_are_unknown():
    assert alarms(changed(versioning="Suspended")) == {"versioning"}
    assert alarms(changed(object_lock="Off")) == {"bucket_lock"}
    assert worm.standing(changed(versioning=None)) is Standing.UNPROVED


def test_a_clock_that_is_a_little_off_is_told_and_one_that_ends_locks_early_alarms():
    assert outcome(changed(clock_us=40 * SECOND), Trial.CLOCK) is Outcome.NOT_ENFORCED
    assert alarms(changed(clock_us=40 * SECOND)) == set()
    assert alarms(changed(clock_us=2 * HOUR)) == {"clock"}
    assert alarms(changed(clock_us=-2 * HOUR)) == {"clock"}


def test_a_refusal_for_want_of_rights_says_nothing_of_checksums():
    assert outcome(changed("checksum", status=403), Trial.CHECKSUM) is Outcome.UNKNOWN
    assert outcome(changed("checksum", status=400), Trial.CHECKSUM) is Outcome.ENFORCED


def test_a_directory_enforces_nothing_and_never_alarms():
    facts = {"kind": "directory"}
    assert worm.standing(facts) is Standing.NOTHING
    assert alarms(facts) == set()
    assert {each.outcome for each in worm.judge(facts)} == {Outcome.UNKNOWN}


@given(st.sets(st.sampled_from(sorted(GOOD["steps"]))))
def test_what_was_not_tried_is_unknown_and_never_makes_a_store_look_better(missing):
    facts = json.loads(json.dumps(GOOD))
    for step in missing:
        del facts["steps"][step]
    needed = {trial.value for trial in Trial if trial not in KNOWN} | {"control", "hold_lifted"}
    assert worm.standing(facts) is (Standing.UNPROVED if missing & needed else Standing.HOLDS)
    for step in missing - {"control"}:
        assert outcome(facts, Trial(step)) is Outcome.UNKNOWN


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["kind", "versioning", "object_lock", "clock_us", "fraction_digits"]), nonsense), nonsense)
def test_facts_of_any_shape_are_judged_and_never_hold_without_their_trials(facts, steps):
    assert worm.standing({**facts, "kind": "s3", "steps": steps}) in (Standing.UNPROVED, Standing.BROKEN)


def test_a_trial_speaks_for_a_store_for_a_day_and_a_little():
    assert worm.overdue(None, now=Instant(0))
    assert not worm.overdue(Instant(0), now=Instant(25 * HOUR))
    assert worm.overdue(Instant(0), now=Instant(27 * HOUR))
