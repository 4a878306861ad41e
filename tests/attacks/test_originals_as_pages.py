"""The flaw: an original that is HTML, SVG or a script as well as what it claims, opened by its address, runs as a page of the archive.

Safeguards: what is served is called what a browser can only show, or plain bytes (`archive.web.api.ranges.served_as`); `nosniff` keeps the
browser from judging for itself; a sandbox policy gives it no origin, no script and nothing to load; a download is an attachment. Text
that files carry inside is escaped where pages show it (autoescape), and goes into no storyboard.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx
import pytest

from archive.actions import case, person
from archive.core.cases import Stage
from archive.web.app import create_app
from archive.web.identity import COOKIE
from tests.corpus.crafted import SCRIPT
from tests.corpus.inputs import input_file
from tests.media_files import workshop
from tests.serving import served

POLYGLOTS = {
    "page.html": "application/octet-stream",
    "drawing.svg": "application/octet-stream",
    "polyglot.gif": "image/gif",
    "polyglot.pdf": "application/pdf",
}
MARKED = ["html.mp4", "html.jpg", "html.pdf", "subtitled.mp4"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    with workshop(tmp_path_factory.mktemp("pages") / "data") as shop:
        numbers = {name: shop.take_in(input_file(name)) for name in [*POLYGLOTS, *MARKED]}
        shop.work()
        resources = shop.resources
        with resources.transaction() as session:
            now = resources.now()
            person.sign_in(session, login="admin", right=True, token="token", address="", now=now)
            marked = {"number": f"114{SCRIPT}", "title": SCRIPT, "subject": SCRIPT}
            case_id = case.open_case(session, **marked, by=shop.caller, now=now)
            for name in MARKED:
                case.bind(
                    session, case_id=case_id, number=numbers[name], stage=Stage.INVESTIGATION, at=now, by=shop.caller, now=now
                )
        with (
            served(create_app(resources)) as url,
            httpx.Client(
                base_url=url, headers={"Origin": url}, cookies={COOKIE: "token"}, trust_env=False, follow_redirects=True
            ) as client,
        ):
            yield shop, client, numbers, case_id


@pytest.mark.parametrize("name", POLYGLOTS)
def test_an_original_opened_by_its_address_is_no_page(site, name: str):
    _, client, numbers, _ = site
    answer = client.get(f"/api/v1/items/{numbers[name]}/original")
    assert answer.headers["Content-Type"] == POLYGLOTS[name]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers.get_list("Content-Security-Policy") == ["sandbox; default-src 'none'; frame-ancestors 'none'"]
    assert answer.content == input_file(name).read_bytes()


@pytest.mark.parametrize("name", POLYGLOTS)
def test_a_download_is_an_attachment_of_bytes(site, name: str):
    _, client, numbers, _ = site
    answer = client.get(f"/api/v1/items/{numbers[name]}/download")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_every_rendition_is_sent_as_something_a_browser_only_shows(site):
    shop, client, numbers, _ = site
    for name in MARKED:
        for recipe in shop.renditions(numbers[name]):
            answer = client.get(f"/api/v1/items/{numbers[name]}/renditions/{recipe}")
            assert answer.status_code in (200, 206), (name, recipe)
            assert re.match(r"image/jpeg|video/mp4|audio/mp4|text/vtt|application/json", answer.headers["Content-Type"]), recipe
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert b"<script" not in answer.content, (name, recipe)


def test_markup_inside_a_file_is_text_on_every_page(site):
    _, client, numbers, case_id = site
    pages = ["/inbox", "/items", "/jobs", f"/cases/{case_id}", "/cases", "/status", f"/items?q={quote(SCRIPT)}"]
    pages += [f"/items/{numbers[name]}" for name in MARKED] + [f"/items/{numbers[name]}/panel" for name in MARKED]
    seen = ""
    for address in pages:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "<script>alert" not in answer.text, address
        assert "onerror=alert" not in answer.text, address
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        seen += answer.text
    assert "&lt;script&gt;alert" in seen, "the words of the attack are nowhere to be seen, so nothing was tried"


def test_the_interface_says_it_as_json_and_nothing_else(site):
    _, client, numbers, _ = site
    answer = client.get(f"/api/v1/items/{numbers['html.mp4']}")
    assert answer.headers["Content-Type"] == "application/json"
    assert SCRIPT in answer.json()["technical"]["tags"].values()


def test_the_storyboards_times_hold_no_words_of_the_file(site):
    shop, _, numbers, _ = site
    text = shop.content(numbers["html.mp4"], "storyboard-vtt").decode()
    assert re.fullmatch(r"WEBVTT\n\n(?:[\d:.]+ --> [\d:.]+\nstoryboard#xywh=\d+,\d+,\d+,\d+\n\n?)+", text)
