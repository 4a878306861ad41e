"""The upload page behind its component: what it carries, what it answers, and that no other site's page and nobody else's eyes get in."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import httpx
import pytest

from archive.actions import case, person
from archive.adapters import signing
from archive.core import errors
from archive.core.access import PersonCaller
from archive.resources import opened
from archive.settings import Settings
from archive.web.app import create_app
from archive.web.pages import upload_words
from archive.web.pages.upload import AT_ONCE, CHUNK
from tests.serving import served
from tests.web.pages_world import AGENCY, PASSWORD, World, work
from tests.web.tus import TUS, metadata

UI = Path(__file__).parents[2] / "archive" / "web" / "ui"
PAPER = "c" * 32
NUMBER = "桃市监罚〔2026〕114号"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory):
    settings = Settings(data_dir=tmp_path_factory.mktemp("upload") / "data", agency="131102", agency_name=AGENCY, worker=False)
    with opened(settings) as resources:
        built = World(resources)
        with resources.transaction() as session:
            now, password = resources.now(), signing.hash_password(PASSWORD)
            person.bootstrap(session, login="admin", name="王敏", password_hash=password, now=now)
            built.case_id = case.open_case(
                session, number=NUMBER, title="经营超过保质期食品案", subject="某店", by=PersonCaller(1, "admin", "王敏"), now=now
            )
        with served(create_app(resources)) as built.url:
            yield built


def send(client: httpx.Client, content: bytes, **said: str) -> httpx.Response:
    """Open an upload with the session's cookie and send all of it."""
    headers = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": metadata(filename="scan.jpg", **said)}
    opened = client.post("/api/v1/uploads", headers=headers)
    if opened.status_code != 201:
        return opened
    body = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    return client.patch(opened.headers["Location"], headers=body, content=content)


def page_of(page: int, of: int = 2) -> dict[str, str]:
    return {"document": PAPER, "page": str(page), "pages": str(of), "title": "询问笔录〈李某〉"}


def carried(text: str, name: str) -> str:
    found = re.search(rf'data-{name}="([^"]*)"', text)
    assert found, name
    return unescape(found[1])


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_the_page_carries_the_limits_and_every_word_its_component_says(archive: World, language: str) -> None:
    with archive.client(language) as client:
        text = client.get("/upload").text
    assert carried(text, "chunk") == str(CHUNK)
    assert 16 * 2**20 <= CHUNK <= 32 * 2**20
    assert carried(text, "at-once") == str(AT_ONCE) == "3"
    assert carried(text, "limit") == str(archive.resources.settings.max_upload_bytes)
    said = json.loads(carried(text, "words"))
    assert set(upload_words.UPLOADING) <= set(said)
    assert set(json.loads(carried(text, "refusals"))) == set(upload_words.REFUSED)


def test_the_component_says_exactly_the_words_there_are() -> None:
    sources = "".join(path.read_text("utf-8") for path in UI.glob("*.ts") if path.name in OWN)
    used = set(re.findall(r'\bword\("(\w+)"', sources)) | set(re.findall(r'\["(sum_\w+)"', sources))
    states = re.search(r"export type State =([^;]+);", sources)
    orders = re.search(r"const ORDERS = \[([^\]]+)\]", sources)
    assert states
    assert orders
    used |= {f"state_{name}" for name in re.findall(r'"(\w+)"', states[1])}
    used |= {f"order_{name}" for name in re.findall(r'"(\w+)"', orders[1])}
    assert used - {"page_of"} == set(upload_words.UPLOADING)


OWN = {"upload.ts", "upload_rows.ts", "drafts.ts", "unfinished.ts", "sending.ts", "kept.ts", "hashing.ts", "dropped.ts"}


def test_every_refusal_an_upload_can_run_into_has_words() -> None:
    codes = {each.code for each in _all(errors.LiuhenError) if hasattr(each, "code")}
    own = {"file_unreadable"}
    assert {code.partition(".")[0] for code in upload_words.REFUSED} <= codes | own
    # What only a station, a worker or a wrong client meets needs none.
    met = {"upload_too_large", "past_length", "digest_mismatch", "upload_gone", "upload_busy", "upload_taken_over", "page_taken"}
    assert met | {"disk_full", "unavailable", "internal", "malformed", "sign_in_required"} <= set(upload_words.REFUSED)


