"""A plain reading of tus for tests: requests by httpx where a request is whole, by a socket where it must break off."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from archive.actions import person, station
from archive.adapters import signing
from archive.core.digest import Digest, original_key
from archive.core.instant import Instant
from archive.records import cases as _cases  # noqa: F401  # a table that others refer to
from archive.records.session import open_sqlite, writing
from archive.web.identity import COOKIE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import RunningServer


PATH = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}


def signed_in(server: RunningServer) -> httpx.Client:
    """Return a client with a person's session, made where the sign-in page makes it; the page has its own tests."""
    token = secrets.token_urlsafe(32)
    engine = open_sqlite(server.data_dir / "liuhen.db")
    with writing(engine) as session:
        person.sign_in(
            session, login=server.account().name, right=True, token=token, address="test",
            now=Instant(time.time_ns() // 1000),
        )  # fmt: skip
    engine.dispose()
    headers = {"Origin": server.base_url, "Cookie": f"{COOKIE}={token}"}
    return httpx.Client(base_url=server.base_url, headers=headers, timeout=60, trust_env=False)


def enrolled(server: RunningServer, name: str) -> Path:
    """Return the credential of a station, enrolled where `liuhen station enrol` does it; the command has its own tests."""
    seed = signing.new_seed()
    engine = open_sqlite(server.data_dir / "liuhen.db")
    with writing(engine) as session:
        now = Instant(time.time_ns() // 1000)
        station.enrol(session, name=name, public_key=signing.public_of(seed), by="test", now=now)
    engine.dispose()
    path = server.data_dir.parent / f"{name}.credential.json"
    path.write_text(json.dumps({"station": name, "private_key": base64.b64encode(seed).decode()}), "utf-8")
    return path


def metadata(**values: str | bytes) -> str:
    encoded = ((key, value.encode() if isinstance(value, str) else value) for key, value in values.items())
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in encoded)


def checksum(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """Hold an answer to be a refusal of this code, told as every refusal is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == code


def id_of(where: str) -> str:
    return where.rpartition("/")[2]


def stored(server: RunningServer, data: bytes) -> bool:
    return (server.data_dir / "store" / original_key(Digest.of(data))).read_bytes() == data


@dataclass
class Tus:
    """One sender's requests."""

    client: httpx.Client

    def create(self, length: int, *, content: bytes | None = None, **headers: str) -> httpx.Response:
        base = TUS if content is None else BODY
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(PATH, headers={**base, "Upload-Length": str(length), **named}, content=content)

    def defer(self, *, content: bytes | None = None, **headers: str) -> httpx.Response:
        """Create an upload whose length is said later."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        base = {**(TUS if content is None else BODY), "Upload-Defer-Length": "1"}
        return self.client.post(PATH, headers={**base, **named}, content=content)

    def part(self, content: bytes, *, length: int | None = None) -> str:
        """Create a partial upload with these bytes, which are all of them unless a greater length is given."""
        answer = self.create(len(content) if length is None else length, content=content, Upload_Concat="partial")
        assert answer.status_code == 201, answer.text
        assert "Liuhen-Number" not in answer.headers
        return answer.headers["Location"]

    def final(self, *parts: str, **headers: str) -> httpx.Response:
        """Make an upload of these parts."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(PATH, headers={**TUS, "Upload-Concat": f"final;{' '.join(parts)}", **named})

    def begin(self, length: int, **values: str | bytes) -> str:
        answer = self.create(length, Upload_Metadata=metadata(filename="test.bin", **values))
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def patch(self, where: str, offset: int, content: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.patch(where, headers={**BODY, "Upload-Offset": str(offset), **named}, content=content)

    def head(self, where: str) -> httpx.Response:
        return self.client.head(where, headers=TUS)

    def offset(self, where: str) -> int:
        answer = self.head(where)
        assert answer.status_code == 200, answer.status_code
        return int(answer.headers["Upload-Offset"])

    def offset_reaches(self, where: str, offset: int) -> None:
        """Wait until that many bytes have reached the spool."""
        deadline = time.monotonic() + 20
        while self.offset(where) < offset:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def delete(self, where: str) -> httpx.Response:
        return self.client.delete(where, headers=TUS)

    def status(self, where: str) -> dict[str, object]:
        answer = self.client.get(where)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextmanager
    def breaking(self, method: str, where: str, **headers: str) -> Iterator[Wire]:
        """Open a request by hand, its headers sent and its body yet to come."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = {"Host": self.client.base_url.netloc.decode(), **self.client.headers, **BODY, **named}
        lines.pop("accept-encoding", None)
        with socket.create_connection((self.client.base_url.host, self.client.base_url.port), timeout=30) as connection:
            text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            connection.sendall(f"{method} {where} HTTP/1.1\r\n{text}\r\n".encode())
            yield Wire(connection)


@dataclass
class Wire:
    """A request under way on a socket."""

    socket: socket.socket

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> http.client.HTTPResponse:
        """Return the answer, read to its end."""
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        response.body = response.read()  # type: ignore[attr-defined] # read before the connection closes
        return response

    def lines(self) -> BufferedReader:
        return self.socket.makefile("rb")
