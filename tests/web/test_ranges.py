from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from archive.core.digest import Digest, original_key
from archive.core.errors import Mismatch, RangeUnsatisfiable
from archive.web.api import ranges
from tests.contract.stores import STORES
from tests.serving import served

BYTES = bytes(number * 7 % 251 for number in range(3_000_017))
DIGEST = Digest.of(BYTES)
KEY = original_key(DIGEST)
TAG = f'"{DIGEST}"'
MIB = 1024 * 1024


@pytest.fixture(scope="module", params=STORES)
def shelf(request, tmp_path_factory):
    base = tmp_path_factory.mktemp("ranges")
    (base / "source").write_bytes(BYTES)
    with STORES[request.param](base) as made:
        yield made.store, made.store.put(KEY, base / "source", DIGEST).version


@pytest.fixture(scope="module")
def client(shelf):
    store, version = shelf
    facts = {"size": len(BYTES), "etag": DIGEST.hex, "media_type": "video/mp4", "version": version}

    def play(request):
        return ranges.capped(request, store, KEY, **facts)

    def save(request):
        prefix = request.query_params.get("accel", "")
        return ranges.whole(request, store, KEY, **facts, filename='现场 检查;1".mp4', x_accel_prefix=prefix)

    def empty(request):
        return ranges.capped(request, store, KEY, version=version, size=0, etag="0" * 64, media_type="text/plain")

    def refused(_request, error):
        return JSONResponse({"code": error.code}, 416)

    app = Starlette(
        routes=[Route("/play", play), Route("/save", save), Route("/empty", empty)],
        exception_handlers={RangeUnsatisfiable: refused},
    )
    with served(app) as address, httpx.Client(base_url=address, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        (None, 0, MIB),
        ("bytes=0-", 0, MIB),
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=100-99999999", 100, 100 + MIB),
        ("bytes=2999000-", 2999000, len(BYTES)),
        ("bytes=-17", len(BYTES) - 17, len(BYTES)),
        ("bytes=-99999999", 0, MIB),
        ("bytes=5-6, 900-1000", 5, 7),
        ("lines=1-2", 0, MIB),
        ("bytes=9-3", 0, MIB),
        ("bytes=-", 0, MIB),
        ("bytes=x-y", 0, MIB),
    ],
)
def test_a_player_gets_at_most_one_mebibyte_of_what_it_asked_for(client, header, start, stop):
    answer = client.get("/play", headers={} if header is None else {"Range": header})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(BYTES)}"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.headers["etag"] == TAG
    assert answer.content == BYTES[start:stop]


@pytest.mark.parametrize("header", [f"bytes={len(BYTES)}-", "bytes=9999999-10000000", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(client, header):
    assert client.get("/play", headers={"Range": header}).status_code == 416
    assert client.get("/save", headers={"Range": header}).status_code == 416


@given(st.text(max_size=40) | st.from_regex(r"bytes=\d{0,8}-\d{0,8}", fullmatch=True), st.integers(1, 10**8))
def test_any_range_header_gives_a_span_within_the_file_or_is_refused(header, size):
    try:
        span = ranges.asked_span(header, size)
    except RangeUnsatisfiable:
        return
    assert span is None or 0 <= span.start < span.stop <= size


def test_a_head_says_what_a_get_would_and_sends_nothing(client):
    for path, status, length in (("/play", 206, MIB), ("/save", 200, len(BYTES))):
        answer = client.head(path)
        assert answer.status_code == status
        assert answer.headers["content-length"] == str(length)
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.content == b""


def test_a_range_of_another_version_starts_from_the_beginning(client):
    same = client.get("/save", headers={"Range": "bytes=5-9", "If-Range": TAG})
    other = client.get("/save", headers={"Range": "bytes=5-9", "If-Range": '"another"'})
    weak = client.get("/save", headers={"Range": "bytes=5-9", "If-Range": f"W/{TAG}"})
    assert (same.status_code, same.content) == (206, BYTES[5:10])
    assert (other.status_code, other.content) == (200, BYTES)
    assert (weak.status_code, weak.content) == (200, BYTES)
    played = client.get("/play", headers={"Range": "bytes=5-9", "If-Range": '"another"'})
    assert played.headers["content-range"] == f"bytes 0-{MIB - 1}/{len(BYTES)}"


def test_what_the_sender_holds_already_is_not_sent_again(client):
    answer = client.get("/save", headers={"If-None-Match": f'"x", W/{TAG}'})
    assert (answer.status_code, answer.content) == (304, b"")
    assert client.get("/save", headers={"If-None-Match": '"x"'}).status_code == 200


def test_a_download_is_the_whole_file_under_its_own_name(client):
    answer = client.get("/save")
    assert answer.status_code == 200
    assert answer.content == BYTES
    assert answer.headers["content-length"] == str(len(BYTES))
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    assert unquote(disposition.partition("filename*=UTF-8''")[2]) == "现场 检查;1_.mp4"


def test_a_download_takes_any_range_uncapped(client):
    answer = client.get("/save", headers={"Range": "bytes=1-2500000"})
    assert answer.status_code == 206
    assert answer.content == BYTES[1:2500001]


def test_a_download_is_left_to_the_proxy_where_that_is_set(client):
    answer = client.get("/save", params={"accel": "/store/"}, headers={"Range": "bytes=1-2"})
    assert answer.headers["x-accel-redirect"] == f"/store/{KEY}"
    assert answer.headers["etag"] == TAG
    assert answer.content == b""
    assert "content-range" not in answer.headers


def test_an_empty_object_plays_as_nothing(client):
    answer = client.get("/empty", headers={"Range": "bytes=0-"})
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_truncated_object_is_never_passed_off_as_whole(shelf):
    store, version = shelf
    request = Request({"type": "http", "method": "GET", "headers": [(b"range", f"bytes={len(BYTES) - 1}-".encode())]})
    with pytest.raises(Mismatch):
        ranges.capped(request, store, KEY, version=version, size=len(BYTES) + 9, etag="x", media_type="a/b")


@given(st.text(max_size=60))
def test_no_file_name_breaks_out_of_its_header(name):
    header = ranges.disposition(name)
    header.encode("ascii")
    assert all(" " <= char <= "~" for char in header)
    assert header.count('"') == 2
    encoded = header.partition("filename*=UTF-8''")[2]
    assert "/" not in unquote(encoded)
    assert "\\" not in unquote(encoded)
    assert encoded
