"""A store that lies: an HTTP proxy in front of a real S3 gateway, so that the client, the wire and the signatures are the real ones.

    with Lying("http://127.0.0.1:7480") as store:
        store.tell(Lie.SWALLOWED, times=1)      # the next put is answered 200, with a version, and not stored
        store.down = True                       # connections are closed at once
        store.slow = 2.0                        # every answer begins so many seconds late
        store.full = True                       # every write is over quota
        store.frozen = True                     # whoever asks waits, and is answered when it is False again

A lie is told to the next requests that it fits, `times` of them, on keys that contain `about`; `store.told` counts them. Requests are
signed for the host name that the client used; it is passed on as it is, and the gateway accepts it.

The proxy reads a whole request before it passes it on: it is for lies, not for speed.
"""

from __future__ import annotations

import http.client
import select
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

QUIET = 5.0
"""Seconds without a word after which a client's idle connection is closed."""


class Lie(Enum):
    """What a store does that it should not. Puts are those of objects, not of their locks; reads are of objects and their ranges."""

    SWALLOWED = "a put is answered 200 and a version, and nothing is stored"
    TRUNCATED = "a read ends half-way, and its headers promise that this is all"
    CUT = "a read ends half-way, with the connection"
    FLIPPED = "one bit of a read is another"
    STALE = "a HEAD says that there is no such object"
    VOUCHED = "a HEAD says that there is an object that is not there"
    AFTER = "a put is stored and answered 503"
    LOST = "a put is stored, and the connection ends without an answer"
    REFUSED = "a put is answered 503 and not stored"
    STALLED = "a put of a part is passed on, and its answer waits for `stall` seconds"
    DROPPED = "the connection ends while a put's body is being sent"
    COMPLETED = "a completion is done and answered 200 with an error in its body"
    MD5 = "a locked put without Content-MD5 is refused, as Amazon does"
    UNLOCKED = "a version that was locked is said to have no lock"
    SKEWED = "the clocks are said to be too far apart"


@dataclass(slots=True)
class _Order:
    lie: Lie
    times: int
    about: str


@dataclass(slots=True)
class _Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    key: str = ""
    query: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.key = unquote(parts.path).lstrip("/").partition("/")[2]
        self.query = parse_qs(parts.query, keep_blank_values=True)

    def has(self, *names: str) -> bool:
        return any(name in self.query for name in names)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def put(self) -> bool:
        """Whether it writes an object or a part, or completes one."""
        return (self.method == "PUT" and bool(self.key) and not self.has("retention", "legal-hold")) or self.completion

    @property
    def part(self) -> bool:
        return self.method == "PUT" and self.has("partNumber")

    @property
    def completion(self) -> bool:
        return self.method == "POST" and self.has("uploadId")

    @property
    def read(self) -> bool:
        return self.method == "GET" and bool(self.key) and not self.has("retention", "legal-hold", "uploadId", "tagging")

    @property
    def writes(self) -> bool:
        return self.method in {"PUT", "POST"}


