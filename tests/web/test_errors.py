"""How a refusal, a fault and a bug are told."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from archive.core.errors import Unavailable
from archive.resources import opened
from archive.settings import read
from archive.web.app import create_app


@pytest.fixture
def app(tmp_path):
    with opened(read({}, data_dir=tmp_path / "data")) as resources:
        made = create_app(resources)

        def bug() -> None:
            raise RuntimeError("secret detail")

        def fault() -> None:
            raise Unavailable(why="no answer", tail="a tool's last words")

        for path in ("/api/v1/broken", "/broken"):
            made.get(path)(bug)
            made.get(f"{path}-tool")(fault)
        yield made


def get(app, path: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://archive.test") as client:
            return await client.get(path)

    return asyncio.run(send())


def test_a_bug_is_told_to_a_program_without_its_inside(app):
    answer = get(app, "/api/v1/broken")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert (answer.json()["code"], answer.json()["again"]) == ("internal", False)
    assert "secret" not in answer.text


def test_a_bug_is_told_to_a_person_as_a_page_in_their_language(app):
    answer = get(app, "/broken")
    assert answer.status_code == 500
    assert 'lang="zh-CN"' in answer.text
    assert "internal" in answer.text
    assert "secret" not in answer.text


def test_a_fault_says_that_trying_again_makes_sense_and_keeps_a_tools_words_to_the_log(app):
    answer = get(app, "/api/v1/broken-tool")
    assert (answer.status_code, answer.json()["again"], answer.headers["retry-after"]) == (503, True, "5")
    assert "last words" not in answer.text


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/nothing"])
def test_what_is_not_there_is_not_found_in_either_form(app, path):
    answer = get(app, path)
    assert answer.status_code == 404
    assert "not_found" in answer.text
