"""Parts that go to the store while an upload comes in, against a real S3 and one that lies."""

import asyncio
import base64
import hashlib
import os
import random
import time
from contextlib import contextmanager
from dataclasses import asdict, replace

import httpx
import pytest
from sqlalchemy import select

from archive.actions import hosts, item, person
from archive.adapters import s3_buckets
from archive.adapters.copies import Copies
from archive.adapters.s3_client import S3Client
from archive.adapters.s3_parts import Streams, notes_of
from archive.adapters.s3_store import Buckets, S3Store
from archive.core.digest import Digest, original_key, quarantine_key
from archive.core.instant import DAY, HOUR, Instant
from archive.records.items import StoredObject
from archive.records.uploads import Upload
from archive.resources import opened
from archive.settings import read
from archive.web import intake, streaming
from archive.web.app import create_app
from archive.web.identity import COOKIE
from tests.contract.stores import QUICK
from tests.direct_house import work
from tests.lying import Lie, Lying
from tests.web.tus import BODY, PATH, TUS, checksum, id_of, metadata

MIB = 2**20
PART = 5 * MIB
"""The least that S3 takes for a part which is not the last."""

SIZE = 2 * PART + MIB
"""Three parts, the last of one MiB."""

BEGUN = PART + MIB
"""As much as has one part go."""


class Counting(S3Client):
    """A client that says what it was asked to send."""

    numbers: list[int]

    def part(self, bucket, key, upload, number, data, **more):
        sent = super().part(bucket, key, upload, number, data, **more)
        self.numbers.append(number)
        return sent


@contextmanager
def house(directory, s3, *, endpoint=""):
    """An archive on SQLite with a real store, or one behind a liar, as one web process has it."""
    client = Counting(endpoint or s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, patience=QUICK)
    client.numbers = []
    with opened(read({}, data_dir=directory / "data", agency="131102", free_space_floor=0)) as plain:
        copies = Copies(directory / "copies", most=2**30, sm3=False, clock=plain.now)
        store = S3Store(client, Buckets(s3.originals, s3.derived, s3.incoming), lock_days=1, copies=copies, clock=plain.now)
        streams = Streams(store, part=PART)
        try:
            if not endpoint:
                s3_buckets.make(client, store.buckets)
            with plain.transaction() as session:
                person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=plain.now())
                if person.by_token(session, token="cookie", now=plain.now()) is None:
                    person.sign_in(session, login="admin", right=True, token="cookie", address="", now=plain.now())
            yield replace(plain, store=store, streams=streams)
        finally:
            streams.close()
            store.close()


@pytest.fixture
def resources(tmp_path, s3):
    with house(tmp_path, s3) as resources:
        yield resources


@pytest.fixture
def data():
    return random.Random(7).randbytes(SIZE - 100) + os.urandom(100)


