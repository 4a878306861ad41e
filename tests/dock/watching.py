"""An archive in the test's own process for many small files: real uploads, real receipts, no disk and no worker behind them."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from archive.core import manifest as manifests
from archive.core import note
from tests.dock.liar import KEY, THE_ARCHIVE


class SmallArchive:
    """Takes uploads in one request, gives numbers and signed receipts; counts what it was asked."""

    def __init__(self):
        self.manifests = {}
        self.items = {}
        self.asked = []
        self.away = False
        self.hold = None
        self.url = ""
        self._lock = threading.Lock()
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, content = archive.answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do  # noqa: N815 - the base class's names

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self):
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method, path, headers, body):
        where = urlsplit(path)
        with self._lock:
            self.asked.append((method, where.path))
        as_json = {"Content-Type": "application/json"}
        if self.away:
            return 503, {}, b""
        if where.path.endswith("/nonces"):
            return 201, as_json, b'{"nonce": "n"}'
        if where.path.endswith("/tokens"):
            return 201, as_json, b'{"token": "t"}'
        if (method, where.path) == ("POST", "/api/v1/uploads"):
            return self._take(headers, body)
        if where.path == "/api/v1/receipts":
            numbers = parse_qs(where.query)["number"]
            return (
                200,
                as_json,
                json.dumps({"receipts": {n: self._receipt(n) for n in numbers}, "waiting": [], "unknown": []}).encode(),
            )
        return 404, {}, b""

    def _take(self, headers, body):
        if self.hold is not None:
            self.hold()
        told = dict(pair.split(" ") for pair in headers["Upload-Metadata"].split(","))
        said = manifests.decode(base64.b64decode(told["manifest"]))
        assert hashlib.sha256(body).hexdigest() == said.sha256.hex
        with self._lock:
            known = self.manifests.get(told["signature"])  # as the archive does it: the same signed manifest is the same upload
            number = known or f"131102-LX-2026-{len(self.items) + 1:08d}"
            self.manifests[told["signature"]] = number
            self.items[number] = said
        location = {"Location": f"/api/v1/uploads/{number}", "Upload-Offset": str(len(body))}
        return 201, {**location, "Liuhen-Number": number, "Liuhen-Sha256": said.sha256.hex}, b""

    def _receipt(self, number):
        said = self.items[number]
        value = {"number": number, "sha256": said.sha256.hex, "size": said.size, "station": said.station}
        value |= {"stored_at": "2026-03-12T04:04:51.000000Z", "verified_at": "2026-03-12T04:04:52.000000Z"}
        text = json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"
        return note.write(text, key=KEY, sign=THE_ARCHIVE.sign)

    def names(self):
        return sorted(said.name for said in list(self.items.values()))


def credential(folder):
    """Write a credential for the small archive."""
    path = folder / "dock.json"
    value = {
        "type": "liuhen.credential",
        "v": 1,
        "station": "dock-1",
        "agency": "131102",
        "zone": "Asia/Shanghai",
        "private_key": base64.b64encode(b"\x07" * 32).decode(),
        "server_keys": [str(KEY)],
    }
    path.write_text(json.dumps(value), "utf-8")
    path.chmod(0o600)
    return path


def events(text, kind=None):
    """Return the events in a watch's JSON lines."""
    rows = [json.loads(line) for line in text.splitlines() if re.match(r"\{", line)]
    return [row for row in rows if kind is None or row["event"] == kind]
