"""An archive in the test's own process whose store is a real S3, open for direct uploads, and a station that speaks to it by itself.

The database is SQLite, so that a test costs a store and nothing else; what several databases do differently has tests of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from archive.actions import station
from archive.adapters import s3_buckets, signing
from archive.adapters.copies import Copies
from archive.adapters.s3_client import S3Client
from archive.adapters.s3_incoming import Incoming
from archive.adapters.s3_presign import Keys
from archive.adapters.s3_store import Buckets, S3Store
from archive.core.access import StationCaller
from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.core.jobs import LANES
from archive.core.manifest import Carrier, Manifest
from archive.resources import Resources, opened
from archive.settings import read
from archive.web.app import create_app
from tests.services import S3
from workers.handlers import HANDLERS
from workers.runner import run_next

MIB = 2**20
PART = 5 * MIB
"""The least that an S3 store takes as a part."""
TUS = {"Tus-Resumable": "1.0.0"}
CAN = {**TUS, "Liuhen-Direct": "1"}


@contextmanager
def house(directory: Path, s3: S3, *, endpoint: str | None = None, **settings: Any) -> Iterator[Resources]:
    """Give an archive's resources with a real store, reached at another endpoint if one is given; `settings` beyond the test's own."""
    endpoint = endpoint or s3.endpoint
    known = read({}, data_dir=directory, agency="131102", free_space_floor=0)
    known = known.model_copy(
        update={"direct_uploads": True, "direct_from_bytes": 2 * MIB, "direct_part_bytes": PART, "lock_days": 1, **settings}
    )
    buckets = Buckets(s3.originals, s3.derived, s3.incoming)
    client = S3Client(endpoint, access_key=s3.access_key, secret_key=s3.secret_key)
    s3_buckets.make(client, buckets)
    with opened(known) as plain:
        store = S3Store(client, buckets, lock_days=1, copies=_copies(directory, plain.now), clock=plain.now)
        try:
            incoming = Incoming(store, endpoint, Keys(s3.access_key, s3.secret_key, known.s3_region))
            yield replace(plain, settings=known, store=store, incoming=incoming)
        finally:
            store.close()


def _copies(directory: Path, clock: Callable[[], Instant]) -> Copies:
    return Copies(directory / "copies", most=2**30, sm3=False, clock=clock)


def work(resources: Resources, *, lanes: tuple[str, ...] = LANES) -> None:
    """Do all work that is due."""
    while any(run_next(resources, HANDLERS, lane=lane, owner=f"w-{lane}", stopping=lambda: False) for lane in lanes):
        pass


@contextmanager
def working(resources: Resources, *, lanes: tuple[str, ...] = ("quick", "verify")) -> Iterator[None]:
    """Have a worker beside the test."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.05):
            work(resources, lanes=lanes)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def credential(resources: Resources, path: Path, *, name: str = "dock-1") -> Path:
    """Enrol a station and write its credential as `liuhen station enrol` does."""
    seed = signing.new_seed()
    with resources.transaction() as session:
        station.enrol(session, name=name, public_key=signing.public_of(seed), by="test", now=resources.now())
    facts = {
        "type": "liuhen.credential", "v": 1, "station": name, "private_key": base64.b64encode(seed).decode(),
        "server_keys": [str(resources.signer.key)], "agency": resources.settings.agency, "zone": "Asia/Shanghai",
    }  # fmt: skip
    path.write_text(json.dumps(facts))
    path.chmod(0o600)
    return path


