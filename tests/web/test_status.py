"""The page that says how the archive is: never better than it is."""

from __future__ import annotations

import dataclasses

import httpx
import pytest
from sqlalchemy import update

from archive.actions import fixity, jobs, person, status
from archive.actions.fixity import Verdict
from archive.adapters.jail import Jail
from archive.core.instant import DAY, SECOND, Instant
from archive.records.items import StoredObject
from archive.web.app import create_app
from archive.web.identity import COOKIE
from tests.media_files import media_file, workshop
from tests.serving import served


@pytest.fixture
def shop(tmp_path):
    with workshop(tmp_path / "data", agency_name="桃城区市场监督管理局") as opened:
        with opened.resources.transaction() as session:
            person.sign_in(session, login="admin", right=True, token="token", address="", now=opened.resources.now())
        yield opened


def shown(shop, language: str = "en", **changed) -> str:
    app = create_app(dataclasses.replace(shop.resources, **changed))
    with (
        served(app) as url,
        httpx.Client(base_url=url, headers={"Origin": url}, trust_env=False, follow_redirects=True) as client,
    ):
        client.cookies.set("liuhen_language", language)
        client.cookies.set(COOKIE, "token")
        answer = client.get("/status")
        assert answer.status_code == 200
        return answer.text


def test_what_was_not_checked_is_not_green(shop):
    text = shown(shop)
    assert "Nothing was read back yet" in text
    assert "is-verified" not in text
    shop.take_in(media_file("photo.png"))
    text = shown(shop)
    assert "1 item is not verified" in text
    assert "is-verified" not in text


def test_read_backs_are_told_by_their_verdicts_and_an_altered_one_is_red(shop):
    number = shop.process(media_file("photo.png"))
    text = shown(shop)
    assert 'is-verified">intact 1<' in text
    with shop.resources.transaction() as session:
        fixity.record(session, item_id=shop.item(number).id, verdict=Verdict.ALTERED, leaves=[], now=shop.resources.now())
    text = shown(shop)
    assert 'is-flaw">altered 1<' in text
    assert 'is-flaw">1 original is altered, missing or unreadable<' in text, "also when the last read-backs tell no more of it"


def test_an_original_that_should_have_been_read_again_long_ago_is_amber(shop):
    shop.process(media_file("photo.png"))
    assert "overdue to be read again" not in shown(shop)
    with shop.resources.transaction() as session:
        session.execute(update(StoredObject).values(checked_at=shop.resources.now() - 101 * DAY))
    assert "overdue to be read again" in shown(shop)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("unshare", ["Less than the best", "Other files readable", "No network", "no namespaces here"]),
        ("limits", ["Limits only", "Other files readable", "Network reachable", "no namespaces here"]),
    ],
)
def test_a_lesser_jail_is_said_with_what_it_does_not_keep_out(shop, kind, said):
    text = shown(shop, jail=Jail(kind, "no namespaces here"))
    assert all(words in text for words in said)
    assert "is-waiting" in text.split('id="jail"')[1].split("</section>")[0]


def test_a_tool_that_does_not_answer_is_red(shop, monkeypatch):
    monkeypatch.setattr("archive.adapters.health.TOOLS", ("ffmpeg", "no-such-tool"))
    text = shown(shop, jail=Jail("limits", "asked anew"))
    assert "does not answer" in text.split("no-such-tool")[1][:200]


def test_work_that_waits_long_is_amber_and_what_failed_is_red(shop):
    shop.take_in(media_file("photo.png"))
    now = shop.resources.now()
    with shop.resources.transaction() as session:
        job = jobs.claim(session, lane="quick", owner="x", now=now)
        jobs.fail(session, job, error="tool_failed", tail="x", again=False, now=now)
    with shop.resources.reading() as session:
        lanes = {lane.name: lane for lane in status.lanes(session, now=Instant(now + 3600 * SECOND))}
    assert (lanes["quick"].dead, lanes["quick"].oldest) == (1, None)
    assert lanes["verify"].oldest is not None
    text = shown(shop)
    assert '<span class="lh-tag is-flaw">1</span>' in text


def test_a_disk_without_room_is_red_and_says_what_follows(shop):
    settings = shop.resources.settings.model_copy(update={"free_space_floor": 2**60})
    assert "Uploads are refused until there is room." in shown(shop, settings=settings)


def test_both_languages_are_whole(shop):
    chinese = shown(shop, "zh-CN")
    assert "运行状态" in chinese
    assert "桃城区市场监督管理局" in chinese
    body = chinese.split('id="main"')[1]
    for english in ("Nothing", "Waiting", "Free on", "Less than", "No network", "Time zone", "Read-backs"):
        assert english not in body


def test_healthz_tells_a_script_which_jail_is_in_force(shop):
    with served(create_app(dataclasses.replace(shop.resources, jail=Jail("limits", "why")))) as url:
        told = httpx.get(f"{url}/healthz", trust_env=False).json()
    assert told["status"] == "ok"
    assert told["jail"] == {
        "kind": "limits",
        "network_cut": False,
        "files_hidden": False,
        "limits": True,
        "calls_filtered": False,
        "why_not_better": "why",
    }
