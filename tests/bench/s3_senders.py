"""Senders of the benches on S3, each a program with an interpreter of its own.

    python tests/bench/s3_senders.py file-tus BASE HEADERS BYTES SEED
    python tests/bench/s3_senders.py file-sdk ENDPOINT ACCESS SECRET BUCKET BYTES SEED
    python tests/bench/s3_senders.py photos-tus BASE HEADERS COUNT CLIENTS SEED
    python tests/bench/s3_senders.py photos-sdk ENDPOINT ACCESS SECRET BUCKET COUNT THREADS SEED

HEADERS is a JSON object. The same bytes from memory both ways: no disk is read. Prints the seconds from the first byte to the last answer.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import random
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from minio import Minio

PATH = "/api/v1/uploads"
BUFFER = 8 * 2**20
PHOTO = 200_000


def file_tus(base: str, headers: str, size: str, seed: str) -> float:
    """One POST that declares the digest, one PATCH of everything, until the answer with the number."""
    buffer, left = memoryview(random.Random(int(seed)).randbytes(BUFFER)), int(size)
    whole = hashlib.sha256()
    for at in range(0, left, BUFFER):
        whole.update(buffer[: min(BUFFER, left - at)])
    parts = urlsplit(base)
    lines = [
        f"Host: {parts.netloc}",
        "Tus-Resumable: 1.0.0",
        *(f"{name}: {value}" for name, value in json.loads(headers).items()),
    ]
    declared = base64.b64encode(whole.hexdigest().encode()).decode()
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        began = time.monotonic()
        created = asked(
            connection,
            [
                f"POST {PATH} HTTP/1.1",
                f"Upload-Length: {size}",
                f"Upload-Metadata: sha256 {declared}",
                "Content-Length: 0",
                *lines,
            ],
        )
        assert created.status == 201, created.read()
        created.read()
        head = [
            f"PATCH {created.headers['Location']} HTTP/1.1",
            "Upload-Offset: 0",
            "Content-Type: application/offset+octet-stream",
        ]
        connection.sendall("\r\n".join([*head, f"Content-Length: {size}", *lines, "\r\n"]).encode())
        while left:
            connection.sendall(buffer[: min(left, BUFFER)])
            left -= min(left, BUFFER)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        took = time.monotonic() - began
        assert answer.status == 204, answer.read()
        assert answer.headers["Liuhen-Sha256"] == whole.hexdigest()
    return took


class Repeated(io.RawIOBase):
    """The same bytes as a stream, hashed as they are read."""

    def __init__(self, buffer: bytes, size: int) -> None:
        self.whole = hashlib.sha256()
        self._buffer, self._left = memoryview(buffer), size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most so many bytes; the SDK asks until a part is full."""
        count = min(self._left, BUFFER, size if size >= 0 else BUFFER)
        self._left -= count
        data = bytes(self._buffer[:count])
        self.whole.update(data)
        return data


def file_sdk(endpoint: str, access: str, secret: str, bucket: str, size: str, seed: str) -> float:
    """One put of the SDK in its own way, parts of 16 MiB, and the digest of all that it read."""
    source = Repeated(random.Random(int(seed)).randbytes(BUFFER), int(size))
    client = sdk(endpoint, access, secret)
    began = time.monotonic()
    client.put_object(bucket, f"derived/bench/{seed}", source, int(size), part_size=16 * 2**20)
    source.whole.hexdigest()
    return time.monotonic() - began


def photos_tus(base: str, headers: str, count: str, clients: str, seed: str) -> float:
    """Photos whole with their creation, from so many clients at once, each over one connection."""
    own = {**json.loads(headers), "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    parts, kept = urlsplit(base), threading.local()
    photos = made(int(count), int(seed))

    def send(data: bytes) -> None:
        if not hasattr(kept, "connection"):
            kept.connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        declared = base64.b64encode(hashlib.sha256(data).hexdigest().encode()).decode()
        kept.connection.request(
            "POST", PATH, data, {**own, "Upload-Length": str(len(data)), "Upload-Metadata": f"sha256 {declared}"}
        )
        answer = kept.connection.getresponse()
        said = answer.read()
        assert answer.status == 201, said
        assert answer.headers["Liuhen-Number"]

    return together(send, photos, int(clients))


def photos_sdk(endpoint: str, access: str, secret: str, bucket: str, count: str, threads: str, seed: str) -> float:
    """The same photos put by the SDK alone, from so many threads."""
    client = sdk(endpoint, access, secret)

    def send(data: bytes) -> None:
        client.put_object(bucket, f"derived/bench/{data[:12].hex()}", io.BytesIO(data), len(data))

    return together(send, made(int(count), int(seed)), int(threads))


def together(send, photos: list[bytes], at_once: int) -> float:  # type: ignore[no-untyped-def] # two senders of one shape
    with ThreadPoolExecutor(at_once) as senders:
        list(senders.map(send, photos[:at_once]))  # connections are made, and modules loaded
        began = time.monotonic()
        list(senders.map(send, photos[at_once:]))
        return time.monotonic() - began


def made(count: int, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    body = chance.randbytes(PHOTO - 24)
    return [b"\xff\xd8\xff\xe0" + number.to_bytes(8, "big") + chance.randbytes(12) + body for number in range(count)]


def sdk(endpoint: str, access: str, secret: str) -> Minio:
    parts = urlsplit(endpoint)
    return Minio(parts.netloc, access, secret, secure=parts.scheme == "https", region="us-east-1")


def asked(connection: socket.socket, lines: list[str]) -> http.client.HTTPResponse:
    connection.sendall("\r\n".join([*lines, "\r\n"]).encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer


if __name__ == "__main__":
    name, *given = sys.argv[1:]
    print({"file-tus": file_tus, "file-sdk": file_sdk, "photos-tus": photos_tus, "photos-sdk": photos_sdk}[name](*given))
