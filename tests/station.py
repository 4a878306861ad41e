"""A docking station written from the contract alone, without the dock's code: it signs a manifest and uploads by plain tus requests.

Benches need it to know the moment at which the last byte was acknowledged; tests may use it to hold the dock's view of the protocol
against a second reading of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.core.manifest import SIGNING_CONTEXT, Carrier, Manifest

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 4 * 2**20
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What the server answered to the last byte; `at` is `time.time()` when that answer had arrived."""

    number: str
    sha256: str
    at: float


class Station:
    """A station with an enrolled credential; a context manager that closes its connections."""

    def __init__(self, base_url: str, credential: Path) -> None:
        known = json.loads(credential.read_text("utf-8"))
        self.name: str = known["station"]
        self.key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(known["private_key"]))
        self.client = httpx.Client(base_url=base_url, timeout=120, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def authorise(self) -> None:
        """Sign a nonce for an upload token."""
        nonce = self.client.post("/api/v1/stations/nonces", json={"station": self.name}).raise_for_status().json()["nonce"]
        signature = self.key.sign(b"liuhen station token v1\n" + f"{self.name}\n{nonce}\n".encode())
        proof = {"station": self.name, "nonce": nonce, "signature": base64.b64encode(signature).decode()}
        token = self.client.post("/api/v1/stations/tokens", json=proof).raise_for_status().json()["token"]
        self.client.headers["Authorization"] = f"Bearer {token}"

    def metadata(self, path: Path, digest: Digest, *, name: str) -> str:
        """Return the Upload-Metadata of a file with its signed manifest."""
        now = Instant(time.time_ns() // 1000)
        manifest = Manifest(
            station=self.name, name=name, sha256=digest, size=path.stat().st_size,
            recorder=None, officer=None, sequence=None, started_at=None, started_from=None, clock_offset_us=None,
            carrier=Carrier(label="card", identity="test", kind="folder"), modified=now, station_clock=now,
        ).encode()  # fmt: skip
        values = {
            "filename": name.encode(),
            "manifest": manifest,
            "signature": self.key.sign(SIGNING_CONTEXT + manifest),
            "sha256": digest.hex.encode(),
        }
        return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in values.items())

    def upload(self, path: Path, *, name: str | None = None, part: int = 256 * 2**20) -> Acknowledged:
        """Upload a file in PATCH requests of `part` bytes, the last one short, and return what the last was answered."""
        with path.open("rb") as file:
            digest = Digest(hashlib.file_digest(file, "sha256").hexdigest())
        size = path.stat().st_size
        self.authorise()
        head = {**TUS, "Upload-Length": str(size), "Upload-Metadata": self.metadata(path, digest, name=name or path.name)}
        created = self.client.post("/api/v1/uploads", headers=head).raise_for_status()
        where = created.headers["Location"]
        offset = 0
        while True:
            body = _body(path, offset, min(size, offset + part))
            headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
            headers["Content-Length"] = str(min(size, offset + part) - offset)
            answer = self.client.patch(where, headers=headers, content=body)
            acknowledged = time.time()
            answer.raise_for_status()
            offset = int(answer.headers["Upload-Offset"])
            if offset == size:
                return Acknowledged(answer.headers["Liuhen-Number"], answer.headers["Liuhen-Sha256"], acknowledged)


def _body(path: Path, start: int, stop: int):
    with path.open("rb") as file:
        file.seek(start)
        left = stop - start
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
