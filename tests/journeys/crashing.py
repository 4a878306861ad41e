"""A life of the archive, on either profile, in one process that can be ended at any failpoint: sender, web and worker over one directory.

The sender writes down what it was told, durably, as soon as it is told: that, and not what the archive remembers, is what must hold.
Each scenario is run until it ends or dies, and run again without a failpoint: the sender resumes as a real one would.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import failpoints
from archive.actions import person, station
from archive.adapters import signing
from archive.core.digest import Digest, original_key
from archive.core.instant import HOUR, Instant
from archive.core.jobs import LANES
from archive.core.manifest import Carrier, Manifest
from archive.resources import Resources, opened
from archive.settings import read
from archive.web import intake, straight
from archive.web.app import create_app
from archive.web.identity import COOKIE
from workers.embedded import take_over
from workers.handlers import HANDLERS
from workers.runner import run_next

TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}
PIECES = 3
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def live(data: Path, scenario: str, content: bytes, failpoint: str | None, engines: Engines) -> None:
    """Run one life of the scenario; with a failpoint, the process dies there by `os._exit`."""
    with resources_of(data, engines.web) as resources, _worker(data, engines, resources) as worker:
        _account(resources)
        told = Told(data.parent / "told.jsonl")
        failpoints.arm(failpoint)
        take_over(worker)
        now = resources.now()
        intake.sweep(resources, now=now)
        straight.sweep(resources, now=now)
        asyncio.run(SCENARIOS[scenario](House(resources, worker), told, content))
        work(worker)
        straight.sweep(resources, now=resources.now())
        failpoints.arm(None)


@dataclass(frozen=True)
class Engines:
    """The settings with which a web process and a worker come to their engines; none for the embedded profile."""

    web: Mapping[str, str]
    worker: Mapping[str, str]


@dataclass(frozen=True)
class House:
    """Both of them, in one process."""

    web: Resources
    worker: Resources


def resources_of(data: Path, engines: Mapping[str, str]) -> contextlib.AbstractContextManager[Resources]:
    """Give the resources of an archive in this directory, on these engines."""
    return opened(read(engines, data_dir=data, agency="131102", free_space_floor=0))


def _worker(data: Path, engines: Engines, web: Resources) -> contextlib.AbstractContextManager[Resources]:
    """Give a worker's resources: in production it comes to the database in a role of its own."""
    return resources_of(data, engines.worker) if engines.worker else contextlib.nullcontext(web)


def work(resources: Resources) -> None:
    """Do every job that is due."""
    while any(run_next(resources, HANDLERS, lane=lane, owner=f"w-{lane}", stopping=lambda: False) for lane in LANES):
        pass