def test_a_link_from_a_case_fills_in_what_the_files_are_for(archive: World) -> None:
    with archive.client() as client:
        case_page = client.get(f"/cases/{archive.case_id}").text
        (link,) = re.findall(r'href="(/upload\?case=[^"]+)"', case_page)
        text = client.get(unescape(link) + "&stage=decision").text
        assert 'value="桃市监罚〔2026〕114号"' in text
        assert "经营超过保质期食品案" in text
        assert re.search(r'<option value="decision" selected>', text)
        known = client.get("/upload/case", params={"number": "桃市监罚[2026] 114 号"})
        assert known.json() == {"number": "桃市监罚〔2026〕114号", "title": "经营超过保质期食品案"}
        assert client.get("/upload/case", params={"number": "无"}).status_code == 404


def test_a_file_sent_with_the_session_s_cookie_is_followed_until_it_is_verified(archive: World) -> None:
    with archive.client() as client:
        number = send(client, b"\xff\xd8\xff\xe0 one", case="桃市监罚〔2026〕114号", stage="review").headers["Liuhen-Number"]
        again = send(client, b"\xff\xd8\xff\xe0 one").headers["Liuhen-Number"]
        asked = client.get("/upload/states", params={"n": [number, again, "131102-LX-2026-99999999"]}).json()
        assert asked == {
            "items": {number: {"state": "stored", "same": None}, again: {"state": "stored", "same": number}},
            "papers": {},
        }
        work(archive.resources)
        asked = client.get("/upload/states", params={"n": [number]}).json()
        assert asked["items"][number]["state"] == "verified"
        assert number in client.get(f"/cases/{archive.case_id}").text


def test_another_site_s_page_cannot_upload_with_somebody_s_cookie(archive: World) -> None:
    with archive.client() as client:
        client.headers["Origin"] = "http://elsewhere.example"
        assert send(client, b"x").status_code == 403


def test_a_document_that_waits_is_shown_to_its_sender_and_in_the_inbox_until_it_is_whole(archive: World) -> None:
    with archive.client() as client:
        assert send(client, b"\xff\xd8\xff\xe0 p2", **page_of(2)).status_code == 204
        waits = client.get("/upload/papers").text
        assert "询问笔录〈李某〉" in waits
        assert json.loads(carried(waits, "missing"))["page"] == 1
        inbox = client.get("/inbox/uploads").text
        assert "询问笔录〈李某〉" in inbox
        assert "data-missing" not in inbox, "only its sender can send the page"
        assert client.get("/upload/states", params={"p": [PAPER]}).json()["papers"] == {PAPER: {"arrived": [2], "number": None}}
        assert send(client, b"other", **page_of(2)).json()["code"] == "page_taken"
        assert send(client, b"\xff\xd8\xff\xe0 p1", **page_of(1)).status_code == 204
        work(archive.resources)
        assert "询问笔录" not in client.get("/upload/papers").text
        told = client.get("/upload/states", params={"p": [PAPER]}).json()["papers"][PAPER]
        assert told["arrived"] == [1, 2]
        assert client.get(f"/items/{told['number']}").text.count("scan.jpg") >= 2
        assert client.get(f"/items/{told['number']}/sheets", params={"shown": 9}).status_code == 200
        assert client.get(f"/api/v1/items/{told['number']}/receipt").status_code == 200


def _all(root: type) -> set[type]:
    return {root} | {each for child in root.__subclasses__() for each in _all(child)}


def test_a_receipt_is_a_page_with_its_facts_and_the_signed_note(archive: World) -> None:
    with archive.client("en") as client:
        number = send(client, b"\xff\xd8\xff\xe0 receipt").headers["Liuhen-Number"]
        assert client.get(f"/items/{number}/receipt").status_code == 425
        work(archive.resources)
        text = client.get(f"/items/{number}/receipt").text
        signed = client.get(f"/api/v1/items/{number}/receipt").text
        assert unescape(re.findall(r"<pre[^>]*>(.*?)</pre>", text, re.DOTALL)[0]) == signed
        assert str(archive.resources.signer.key).replace("+", "&#43;") in text or str(archive.resources.signer.key) in text
        assert f'href="/items/{number}/receipt"' in client.get(f"/items/{number}").text


def test_the_quarantine_is_turned_page_by_page_and_no_row_is_lost(archive: World) -> None:
    with archive.client() as client:
        for count in range(53):
            assert send(client, b"%d" % count, sha256="0" * 64).status_code == 460
        first = client.get("/quarantine").text
        (link,) = re.findall(r'href="(/quarantine\?after=\w+)" rel="next"', first)
        second = client.get(link).text
        rows = [set(re.findall(r'class="mono"><span class="clip" title="(\w{32})"', text)) for text in (first, second)]
        assert [len(each) for each in rows] == [50, 3]
        assert not rows[0] & rows[1]
        assert 'rel="next"' not in second
        assert "53" in second
