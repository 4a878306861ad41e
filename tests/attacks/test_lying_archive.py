"""A station does not trust what answers it: attacks by somebody who runs, or stands in for, the archive's server."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.core.digest import Digest
from archive.dock.journal import State
from tests.dock.liar import DATA, JSON, NUMBER, SOMEBODY, Liar, a_receipt


def test_an_honest_server_is_believed(serve_liar, dock_to):
    code, row = dock_to(serve_liar(Liar()))
    assert (code, row.state, row.number) == (0, State.VERIFIED, NUMBER)


@pytest.mark.parametrize(
    "receipt",
    [
        a_receipt(private=SOMEBODY),
        a_receipt(number="131102-LX-2026-00000002"),
        a_receipt(data=DATA + b"!"),
        a_receipt(station="dock-2"),
        a_receipt().replace(b"04:52", b"04:53"),
        b"verified, trust me\n\n",
        b"",
    ],
)
def test_a_forged_receipt_frees_no_recorder(serve_liar, dock_to, receipt):
    code, row = dock_to(
        serve_liar(Liar({("GET", f"/api/v1/items/{NUMBER}/receipt"): (200, {"Content-Type": "text/plain"}, receipt)}))
    )
    assert (code, row.state, row.receipt) == (1, State.STORED, None)


def test_a_receipt_that_never_comes_leaves_the_file_unverified(serve_liar, dock_to):
    code, row = dock_to(serve_liar(Liar({("GET", f"/api/v1/items/{NUMBER}/receipt"): (425, {}, b"")})))
    assert (code, row.state) == (3, State.STORED)


@pytest.mark.parametrize(
    ("headers", "state"),
    [
        ({"Liuhen_Sha256": Digest.of(b"other").hex}, State.FLAWED),
        ({"Liuhen_Sha256": "none"}, State.REFUSED),
        ({"Liuhen_Number": "../../../sign-out"}, State.REFUSED),
        ({"Liuhen_Number": "1"}, State.REFUSED),
    ],
)
def test_an_acknowledgement_of_something_else_is_none(serve_liar, dock_to, headers, state):
    liar = Liar()
    liar.says["PATCH", "/api/v1/uploads/u"] = (204, liar.done(**headers), b"")
    code, row = dock_to(serve_liar(liar))
    assert (code, row.state, row.number) == (1, state, None)


def test_an_acknowledgement_without_its_digest_is_none(serve_liar, dock_to):
    liar = Liar({("PATCH", "/api/v1/uploads/u"): (204, {"Upload-Offset": str(len(DATA)), "Liuhen-Number": NUMBER}, b"")})
    code, row = dock_to(serve_liar(liar))
    assert (code, row.state, row.number) == (1, State.REFUSED, None)


def test_a_server_that_claims_to_have_everything_already_is_asked_for_the_digest(serve_liar, dock_to):
    standing = {"state": "stored", "number": NUMBER, "sha256": Digest.of(b"other").hex}
    liar = Liar()
    liar.says["PATCH", "/api/v1/uploads/u"] = (409, {}, b"")
    liar.says["HEAD", "/api/v1/uploads/u"] = (200, {"Upload-Offset": str(len(DATA))}, b"")
    liar.says["GET", "/api/v1/uploads/u"] = (200, JSON, json.dumps(standing).encode())
    code, row = dock_to(serve_liar(liar))
    assert (code, row.state) == (1, State.FLAWED)


@pytest.mark.parametrize("offset", ["-1", str(len(DATA) + 1), "x", "1e3"])
def test_an_offset_that_cannot_be_sends_nothing(serve_liar, dock_to, offset):
    liar = Liar()
    liar.says["PATCH", "/api/v1/uploads/u"] = (409, {}, b"")
    liar.says["HEAD", "/api/v1/uploads/u"] = (200, {"Upload-Offset": offset}, b"")
    code, row = dock_to(serve_liar(liar))
    assert (code, row.state) == (1, State.REFUSED)


def test_the_token_goes_to_no_other_address(serve_liar, dock_to):
    thief = serve_liar(Liar())
    for says in (
        {("POST", "/api/v1/uploads"): (201, {"Location": thief.url + "/api/v1/uploads/u"}, b"")},
        {("POST", "/api/v1/uploads"): (307, {"Location": thief.url + "/api/v1/uploads"}, b"")},
        {("POST", "/api/v1/uploads"): (201, {"Location": thief.url.replace("http:", "") + "/api/v1/uploads/u"}, b"")},
        {("PATCH", "/api/v1/uploads/u"): (308, {"Location": thief.url + "/api/v1/uploads/u"}, b"")},
    ):
        code, row = dock_to(serve_liar(Liar(says)), "--retry-refused")
        assert (code, row.number) == (1, None)
    assert thief.heard == []


def test_the_private_key_is_never_sent(serve_liar, dock_to):
    liar = serve_liar(Liar())
    dock_to(liar)
    said = repr(liar.heard).encode()
    for secret in (b"\x07" * 32, base64.b64encode(b"\x07" * 32), b"07" * 32):
        assert secret not in said
        assert repr(secret)[2:-1].encode() not in said


def test_a_signed_nonce_is_good_for_nothing_else(serve_liar, dock_to):
    liar = serve_liar(
        Liar({("POST", "/api/v1/stations/nonces"): (201, {}, json.dumps({"nonce": "liuhen manifest v1\n{}"}).encode())})
    )
    dock_to(liar)
    (asked,) = [json.loads(body) for _, path, _, body in liar.heard if path.endswith("/tokens")]
    public = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key()
    # whatever the nonce, what is signed begins with the token's own context and the station's name
    public.verify(base64.b64decode(asked["signature"]), b"liuhen station token v1\ndock-1\nliuhen manifest v1\n{}\n")


@pytest.mark.parametrize("status", [500, 502, 503, 429, 423])
def test_a_server_that_fails_for_ever_costs_no_more_than_patience(serve_liar, dock_to, status):
    code, row = dock_to(serve_liar(Liar({("POST", "/api/v1/uploads"): (status, {"Retry-After": "3600"}, b"")})))
    assert (code, row.state) == (3, State.SIGNED)


def test_an_upload_that_vanishes_again_and_again_is_given_up(serve_liar, dock_to):
    code, row = dock_to(serve_liar(Liar({("PATCH", "/api/v1/uploads/u"): (404, {}, b"")})), "--patience", "30")
    assert (code, row.state) == (1, State.REFUSED)


def test_a_page_that_is_no_archive_is_told_as_such(serve_liar, dock_to):
    code, row = dock_to(serve_liar(Liar({("POST", "/api/v1/stations/nonces"): (404, {"Content-Type": "text/html"}, b"<html>")})))
    assert (code, row) == (1, None)
