"""Originals are read again on a schedule: all in their turn, the oldest first, so many bytes a day; and what that finds is told."""

from __future__ import annotations

import dataclasses
import json
import secrets

import pytest
from sqlalchemy import select, update

from archive.actions import fixity
from archive.actions import item as items
from archive.core.custody import EventKind
from archive.core.digest import original_key
from archive.core.errors import Unavailable
from archive.core.instant import DAY, Instant
from archive.core.jobs import KINDS
from archive.records.custody import CustodyEvent
from archive.records.items import Item, StoredObject
from archive.records.jobs import Job
from archive.records.locks import Noun
from tests.media_files import media_file, workshop
from workers import keeping, schedule

AGES = (200, 150, 120, 95, 10)
"""Days since each of the shop's originals was last read."""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with workshop(tmp_path_factory.mktemp("checks")) as made:
        folder = tmp_path_factory.mktemp("photos")
        for number, _ in enumerate(AGES):
            path = folder / f"{number}.png"
            path.write_bytes(media_file("photo.png").read_bytes() + secrets.token_bytes(8))
            made.process(path)
        yield made


@pytest.fixture
def shop(house):
    """The shop with its originals as long unread as `AGES` says, and nothing promised."""
    held = house.resources
    now = held.now()
    with held.transaction() as session:
        session.query(Job).filter(Job.kind == "check").delete()
        for item, age in zip(session.scalars(select(Item).order_by(Item.id)), AGES, strict=True):
            aged = update(StoredObject).where(StoredObject.sha256 == item.sha256)
            session.execute(aged.values(checked_at=now - age * DAY, verdict="intact"))
    yield house
    house.resources = held


def numbers(shop):
    with shop.resources.reading() as session:
        return list(session.scalars(select(Item.number).order_by(Item.id)))


def told(shop, after=0):
    """Return the last event's place, and (number, verdict) of what was read since another, in order."""
    with shop.resources.reading() as session:
        rows = session.scalars(select(CustodyEvent).where(CustodyEvent.seq > after).order_by(CustodyEvent.seq)).all()
    facts = [json.loads(row.body)["facts"] for row in rows if row.kind == EventKind.READ_BACK.value]
    return max((row.seq for row in rows), default=after), [(each["number"], each["verdict"]) for each in facts]


def settle(shop, **settings):
    shop.resources = dataclasses.replace(shop.resources, settings=shop.resources.settings.model_copy(update=settings))


def day(shop, later=0):
    """Look at the calendar that many days on, do the work, and return what was read."""
    last, _ = told(shop)
    schedule.promise(shop.resources, now=Instant(shop.resources.now() + later * DAY))
    shop.work()
    return told(shop, last)[1]


def test_what_was_not_read_for_its_days_is_read_again_the_oldest_first_and_on_record(shop):
    oldest_first = [(number, "intact") for number in numbers(shop)[:4]]
    assert day(shop) == oldest_first
    assert day(shop) == [], "once"
    with shop.resources.reading() as session:
        newest = session.scalars(select(StoredObject.checked_at).order_by(StoredObject.checked_at)).all()
    assert newest[0] < shop.resources.now() - 9 * DAY < newest[1]


def test_nothing_is_read_again_where_nobody_wants_it(shop):
    settle(shop, fixity_days=0)
    assert day(shop) == []


def test_a_day_promises_so_many_bytes_and_the_next_goes_on(shop):
    settle(shop, fixity_day_bytes=2 * media_file("photo.png").stat().st_size + 20)
    four = numbers(shop)[:4]
    assert [number for number, _ in day(shop)] == four[:2]
    assert [number for number, _ in day(shop, later=1)] == four[2:]


def test_a_file_larger_than_a_days_bytes_is_read_all_the_same(shop):
    settle(shop, fixity_day_bytes=1)
    assert [number for number, _ in day(shop)] == numbers(shop)[:1]


def test_however_many_are_due_few_are_promised_at_once(shop, monkeypatch):
    monkeypatch.setattr(keeping, "BATCH", 1)
    assert [number for number, _ in day(shop)] == numbers(shop)[:4]


def test_all_else_in_the_lane_goes_before_it():
    assert KINDS["check"].priority == min(work.priority for work in KINDS.values() if work.lane == "verify")


