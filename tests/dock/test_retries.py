"""Claims about what the dock does on the archive's bad days."""

import json

import pytest

from archive.core.digest import Digest
from archive.dock.journal import State
from tests.dock.liar import DATA, JSON, NUMBER, Liar, a_receipt

CREATE = ("POST", "/api/v1/uploads")
APPEND = ("PATCH", "/api/v1/uploads/u")
HEAD = ("HEAD", "/api/v1/uploads/u")
STANDING = ("GET", "/api/v1/uploads/u")


def sent(liar):
    return b"".join(body for method, _, _, body in liar.heard if method == "PATCH")


@pytest.mark.parametrize("status", [423, 429, 500, 502, 503, 504, 507])
@pytest.mark.parametrize("request_line", [CREATE, APPEND])
def test_a_server_that_recovers_gets_the_file(serve_liar, dock_to, status, request_line):
    liar = serve_liar(Liar({request_line: [(status, {"Retry-After": "0"}, b"")]}))
    code, row = dock_to(liar, "--patience", "30")
    assert (code, row.state, row.number) == (0, State.VERIFIED, NUMBER)
    assert sent(liar).endswith(DATA)


@pytest.mark.parametrize("request_line", [CREATE, APPEND, HEAD])
def test_a_token_that_has_run_out_is_renewed(serve_liar, dock_to, request_line):
    liar = Liar({request_line: [(401, {}, b"")], HEAD: [(200, {"Upload-Offset": "0"}, b"")]})
    if request_line == HEAD:
        liar.says[APPEND] = [(503, {}, b"")]
        liar.says[HEAD] = [(401, {}, b"")]
    code, row = dock_to(serve_liar(liar), "--patience", "30")
    assert (code, row.state) == (0, State.VERIFIED)
    assert len([path for _, path, _, _ in liar.heard if path.endswith("/tokens")]) == 2


def test_a_station_revoked_while_it_sends_stops_at_once(serve_liar, dock_to):
    refused = (403, JSON, b'{"code": "station_revoked"}')
    tokens = [(201, JSON, b'{"token": "SECRET"}'), *[refused] * 9]
    liar = serve_liar(Liar({APPEND: (401, {}, b""), ("POST", "/api/v1/stations/tokens"): tokens}))
    code, row = dock_to(liar, "--patience", "30")
    assert (code, row.state, row.number) == (1, State.SIGNED, None)
    assert len(tokens) == 8


def test_only_the_missing_bytes_are_sent_again(serve_liar, dock_to):
    liar = Liar({APPEND: [(503, {}, b"")], HEAD: [(200, {"Upload-Offset": "6000"}, b"")]})
    code, row = dock_to(serve_liar(liar), "--patience", "30")
    assert (code, row.state) == (0, State.VERIFIED)
    (_, last) = [(headers, body) for method, _, headers, body in liar.heard if method == "PATCH"]
    assert last[0]["Upload-Offset"] == "6000"
    assert last[1] == DATA[6000:]


def test_an_answer_that_got_lost_is_asked_for(serve_liar, dock_to):
    standing = {"state": "stored", "number": NUMBER, "sha256": Digest.of(DATA).hex}
    liar = Liar(
        {
            APPEND: [(502, {}, b"")],
            HEAD: [(200, {"Upload-Offset": str(len(DATA))}, b"")],
            STANDING: [(200, JSON, json.dumps(standing).encode())],
        }
    )
    code, row = dock_to(serve_liar(liar), "--patience", "30")
    assert (code, row.state, row.number) == (0, State.VERIFIED, NUMBER)


def test_an_upload_that_expired_begins_anew(serve_liar, dock_to):
    standing = {"state": "expired", "number": None, "sha256": None}
    liar = Liar({APPEND: [(410, {}, b"")], STANDING: [(200, JSON, json.dumps(standing).encode())]})
    code, row = dock_to(serve_liar(liar), "--patience", "30")
    assert (code, row.state) == (0, State.VERIFIED)
    assert len([1 for method, path, _, _ in liar.heard if (method, path) == CREATE]) == 2


def test_an_upload_that_was_refused_while_we_were_away_is_told(serve_liar, dock_to):
    standing = {"state": "refused", "refusal": "digest_mismatch", "number": None, "sha256": None}
    liar = Liar({APPEND: [(410, {}, b"")], STANDING: [(200, JSON, json.dumps(standing).encode())]})
    code, row = dock_to(serve_liar(liar), "--patience", "30")
    assert (code, row.state) == (1, State.REFUSED)
    assert "bytes changed on the way" in row.trouble


@pytest.mark.parametrize("status", [400, 413, 415, 460])
def test_what_is_refused_is_not_tried_again(serve_liar, dock_to, status):
    liar = Liar({APPEND: (status, {"Content-Type": "application/problem+json"}, b'{"code": "some_code"}')})
    code, row = dock_to(serve_liar(liar), "--patience", "30")
    assert (code, row.state) == (1, State.REFUSED)
    assert "some_code" in row.trouble
    assert len([1 for method, _, _, _ in liar.heard if method == "PATCH"]) == 1
    dock_to(liar)
    assert len([1 for method, _, _, _ in liar.heard if method == "PATCH"]) == 1


def test_every_request_names_the_protocol_and_every_piece_its_length(serve_liar, dock_to):
    liar = serve_liar(Liar())
    dock_to(liar)
    for method, path, headers, _ in liar.heard:
        assert headers["Tus-Resumable"] == "1.0.0"
        assert "Transfer-Encoding" not in headers
        if path.startswith("/api/v1/uploads"):
            assert headers["Authorization"] == "Bearer SECRET"
        if method == "PATCH":
            assert headers["Content-Length"] == str(len(DATA))
            assert headers["Content-Type"] == "application/offset+octet-stream"


def test_a_small_file_goes_whole_with_the_request_that_makes_it_known(serve_liar, dock_to):
    liar = serve_liar(Liar())
    liar.says[CREATE] = (201, {"Location": "/api/v1/uploads/u", **liar.done()}, b"")
    code, row = dock_to(liar)
    assert (code, row.state, row.number) == (0, State.VERIFIED, NUMBER)
    ((headers, body),) = [(headers, body) for method, path, headers, body in liar.heard if path == "/api/v1/uploads"]
    assert (body, headers["Content-Type"]) == (DATA, "application/offset+octet-stream")
    assert sent(liar) == b""


def test_an_answer_to_a_whole_file_that_got_lost_is_asked_for_with_the_same_manifest(serve_liar, dock_to):
    liar = serve_liar(Liar())
    liar.says[CREATE] = [(502, {}, b""), (201, {"Location": "/api/v1/uploads/u", **liar.done()}, b"")]
    code, row = dock_to(liar, "--patience", "30")
    assert (code, row.state) == (0, State.VERIFIED)
    first, second = (headers["Upload-Metadata"] for _, path, headers, _ in liar.heard if path == "/api/v1/uploads")
    assert first == second


def test_receipts_are_asked_for_together_where_the_archive_gives_them_so(serve_liar, dock_to):
    liar = serve_liar(Liar())
    together = json.dumps({"receipts": {NUMBER: a_receipt().decode()}, "waiting": [], "unknown": []}).encode()
    liar.says["GET", f"/api/v1/receipts?number={NUMBER}"] = (200, JSON, together)
    code, row = dock_to(liar)
    assert (code, row.state) == (0, State.VERIFIED)
    assert not [path for _, path, _, _ in liar.heard if path.endswith("/receipt")]