@dataclass
class Told:
    """What the sender was told, on disk before it goes on."""

    path: Path
    said: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path.exists():
            self.said = [json.loads(line) for line in self.path.read_text().splitlines()]

    def note(self, **facts: object) -> None:
        self.said.append(facts)
        with self.path.open("a") as file:
            file.write(json.dumps(facts) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def last(self, name: str, what: str) -> object:
        return next((said[what] for said in reversed(self.said) if said.get("name") == name and what in said), None)


async def straight_in(house: House, told: Told, content: bytes) -> None:
    """Create, send in pieces (one under a checksum), and be told the number."""
    async with _client(house.web) as client:
        await _send(client, told, "straight", content, sha256=hashlib.sha256(content).hexdigest())


async def repeated(house: House, told: Told, content: bytes) -> None:
    """Send bytes that are stored, once more."""
    async with _client(house.web) as client:
        await _send(client, told, "first", content, sha256=hashlib.sha256(content).hexdigest())
        await _send(client, told, "second", content, sha256=hashlib.sha256(content).hexdigest())


async def repaired(house: House, told: Told, content: bytes) -> None:
    """Send bytes whose stored copy has rotted in the meantime."""
    async with _client(house.web) as client:
        await _send(client, told, "first", content, sha256=hashlib.sha256(content).hexdigest())
        if told.last("rot", "done") is None:
            stored = house.web.settings.data_dir / "store" / original_key(Digest.of(content))
            stored.chmod(0o644)
            with stored.open("r+b") as file:
                file.write(b"rot")
            told.note(name="rot", done=True)
        await _send(client, told, "second", content, sha256=hashlib.sha256(content).hexdigest())


async def false(house: House, told: Told, content: bytes) -> None:
    """Declare one digest and send bytes of another."""
    async with _client(house.web) as client:
        await _send(client, told, "false", content, sha256="0" * 64)


async def given_up(house: House, told: Told, content: bytes) -> None:
    """Begin an upload and end it."""
    async with _client(house.web) as client:
        where = await _create(client, told, "given_up", content, sha256=None)
        if told.last("given_up", "ended") is None:
            answer = await client.delete(where, headers=TUS)
            assert answer.status_code in {204, 410}, answer.text
            told.note(name="given_up", ended=True)


async def forgotten(house: House, told: Told, content: bytes) -> None:
    """Begin an upload and never come back; a sweep long after ends it."""
    async with _client(house.web) as client:
        await _create(client, told, "forgotten", content, sha256=None)
    intake.sweep(house.web, now=Instant(house.web.now() + 1000 * HOUR))


async def deferred(house: House, told: Told, content: bytes) -> None:
    """Say the length with the last request, which brings no byte."""
    async with _client(house.web) as client:
        where = str(told.last("deferred", "where") or "")
        if not where:
            answer = await client.post("/api/v1/uploads", headers={**BODY, "Upload-Defer-Length": "1"}, content=content)
            assert answer.status_code == 201, answer.text
            where = answer.headers["Location"]
            told.note(name="deferred", where=where)
        # While the accession is not reached, the last byte is asked for again.
        offset = int((await client.head(where, headers=TUS)).headers["Upload-Offset"])
        headers = {**BODY, "Upload-Offset": str(offset), "Upload-Length": str(len(content))}
        answer = await client.patch(where, headers=headers, content=content[offset:])
        assert answer.status_code == 204, answer.text
        told.note(name="deferred", number=answer.headers["Liuhen-Number"])


async def joined(house: House, told: Told, content: bytes) -> None:
    """Send three parts and make one upload of them."""
    third = len(content) // 3
    async with _client(house.web) as client:
        parts = []
        for name, piece in enumerate((content[:third], content[third : 2 * third], content[2 * third :])):
            where = told.last(f"part{name}", "where")
            if where is None:
                headers = {**BODY, "Upload-Length": str(len(piece)), "Upload-Concat": "partial"}
                answer = await client.post("/api/v1/uploads", headers=headers, content=piece)
                assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, str(len(piece)))
                where = answer.headers["Location"]
                told.note(name=f"part{name}", where=where)
            parts.append(str(where))
        if told.last("joined", "number") is None:
            digest = base64.b64encode(hashlib.sha256(content).hexdigest().encode()).decode()
            headers = {**TUS, "Upload-Concat": f"final;{' '.join(parts)}", "Upload-Metadata": f"sha256 {digest}"}
            answer = await client.post("/api/v1/uploads", headers=headers)
            assert answer.status_code == 201, answer.text
            told.note(name="joined", where=answer.headers["Location"], number=answer.headers["Liuhen-Number"])


async def small(house: House, told: Told, content: bytes) -> None:
    """Send a whole small file with its creation, as a station does; whoever hears no answer asks again with the same manifest."""
    async with _client(house.web) as client:
        client.headers = httpx.Headers({"Authorization": f"Bearer {_station(house.web)}"})
        encoded = _signed("a.bin", content, Digest.of(content))
        headers = {**BODY, "Upload-Length": str(len(content)), "Upload-Metadata": encoded}
        answer = await client.post("/api/v1/uploads", headers=headers, content=content)
        assert answer.status_code == 201, answer.text
        if told.last("small", "number") is None:
            told.note(name="small", where=answer.headers["Location"], number=answer.headers["Liuhen-Number"])
        assert told.last("small", "number") == answer.headers["Liuhen-Number"]


