"""Servers that follow the upload protocol except where they are told not to: for what a real archive does only on bad days."""

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
from archive.dock.journal import Journal

DATA = b"footage" * 1000
NUMBER = "131102-LX-2026-00000001"
THE_ARCHIVE = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
SOMEBODY = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
KEY = note.VerifierKey("archive.example", THE_ARCHIVE.public_key().public_bytes_raw())
JSON = {"Content-Type": "application/json"}


@dataclass
class Liar:
    """A server that follows the protocol except where it is told to lie; it keeps what it was sent."""

    says: dict = field(default_factory=dict)
    heard: list = field(default_factory=list)
    url: str = ""

    def answer(self, method, path):
        """Return status, headers and body for a request."""
        default = {
            ("POST", "/api/v1/stations/nonces"): (201, JSON, b'{"nonce": "n"}'),
            ("POST", "/api/v1/stations/tokens"): (201, JSON, b'{"token": "SECRET"}'),
            ("POST", "/api/v1/uploads"): (201, {"Location": "/api/v1/uploads/u"}, b""),
            ("HEAD", "/api/v1/uploads/u"): (200, {"Upload-Offset": "0"}, b""),
            ("PATCH", "/api/v1/uploads/u"): (204, self.done(), b""),
            ("GET", f"/api/v1/items/{NUMBER}/receipt"): (200, {"Content-Type": "text/plain"}, a_receipt()),
        }
        said = self.says.get((method, path))
        if isinstance(said, list):  # one answer after the other, then as ever
            said = said.pop(0) if said else None
        return said or default.get((method, path)) or (404, {}, b"")

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
def serve_liar():
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
def dock_to(tmp_path):
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

    def to(liar, *arguments):
        where = [str(card), "--server", liar.url, "--credential", str(credential), "--journal", str(journal)]
        code = 0
        try:
            dock.main([*where, "--patience", "1", "--wait-limit", "1", *arguments], standalone_mode=False)
        except SystemExit as end:
            code = end.code
        with Journal.reading(journal) as opened:
            rows = opened.entries()
        return code, rows[0] if rows else None

    return to
