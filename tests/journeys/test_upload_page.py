"""The upload page as somebody in an office uses it: dropped, broken off, reloaded, refused, gathered into a document, bound to a case."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect

from archive.core import paper
from tests.browser import VIEWPORT, chromium, needs_chromium
from tests.server import RunningServer, wait_for_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from playwright.sync_api import Browser, Error, Locator, Page, Request, Route

pytestmark = needs_chromium

PAGE_ALONE = pytest.mark.parametrize(
    "profile", ["embedded", pytest.param("production", marks=pytest.mark.soak)], indirect=True, scope="session"
)
"""For what the page does by itself, whatever stands behind the web process."""

MB = 1_000_000
LIMIT = 60 * MB
CASE = {"number": "桃市监罚〔2026〕114号", "title": "经营超过保质期食品案", "subject": "衡水某食品有限公司"}

DROP = """([selector, files]) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) transfer.items.add(new File([text], name));
  const target = document.querySelector(selector);
  for (const type of ['dragover', 'drop']) {
    target.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


@dataclass
class Sent:
    """What a page asked of the archive about uploads, in order."""

    offsets: list[int] = field(default_factory=list)
    created: int = 0

    def hear(self, asked: Request) -> None:
        """Note a request."""
        if "/api/v1/uploads" not in asked.url:
            return
        if asked.method == "POST":
            self.created += 1
        elif asked.method == "PATCH":
            self.offsets.append(int(asked.headers["upload-offset"]))


@dataclass(frozen=True)
class Office:
    """A running archive, somebody's browser, and a client to look behind the page."""

    server: RunningServer
    browser: Browser
    client: httpx.Client
    case_id: int
    session: str
    tabs: list[Page] = field(default_factory=list)

    @contextlib.contextmanager
    def page(self, address: str = "/upload", *, slow: int = 0) -> Iterator[tuple[Page, Sent]]:
        """Open a page signed in, with at most `slow` bytes a second upwards; a script that fails, fails the test."""
        page, sent, wrong = self.tabs.pop() if self.tabs else self._tab(), Sent(), []

        def script(error: Error) -> None:
            wrong.append(str(error))

        session = page.context.new_cdp_session(page)
        if slow:
            narrow = {"offline": False, "latency": 1, "downloadThroughput": -1, "uploadThroughput": slow}
            session.send("Network.emulateNetworkConditions", narrow)
        page.on("pageerror", script)
        page.on("request", sent.hear)
        page.goto(address)
        try:
            yield page, sent
            assert not wrong, "\n".join(wrong)
        except BaseException:
            page.context.close()  # nobody knows what state it is in
            raise
        page.remove_listener("pageerror", script)
        page.remove_listener("request", sent.hear)
        page.unroute_all()
        session.detach()
        page.goto("/inbox")
        page.evaluate("localStorage.clear()")
        self.tabs.append(page)

    def _tab(self) -> Page:
        """Open a tab, in which test follows test as page follows page: a tab of its own for each takes ten times as long."""
        context = self.browser.new_context(base_url=self.server.base_url, viewport=VIEWPORT, locale="zh-CN")
        context.add_cookies([{"name": "liuhen_session", "value": self.session, "url": self.server.base_url}])
        page = context.new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        return page

    def item(self, number: str) -> dict[str, object]:
        """Return what the archive says of an item."""
        found = self.client.get(f"/api/v1/items/{number}").raise_for_status().json()
        assert isinstance(found, dict)
        return found

    def listed(self, number: str) -> paper.Paper:
        """Return a document's page list, from its own bytes."""
        return paper.decode(self.client.get(f"/api/v1/items/{number}/download").raise_for_status().content)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, profile: str) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office") / "data"
    with (
        RunningServer(folder, settings={"LIUHEN_MAX_UPLOAD_BYTES": str(LIMIT)}, profile=profile) as server,
        server.sign_in() as client,
        chromium() as browser,
    ):
        case_id = client.post("/api/v1/cases", json=CASE).raise_for_status().json()["id"]
        yield Office(server, browser, client, case_id, client.cookies["liuhen_session"])