async def paper(house: House, told: Told, content: bytes) -> None:
    """Send two scans that are one document."""
    async with _client(house.web) as client:
        for page in ("1", "2"):
            scan, digest = content + page.encode(), hashlib.sha256(content + page.encode()).hexdigest()
            place = {"document": "ab" * 16, "page": page, "pages": "2", "title": "现场检查笔录"}
            await _create(client, told, page, scan, sha256=digest, **place)
            await _send(client, told, page, scan, sha256=digest)


async def unsaid(house: House, told: Told, content: bytes) -> None:
    """Send what no digest was declared of: nothing of it may go to a final name before all of it is here."""
    async with _client(house.web) as client:
        await _create(client, told, "unsaid", content, sha256=None)
        await _send(client, told, "unsaid", content, sha256="")


async def direct(house: House, told: Told, content: bytes) -> None:
    """Send parts straight to the store; what the store was sent and what was signed are the same."""
    await _sent_straight(house, told, content, signed=Digest.of(content))


async def direct_false(house: House, told: Told, content: bytes) -> None:
    """Send other bytes straight to the store than were signed."""
    await _sent_straight(house, told, content, signed=Digest.of(b"another" + content[7:]))


async def direct_turned(house: House, told: Told, content: bytes) -> None:
    """Begin straight to the store, and turn to the web host: what was begun there ends."""
    async with _client(house.web) as client:
        client.headers = httpx.Headers({"Authorization": f"Bearer {_station(house.web)}"})
        said = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": _signed("turned.bin", content, Digest.of(content))}
        answer = await client.post("/api/v1/uploads", headers={**said, "Liuhen-Direct": "1"})
        assert answer.status_code == 201, answer.text
        if told.last("turned", "number") is None:
            answer = await client.post("/api/v1/uploads", headers=said)
            assert answer.status_code == 201, answer.text
            told.note(name="turned", where=answer.headers["Location"])
            await _send(client, told, "turned", content, sha256="")


SCENARIOS = {
    "unsaid": unsaid,
    "large": straight_in,
    "direct": direct,
    "direct_false": direct_false,
    "direct_turned": direct_turned,
    "paper": paper,
    "deferred": deferred,
    "joined": joined,
    "small": small,
    "straight": straight_in,
    "repeated": repeated,
    "repaired": repaired,
    "false": false,
    "given_up": given_up,
    "forgotten": forgotten,
}


def _account(resources: Resources) -> None:
    with resources.transaction() as session:
        now = resources.now()
        person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=now)
        if person.by_token(session, token="cookie", now=now) is None:
            person.sign_in(session, login="admin", right=True, token="cookie", address="", now=now)


def _station(resources: Resources) -> str:
    """Return a token of the station, which is enrolled if it is not yet."""
    now, nonce, token = resources.now(), secrets.token_hex(8), secrets.token_hex(16)
    with resources.transaction() as session:
        if "dock-1" not in {each.name for each in station.stations(session)}:
            station.enrol(session, name="dock-1", public_key=KEY.public_key().public_bytes_raw(), by="test", now=now)
        station.give_nonce(session, name="dock-1", nonce=nonce, now=now)
        signature = KEY.sign(station.signed_by_station("dock-1", nonce))
        station.give_token(session, name="dock-1", nonce=nonce, signature=signature, verify=signing.verify, token=token, now=now)
    return token


def _signed(name: str, content: bytes, digest: Digest) -> str:
    """Return the Upload-Metadata of a station's file."""
    signed = Manifest(
        station="dock-1", name=name, sha256=digest, size=len(content), recorder=None, officer=None,
        sequence=None, started_at=None, started_from=None, clock_offset_us=None,
        carrier=Carrier(label="card", identity="test", kind="folder"), modified=Instant(1), station_clock=Instant(1),
    )  # fmt: skip
    values = {"manifest": signed.encode(), "signature": KEY.sign(signed.signing_bytes())}
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in values.items())


