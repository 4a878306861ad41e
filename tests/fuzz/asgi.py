"""One request to an application without a server between: any header's bytes, any chunks, and a line that breaks where it is told to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import ASGIApp

HOST = "archive.test"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; headers by their lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Mapping[str, str],
    chunks: Sequence[bytes] = (),
    *,
    sized: bool = True,
    breaks: bool = False,
) -> Answer:
    """Send a request and return its answer.

    Args:
        app: The application.
        method: The method.
        path: The path, percent-encoded or not.
        headers: Sent as Latin-1, as a server hands them on.
        chunks: The body.
        sized: Whether Content-Length is said; else the body is chunked.
        breaks: Whether the line breaks after the last chunk instead of ending the body.
    """
    raw = [
        (b"host", HOST.encode()),
        *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
    ]
    if sized and not any(name == b"content-length" for name, _ in raw):
        raw.append((b"content-length", str(sum(map(len, chunks)) + (1 if breaks else 0)).encode()))
    elif not sized:
        raw.append((b"transfer-encoding", b"chunked"))
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.disconnect"} if breaks else {"type": "http.request", "body": b"", "more_body": False})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path,
        "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": raw, "client": ("127.0.0.1", 1),
        "server": (HOST, 80), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Answer(start["status"], {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}, body)
