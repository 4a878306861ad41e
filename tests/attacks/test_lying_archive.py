"""A station does not trust what answers it: attacks by somebody who runs, or stands in for, the archive's server."""

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.core import note
from archive.core.digest import Digest
from archive.core.receipt import Receipt
from archive.dock.command import dock
from archive.dock.journal import Journal, State

DATA = b"footage" * 1000
NUMBER = "131102-LX-2026-00000001"
THE_ARCHIVE = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
SOMEBODY = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
KEY = note.VerifierKey("archive.example", THE_ARCHIVE.public_key().public_bytes_raw())


@dataclass
class Liar:
    """A server that follows the protocol except where it is told to lie; it keeps what it was sent."""

    says: dict = field(default_factory=dict)
    heard: list = field(default_factory=list)
    url: str = ""

    def answer(self, method, path):
        """Return status, headers and body for a request."""
        default = {
            ("POST", "/api/v1/stations/nonces"): (201, {"Content-Type": "application/json"}, b'{"nonce": "n"}'),
            ("POST", "/api/v1/stations/tokens"): (201, {"Content-Type": "application/json"}, b'{"token": "SECRET"}'),
            ("POST", "/api/v1/uploads"): (201, {"Location": "/api/v1/uploads/u"}, b""),
            ("HEAD", "/api/v1/uploads/u"): (200, {"Upload-Offset": "0"}, b""),
            ("PATCH", "/api/v1/uploads/u"): (204, self.done(), b""),
            ("GET", f"/api/v1/items/{NUMBER}/receipt"): (200, {"Content-Type": "text/plain"}, a_receipt()),
        }
        return self.says.get((method, path)) or default.get((method, path)) or (404, {}, b"")

    def done(self, **changes):
        headers = {"Upload-Offset": str(len(DATA)), "Liuhen-Number": NUMBER, "Liuhen-Sha256": Digest.of(DATA).hex}
        return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}


def a_receipt(*, private=THE_ARCHIVE, number=NUMBER, data=DATA, station="dock-1"):
    value = {
        "number": number,
        "sha256": Digest.of(data).hex,
        "size": len(data),
        "station": station,
        "stored_at": "2026-03-12T04:04:51.000000Z",
        "verified_at": "2026-03-12T04:04:52.000000Z",
    }
    text = json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"
    assert Receipt.parse(text)
    return note.write(text, key=KEY, sign=private.sign).encode()


