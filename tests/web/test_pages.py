"""Pages over HTTP: every page in both languages, lists and their addresses, forms and their refusals."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from http import HTTPStatus

import httpx
import pytest

from archive.actions import item, jobs
from archive.core.access import PersonCaller
from archive.web.pages.language import catalogue
from tests.web.pages_world import LONG_NAME, World, world

LANGUAGES = ("zh-CN", "en")
ITEMS = ("film", "later", "unclocked", "old", "sound", "photo", "paper", "damaged", "unknown", "waiting")
SPOKEN = ("title", "aria-label", "placeholder", "alt")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("pages") / "data") as built:
        yield built


@pytest.fixture
def chinese(archive: World) -> Iterator[httpx.Client]:
    with archive.client() as client:
        yield client


class Said(HTMLParser):
    """What a page says: its text, and the texts of attributes that are read out or shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.inline: list[str] = []
        self._silent = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._silent += tag in ("pre", "style", "script")
        self.inline += [f"{tag} {name}" for name, _value in attributes if name.startswith("on") or name == "style"]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in dict(attributes)) else []
        self.texts += [value.strip() for name, value in attributes if name in SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("pre", "style", "script")

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._silent:
            self.texts.append(re.sub(r"[ \n]+", " ", data).strip(" \n"))


def every_page(archive: World) -> list[str]:
    return [
        *("/inbox", "/inbox/uploads", "/items", "/items?kind=photo", "/items?q=nothing-has-this", "/cases", "/cases/new"),
        *(
            "/cases?q=nothing-has-this",
            f"/cases/{archive.case_id}",
            "/jobs",
            "/quarantine",
            "/carrier",
            "/upload",
            "/upload/papers",
        ),
        *(f"/jobs?state={state}" for state in ("running", "waiting", "dead", "done")),
        *(f"/items/{archive.numbers[name]}{part}" for name in ITEMS for part in ("", "/panel", "/progress")),
    ]


def text_of(answer: httpx.Response) -> str:
    return " ".join(Said(answer.text).texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_answers_in_the_readers_language(archive: World, language: str) -> None:
    with archive.client(language) as client:
        for address in every_page(archive):
            answer = client.get(address)
            assert answer.status_code == HTTPStatus.OK, address
            assert "None" not in text_of(answer).split(), address
            if "<html" in answer.text:
                assert f'<html lang="{language}"' in answer.text, address


COMMANDS = {"liuhen rule carrier set FILE"}


def test_no_english_sentence_is_left_in_a_chinese_page(archive: World, chinese: httpx.Client) -> None:
    known = catalogue("zh-CN")._catalog
    english = {key for key, said in known.items() if isinstance(key, str) and key and key != said and re.search("[a-z]{3}", key)}
    for address in [*every_page(archive), "/items/131102-LX-2026-99999999"]:
        said = set(Said(chinese.get(address).text).texts)
        assert not said & english, address
        # A sentence put together of parts would not be found above: no run of three English words may stand anywhere.
        prose = [text for text in said - COMMANDS if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,} [A-Za-z]{2,}", text)]
        assert not prose, (address, prose)


def test_what_the_components_may_say_comes_in_the_readers_language(archive: World) -> None:
    for language, play in (("zh-CN", "播放"), ("en", "Play")):
        with archive.client(language) as client:
            page = client.get("/inbox").text
        words = json.loads(unescape(re.search(r'data-words="([^"]*)"', page)[1]))
        assert words["play"] == play


def test_a_language_that_is_not_offered_is_chinese(archive: World) -> None:
    with archive.client("xx") as client:
        assert '<html lang="zh-CN"' in client.get("/inbox").text


def test_choosing_a_language_is_kept_and_leads_back(archive: World, chinese: httpx.Client) -> None:
    answer = chinese.post("/language", data={"language": "en", "back": "/cases"})
    assert str(answer.url).endswith("/cases")
    assert '<html lang="en"' in answer.text
    assert '<html lang="en"' in chinese.get("/items").text


@pytest.mark.parametrize("where", ["//elsewhere.example/", "https://elsewhere.example/", "/\\elsewhere.example", "elsewhere"])
def test_a_form_field_cannot_send_anybody_elsewhere(archive: World, where: str) -> None:
    with httpx.Client(base_url=archive.url, headers={"Origin": archive.url}, trust_env=False) as client:
        assert client.post("/language", data={"language": "en", "back": where}).headers["location"] == "/"
        signed = client.post("/sign-in", data={"login": "admin", "password": "an office password", "next": where})
        assert signed.headers["location"] == "/"


def test_a_page_that_is_not_there_says_so_in_words_and_with_its_code(chinese: httpx.Client) -> None:
    for address in ("/items/131102-LX-2026-99999999", "/cases/999", "/no-such-page"):
        answer = chinese.get(address)
        assert answer.status_code == HTTPStatus.NOT_FOUND
        assert "没有找到" in answer.text
        assert "not_found" in answer.text
        assert "/sign-in" not in answer.text, address
    assert "/sign-in" not in chinese.get("/sign-out").text


def test_whoever_is_not_signed_in_is_offered_to_from_a_page_that_is_not_there(archive: World) -> None:
    with httpx.Client(base_url=archive.url, trust_env=False) as client:
        answer = client.get("/no-such-page", headers={"Cookie": "liuhen_session=spent"})
        assert answer.status_code == HTTPStatus.NOT_FOUND
        assert 'href="/sign-in"' in answer.text
        posted = client.post("/no-such-page", headers={"Cookie": "liuhen_session=spent", "Origin": "https://evil.example"})
        assert posted.status_code == HTTPStatus.NOT_FOUND


def test_changing_the_language_after_a_refused_binding_leads_to_the_page(archive: World, chinese: httpx.Client) -> None:
    for address in (f"/items/{archive.numbers['film']}", f"/cases/{archive.case_id}"):
        refused = chinese.post(f"{address}/bind", data={"item": "x", "case": "x", "stage": "review"})
        assert refused.status_code == HTTPStatus.NOT_FOUND
        answer = chinese.post("/language", data={"language": "zh-CN", "back": f"{address}/bind"})
        assert answer.status_code == HTTPStatus.OK
        assert answer.url.path == address


def test_an_item_page_shows_where_it_is_from_and_what_was_done_with_it(archive: World, chinese: httpx.Client) -> None:
    said = text_of(chinese.get(f"/items/{archive.numbers['film']}"))
    for part in (
        *("已校验", "DSJ-A1023", "张伟", "2026-03-12 09:01:20", "0:00:12.000", "H.264 320×180 25 fps", "AAC 48 kHz"),
        *(
            "记录仪快\u20093\u2009秒",
            "采集站\u2009dock-2",
            "已签名",
            "TF 卡",
            "桃市监罚〔2026〕114号",
            "调查取证",
            "读回校验：完好",
        ),
    ):
        assert part in said, part


def test_a_clock_that_was_never_compared_is_said_on_every_page_that_shows_the_time(archive: World, chinese: httpx.Client) -> None:
    number = archive.numbers["unclocked"]
    for address in (f"/items/{number}", f"/items/{number}/panel", "/items?recorder=DSJ-A1077", f"/cases/{archive.case_id}"):
        assert "时钟未核" in text_of(chinese.get(address)), address


def test_the_same_bytes_again_say_which_item_has_them(archive: World, chinese: httpx.Client) -> None:
    page = chinese.get(f"/items/{archive.numbers['unclocked']}").text
    assert f'<a href="/items/{archive.numbers["later"]}">' in page
    assert "的字节相同" in page


def test_a_damaged_file_says_what_is_wrong_as_a_sentence(archive: World, chinese: httpx.Client) -> None:
    said = text_of(chinese.get(f"/items/{archive.numbers['damaged']}"))
    assert "已损坏" in said
    assert "文件过早结束" in said
    assert "truncated" not in said
    assert "这里播放的是修复件，不是原件。" in said, "rebuilt after a healthy file, and never taken for the original"


def test_not_checked_never_looks_like_fine(archive: World, chinese: httpx.Client) -> None:
    page = chinese.get(f"/items/{archive.numbers['waiting']}").text
    assert "is-verified" not in page
    assert "已入档，未校验" in page
    assert "未检验" in page


def test_the_copy_that_plays_is_offered_before_an_original_that_does_not(archive: World, chinese: httpx.Client) -> None:
    page = chinese.get(f"/items/{archive.numbers['old']}").text
    sources = json.loads(unescape(re.search(r'data-sources="([^"]*)"', page)[1]))
    assert [source["url"].rsplit("/", 1)[-1] for source in sources] == ["transcode", "original"]
    direct = chinese.get(f"/items/{archive.numbers['film']}").text
    sources = json.loads(unescape(re.search(r'data-sources="([^"]*)"', direct)[1]))
    assert [source["url"].rsplit("/", 1)[-1] for source in sources] == ["original"]


def test_long_names_are_cut_by_the_page_and_whole_in_its_title(chinese: httpx.Client) -> None:
    assert f'title="{LONG_NAME}"' in chinese.get("/items?kind=recording").text


def test_filters_stand_in_the_address_and_narrow_the_list(archive: World, chinese: httpx.Client) -> None:
    def shown(address: str) -> set[str]:
        return set(re.findall(r"131102-(?:LX|ZP|LY|WS)-2026-\d{8}", text_of(chinese.get(address))))

    numbers = archive.numbers
    assert shown("/items?kind=photo") == {numbers["photo"]}
    assert shown("/items?kind=audio&recorder=DSJ-A1077") == {numbers["sound"]}
    assert shown("/items?from=2026-03-14&to=2026-03-14") == {numbers["later"]}
    assert shown("/items?state=damaged") == {numbers["damaged"]}
    assert shown(f"/items?q={numbers['paper'][-16:]}") == {numbers["paper"]}
    assert shown("/items?q=桃市监罚〔2026〕114号") == {numbers[n] for n in ("film", "later", "unclocked", "photo", "paper")}
    assert shown("/items?bound=no") == shown("/inbox")


def test_an_address_with_nonsense_in_it_still_leads_to_the_list(chinese: httpx.Client) -> None:
    odd = "/items?kind=x&from=yesterday&to=9999-12-31&state=1&sort=%00&order=up&after=zzz&bound=maybe"
    assert chinese.get(odd).status_code == HTTPStatus.OK
    assert chinese.get("/jobs?state=odd&before=%2e").status_code == HTTPStatus.OK
    assert chinese.get("/cases?before=-3").status_code == HTTPStatus.OK


def test_a_sorted_column_says_its_direction_and_turns(chinese: httpx.Client) -> None:
    page = chinese.get("/items?sort=size&order=desc&kind=recording").text
    assert 'aria-sort="descending"' in page
    assert "/items?kind=recording&amp;sort=size&amp;order=asc" in page


@pytest.mark.parametrize(
    ("name", "column"), [("items", "编号"), ("cases", "案由"), ("jobs", "工作"), ("quarantine", "声明的\u2009SHA-256")]
)
def test_every_list_can_be_had_as_csv(chinese: httpx.Client, name: str, column: str) -> None:
    answer = chinese.get(f"/{name}.csv?state=done" if name == "jobs" else f"/{name}.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith("\ufeff".encode())
    head, *rows = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"), newline=""))
    assert column in head
    assert rows
    assert {len(row) for row in rows} == {len(head)}


def test_a_csv_holds_exactly_what_the_filters_leave(archive: World, chinese: httpx.Client) -> None:
    rows = list(csv.reader(io.StringIO(chinese.get("/items.csv?kind=photo").text, newline="")))[1:]
    assert [row[0] for row in rows] == [archive.numbers["photo"]]
    case_rows = list(csv.reader(io.StringIO(chinese.get(f"/cases/{archive.case_id}/items.csv").text, newline="")))[1:]
    assert len(case_rows) == 5


def test_an_upload_under_way_is_shown_with_how_much_is_here(archive: World, chinese: httpx.Client) -> None:
    with archive.resources.spool.path("f" * 32).open("wb") as file:
        file.truncate(1_000_000_000)
    said = text_of(chinese.get("/inbox"))
    assert "正在上传 1" in said
    assert "DSJ-A1023_000271.MP4" in said
    assert "25%" in said


def test_quarantine_shows_both_digests(chinese: httpx.Client) -> None:
    page = chinese.get("/quarantine").text
    assert "坏件.MP4" in page
    assert len(set(re.findall(r'data-copy="([0-9a-f]{64})"', page))) == 2


def test_a_case_can_be_opened_once_under_its_number(chinese: httpx.Client) -> None:
    data = {"number": " 桃市监罚〔2026〕200号 ", "title": "无照经营案", "subject": "某商店"}
    opened = chinese.post("/cases/new", data=data)
    assert re.search(r"/cases/\d+$", str(opened.url))
    assert "桃市监罚〔2026〕200号" in opened.text
    again = chinese.post("/cases/new", data=data)
    assert again.status_code == HTTPStatus.CONFLICT
    assert "已有同一案号的案件：桃市监罚〔2026〕200号" in again.text
    assert 'value="无照经营案"' in again.text
    respelled = chinese.post("/cases/new", data={**data, "number": "桃市监罚[2026] 200 号"})
    assert "已有同一案号的案件：桃市监罚〔2026〕200号" in respelled.text


@pytest.mark.parametrize("wrong", [" ", "长" * 201, "x" * 5000])
def test_a_case_that_cannot_be_opened_is_told_which_field_is_wrong(archive: World, wrong: str) -> None:
    names = {"zh-CN": ("案号", "案由", "当事人"), "en": ("Case number", "Title", "Subject")}
    for language, fields in names.items():
        with archive.client(language) as client:
            for field, name in zip(("number", "title", "subject"), fields, strict=True):
                data = {"number": "桃市监罚〔2026〕299号", "title": "案", "subject": "某人", field: wrong}
                answer = client.post("/cases/new", data=data)
                assert answer.status_code == HTTPStatus.BAD_REQUEST
                said = re.search(r'role="alert">([^<]*)<', answer.text)[1]
                assert said.startswith((f"{name}：", f"{name}:"))
                assert "200" in said
                assert 'name="number"' in answer.text


def test_an_empty_case_says_what_to_do_next(chinese: httpx.Client) -> None:
    opened = chinese.post("/cases/new", data={"number": "桃市监罚〔2026〕201号", "title": "空案", "subject": "某人"})
    assert "时间线是空的" in opened.text
    assert "还没有归入条目" in opened.text


def test_a_case_title_is_text_and_never_markup(chinese: httpx.Client) -> None:
    title = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    opened = chinese.post("/cases/new", data={"number": "案\"'<b>202", "title": title, "subject": "'\"><i>"})
    for page in (opened.text, chinese.get("/cases").text):
        assert title in Said(page).texts
        assert not Said(page).inline
        assert not re.search("<img src=x|<script>alert|<b>202|<i>", page)


def test_an_item_is_bound_from_its_page_and_released_again(archive: World, chinese: httpx.Client) -> None:
    number = archive.numbers["sound"]
    bound = chinese.post(f"/items/{number}/bind", data={"case": "桃市监罚〔2026〕114号", "stage": "review"})
    assert str(bound.url).endswith(f"/items/{number}")
    assert "审核" in text_of(bound)
    again = chinese.post(f"/items/{number}/bind", data={"case": "桃市监罚〔2026〕114号", "stage": "review"})
    assert again.status_code == HTTPStatus.CONFLICT
    assert "已归入此案件的这一环节" in again.text
    end = re.search(r"/cases/\d+/bindings/\d+/end", bound.text)[0]
    released = chinese.post(end, data={"back": f"/items/{number}"})
    assert "尚未归入" in text_of(released)


def test_a_timeline_says_how_many_items_have_no_time_and_where_they_are(archive: World, chinese: httpx.Client) -> None:
    address = f"/cases/{archive.case_id}"
    assert "没有时间" not in chinese.get(address).text
    with archive.resources.reading() as session:
        number = next(row.number for row in item.page(session, item.Filter(), limit=50).rows if row.started_at is None)
    bound = chinese.post(f"{address}/bind", data={"item": number, "stage": "review"})
    assert re.search('<a href="#untimed">另有\u20091\u2009项没有时间，见列表</a>', bound.text)
    row = bound.text.split('id="untimed"')[1].split("</tr>")[0]
    assert number in row
    chinese.post(re.search(r"/cases/\d+/bindings/\d+/end", row)[0], data={"back": address}).raise_for_status()


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"case": "没有这个案号", "stage": "review"}, "没有这个案号的案件"),
        ({"case": "桃市监罚〔2026〕114号", "stage": "odd"}, "请选择环节"),
        ({"case": "桃市监罚〔2026〕114号", "stage": "review", "at": "yesterday"}, "不是有效的日期和时间"),
    ],
)
def test_a_binding_that_is_refused_says_why_beside_what_was_entered(
    archive: World, chinese: httpx.Client, form: dict[str, str], sentence: str
) -> None:
    answer = chinese.post(f"/items/{archive.numbers['paper']}/bind", data=form)
    assert answer.status_code >= HTTPStatus.BAD_REQUEST
    assert sentence in answer.text
    assert f'value="{form["case"]}"' in answer.text


