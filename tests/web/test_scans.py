"""Pages of documents over HTTP and in Chromium: 300 pages of which one is drawn, jumped into, zoomed to its own pixels, turned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from archive.actions import person, viewing
from archive.core.access import PersonCaller
from archive.records.items import Viewing
from archive.web.app import create_app
from archive.web.identity import COOKIE
from tests import scans
from tests.browser import chromium, needs_chromium
from tests.media_files import Workshop, workshop
from tests.serving import served
from tests.web.window import Window, until
from workers.handlers import HANDLERS
from workers.runner import run_next

SCAN = "document.querySelector('liuhen-scan').dataset"


@dataclass
class Shelf:
    """A workshop that is served, with somebody signed in; lanes are worked off when a test says so."""

    shop: Workshop
    url: str
    session: str = "cookie"

    def client(self) -> AbstractContextManager[None]:
        return nullcontext()

    def run(self, lane: str) -> None:
        while run_next(self.shop.resources, HANDLERS, lane=lane, owner=f"test:{lane}", stopping=lambda: False):
            pass


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    with workshop(tmp_path_factory.mktemp("scans") / "archive", worker=False) as shop:
        held = shop.resources
        with held.transaction() as session:
            person.sign_in(session, login="admin", right=True, token="cookie", address="", now=held.now())
        with served(create_app(held)) as url:
            yield Shelf(shop, url)


@pytest.fixture(scope="module")
def book(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = scans.book(tmp_path_factory.mktemp("paper") / "book.pdf", 300, size=(827, 1170), distinct=4)
    number = shelf.shop.take_in(path)
    shelf.run("quick")
    return number


@pytest.fixture
def client(shelf: Shelf) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shelf.url, cookies={COOKIE: "cookie"}, headers={"Origin": shelf.url}, trust_env=False) as opened:
        yield opened


def looks(shelf: Shelf) -> int:
    with shelf.shop.resources.reading() as session:
        return session.query(Viewing).filter(Viewing.what == "pages").count()


def test_the_list_tells_every_page_its_size_and_how_it_stands(shelf: Shelf, client: httpx.Client, book: str):
    listed = client.get(f"/api/v1/items/{book}/pages").json()
    assert (listed["total"], len(listed["pages"])) == (300, 300)
    first, second = listed["pages"][:2]
    assert (first["page"], first["number"], first["state"], second["state"]) == (1, book, "ready", "waiting")
    assert (first["width"], first["height"]) == (2480, 3507)
    assert client.get(first["view"]).headers["content-type"] == "image/jpeg"
    assert client.get(first["thumb"]).status_code == 200
    assert client.get(second["view"]).status_code == 404


def test_a_page_asked_for_comes_before_its_turn_and_its_tiles_are_one_look(shelf: Shelf, client: httpx.Client, book: str):
    page = client.get(f"/api/v1/items/{book}/pages").json()["pages"][41]
    asked = client.post(page["view"])
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    shelf.run("quick")
    assert client.post(page["view"]).json()["state"] == "ready"
    assert client.get(page["tiles"]).json()["state"] == "absent"  # telling is not asking
    assert client.post(page["tiles"]).status_code == 202
    assert run_next(shelf.shop.resources, HANDLERS, lane="media", owner="test", stopping=lambda: False)  # before the other 298
    told = client.post(page["tiles"]).json()
    assert (told["state"], told["width"], told["tile"], told["levels"][-1]) == ("ready", 2480, 512, [2480, 3507])
    before = looks(shelf)
    last = len(told["levels"]) - 1
    tile = client.get(f"{page['tiles']}/{last}/2_3")
    assert (tile.status_code, tile.headers["content-type"], tile.content[:2]) == (200, "image/jpeg", b"\xff\xd8")
    assert client.get(f"{page['tiles']}/{last}/2_3", headers={"If-None-Match": tile.headers["etag"]}).status_code == 304
    assert client.get(f"{page['tiles']}/0/0_0").headers["etag"] != tile.headers["etag"]
    assert client.get(f"{page['tiles']}/{last}/99_99").status_code == 404
    assert looks(shelf) <= before + 1
    assert looks(shelf) >= 1


@pytest.mark.parametrize("tail", ["301/view", "0/view", "301/tiles", "x/tiles", "1/tiles/0/-1_0", "1/tiles/0/0_99999"])
def test_a_page_that_is_not_there_is_not_found_or_malformed(client: httpx.Client, book: str, tail: str):
    assert client.get(f"/api/v1/items/{book}/pages/{tail}").status_code in (400, 404)


def test_an_ofd_says_why_it_has_no_preview(shelf: Shelf, client: httpx.Client, tmp_path: Path):
    path = tmp_path / "decision.ofd"
    path.write_bytes(scans.packed_ofd())
    number = shelf.shop.take_in(path)
    shelf.run("quick")
    answer = client.get(f"/items/{number}", headers={"Accept-Language": "zh-CN"}).text
    assert "不提供预览" in answer
    assert "行政处罚决定书" in answer
    assert "/download" in answer


@needs_chromium
def test_a_page_of_300_is_opened_jumped_to_seen_to_its_pixels_and_turned(shelf: Shelf, book: str):
    with chromium() as browser, Window(shelf, browser).page(f"/items/{book}") as page:  # type: ignore[arg-type]  # a shelf is as much of a world as a window asks for
        until(page, f"{SCAN}.shown === '1'")
        assert page.locator(".lhs-thumb").count() < 20
        page.locator(".lhs-field").fill("200")
        page.keyboard.press("Enter")
        expect(page.locator(".lhs-message")).to_have_text("此页正在生成图像。")
        shelf.run("quick")
        until(page, f"{SCAN}.shown === '200'")
        assert page.url.endswith("?page=200")
        fitted = int(page.locator(".lhs-scale").text_content().removesuffix("%"))
        page.keyboard.press("1")
        expect(page.locator(".lhs-scale")).to_have_text("100%")
        expect(page.locator(".lhs-message")).to_contain_text("正在准备全分辨率图像")
        assert run_next(shelf.shop.resources, HANDLERS, lane="media", owner="test", stopping=lambda: False)
        until(page, f"{SCAN}.sharp === 'true'")
        assert int(page.evaluate(f"{SCAN}.level")) > 0
        expect(page.locator(".lhs-message")).to_be_hidden()
        page.keyboard.press("0")
        expect(page.locator(".lhs-scale")).to_have_text(f"{fitted}%")
        page.keyboard.press("r")
        until(page, f"{SCAN}.turn === '90'")
        assert int(page.locator(".lhs-scale").text_content().removesuffix("%")) > fitted  # a page on its side fits wider
        page.keyboard.press("?")
        expect(page.locator("dialog[open]")).to_contain_text("跳转到指定页")
        page.keyboard.press("Escape")
        page.reload()
        until(page, f"{SCAN}.shown === '200'")


def test_many_requests_of_one_look_are_one_viewing(shelf: Shelf):
    caller = PersonCaller(1, "admin", "管理员")
    with shelf.shop.resources.transaction() as session:
        for _ in range(3):
            viewing.look(session, item_id=1, caller=caller, what="pages", now=shelf.shop.resources.now())
    assert looks(shelf) == 1