@pytest.fixture
def serve():
    """Return a function that starts a liar."""
    running = []

    def start(liar):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                liar.heard.append((self.command, self.path, dict(self.headers), body))
                status, headers, content = liar.answer(self.command, self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do  # noqa: N815 - the base class's names

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        liar.url = f"http://127.0.0.1:{server.server_address[1]}"
        return liar

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def run(tmp_path):
    """Return a function that docks one file to a liar and returns exit code and the journal's row."""
    card = tmp_path / "card"
    card.mkdir()
    (card / "REC_0001.MP4").write_bytes(DATA)
    credential = tmp_path / "dock.json"
    value = {
        "type": "liuhen.credential",
        "v": 1,
        "station": "dock-1",
        "agency": "131102",
        "zone": "Asia/Shanghai",
        "private_key": base64.b64encode(b"\x07" * 32).decode(),
        "server_keys": [str(KEY)],
    }
    credential.write_text(json.dumps(value), "utf-8")
    credential.chmod(0o600)
    journal = tmp_path / "journal"

    def dock_to(liar, *arguments):
        where = [str(card), "--server", liar.url, "--credential", str(credential), "--journal", str(journal)]
        code = 0
        try:
            dock.main([*where, "--patience", "1", "--wait-limit", "1", *arguments], standalone_mode=False)
        except SystemExit as end:
            code = end.code
        with Journal.reading(journal) as opened:
            rows = opened.entries()
        return code, rows[0] if rows else None

    return dock_to


def test_an_honest_server_is_believed(serve, run):
    code, row = run(serve(Liar()))
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
def test_a_forged_receipt_frees_no_recorder(serve, run, receipt):
    code, row = run(serve(Liar({("GET", f"/api/v1/items/{NUMBER}/receipt"): (200, {"Content-Type": "text/plain"}, receipt)})))
    assert (code, row.state, row.receipt) == (1, State.STORED, None)


def test_a_receipt_that_never_comes_leaves_the_file_unverified(serve, run):
    code, row = run(serve(Liar({("GET", f"/api/v1/items/{NUMBER}/receipt"): (425, {}, b"")})))
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
def test_an_acknowledgement_of_something_else_is_none(serve, run, headers, state):
    liar = Liar()
    liar.says["PATCH", "/api/v1/uploads/u"] = (204, liar.done(**headers), b"")
    code, row = run(serve(liar))
    assert (code, row.state, row.number) == (1, state, None)


def test_an_acknowledgement_without_its_digest_is_none(serve, run):
    liar = Liar({("PATCH", "/api/v1/uploads/u"): (204, {"Upload-Offset": str(len(DATA)), "Liuhen-Number": NUMBER}, b"")})
    code, row = run(serve(liar))
    assert (code, row.state, row.number) == (1, State.REFUSED, None)


def test_a_server_that_claims_to_have_everything_already_is_asked_for_the_digest(serve, run):
    standing = {"state": "stored", "number": NUMBER, "sha256": Digest.of(b"other").hex}
    liar = Liar()
    liar.says["PATCH", "/api/v1/uploads/u"] = (409, {}, b"")
    liar.says["HEAD", "/api/v1/uploads/u"] = (200, {"Upload-Offset": str(len(DATA))}, b"")
    liar.says["GET", "/api/v1/uploads/u"] = (200, {"Content-Type": "application/json"}, json.dumps(standing).encode())
    code, row = run(serve(liar))
    assert (code, row.state) == (1, State.FLAWED)


@pytest.mark.parametrize("offset", ["-1", str(len(DATA) + 1), "x", "1e3"])
def test_an_offset_that_cannot_be_sends_nothing(serve, run, offset):
    liar = Liar()
    liar.says["PATCH", "/api/v1/uploads/u"] = (409, {}, b"")
    liar.says["HEAD", "/api/v1/uploads/u"] = (200, {"Upload-Offset": offset}, b"")
    code, row = run(serve(liar))
    assert (code, row.state) == (1, State.REFUSED)


def test_the_token_goes_to_no_other_address(serve, run):
    thief = serve(Liar())
    for says in (
        {("POST", "/api/v1/uploads"): (201, {"Location": thief.url + "/api/v1/uploads/u"}, b"")},
        {("POST", "/api/v1/uploads"): (307, {"Location": thief.url + "/api/v1/uploads"}, b"")},
        {("POST", "/api/v1/uploads"): (201, {"Location": thief.url.replace("http:", "") + "/api/v1/uploads/u"}, b"")},
        {("PATCH", "/api/v1/uploads/u"): (308, {"Location": thief.url + "/api/v1/uploads/u"}, b"")},
    ):
        code, row = run(serve(Liar(says)), "--retry-refused")
        assert (code, row.number) == (1, None)
    assert thief.heard == []


def test_the_private_key_is_never_sent(serve, run):
    liar = serve(Liar())
    run(liar)
    said = repr(liar.heard).encode()
    for secret in (b"\x07" * 32, base64.b64encode(b"\x07" * 32), b"07" * 32):
        assert secret not in said
        assert repr(secret)[2:-1].encode() not in said


def test_a_signed_nonce_is_good_for_nothing_else(serve, run):
    liar = serve(Liar({("POST", "/api/v1/stations/nonces"): (201, {}, json.dumps({"nonce": "liuhen manifest v1\n{}"}).encode())}))
    run(liar)
    (asked,) = [json.loads(body) for _, path, _, body in liar.heard if path.endswith("/tokens")]
    public = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key()
    # whatever the nonce, what is signed begins with the token's own context and the station's name
    public.verify(base64.b64decode(asked["signature"]), b"liuhen station token v1\ndock-1\nliuhen manifest v1\n{}\n")


@pytest.mark.parametrize("status", [500, 502, 503, 429, 423])
def test_a_server_that_fails_for_ever_costs_no_more_than_patience(serve, run, status):
    code, row = run(serve(Liar({("POST", "/api/v1/uploads"): (status, {"Retry-After": "3600"}, b"")})))
    assert (code, row.state) == (3, State.SIGNED)


def test_an_upload_that_vanishes_again_and_again_is_given_up(serve, run):
    code, row = run(serve(Liar({("PATCH", "/api/v1/uploads/u"): (404, {}, b"")})), "--patience", "30")
    assert (code, row.state) == (1, State.REFUSED)


def test_a_page_that_is_no_archive_is_told_as_such(serve, run):
    code, row = run(serve(Liar({("POST", "/api/v1/stations/nonces"): (404, {"Content-Type": "text/html"}, b"<html>")})))
    assert (code, row) == (1, None)