def asked(resources, method, where, content=b"", **headers):
    """Ask the archive in this process."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def ask():
        own = {"Origin": "http://archive.test", "Cookie": f"{COOKIE}=cookie"}
        transport = httpx.ASGITransport(app=create_app(resources), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://archive.test", headers=own) as client:
            return await client.request(method, where, headers={**(BODY if method == "PATCH" else TUS), **named}, content=content)

    return asyncio.run(ask())


def begin(resources, data, *, declared=None):
    named = metadata(filename="a.bin", sha256=declared or hashlib.sha256(data).hexdigest())
    answer = asked(resources, "POST", PATH, Upload_Length=str(len(data)), Upload_Metadata=named)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def patch(resources, where, offset, content, **headers):
    return asked(resources, "PATCH", where, content, Upload_Offset=str(offset), **headers)


def row(resources, where):
    with resources.reading() as session:
        return session.get(Upload, id_of(where))


def until(reached, within_s=20):
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun(resources):
    """What the store has begun and not finished."""
    return [upload for _, upload, _ in resources.store.client.uploads(resources.store.buckets.originals, "originals/")]


def versions(resources, data):
    key = original_key(Digest.of(data))
    return [each.version for each in resources.store.client.versions(resources.store.buckets.originals, key)]


def taken_in(resources, answer, data):
    """Hold an upload to be in: one version, named by its row, locked, right when it is read back; and nothing left of its way there."""
    assert answer.status_code == 204, answer.text
    assert answer.headers["Liuhen-Sha256"] == hashlib.sha256(data).hexdigest()
    with resources.reading() as session:
        version = session.scalar(select(StoredObject.version_id).where(StoredObject.sha256 == hashlib.sha256(data).hexdigest()))
    assert version in versions(resources, data)
    key = original_key(Digest.of(data))
    assert b"".join(resources.store.reread(key, version=version)) == data
    assert resources.store.locked_until(key, version).until > resources.now()
    assert begun(resources) == []
    assert resources.spool.ids() == []
    assert not list((resources.settings.data_dir / "spool").glob("*.parts"))
    return version


def test_full_parts_are_in_the_store_before_the_last_byte_is_here(resources, data):
    where = begin(resources, data)
    assert patch(resources, where, 0, data[:BEGUN]).status_code == 204
    until(lambda: resources.store.client.numbers == [1])
    name = row(resources, where).multipart
    assert begun(resources) == [name["upload"]]
    assert versions(resources, data) == [], "nothing is visible under the name yet"
    answer = patch(resources, where, BEGUN, data[BEGUN:])
    taken_in(resources, answer, data)
    assert sorted(resources.store.client.numbers) == [1, 2, 3]
    assert row(resources, where).multipart is None
    work(resources, lanes=("quick", "verify"))
    with resources.reading() as session:
        assert item.find(session, answer.headers["Liuhen-Number"]).verified_at is not None


def test_what_was_sent_before_a_restart_is_not_sent_again(tmp_path, s3, data):
    with house(tmp_path, s3) as first:
        where = begin(first, data)
        patch(first, where, 0, data[:BEGUN])
        until(lambda: first.store.client.numbers == [1])
    with house(tmp_path, s3) as second:
        taken_in(second, patch(second, where, BEGUN, data[BEGUN:]), data)
        assert sorted(second.store.client.numbers) == [2, 3]


@pytest.mark.parametrize("wrong", ["list", "file"])
def test_a_part_of_which_list_store_and_file_do_not_agree_is_sent_again(tmp_path, s3, data, wrong):
    with house(tmp_path, s3) as first:
        where = begin(first, data)
        patch(first, where, 0, data[:BEGUN])
        until(lambda: first.store.client.numbers == [1])
    spooled = first.spool.path(id_of(where))
    if wrong == "list":
        notes_of(spooled).unlink()
    else:  # a power cut took the end of what was never synced, and the sender sent it again
        with spooled.open("r+b") as file:
            file.truncate(PART - MIB)
    with house(tmp_path, s3) as second:
        offset = int(asked(second, "HEAD", where).headers["Upload-Offset"])
        taken_in(second, patch(second, where, offset, data[offset:]), data)
        assert sorted(second.store.client.numbers) in ([1, 2, 3], [2, 3])
        assert wrong != "list" or 1 in second.store.client.numbers


def test_bytes_that_are_not_those_declared_end_the_stores_upload_and_are_kept_aside(resources, data):
    where = begin(resources, data, declared="ab" * 32)
    assert patch(resources, where, 0, data[:BEGUN]).status_code == 204
    until(lambda: len(begun(resources)) == 1)
    answer = patch(resources, where, BEGUN, data[BEGUN:])
    assert (answer.status_code, answer.json()["code"]) == (460, "digest_mismatch")
    assert begun(resources) == []
    assert versions(resources, data) == []
    assert resources.store.client.stat(resources.store.buckets.derived, quarantine_key(id_of(where))).size == SIZE
    assert row(resources, where).multipart is None


def test_bytes_whose_checksum_is_not_known_to_hold_are_not_sent(resources, data):
    where = begin(resources, data)
    false = "sha256 " + base64.b64encode(bytes(32)).decode()
    assert patch(resources, where, 0, data[:BEGUN], Upload_Checksum=false).status_code == 460
    time.sleep(0.2)
    assert begun(resources) == []
    assert patch(resources, where, 0, data[:BEGUN], Upload_Checksum=checksum(data[:BEGUN])).status_code == 204
    until(lambda: resources.store.client.numbers == [1])
    taken_in(resources, patch(resources, where, BEGUN, data[BEGUN:]), data)


def test_what_the_store_has_and_was_found_intact_is_not_sent_ahead(resources, data):
    taken_in(resources, patch(resources, begin(resources, data), 0, data), data)
    work(resources, lanes=("quick", "verify"))
    resources.store.client.numbers.clear()
    answer = patch(resources, begin(resources, data), 0, data)
    assert answer.headers["Liuhen-Same-Bytes-As"]
    assert resources.store.client.numbers == []
    assert len(versions(resources, data)) == 1


def test_an_upload_that_is_given_up_leaves_nothing_in_the_store(resources, data):
    where, other = begin(resources, data), begin(resources, data)
    for each in (where, other):
        patch(resources, each, 0, data[:BEGUN])
    until(lambda: len(begun(resources)) == 2)
    assert asked(resources, "DELETE", where).status_code == 204
    with resources.transaction() as session:
        session.get(Upload, id_of(other)).expires_at = 1
    intake.sweep(resources, resources.now())
    assert begun(resources) == []
    assert [row(resources, each).multipart for each in (where, other)] == [None, None]
    assert not list((resources.settings.data_dir / "spool").iterdir())


def test_what_a_host_that_is_gone_held_expires_though_its_sender_never_asks(resources, data):
    where = begin(resources, data)
    patch(resources, where, 0, data[:BEGUN])
    until(lambda: len(begun(resources)) == 1)
    resources.streams.forget(id_of(where))
    with resources.transaction() as session:
        hosts.claim(session, name="away", nonce="theirs", now=resources.now())
        held = session.get(Upload, id_of(where))
        held.host, held.expires_at = "away", resources.now() + HOUR
    seen, after = time.monotonic(), resources.peers.gone_after
    resources.peers.note({"away": 1}, at=seen)
    intake.sweep(resources, Instant(resources.now() + 2 * HOUR))
    assert row(resources, where).state == "receiving", "its host may come back and end it, or take it in"
    for look in range(1, 5):  # from now on it is looked for all the time, and nothing is heard of it
        resources.peers.note({"away": 1}, at=seen + look * after / 3)
    intake.sweep(resources, resources.now())
    assert row(resources, where).state == "receiving", "it has time left"
    intake.sweep(resources, Instant(resources.now() + 2 * HOUR))
    assert (row(resources, where).state, row(resources, where).multipart) == ("expired", None)
    assert begun(resources) == []


def test_what_the_store_began_and_nobody_noted_is_ended_after_a_while(resources, data):
    key = original_key(Digest.of(data))
    resources.store.client.begin(resources.store.buckets.originals, key)
    streaming.tidy(resources, now=resources.now())
    assert len(begun(resources)) == 1, "it may be somebody's who is about to note it"
    resources.streams._look_at = 0.0  # hours later
    streaming.tidy(resources, now=Instant(resources.now() + 30 * DAY))
    assert begun(resources) == []


def test_what_was_left_unfinished_is_ended_in_each_bucket_and_store(resources, data, s3):
    first, key = resources.store, original_key(Digest.of(data))
    there, away = (
        S3Client(endpoint, access_key=s3.access_key, secret_key=s3.secret_key, patience=QUICK)
        for endpoint in (s3.endpoint, "http://127.0.0.1:9")
    )
    there.sdk.make_bucket(s3.replica, object_lock=True)
    replicas = [
        S3Store(each, Buckets(*[s3.replica] * 3), lock_days=1, copies=None, clock=resources.now) for each in (away, there)
    ]
    for bucket, name in (
        (first.buckets.originals, key),
        (first.buckets.derived, "derived/x"),
        (first.buckets.derived, "quarantine/x"),
        (first.buckets.incoming, "incoming/x"),
        (s3.replica, key),
    ):
        there.begin(bucket, name)

    def left():
        found = [upload for bucket in (*asdict(first.buckets).values(), s3.replica) for upload in there.uploads(bucket, "")]
        return sorted(name for name, _, _ in found)

    try:
        for replica in replicas:
            resources.streams._look_at = 0.0
            streaming.tidy(replace(resources, replica=replica), now=resources.now())
        assert len(left()) == 5, "each may be somebody's who goes on with it"
        resources.streams._look_at = 0.0
        streaming.tidy(replace(resources, replica=replicas[0]), now=Instant(resources.now() + 30 * DAY))
        assert left() == ["incoming/x", key], "the second store is away, and keeps the first from nothing"
        resources.streams._look_at = 0.0
        streaming.tidy(replace(resources, replica=replicas[1]), now=Instant(resources.now() + 30 * DAY))
        assert left() == ["incoming/x"], "what stations send straight has its own sweep"
    finally:
        for replica in replicas:
            replica.close()


def test_a_store_that_is_away_holds_nobody_up_and_gets_what_the_spool_kept(tmp_path, s3, data):
    with house(tmp_path, s3), Lying(s3.endpoint) as liar, house(tmp_path, s3, endpoint=liar.endpoint) as resources:
        where = begin(resources, data)
        liar.down = True
        assert patch(resources, where, 0, data[:BEGUN]).status_code == 204
        answer = patch(resources, where, BEGUN, data[BEGUN:])
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert asked(resources, "HEAD", where).headers["Upload-Offset"] == str(SIZE - 1), "one byte is asked for again"
        assert resources.spool.size(id_of(where)) == SIZE
        liar.down = False
        liar.full = True
        answer = patch(resources, where, SIZE - 1, data[-1:])
        assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
        liar.full = False
        swept = intake.sweep(resources, resources.now())
        assert swept.taken_in == (id_of(where),)
        taken_in(resources, patch(resources, where, SIZE, b""), data)


@pytest.mark.parametrize(
    "lie", [Lie.AFTER, pytest.param(Lie.LOST, marks=pytest.mark.soak), Lie.COMPLETED, Lie.SWALLOWED, Lie.UNLOCKED]
)
def test_a_store_that_lies_about_the_completion_changes_nothing(tmp_path, s3, data, lie):
    with house(tmp_path, s3), Lying(s3.endpoint) as liar, house(tmp_path, s3, endpoint=liar.endpoint) as resources:
        where = begin(resources, data)
        patch(resources, where, 0, data[:BEGUN])
        until(lambda: resources.store.client.numbers == [1])
        liar.tell(lie, times=1, about="originals/")
        answer = patch(resources, where, BEGUN, data[BEGUN:])
        while answer.status_code in {503, 507}:
            answer = patch(resources, where, SIZE - 1, data[-1:])
        assert liar.told[lie] == 1
        taken_in(resources, answer, data)
