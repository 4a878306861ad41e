"""Manifests that no honest station wrote: random and mutated canonical JSON, through the reader and through a signed creation.

Held: what is read back is byte for byte what was sent; all else is `Malformed`, or over HTTP one of the three refusals of a manifest.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from archive.actions import station
from archive.adapters import signing
from archive.core import canonical, manifest
from archive.core.digest import Digest
from archive.core.errors import Malformed
from archive.core.instant import Instant
from archive.core.manifest import Carrier, Manifest, Page
from archive.core.tus import UPLOADS
from archive.resources import opened
from archive.settings import read
from archive.web.app import create_app
from tests.fuzz.asgi import ask

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
COUNT = settings().max_examples
FIRST = Manifest(
    station="dock-1", name="DCIM/100/录像 0001.mp4", sha256=Digest.of(b"1234567"), size=7, recorder="DSJ001", officer="888888", sequence=1,
    started_at=Instant(1_790_000_000_000_000), started_from="name", clock_offset_us=-5, clock_offset_from="given",
    carrier=Carrier(label="card", identity="test", kind="folder"), modified=Instant(1), station_clock=Instant(2),
)  # fmt: skip
SCAN = Manifest(
    station="dock-1", name="扫描/第1页.jpg", sha256=Digest.of(b""), size=0, recorder=None, officer=None, sequence=None,
    started_at=None, started_from=None, clock_offset_us=None, carrier=Carrier(label="out", identity="x", kind="scanner"),
    modified=Instant(1), station_clock=Instant(2), room="询问室", key_mark=True, belongs_to="扫描/第1页.xml", sm3="ab" * 32,
    document=Page(id="0" * 32, page=1, of=2, title="询问笔录"),
)  # fmt: skip
OLD = {name: value for name, value in json.loads(FIRST.encode()).items() if name not in {
    "sm3", "room", "key_mark", "clock_offset_from", "belongs_to", "facts_from", "document",
}} | {"v": 1}  # fmt: skip
STARTS = [json.loads(FIRST.encode()), json.loads(SCAN.encode()), OLD]

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.sampled_from([-1, 0, 1, 2, 2**50, 2**50 + 1, 2**53 - 1, 2**53, 10**12]),
    st.text(max_size=12),
    st.sampled_from(
        ["", ".", "..", "a/../b", "/a", "a\\b", "C:x", "\u202e", "\x00", "\ud800", " a ", "ab" * 32, "volume", "media", "given"]
    ),
    st.sampled_from(["liuhen.manifest", "dock-2", "x" * 5000, "é", "e\u0301"]),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8
)


@st.composite
def mutated(draw) -> bytes:
    """An honest manifest with some of its values, keys or bytes changed."""
    value = copy.deepcopy(draw(st.sampled_from(STARTS)))
    for _ in range(draw(st.integers(0, 3))):
        holder = value
        while (inner := [each for each in holder.values() if isinstance(each, dict)]) and draw(st.booleans()):
            holder = draw(st.sampled_from(inner))
        name = draw(st.sampled_from([*holder, "surplus"]))
        if draw(st.integers(0, 4)) == 0:
            holder.pop(name, None)
        else:
            holder[name] = draw(VALUES)
    try:
        data = canonical.encode(value)
    except Malformed:
        data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        data = data[:at] + draw(st.binary(max_size=2)) + data[at + draw(st.integers(0, 2)) :]
    return data


@settings(max_examples=3 * COUNT)
@given(mutated() | st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
@example(b"[" * 4000)
@example(b'{"v":' + b"9" * 4000 + b"}")
@example(b'{"type":"liuhen.manifest","v":1e999}')
@example(b'{"type":"liuhen.manifest","v":NaN}')
def test_what_is_read_as_a_manifest_is_byte_for_byte_what_was_signed(data):
    try:
        read_back = manifest.decode(data)
    except Malformed:
        return
    assert read_back.encode() == data


@settings(max_examples=COUNT)
@given(st.binary(max_size=300) | VALUES.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")))
@example(b"[" * 200_000)
@example(b"9" * 10_000)
def test_canonical_json_is_read_back_as_it_was_written_or_refused(data):
    try:
        value = canonical.decode(data)
    except Malformed:
        return
    assert canonical.encode(value) == data


@pytest.fixture(scope="module")
def send():
    """Open an upload by a manifest of these bytes, signed by the station that is enrolled, and return the answer."""
    with ExitStack() as stack:
        memory = Path("/dev/shm")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)))
        resources = stack.enter_context(opened(read({}, data_dir=folder / "data", agency="131102", free_space_floor=0)))
        now = resources.now()
        with resources.transaction() as session:
            station.enrol(session, name="dock-1", public_key=KEY.public_key().public_bytes_raw(), by="test", now=now)
            station.give_nonce(session, name="dock-1", nonce="n", now=now)
            proof = KEY.sign(station.signed_by_station("dock-1", "n"))
            station.give_token(session, name="dock-1", nonce="n", signature=proof, verify=signing.verify, token="token", now=now)
        app, loop = create_app(resources), asyncio.new_event_loop()
        stack.callback(loop.close)

        def sent(data: bytes, signature: bytes, body: bytes):
            values = {"manifest": data, "signature": signature, "filename": b"a"}
            metadata = ",".join(f"{key} {base64.b64encode(value).decode()}".rstrip() for key, value in values.items())
            headers = {
                "Tus-Resumable": "1.0.0", "Authorization": "Bearer token", "Upload-Metadata": metadata,
                "Content-Type": "application/offset+octet-stream", "Upload-Length": str(len(body)),
            }  # fmt: skip
            return loop.run_until_complete(ask(app, "POST", UPLOADS, headers, (body,) if body else ()))

        yield sent


@settings(max_examples=COUNT, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated(), st.sampled_from(["right", "right", "right", "none", "other"]), st.sampled_from([b"1234567", b"7654321", b""]))
def test_a_creation_by_any_manifest_is_accepted_as_signed_or_refused_as_such(send, data, signed, body):
    signature = {"right": KEY.sign(manifest.signing_bytes(data)), "none": b"", "other": KEY.sign(data)}[signed]
    answer = send(data, signature, body)
    if answer.status == 201:
        read_back = manifest.decode(data)
        assert (read_back.encode(), read_back.size, read_back.station, signed) == (data, len(body), "dock-1", "right")
        assert ("liuhen-number" in answer.headers) == (read_back.sha256 == Digest.of(body))
    else:
        told = json.loads(answer.body)
        assert told["code"] in {"malformed", "manifest_wrong", "digest_mismatch"}, told
        assert answer.status == (460 if told["code"] == "digest_mismatch" else 400)
