"""Signing in and out over HTTP: who is sent where, what a wrong password is told, how long a session lasts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus

import httpx
import pytest

from archive.actions import person
from archive.core.instant import MINUTE
from tests.web.pages_world import World, world


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("session") / "data") as built:
        yield built


def test_whoever_is_not_signed_in_is_sent_to_sign_in_and_comes_back(archive: World) -> None:
    with httpx.Client(base_url=archive.url, headers={"Origin": archive.url}, trust_env=False) as client:
        sent = client.get("/items?kind=photo")
        assert sent.status_code == HTTPStatus.SEE_OTHER
        assert sent.headers["location"] == "/sign-in?next=%2Fitems%3Fkind%3Dphoto"
        form = client.get(sent.headers["location"])
        assert 'name="next" value="/items?kind=photo"' in form.text
        data = {"login": "admin", "password": "an office password", "next": "/items?kind=photo"}
        assert client.post("/sign-in", data=data).headers["location"] == "/items?kind=photo"


@pytest.mark.parametrize(
    ("language", "sentence"), [("zh-CN", "账号或密码不正确。"), ("en", "The name or the password is wrong.")]
)
def test_a_wrong_password_is_refused_in_the_readers_language(archive: World, language: str, sentence: str) -> None:
    with httpx.Client(base_url=archive.url, headers={"Origin": archive.url}, trust_env=False) as client:
        client.cookies.set("liuhen_language", language)
        for login in ("admin", "nobody-of-this-name"):
            answer = client.post("/sign-in", data={"login": login, "password": "a wrong password"})
            assert answer.status_code == HTTPStatus.UNAUTHORIZED
            assert sentence in answer.text
            assert "liuhen_session" not in answer.headers.get("set-cookie", "")
            assert client.get("/inbox").status_code == HTTPStatus.SEE_OTHER


def test_too_many_wrong_passwords_are_told_to_wait(archive: World) -> None:
    with httpx.Client(base_url=archive.url, headers={"Origin": archive.url}, trust_env=False) as client:
        for _ in range(person.ATTEMPTS):
            client.post("/sign-in", data={"login": "guessed", "password": "a wrong password"})
        answer = client.post("/sign-in", data={"login": "guessed", "password": "a wrong password"})
        assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
        assert "登录失败次数过多" in answer.text


def test_signing_out_ends_the_session_on_the_server(archive: World) -> None:
    with archive.client(anew=True) as client:
        cookie = client.cookies["liuhen_session"]
        client.post("/sign-out")
        client.cookies.set("liuhen_session", cookie)
        assert client.get("/inbox", follow_redirects=False).status_code == HTTPStatus.SEE_OTHER


def test_a_session_outlives_a_working_day_and_not_a_week(archive: World) -> None:
    with httpx.Client(base_url=archive.url, headers={"Origin": archive.url}, trust_env=False) as client:
        answer = client.post("/sign-in", data={"login": "admin", "password": "an office password"})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    seconds = int(re.search(r"max-age=(\d+)", cookie)[1])
    assert 8 * 60 * MINUTE <= seconds * 1_000_000 <= 24 * 60 * MINUTE