def blob(path: Path, size: int, *, seed: int) -> Path:
    """Make a file that no compression shortens."""
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def scan(path: Path, shade: int) -> Path:
    """Make a small scanned page."""
    out = io.BytesIO()
    Image.new("L", (210, 297), shade).save(out, "PNG")
    path.write_bytes(out.getvalue())
    return path


def row(page: Page, name: str) -> Locator:
    """The line of a file."""
    return page.locator("tr.lhu-row", has_text=name)


def state(page: Page, name: str, said: str, *, within_s: float = 20) -> None:
    """Wait until a file's line says this."""
    expect(row(page, name).locator(".lh-badge")).to_have_text(said, timeout=within_s * 1000)


def number(page: Page, name: str) -> str:
    """The accession number in a file's line."""
    return row(page, name).locator("a[href^='/items/']").inner_text()


def sent_part(page: Page, name: str, least: int) -> None:
    """Wait until so many permille of a file are sent."""
    deadline = time.monotonic() + 20
    while (
        int(row(page, name).locator("progress").evaluate("(bar) => bar.hidden || bar.matches('.is-hash') ? 0 : bar.value"))
        < least
    ):
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def test_dropped_and_chosen_files_are_taken_in_for_a_case_and_one_that_is_refused_stops_no_other(
    office: Office, tmp_path: Path
) -> None:
    big = tmp_path / "过大.mp4"
    with big.open("wb") as file:
        file.truncate(LIMIT + 1)
    with office.page(f"/upload?case={CASE['number']}&stage=decision") as (page, sent):
        expect(page.locator("[data-part=case-said]")).to_have_text(CASE["title"])
        page.fill("#f-recorder", "DSJ-A1")
        files = [["现场检查笔录.txt", "一"], ["照片说明.txt", "二"]]
        page.evaluate(DROP, ["[data-part=zone]", files])
        page.set_input_files("[data-part=files]", [big])
        page.evaluate(DROP, ["[data-part=zone]", [["再来一份.txt", "一"]]])
        expect(page.locator("[data-part=count]")).to_have_text("4")
        assert sent.created == 0, "nothing is sent before somebody says so"
        page.click("[data-part=start]")
        for name in ("现场检查笔录.txt", "照片说明.txt", "再来一份.txt"):
            state(page, name, "已校验")
        state(page, "过大.mp4", "被拒绝")
        expect(page.locator(".lhu-why.lh-why")).to_contain_text("上限为")
        first, again = number(page, "现场检查笔录.txt"), number(page, "再来一份.txt")
        digest = hashlib.sha256("一".encode()).hexdigest()
        assert row(page, "现场检查笔录.txt").locator("[data-copy]").get_attribute("data-copy") == digest
        told = page.locator(".lhu-why", has_text="只保存一份")
        one, other = sorted((first, again))
        expect(told.locator("a")).to_have_text(one)
        assert sent.created == 3
    found = office.item(first)
    assert [(bound["case"], bound["stage"]) for bound in found["bindings"]] == [(office.case_id, "decision")]
    assert (found["recorder"], found["sha256"], found["source"]["kind"]) == ("DSJ-A1", digest, "person")
    assert office.item(other)["same_bytes_as"] == one


@PAGE_ALONE
def test_a_name_that_would_turn_its_letters_round_is_shown_as_what_it_is(office: Office) -> None:
    name = "a<b>%41\u202egpj.exe.jpg"
    with office.page() as (page, _sent):
        page.set_input_files("[data-part=files]", [{"name": name, "mimeType": "image/jpeg", "buffer": b"\xff\xd8"}])
        shown = "a<b>%2541%E2%80%AEgpj.exe.jpg"
        expect(page.locator(".lhu-row .clip")).to_have_text(shown)
        expect(page.locator(".lhu-row .clip")).to_have_attribute("title", shown)
        page.locator("[data-part=gather]").click()
        expect(page.locator(".lhu-sheet .clip")).to_have_text(shown)
        assert "\u202e" not in page.locator("main").inner_html()
        assert "\u202e" not in page.locator(".lhu-draft input").input_value()


