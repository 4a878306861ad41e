"""What the status page and /healthz say of the object stores: green only what a recent trial showed."""

from __future__ import annotations

import asyncio
import dataclasses

import httpx
import pytest
from sqlalchemy import delete

from archive.actions import person, store
from archive.adapters.local_store import LocalStore
from archive.core.instant import DAY, Instant
from archive.records.stores import Probe
from archive.settings import Profile
from archive.web.app import create_app
from tests.core.test_worm import GOOD, changed
from tests.media_files import media_file, workshop
from tests.web.test_status import shown

PRODUCTION = {
    "profile": Profile.PRODUCTION,
    "s3_endpoint": "https://s3.example:9000",
    "replica_endpoint": "https://other.example",
    "replica_access_key": "key",
    "replica_secret_key": "secret",
}
FIRST, SECOND_STORE = "s3.example:9000/liuhen-originals", "other.example/liuhen-replica"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with workshop(tmp_path_factory.mktemp("stores") / "data", agency_name="桃城区市场监督管理局") as opened:
        with opened.resources.transaction() as session:
            person.sign_in(session, login="admin", right=True, token="token", address="", now=opened.resources.now())
        yield opened


@pytest.fixture
def shop(archive):
    """The archive before any of its stores was tried."""
    with archive.resources.transaction() as session:
        session.execute(delete(Probe))
    return archive


@pytest.fixture
def elsewhere(shop, tmp_path, monkeypatch):
    """The same archive as if its stores were elsewhere; nothing is asked of them."""
    settings = shop.resources.settings.model_copy(update=PRODUCTION)
    resources = dataclasses.replace(shop.resources, settings=settings, replica=LocalStore(tmp_path / "second"))
    monkeypatch.setattr(shop, "resources", resources)
    return shop


def tried(shop, facts, *, ago: int = 0, names=(FIRST, SECOND_STORE)) -> None:
    with shop.resources.transaction() as session:
        for name in sorted(names):
            store.record_trial(session, store=name, facts=facts, now=Instant(shop.resources.now() - ago))


def section(shop, language: str = "en") -> str:
    return shown(shop, language).split('id="stores"')[1].split("</section>")[0]


def health(shop) -> str:
    """What /healthz says once the web process has looked, which it does when it begins."""
    app = create_app(shop.resources)

    async def asked() -> str:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client,
        ):
            for _ in range(100):
                said = (await client.get("/healthz")).json()["stores"]
                if said != "unknown":
                    break
                await asyncio.sleep(0.02)
            return said

    return asyncio.run(asked())


def test_a_directory_is_said_to_enforce_nothing(shop):
    text = section(shop)
    assert "it enforces nothing" in text
    assert "is-verified" not in text
    assert health(shop) == "nothing"


def test_a_store_that_nobody_tried_is_grey(elsewhere):
    text = section(elsewhere)
    assert text.count("It was not tried yet.") == 2
    assert "is-verified" not in text
    assert health(elsewhere) == "untried"


def test_a_store_that_refuses_is_green_and_what_it_does_not_check_is_amber_with_what_follows(elsewhere):
    tried(elsewhere, GOOD)
    text = section(elsewhere)
    assert 'is-verified">It refused everything that it must refuse.' in text
    assert "A locked version cannot be deleted" in text
    assert "every byte is read back and hashed" in text
    assert "is-flaw" not in text
    assert "It does not stop whoever has its disks" in text
    assert health(elsewhere) == "holds"


def test_a_trial_of_three_days_ago_makes_nothing_green(elsewhere):
    tried(elsewhere, GOOD, ago=3 * DAY)
    text = section(elsewhere)
    assert "It was last tried too long ago to say anything." in text
    assert "is-verified" not in text
    assert health(elsewhere) == "overdue"


def test_one_store_that_gave_way_is_red_and_told_on_healthz_without_details(elsewhere):
    tried(elsewhere, GOOD, names=[SECOND_STORE])
    tried(elsewhere, changed("delete_bypass", status=204, survived=False), names=[FIRST], ago=3 * DAY)
    text = section(elsewhere)
    assert 'is-flaw">It gave way' in text
    assert "See to this" in text
    assert health(elsewhere) == "broken"


def test_originals_with_one_copy_and_locks_that_ran_out_are_counted(elsewhere):
    number = elsewhere.process(media_file("photo.png"))
    item = elsewhere.item(number)
    text = section(elsewhere)
    assert "Originals with two copies" in text
    with elsewhere.resources.transaction() as session:
        store.locked(session, found=store.Locked(item.sha256, "", None), until=Instant(elsewhere.resources.now() - DAY))
    assert "Locks that ran out" in section(elsewhere)


@pytest.mark.parametrize("facts", [GOOD, changed("hold", survived=False), changed(versioning=None)])
def test_the_stores_are_told_in_chinese_without_english_left_over(elsewhere, facts):
    tried(elsewhere, facts)
    text = section(elsewhere, "zh-CN")
    assert "原件存放与保全" in text
    for english in ("locked", "Nothing", "refuse", "shown", "lock", "Copies", "copy"):
        assert english not in text