@dataclass
class Speaker:
    """A station that says what a test wants it to say, to an archive in this process and to a real store."""

    resources: Resources
    name: str
    key: Ed25519PrivateKey
    headers: dict[str, str]
    store: httpx.Client
    caller: StationCaller
    app: FastAPI

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask the archive."""

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            headers = self.headers | more.pop("headers", {})
            async with httpx.AsyncClient(transport=transport, base_url="http://archive.test", headers=headers) as client:
                return await client.request(method, path, **more)

        return asyncio.run(go())

    def metadata(self, data: bytes, *, signed: Digest | None = None, size: int | None = None) -> str:
        """Return the Upload-Metadata of these bytes, or of others that are signed in their place."""
        manifest = Manifest(
            station=self.name, name="a.mp4", sha256=signed or Digest.of(data), size=len(data) if size is None else size,
            recorder=None, officer=None, sequence=None, started_at=None, started_from=None, clock_offset_us=None,
            carrier=Carrier(label="card", identity="test", kind="folder"), modified=Instant(1), station_clock=Instant(1),
        )  # fmt: skip
        values = {"manifest": manifest.encode(), "signature": self.key.sign(manifest.signing_bytes())}
        return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in values.items())

    def create(self, data: bytes, *, signed: Digest | None = None, headers: dict[str, str] | None = None) -> httpx.Response:
        """Create an upload of these bytes."""
        said = {"Upload-Length": str(len(data)), "Upload-Metadata": self.metadata(data, signed=signed), **(headers or CAN)}
        return self.ask("POST", "/api/v1/uploads", headers=said)

    def begin(self, data: bytes, *, signed: Digest | None = None) -> str:
        """Create an upload that goes straight, and return its id."""
        answer = self.create(data, signed=signed)
        assert answer.status_code == 201, answer.text
        assert answer.headers["Liuhen-Part-Size"] == str(PART)
        return answer.headers["Location"].rpartition("/")[2]

    def address(self, upload: str, number: int, data: bytes) -> dict[str, Any]:
        """Return where a part of these bytes goes."""
        asked = {"parts": [{"number": number, "sha256": Digest.of(data).hex}]}
        answer = self.ask("POST", f"/api/v1/direct/{upload}/parts", json=asked)
        assert answer.status_code == 200, answer.text
        (part,) = answer.json()["parts"]
        return part

    def put(self, part: dict[str, Any], data: bytes, **headers: str) -> httpx.Response:
        """Send bytes to an address."""
        return self.store.put(part["url"], headers={**part["headers"], "content-length": str(len(data)), **headers}, content=data)

    def send(self, upload: str, number: int, data: bytes) -> None:
        """Send a part as a station should."""
        answer = self.put(self.address(upload, number, data), data)
        assert answer.status_code == 200, answer.text

    def send_all(self, upload: str, data: bytes) -> None:
        """Send every part."""
        for number, start in enumerate(range(0, len(data), PART), 1):
            self.send(upload, number, data[start : start + PART])

    def complete(self, upload: str) -> httpx.Response:
        """Say that all is there."""
        return self.ask("POST", f"/api/v1/direct/{upload}/complete", json={})

    def standing(self, upload: str) -> dict[str, Any]:
        """Ask which parts are there."""
        answer = self.ask("GET", f"/api/v1/direct/{upload}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self, upload: str) -> dict[str, Any]:
        """Ask what became of an upload."""
        return self.ask("GET", f"/api/v1/uploads/{upload}").json()


@contextmanager
def speaker(resources: Resources, *, name: str = "dock-1", key: Ed25519PrivateKey | None = None) -> Iterator[Speaker]:
    """Give somebody who speaks for a station, which is enrolled if it is not yet."""
    key = key or Ed25519PrivateKey.generate()
    now, nonce, token = resources.now(), secrets.token_hex(8), secrets.token_hex(16)
    with resources.transaction() as session:
        if name not in {each.name for each in station.stations(session)}:
            station.enrol(session, name=name, public_key=key.public_key().public_bytes_raw(), by="test", now=now)
        station.give_nonce(session, name=name, nonce=nonce, now=now)
        proof = key.sign(station.signed_by_station(name, nonce))
        station.give_token(session, name=name, nonce=nonce, signature=proof, verify=signing.verify, token=token, now=now)
    with httpx.Client(trust_env=False, timeout=60) as store:
        headers = {"Authorization": f"Bearer {token}"}
        with resources.reading() as session:
            caller = station.by_token(session, token=token, now=resources.now())
        assert isinstance(caller, StationCaller)
        yield Speaker(resources, name, key, headers, store, caller, create_app(resources))