@PAGE_ALONE
def test_an_unknown_case_is_said_before_anything_is_sent(office: Office) -> None:
    with office.page() as (page, sent):
        page.evaluate(DROP, ["body", [["a.txt", "a"]]])
        page.fill("#f-case", "没有的案号")
        page.click("[data-part=start]")
        expect(page.locator("[data-part=case-said]")).to_have_text("没有此案号的案件。")
        page.fill("#f-case", "桃市监罚[2026] 114 号")
        page.press("#f-case", "Tab")
        expect(page.locator("[data-part=case-said]")).to_have_text(CASE["title"])
        assert page.input_value("#f-case") == CASE["number"]
        assert sent.created == 0


@PAGE_ALONE
def test_an_upload_goes_on_when_the_server_is_killed_and_comes_back(office: Office, tmp_path: Path) -> None:
    film = blob(tmp_path / "killed.bin", 12 * MB, seed=1)
    with office.page(slow=8 * MB) as (page, sent):
        page.set_input_files("[data-part=files]", [film])
        page.click("[data-part=start]")
        sent_part(page, film.name, 400)
        office.server.kill()
        state(page, film.name, "连接中断，正在重试")
        office.server.start()
        state(page, film.name, "已校验", within_s=30)
        kept = number(page, film.name)
    assert sent.created == 1
    assert sent.offsets[0] == 0
    assert sent.offsets[-1] > 2 * MB, "what had arrived is not sent again"
    assert office.item(kept)["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()


@PAGE_ALONE
def test_an_upload_whose_host_is_gone_is_sent_anew_without_anybody_asking(office: Office, tmp_path: Path) -> None:
    film = blob(tmp_path / "moved.bin", 9 * MB, seed=5)
    gone: list[str] = []
    told = {"status": 410, "code": "host_gone", "again": False, "facts": {}}

    def answer(route: Route) -> None:
        asked = route.request
        if asked.method == "PATCH" and not gone:
            gone.append(asked.url)
        if gone and asked.url == gone[0]:
            route.fulfill(
                status=410, headers={"Tus-Resumable": "1.0.0"}, content_type="application/problem+json", body=json.dumps(told)
            )
        else:
            route.continue_()

    with office.page() as (page, sent):
        page.route("**/api/v1/uploads/*", answer)
        page.set_input_files("[data-part=files]", [film])
        page.click("[data-part=start]")
        state(page, film.name, "已校验", within_s=30)
        kept = number(page, film.name)
    assert sent.created == 2
    assert office.item(kept)["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()


@PAGE_ALONE
def test_after_a_reload_the_same_file_chosen_again_goes_on_where_it_stopped(office: Office, tmp_path: Path) -> None:
    film = blob(tmp_path / "reloaded.bin", 12 * MB, seed=2)
    with office.page(slow=8 * MB) as (page, sent):
        asked: list[str] = []
        page.on("dialog", lambda dialog: asked.append(dialog.type))
        page.fill("#f-case", CASE["number"])
        page.set_input_files("[data-part=files]", [film])
        page.click("[data-part=start]")
        sent_part(page, film.name, 400)
        page.reload()
        assert asked == ["beforeunload"]
        expect(page.locator("[data-part=unfinished]")).to_contain_text(film.name)
        sent.created, sent.offsets = 0, []
        page.set_input_files("[data-part=files]", [film])
        state(page, film.name, "已校验", within_s=30)
        expect(page.locator("[data-part=unfinished]")).to_be_hidden()
        kept = number(page, film.name)
    assert sent.created == 0, "it is the same upload"
    assert min(sent.offsets) > 2 * MB, "what had arrived is not sent again"
    found = office.item(kept)
    assert found["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()
    assert [bound["case"] for bound in found["bindings"]] == [office.case_id], "meant for what was said when it began"


@PAGE_ALONE
def test_sending_pauses_goes_on_and_is_cancelled_and_whoever_is_signed_out_keeps_the_list(office: Office, tmp_path: Path) -> None:
    film = blob(tmp_path / "paused.bin", 9 * MB, seed=3)
    with office.page(slow=3 * MB) as (page, sent):
        page.set_input_files("[data-part=files]", [film])
        page.click("[data-part=start]")
        sent_part(page, film.name, 200)
        page.click("[data-part=pause]")
        state(page, film.name, "已暂停")
        with page.expect_request(lambda asked: asked.method == "PATCH"):
            page.click("[data-part=pause]")
        state(page, film.name, "发送中")
        assert (sent.created, len(sent.offsets)) == (1, 2)
        assert sent.offsets[1] > 0
        with page.expect_response(lambda answer: answer.request.method == "DELETE"):
            row(page, film.name).get_by_role("button", name="取消").click()
        state(page, film.name, "已取消")
        left = office.client.get("/inbox/uploads").text
        assert film.name not in left, "what came of it is dropped"
        page.context.clear_cookies()
        page.evaluate(DROP, ["body", [["later.txt", "later"]]])
        page.click("[data-part=start]")
        state(page, "later.txt", "已中断")
        expect(page.locator(".lhu-why", has_text="登录已失效")).to_be_visible()
        with page.expect_response("**/upload/papers*"):  # what the page asks for by itself
            pass
        page.wait_for_timeout(200)
        assert page.url.endswith("/upload")
        page.context.add_cookies([{"name": "liuhen_session", "value": office.session, "url": office.server.base_url}])
        row(page, "later.txt").get_by_role("button", name="重新发送").click()
        state(page, "later.txt", "已校验")


@PAGE_ALONE
def test_images_become_a_document_in_the_order_that_was_chosen(office: Office, tmp_path: Path) -> None:
    pages = [scan(tmp_path / f"扫描_{place}.png", 40 * place) for place in (1, 2, 3)]
    with office.page(f"/upload?case={CASE['number']}&stage=investigation") as (page, _sent):
        page.set_input_files("[data-part=files]", pages)
        page.click("[data-part=gather]")
        assert page.input_value(".lhu-draft input") == "扫描"
        page.fill(".lhu-draft input", "现场检查笔录")
        page.select_option(".lhu-draft select", "backs_last")
        assert page.locator(".lhu-sheet .clip").all_inner_texts() == ["扫描_1.png", "扫描_3.png", "扫描_2.png"]
        page.select_option(".lhu-draft select", "by_name")
        page.locator(".lhu-sheet").first.focus()
        page.keyboard.press("Alt+ArrowRight")
        page.keyboard.press("Alt+ArrowRight")
        assert [name.removesuffix(".png") for name in page.locator(".lhu-sheet .clip").all_inner_texts()] == [
            "扫描_2", "扫描_3", "扫描_1",
        ]  # fmt: skip
        page.click("[data-part=start]")
        whole = page.locator("tr.lhu-paper a")
        whole.wait_for(timeout=20_000)
        made = whole.inner_text()
        of_pages = [number(page, f"扫描_{place}.png") for place in (2, 3, 1)]
        expect(page.locator("tr.lhu-paper .lh-badge")).to_have_text("已校验", timeout=20_000)
        page.goto(f"/items/{made}")
        assert page.locator("#sheets td a.nowrap, #sheets td.nowrap a").all_inner_texts() == of_pages
        page.goto(f"/items/{of_pages[0]}")
        expect(page.locator(".lh-note", has_text="现场检查笔录")).to_contain_text(made)
    listed = office.listed(made)
    assert listed.title == "现场检查笔录"
    assert [str(each.number) for each in listed.pages] == of_pages
    digests = [hashlib.sha256(pages[place - 1].read_bytes()).hexdigest() for place in (2, 3, 1)]
    assert [each.sha256.hex for each in listed.pages] == digests
    assert {bound["case"] for bound in office.item(made)["bindings"]} == {office.case_id}


@PAGE_ALONE
def test_a_document_whose_page_failed_waits_for_it_also_after_a_reload(office: Office, tmp_path: Path) -> None:
    pages = [scan(tmp_path / f"p{place}.png", 50 + 40 * place) for place in (1, 2)]
    with office.page() as (page, _sent):
        refused = json.dumps({"code": "internal", "again": False, "facts": {}})

        def second_fails(route, request) -> None:
            lost = request.method == "POST" and "page Mg==" in request.headers.get("upload-metadata", "")
            route.fulfill(status=500, body=refused, content_type="application/problem+json") if lost else route.continue_()

        page.route("**/api/v1/uploads", second_fails)
        page.set_input_files("[data-part=files]", pages)
        page.click("[data-part=gather]")
        page.click("[data-part=start]")
        state(page, "p2.png", "被拒绝")
        state(page, "p1.png", "已校验")
        expect(page.locator("tr.lhu-paper .lh-badge")).to_contain_text("尚缺第")
        page.unroute("**/api/v1/uploads")
        page.reload()
        expect(page.locator("[data-part=unfinished]")).to_contain_text("p2.png")
        expect(page.locator("#papers .lhu-missing")).to_have_text("第\u20092\u2009页")
        page.set_input_files("[data-part=files]", pages)
        expect(page.locator("[data-part=count]")).to_have_text("1")
        page.locator("tr.lhu-paper a").wait_for(timeout=20_000)
        made = page.locator("tr.lhu-paper a").inner_text()
        expect(page.locator("#papers table")).to_have_count(0, timeout=10_000)
    assert [each.sha256.hex for each in office.listed(made).pages] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in pages
    ]


def kinds(office: Office, number: str) -> tuple[list[str], list[str]]:
    """The jobs of an item, and its custody events but for looks and for what is made once of the same bytes; the kinds of both."""
    jobs = wait_for_jobs(office.client, number)
    events = office.client.get(f"/api/v1/items/{number}/events").raise_for_status().json()
    passing = {"viewing", "derivation", "dissemination"}
    return sorted(str(job["kind"]) for job in jobs), sorted(each["kind"] for each in events if each["kind"] not in passing)


def test_a_scanner_s_folder_and_the_page_end_in_the_same_accession(office: Office, tmp_path: Path) -> None:
    folder = tmp_path / "scanner" / "询问笔录"
    folder.mkdir(parents=True)
    pages = [scan(folder / f"scan_{place:04d}.png", 60 + 30 * place) for place in (1, 2, 3)]
    station = office.server.enrol_station("scanner-1")
    done = office.server.dock(station, folder.parent, "--scanner", "--settle", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    with office.page() as (page, _sent):
        page.set_input_files("[data-part=files]", pages)
        page.click("[data-part=gather]")
        page.fill(".lhu-draft input", "询问笔录")
        page.click("[data-part=start]")
        page.locator("tr.lhu-paper a").wait_for(timeout=20_000)
        by_hand = page.locator("tr.lhu-paper a").inner_text()
    every = office.client.get("/api/v1/items", params={"q": "询问笔录"}).raise_for_status().json()["items"]
    found = {row["number"]: row["source"] for row in every if row["name"] == "询问笔录"}
    assert sorted(found.values()) == sorted(["scanner-1", found[by_hand]])
    (docked,) = set(found) - {by_hand}

    lists = [office.listed(number) for number in (docked, by_hand)]
    assert lists[0].title == lists[1].title == "询问笔录"
    facts = [[(each.sha256.hex, each.size, each.media_type) for each in listed.pages] for listed in lists]
    assert facts[0] == facts[1]
    assert [sha256 for sha256, _size, _type in facts[0]] == [hashlib.sha256(path.read_bytes()).hexdigest() for path in pages]
    assert kinds(office, docked) == kinds(office, by_hand)
    for one, other in zip(lists[0].pages, lists[1].pages, strict=True):
        assert kinds(office, str(one.number)) == kinds(office, str(other.number))
