"""A body far longer than any form, from somebody who did not sign in: it is refused before it is read, in its sender's own terms."""

import socket
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx
import pytest

from archive.resources import opened
from archive.settings import read
from archive.web.app import create_app
from archive.web.bodies import MOST
from tests.serving import served

VAST = 500 * 2**20
FORM = "application/x-www-form-urlencoded"
FILE = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="login"; filename="a"\r\n\r\n'
READERS = [
    ("POST", "/api/v1/stations/nonces", "application/json", b'{"station": "'),
    ("POST", "/api/v1/cases", "application/json", b'{"number": "'),
    ("PUT", "/api/v1/rules/carrier", "application/json", b'{"rule": "'),
    ("POST", "/sign-in", FORM, b"login="),
    ("POST", "/sign-in", FILE, PART),
    ("POST", "/language", FORM, b"language="),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    settings = read({}, data_dir=tmp_path_factory.mktemp("endless") / "data", agency="131102")
    with opened(settings) as resources, served(create_app(resources)) as url:
        yield url


@contextmanager
def asked(url, method, path, **headers):
    """Give a connection over which a request's head went, and no byte of its body."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as wire:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {where.netloc}", f"Origin: {url}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        yield wire


def answer(wire):
    with HTTPResponse(wire) as told:
        told.begin()
        return told.status, told.getheader("Content-Type"), told.read().decode()


@pytest.mark.parametrize(("method", "path", "kind", "begins"), READERS)
def test_a_body_that_says_how_long_it_is_is_refused_before_a_byte_of_it_came(url, method, path, kind, begins):
    with asked(url, method, path, Content_Type=kind, Content_Length=VAST) as wire:
        status, _, text = answer(wire)
    assert status == 413
    assert "body_too_large" in text


@pytest.mark.parametrize(("method", "path", "kind", "begins"), READERS)
def test_a_body_that_does_not_say_is_refused_where_it_becomes_too_long(url, method, path, kind, begins):
    with asked(url, method, path, Content_Type=kind, Transfer_Encoding="chunked") as wire:
        data = begins + b"a" * (MOST + 1 - len(begins))
        wire.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")  # and nothing says that this is its end
        status, _, text = answer(wire)
    assert status == 413
    assert "body_too_large" in text


def test_a_program_is_told_by_a_code_and_a_person_in_their_language(url):
    with asked(url, "POST", "/api/v1/stations/nonces", Content_Type="application/json", Content_Length=VAST) as wire:
        assert answer(wire)[1] == "application/problem+json"
    for language, title in (("zh-CN", "内容过大"), ("en", "Too much at once")):
        with asked(url, "POST", "/sign-in", Content_Type=FORM, Content_Length=VAST, Cookie=f"liuhen_language={language}") as wire:
            _, kind, text = answer(wire)
        assert kind == "text/html; charset=utf-8"
        assert title in text


def test_a_body_of_just_the_most_is_read(url):
    told = httpx.post(f"{url}/api/v1/stations/nonces", content=b'{"station": "' + b"a" * (MOST - 15) + b'"}', trust_env=False)
    assert (told.status_code, told.json()["code"]) == (400, "malformed")


def test_an_upload_may_be_long_and_asks_first_who_sends(url):
    for path in ("/api/v1/uploads", "/api/v1/uploads/0123456789abcdef"):
        with asked(url, "POST", path, Tus_Resumable="1.0.0", Upload_Length=VAST, Content_Length=VAST) as wire:
            assert answer(wire)[0] == 401
    with asked(url, "POST", "/api/v1/uploadsandmore", Content_Length=VAST) as wire:
        assert answer(wire)[0] == 413