def test_a_verdict_is_held_against_the_version_on_record_while_nobody_can_put_another_there(shop, monkeypatch):
    held, looked = [], items.stored

    def looking(session, digest):
        held.append((Noun.BYTES, digest.hex) in session.info.get("held", ()))
        return looked(session, digest)

    monkeypatch.setattr(items, "stored", looking)
    assert day(shop) != []
    assert held == [False, True] * 4, "read without, published with it"


def test_what_is_found_altered_is_told_until_it_is_well_again(shop):
    number = numbers(shop)[0]
    path = shop.resources.settings.data_dir / "store" / original_key(shop.item(number).sha256)
    good = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert day(shop)[0] == (number, "altered")
    with shop.resources.reading() as session:
        assert fixity.checks(session).flawed == 1
    path.write_bytes(good)
    with shop.resources.transaction() as session:
        session.execute(update(StoredObject).where(StoredObject.verdict == "altered").values(checked_at=1))
    assert day(shop, later=1) == [(number, "intact")]
    with shop.resources.reading() as session:
        assert fixity.checks(session).flawed == 0


# What a passing fault left


@pytest.fixture
def fresh(tmp_path):
    """An archive with a photo that nobody has read back yet, the photo's number, and its file in the store."""
    with workshop(tmp_path / "fresh") as made:
        path = tmp_path / "photo.png"
        path.write_bytes(media_file("photo.png").read_bytes() + secrets.token_bytes(8))
        number = made.take_in(path)
        yield made, number, made.resources.settings.data_dir / "store" / original_key(made.item(number).sha256)


def work_on(shop, times=1):
    """Do the work so many times, with what waits for its next try due each time."""
    for _ in range(times):
        shop.work()
        with shop.resources.transaction() as session:
            session.execute(update(Job).where(Job.state == "waiting").values(run_after=1, lease_until=1))


def standing(shop, number):
    """Return the verdict on an item's bytes, and whether it is verified."""
    with shop.resources.reading() as session:
        item = session.scalar(select(Item).where(Item.number == number))
        return session.get(StoredObject, item.sha256).verdict, item.verified_at is not None


def test_a_store_is_asked_thrice_before_it_is_believed_that_an_original_is_missing(fresh):
    shop, number, path = fresh
    path.rename(path.with_suffix(".aside"))
    work_on(shop, 2)
    assert standing(shop, number) == (None, False)
    path.with_suffix(".aside").rename(path)
    work_on(shop)
    assert standing(shop, number) == ("intact", True)


@pytest.mark.parametrize("verdict", ["missing", "unreadable"])
def test_what_was_away_for_longer_than_the_tries_is_verified_on_the_day_it_is_there_again(fresh, verdict, monkeypatch):
    shop, number, path = fresh

    def unread(*_words, **_named):
        raise Unavailable(what="store", why="this object is read by nobody today")

    with monkeypatch.context() as away:
        if verdict == "unreadable":
            away.setattr(type(shop.resources.store), "survey", unread)
        else:
            path.rename(path.with_suffix(".aside"))
        work_on(shop, 3)
    assert standing(shop, number) == (verdict, False)
    if verdict == "missing":
        path.with_suffix(".aside").rename(path)
    assert day(shop) == [(number, "intact")]
    assert standing(shop, number) == ("intact", True)
    assert day(shop, later=1) == [], "that was all"


def test_an_item_over_which_workers_died_is_read_back_the_day_after(fresh):
    shop, number, _ = fresh
    with shop.resources.transaction() as session:
        session.execute(update(Job).where(Job.kind == "read_back").values(state="dead", error="worker_lost", ended_at=1))
    assert day(shop) == [(number, "intact")]


def test_what_was_verified_and_is_said_to_be_missing_is_looked_for_every_day(fresh):
    shop, number, _ = fresh
    shop.work()
    with shop.resources.transaction() as session:
        session.execute(update(StoredObject).values(verdict="missing"))
    assert day(shop) == [(number, "intact")]
    assert standing(shop, number) == ("intact", True)


def test_what_is_altered_or_waits_already_is_not_promised_again(fresh):
    shop, number, path = fresh
    with shop.resources.transaction() as session:
        assert fixity.promise_left(session, day="one", after=0, limit=9, now=shop.resources.now()) is None
        assert session.query(Job).filter(Job.kind == "read_back").count() == 1
    good = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    shop.work()
    assert standing(shop, number) == ("altered", False)
    assert day(shop) == []
