"""What is due by the calendar, and that it is promised once however many look."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from archive.actions import store
from archive.core.instant import DAY, HOUR, MINUTE, Instant, parse
from archive.records.jobs import Job
from archive.settings import Profile
from tests.core.test_worm import GOOD
from tests.media_files import workshop
from workers import schedule
from workers.schedule import Known, Promise

NOON = parse("2026-11-22T12:00:00Z")


def kinds(known: Known, *, now: Instant = NOON, started: bool = False) -> set[str]:
    return {each.kind for each in schedule.due(known, now=now, started=started)}


def test_an_archive_on_one_machine_has_its_finished_jobs_removed_and_nothing_else():
    assert schedule.due(Known(stores=False), now=NOON) == [Promise("prune", {"day": "2026-11-22"})]


def test_stores_are_tried_daily_and_copies_made_where_there_is_a_second_one():
    assert kinds(Known(stores=True)) == {"prune", "canary", "extend_locks"}
    assert kinds(Known(stores=True, tried=Instant(NOON - HOUR), replica=True)) == {"prune", "extend_locks", "replicate"}
    assert "canary" in kinds(Known(stores=True, tried=Instant(NOON - DAY)))


def test_originals_are_read_again_where_that_is_wanted_whatever_the_store():
    assert kinds(Known(stores=False, fixity=True)) == {"prune", "check"}


def test_a_scheduler_that_begins_has_them_tried_but_not_once_more_within_the_hour():
    assert "canary" in kinds(Known(stores=True, tried=Instant(NOON - 2 * HOUR)), started=True)
    assert "canary" not in kinds(Known(stores=True, tried=Instant(NOON - MINUTE)), started=True)


def test_a_trial_from_the_future_says_nothing_since_the_clock_was_set_back():
    assert "canary" in kinds(Known(stores=True, tried=Instant(NOON + 30 * DAY)))


@given(st.integers(0, 23), st.integers(0, 59))
def test_within_a_day_the_same_is_promised_whenever_somebody_looks(hour, minute):
    at = Instant(parse("2026-11-22T00:00:00Z") + hour * HOUR + minute * MINUTE)
    promised = [(each.kind, dict(each.payload)) for each in schedule.due(Known(stores=True, replica=True), now=at)]
    assert promised == [
        ("prune", {"day": "2026-11-22"}),
        ("canary", {"day": "2026-11-22"}),
        ("extend_locks", {"day": "2026-11-22"}),
        ("replicate", {"day": "2026-11-22"}),
        ("extend_locks", {"day": "2026-11-22", "of": "copies"}),
    ]


@pytest.fixture
def shop(tmp_path):
    with workshop(tmp_path) as made:
        settings = made.resources.settings.model_copy(
            update={
                "profile": Profile.PRODUCTION,
                "s3_endpoint": "https://s3.example",
                "replica_endpoint": "https://other.example",
            }
        )
        made.resources = dataclasses.replace(made.resources, settings=settings, replica=made.resources.store)
        yield made


def promised(shop) -> list[str]:
    with shop.resources.reading() as session:
        return sorted(session.scalars(select(Job.kind)))


def test_many_schedulers_promise_each_thing_once(shop):
    assert schedule.promise(shop.resources, now=NOON) == 6
    assert schedule.promise(shop.resources, now=NOON) == 0
    assert schedule.promise(shop.resources, now=Instant(NOON + 20 * MINUTE), started=True) == 0
    assert promised(shop) == ["canary", "check", "extend_locks", "extend_locks", "prune", "replicate"]


def test_a_store_that_was_never_tried_makes_the_trial_due_though_another_was_tried_just_now(shop):
    with shop.resources.transaction() as session:
        store.record_trial(session, store=shop.resources.settings.store_name, facts=GOOD, now=NOON)
    schedule.promise(shop.resources, now=NOON)
    assert "canary" in promised(shop)
    with shop.resources.transaction() as session:
        store.record_trial(session, store=shop.resources.settings.replica_name, facts=GOOD, now=NOON)
    assert schedule.promise(shop.resources, now=Instant(NOON + 2 * HOUR)) == 0
