"""Lists of many rows: a page at a time, by key, without a row twice or missing while others arrive; and lists of none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from archive.actions import case, fixity, person
from archive.actions import item as items
from archive.adapters import signing
from archive.core.access import PersonCaller
from archive.resources import opened
from archive.settings import Settings
from archive.web.app import create_app
from archive.web.pages.items import PAGE
from tests.serving import served
from tests.web.pages_world import PASSWORD, Intake, World

ROWS = 2 * PAGE + 7
NUMBER = re.compile(r'data-row[^>]* href="/items/([^"]+)"')


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from _archive(tmp_path_factory.mktemp("many"), ROWS)


@pytest.fixture(scope="module")
def none(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from _archive(tmp_path_factory.mktemp("none"), 0)


def _archive(folder: Path, rows: int) -> Iterator[World]:
    with opened(Settings(data_dir=folder / "data", agency="131102", worker=False)) as resources:
        now = resources.now()
        with resources.transaction() as session:
            person.bootstrap(session, login="admin", name="王敏", password_hash=signing.hash_password(PASSWORD), now=now)
            for number in range(rows):
                by = PersonCaller(1, "admin", "王敏")
                case.open_case(session, number=f"案{number:04d}", title="案由", subject="当事人", by=by, now=now)
        intake = Intake(resources)
        for number in range(rows):
            intake.take(
                b"row %d" % number * 3, f"{number:04d}.txt", started=f"2026-03-12T09:{number % 60:02d}:00" if number % 3 else None
            )
        with served(create_app(resources)) as url:
            yield World(resources, url)


@pytest.mark.parametrize(
    "order", ["stored&order=desc", "stored&order=asc", "started&order=desc", "started&order=asc", "size&order=asc"]
)
def test_walking_the_pages_shows_every_row_once(many: World, order: str) -> None:
    seen: list[str] = []
    address = f"/items?sort={order}"
    with many.client() as client:
        while address:
            page = client.get(address).text
            seen += NUMBER.findall(page)
            found = re.search(r'href="([^"]+)" rel="next"', page)
            address = found[1].replace("&amp;", "&") if found else ""
    assert len(seen) == len(set(seen)) == ROWS


def test_a_row_that_arrives_while_one_reads_on_moves_nothing(many: World) -> None:
    with many.client() as client:
        first = client.get("/items").text
        before = NUMBER.findall(client.get(re.search(r'href="([^"]+)" rel="next"', first)[1].replace("&amp;", "&")).text)
        case_page = client.get("/cases").text
        client.post("/cases/new", data={"number": "新到的案件", "title": "案由", "subject": "当事人"})
        after = NUMBER.findall(client.get(re.search(r'href="([^"]+)" rel="next"', first)[1].replace("&amp;", "&")).text)
        assert before == after
        more = re.search(r'href="([^"]+)" rel="next"', case_page)[1].replace("&amp;", "&")
        assert "新到的案件" not in client.get(more).text


def test_a_list_says_how_many_there_are(many: World) -> None:
    with many.client() as client:
        assert f"共\u2009{ROWS}\u2009条" in client.get("/items").text
        assert len(client.get("/items.csv").text.splitlines()) == ROWS + 1


def test_the_inbox_is_swapped_only_when_there_is_news(many: World) -> None:
    with many.client() as client:
        page = client.get("/inbox").text
        poll = re.search(r'id="waiting" hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
        assert client.get(poll).status_code == HTTPStatus.NO_CONTENT
        with many.resources.reading() as session:
            first = items.page(session, items.Filter(bound=False), limit=1).rows[0]
        with many.resources.transaction() as session:
            fixity.record(
                session, item_id=first.id, verdict=fixity.Verdict.INTACT, leaves=[first.sha256], now=many.resources.now()
            )
        news = client.get(poll)
        assert news.status_code == HTTPStatus.OK
        assert 'id="waiting"' in news.text


def test_an_empty_archive_says_what_to_do_next(none: World) -> None:
    with none.client() as client:
        assert "请在服务器上登记采集站" in client.get("/items").text
        assert "没有待归入的条目" in client.get("/inbox").text
        assert "先立案" in client.get("/cases").text
        assert "没有处于此状态的任务" in client.get("/jobs").text
        assert "隔离区是空的" in client.get("/quarantine").text
        assert 'lh-count"' not in client.get("/inbox").text