async def _sent_straight(house: House, told: Told, content: bytes, *, signed: Digest) -> None:
    """Create, put every part where the archive says, say that they are all there, wait for what becomes of it."""
    if told.last("direct", "number") is not None or told.last("direct", "refused") is not None:
        return
    async with _client(house.web) as client, httpx.AsyncClient(trust_env=False, timeout=60) as store:
        client.headers = httpx.Headers({"Authorization": f"Bearer {_station(house.web)}"})
        said = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": _signed("direct.bin", content, signed)}
        answer = await client.post("/api/v1/uploads", headers={**said, "Liuhen-Direct": "1"})
        assert answer.status_code == 201, answer.text
        where, size = answer.headers["Location"], int(answer.headers.get("Liuhen-Part-Size", "0"))
        told.note(name="direct", where=where)
        straight_to = f"/api/v1/direct/{where.rpartition('/')[2]}"
        standing = (await client.get(straight_to)).json()
        if standing["state"] == "receiving":
            held = {number for number, _ in standing["parts"]}
            pieces = {number: content[at : at + size] for number, at in enumerate(range(0, len(content), size), 1)}
            wanted = [
                {"number": number, "sha256": hashlib.sha256(piece).hexdigest()}
                for number, piece in pieces.items()
                if number not in held
            ]
            if wanted:
                answer = await client.post(f"{straight_to}/parts", json={"parts": wanted})
                assert answer.status_code == 200, answer.text
                for part in answer.json()["parts"]:
                    put = await store.put(part["url"], content=pieces[part["number"]], headers=part["headers"])
                    assert put.status_code == 200, put.text
            answer = await client.post(f"{straight_to}/complete")
            assert answer.status_code == 200, answer.text
        await asyncio.to_thread(work, house.worker)
        status = (await client.get(where, headers=TUS)).json()
        if status["state"] == "stored":
            told.note(name="direct", number=status["number"], sha256=status["sha256"])
        else:
            assert status["state"] == "refused", status
            told.note(name="direct", refused=status["refusal"])


def _client(resources: Resources) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=create_app(resources)),
        base_url="http://archive.test",
        headers={"Origin": "http://archive.test", "Cookie": f"{COOKIE}=cookie"},
    )


async def _create(client: httpx.AsyncClient, told: Told, name: str, content: bytes, *, sha256: str | None, **more: str) -> str:
    known = told.last(name, "where")
    if known is not None:
        return str(known)
    values = {"filename": f"{name}.mp4", **({"sha256": sha256} if sha256 else {}), **more}
    encoded = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    answer = await client.post("/api/v1/uploads", headers={**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": encoded})
    assert answer.status_code == 201, answer.text
    told.note(name=name, where=answer.headers["Location"])
    return answer.headers["Location"]


async def _send(client: httpx.AsyncClient, told: Told, name: str, content: bytes, *, sha256: str) -> None:
    if told.last(name, "number") is not None or told.last(name, "refused") is not None:
        return
    where = await _create(client, told, name, content, sha256=sha256)
    while True:
        head = await client.head(where, headers=TUS)
        if head.status_code == 410:
            break
        offset = int(head.headers["Upload-Offset"])
        assert offset >= int(told.last(name, "offset") or 0), "bytes that were acknowledged are gone"
        if offset == len(content):
            break
        piece = content[offset : offset + max(1, len(content) // PIECES)]
        check = f"sha256 {base64.b64encode(hashlib.sha256(piece).digest()).decode()}"
        headers = {**BODY, "Upload-Offset": str(offset), **({"Upload-Checksum": check} if offset == 0 else {})}
        answer = await client.patch(where, headers=headers, content=piece)
        if answer.status_code in {410, 460}:
            break
        assert answer.status_code == 204, answer.text
        told.note(name=name, offset=int(answer.headers["Upload-Offset"]))
    status = (await client.get(where, headers=TUS)).json()
    if status["state"] == "stored":
        told.note(name=name, number=status["number"], sha256=status["sha256"])
    else:
        assert status["state"] == "refused", status
        told.note(name=name, refused=status["refusal"])