@dataclass(slots=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: int | None = None


_FITS: dict[Lie, Callable[[_Request], bool]] = {
    Lie.SWALLOWED: lambda request: request.put and not request.part,
    Lie.TRUNCATED: lambda request: request.read,
    Lie.CUT: lambda request: request.read,
    Lie.FLIPPED: lambda request: request.read,
    Lie.STALE: lambda request: request.method == "HEAD" and bool(request.key),
    Lie.VOUCHED: lambda request: request.method == "HEAD" and request.has("versionId"),
    Lie.AFTER: lambda request: request.put,
    Lie.LOST: lambda request: request.put,
    Lie.REFUSED: lambda request: request.put,
    Lie.STALLED: lambda request: request.part or (request.put and not request.completion),
    Lie.DROPPED: lambda request: request.put,
    Lie.COMPLETED: lambda request: request.completion,
    Lie.MD5: lambda request: request.part or (request.put and bool(request.header("x-amz-object-lock-mode"))),
    Lie.UNLOCKED: lambda request: request.method == "GET" and request.has("retention"),
    Lie.SKEWED: lambda request: bool(request.key),
}


class Lying:
    """The proxy, on a port of its own from `with` on. Its switches may be turned at any time, from any thread."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self.behind = (parts.hostname or "", parts.port or 80)
        self.down, self.full, self.frozen = False, False, False
        self.slow, self.stall = 0.0, 30.0
        self.told: Counter[Lie] = Counter()
        self.asked: Counter[str] = Counter()
        """How many requests came, by method."""
        self.swallowed: dict[str, int] = {}
        """How large the last put was that was answered and not stored, by key: what a HEAD then vouches for."""
        self._orders: list[_Order] = []
        self._guard = threading.Lock()
        self._ending = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.lying = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="lying-store", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def tell(self, lie: Lie, *, times: int = 1, about: str = "") -> None:
        """Tell this lie to the next so many requests that it fits, on keys that contain `about`."""
        with self._guard:
            self._orders.append(_Order(lie, times, about))

    def honest(self) -> None:
        """Tell no more lies."""
        with self._guard:
            self._orders.clear()
        self.down, self.full, self.frozen, self.slow = False, False, False, 0.0

    def lie_for(self, request: _Request) -> Lie | None:
        with self._guard:
            self.asked[request.method] += 1
            for order in self._orders:
                if order.times and order.about in request.key and _FITS[order.lie](request):
                    if order.lie is Lie.MD5 and request.header("content-md5"):
                        continue
                    order.times -= 1
                    self.told[order.lie] += 1
                    return order.lie
        return None

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the proxy ends."""
        self._ending.wait(seconds)

    @property
    def ending(self) -> bool:
        return self._ending.is_set()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = True
    request_queue_size = 64
    lying: Lying

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a connection that breaks is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self) -> None:
        """Serve requests until the client goes or the proxy ends."""
        self.close_connection = False
        behind = http.client.HTTPConnection(*self.server.lying.behind, timeout=60)
        self._behind = behind
        try:
            idle = time.monotonic()
            while not self.close_connection and not self.server.lying.ending:
                if select.select([self.connection], [], [], 0.05)[0]:
                    self.handle_one_request()
                    idle = time.monotonic()
                elif time.monotonic() - idle > QUIET:
                    return
        except OSError:
            self.close_connection = True
        finally:
            behind.close()

    def _serve(self) -> None:
        lying = self.server.lying
        length = int(self.headers.get("Content-Length") or 0)
        head = _Request(self.command, self.path, self.headers.items(), b"")
        lie = None if lying.down else lying.lie_for(head)
        if lying.down or lie is Lie.DROPPED:
            self.rfile.read(min(length, 65536))
            self.close_connection = True
            return
        head.body = self.rfile.read(length)
        while lying.frozen and not lying.ending:
            lying.wait(0.05)
        if lying.slow:
            lying.wait(lying.slow)
        answer = self._answer(lie, head)
        if answer is None:
            self.close_connection = True
            return
        self._send(answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - the parent's names

    def _answer(self, lie: Lie | None, request: _Request) -> _Answer | None:
        lying = self.server.lying
        if lying.full and request.writes and request.key:
            return _error(403, "QuotaExceeded")
        if lie is Lie.SWALLOWED:
            lying.swallowed[request.key] = len(request.body)
        if lie is Lie.VOUCHED:
            return _vouched(request, lying.swallowed.get(request.key, 1))
        if lie in _INSTEAD:
            return _INSTEAD[lie](request)
        answer = self._passed_on(request)
        if lie is Lie.STALLED:
            lying.wait(lying.stall)
        return _AFTERWARDS[lie](answer) if lie in _AFTERWARDS else answer

    def _passed_on(self, request: _Request) -> _Answer:
        for last in (False, True):
            try:
                self._behind.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
                for key, value in request.headers:
                    self._behind.putheader(key, value)
                self._behind.endheaders(request.body or None)
                answer = self._behind.getresponse()
                body = answer.read()
                return _Answer(answer.status, answer.getheaders(), body)
            except (OSError, http.client.HTTPException):
                self._behind.close()
                if last:
                    return _error(503, "ServiceUnavailable")
        raise AssertionError

    def _send(self, answer: _Answer) -> None:
        self.send_response_only(answer.status)
        told = {key.lower() for key, _ in answer.headers}
        for key, value in answer.headers:
            if key.lower() not in {"connection", "transfer-encoding"}:
                self.send_header(key, value)
        if "content-length" not in told:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])
        if answer.cut is not None:
            self.wfile.flush()
            self.close_connection = True


def _error(status: int, code: str, message: str = "") -> _Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return _Answer(status, [("Content-Type", "application/xml")], body)


def _swallowed(request: _Request) -> _Answer:
    named = [("x-amz-version-id", "a-version-that-nobody-has"), ("ETag", '"0"')]
    if request.completion:
        body = b"<CompleteMultipartUploadResult><ETag>0</ETag></CompleteMultipartUploadResult>"
        return _Answer(200, [*named, ("Content-Type", "application/xml")], body)
    return _Answer(200, named, b"")


def _vouched(request: _Request, size: int) -> _Answer:
    return _Answer(200, [("x-amz-version-id", request.query["versionId"][0]), ("Content-Length", str(size))], b"")


def _flipped(answer: _Answer) -> _Answer:
    if answer.status in {200, 206} and answer.body:
        body = bytearray(answer.body)
        body[len(body) // 2] ^= 1
        answer.body = bytes(body)
    return answer


def _cut(answer: _Answer) -> _Answer:
    answer.cut = len(answer.body) // 2
    return answer


def _truncated(answer: _Answer) -> _Answer:
    answer.body = answer.body[: len(answer.body) // 2]
    answer.headers = [(key, value) for key, value in answer.headers if key.lower() != "content-length"]
    return answer


_WANTED = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"

_INSTEAD: dict[Lie, Callable[[_Request], _Answer]] = {
    Lie.REFUSED: lambda _: _error(503, "SlowDown"),
    Lie.SKEWED: lambda _: _error(403, "RequestTimeTooSkewed"),
    Lie.UNLOCKED: lambda _: _error(404, "NoSuchObjectLockConfiguration"),
    Lie.MD5: lambda _: _error(400, "InvalidRequest", _WANTED),
    Lie.STALE: lambda _: _Answer(404, [], b""),
    Lie.SWALLOWED: _swallowed,
}

_AFTERWARDS: dict[Lie, Callable[[_Answer], _Answer | None]] = {
    Lie.AFTER: lambda _: _error(503, "ServiceUnavailable"),
    Lie.LOST: lambda _: None,
    Lie.COMPLETED: lambda _: _Answer(200, [("Content-Type", "application/xml")], _error(500, "InternalError").body),
    Lie.FLIPPED: _flipped,
    Lie.CUT: _cut,
    Lie.TRUNCATED: _truncated,
}