def test_a_case_refuses_a_number_that_no_item_has(archive: World, chinese: httpx.Client) -> None:
    answer = chinese.post(f"/cases/{archive.case_id}/bind", data={"item": "131102-LX-2026-00009999", "stage": "review"})
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "没有这个编号的条目" in answer.text


def test_a_form_from_another_site_is_refused(archive: World) -> None:
    with archive.client() as client:
        answer = client.post(
            "/cases/new", data={"number": "x", "title": "x", "subject": "x"}, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == HTTPStatus.FORBIDDEN
        assert "请求来自其他网站" in answer.text


def test_a_failed_job_shows_the_tools_last_words_and_runs_again(archive: World, chinese: httpx.Client) -> None:
    resources = archive.resources
    now = resources.now()
    with resources.transaction() as session:
        claimed = jobs.claim(session, lane="quick", owner="test", now=now)
        assert claimed is not None
        jobs.fail(session, claimed, error="tool_failed", tail="<moov> atom not found", again=False, now=now)
    page = chinese.get("/jobs?state=dead").text
    assert "工具执行失败" in page
    assert "&lt;moov&gt; atom not found" in page
    answer = chinese.post(f"/jobs/{claimed.id}/rerun")
    assert "没有失败的任务" in answer.text
    again = chinese.post(f"/jobs/{claimed.id}/rerun")
    assert again.status_code == HTTPStatus.CONFLICT
    assert "只有最终失败的任务才能重新运行" in again.text
    with resources.reading() as session:
        waiting = jobs.overview(session, states=("waiting",))
    assert claimed.id in {job.id for job in waiting}


def test_a_look_at_an_item_is_logged_once_for_many_requests(archive: World, chinese: httpx.Client) -> None:
    number = archive.numbers["later"]
    for _ in range(3):
        chinese.get(f"/items/{number}")
    seen = [event for event in chinese.get(f"/api/v1/items/{number}/events").json() if event["kind"] == "viewing"]
    assert [event["facts"]["what"] for event in seen].count("page") == 1
    assert seen[0]["actor"] == PersonCaller(1, "admin", "王敏").actor


def test_pages_are_not_kept_by_caches_and_hold_nothing_inline(archive: World, chinese: httpx.Client) -> None:
    for address in every_page(archive):
        answer = chinese.get(address)
        assert answer.headers["cache-control"] == "no-store"
        assert not Said(answer.text).inline, address
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", ""), address
