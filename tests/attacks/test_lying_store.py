"""A store that lies while evidence comes in. Whatever it says: what was acknowledged is not lost, no receipt vouches for bytes that are not
there or not right, and who tries again arrives.

The sender does what the dock does: it goes on where the archive says that it stands.
"""

import os
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from archive.adapters.s3_client import PART_SIZE
from archive.adapters.s3_parts import WORTH, Streams
from archive.core.digest import Digest, original_key
from archive.records.items import Item, StoredObject
from archive.records.jobs import Job
from tests.contract.stores import s3_store
from tests.direct_house import TUS, house, speaker, work
from tests.lying import Lie, Lying
from tests.services import fresh_buckets

SMALL = 200_000
LARGE = WORTH + 5
SLOW = 0.5


@pytest.fixture(scope="module")
def s3():
    return fresh_buckets()


@pytest.fixture(scope="module")
def lying(s3):
    with Lying(s3.endpoint) as proxy:
        proxy.stall = SLOW
        yield proxy


@pytest.fixture(scope="module")
def archive(s3, lying, tmp_path_factory):
    """An archive whose store is reached through the proxy, and which sends parts while a file comes in."""
    with house(tmp_path_factory.mktemp("lying") / "data", s3, endpoint=lying.endpoint) as made:
        streams = Streams(made.store)
        yield replace(made, streams=streams)
        streams.close()


@pytest.fixture(scope="module")
def dock(archive):
    with speaker(archive) as station:
        yield station


@pytest.fixture(scope="module")
def other(archive):
    """Another station, to which the same file is brought."""
    with speaker(archive, name="dock-2") as station:
        yield station


@pytest.fixture(scope="module")
def truth(s3):
    """The same buckets, asked without anybody between."""
    with s3_store(s3, None) as store:
        yield store


@pytest.fixture(autouse=True)
def _honest_afterwards(lying):
    yield
    lying.honest()


def send(dock, data, *, tries=10):
    """Send a file until it is acknowledged, and return its accession number."""
    created = dock.create(data, headers=TUS)
    assert created.status_code == 201, created.text
    upload = created.headers["Location"].rpartition("/")[2]
    for _ in range(tries):
        head = dock.ask("HEAD", f"/api/v1/uploads/{upload}", headers=TUS)
        if head.status_code == 200:
            at = int(head.headers["Upload-Offset"])
            said = {**TUS, "Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
            dock.ask("PATCH", f"/api/v1/uploads/{upload}", headers=said, content=data[at:])
        state = dock.state(upload)
        if state.get("state") == "stored":
            return state["number"]
    raise AssertionError(state)


def arrive(archive, dock, data):
    """Send a file and have the work done that this promises until a receipt verifies it; return its number."""
    number = send(dock, data)
    for _ in range(4):
        work(archive, lanes=("verify",))
        if dock.ask("GET", f"/api/v1/items/{number}/receipt").status_code == 200:
            return number
        let_time_pass(archive)
    raise AssertionError(number)


def let_time_pass(archive):
    """Have what was put off, or waits for its next try, be due."""
    with archive.transaction() as session:
        session.execute(update(Job).where(Job.state == "waiting").values(run_after=1, lease_until=1))


def look(archive, truth, data):
    """Hold what the archive says against what the store really has."""
    digest = Digest.of(data)
    with archive.reading() as session:
        items = session.scalars(select(Item).where(Item.sha256 == digest.hex)).all()
        row = session.get(StoredObject, digest.hex)
        verified = [item.number for item in items if item.verified_at is not None]
        version, verdict = row.version_id, row.verdict
    if verified:
        assert verdict == "intact"
        assert b"".join(truth.reread(original_key(digest), version=version)) == data
        assert truth.locked_until(original_key(digest), version).until is not None
    return verified


@pytest.mark.parametrize(
    ("lie", "times", "size"),
    [
        (Lie.SWALLOWED, 1, SMALL), (Lie.SWALLOWED, 3, SMALL), (Lie.TRUNCATED, 2, SMALL), (Lie.CUT, 2, SMALL), (Lie.FLIPPED, 2, SMALL),
        (Lie.STALE, 3, SMALL), (Lie.AFTER, 2, SMALL), (Lie.LOST, 2, SMALL), (Lie.REFUSED, 3, SMALL), (Lie.DROPPED, 3, SMALL),
        (Lie.SWALLOWED, 1, LARGE), (Lie.CUT, 2, LARGE), (Lie.LOST, 2, LARGE), (Lie.STALLED, 2, LARGE), (Lie.COMPLETED, 1, LARGE),
    ],
)  # fmt: skip
def test_evidence_arrives_through_every_lie_and_is_sent_once(archive, dock, truth, lying, lie, times, size):
    data = os.urandom(size)
    lying.told.clear()
    lying.tell(lie, times=times, about="originals/")
    number = arrive(archive, dock, data)
    assert look(archive, truth, data) == [number]
    assert lying.told[lie] >= 1


def test_what_a_store_takes_vouches_for_and_does_not_have_gets_no_receipt_and_is_taken_when_it_comes_again(
    archive, dock, other, truth, lying
):
    data = os.urandom(SMALL)
    lying.tell(Lie.SWALLOWED, about="originals/")
    lying.tell(Lie.VOUCHED, about="originals/")
    number = send(dock, data)  # acknowledged: the store said yes, and yes again
    work(archive, lanes=("verify",))
    assert dock.ask("GET", f"/api/v1/items/{number}/receipt").status_code == 425
    assert look(archive, truth, data) == []
    lying.honest()
    assert arrive(archive, other, data) in look(archive, truth, data)


def test_bytes_that_always_come_wrong_get_no_receipt_until_they_come_right(archive, dock, other, truth, lying):
    data = os.urandom(SMALL)
    number = send(dock, data)
    lying.tell(Lie.FLIPPED, times=10_000, about="originals/")
    work(archive, lanes=("verify",))
    assert dock.ask("GET", f"/api/v1/items/{number}/receipt").status_code == 425
    assert look(archive, truth, data) == []
    lying.honest()
    assert arrive(archive, other, data) in look(archive, truth, data)


@pytest.mark.parametrize("trouble", ["down", "full"])
def test_a_store_that_is_away_holds_evidence_up_and_costs_neither_it_nor_a_job(archive, dock, truth, lying, trouble):
    data, waiting = os.urandom(SMALL), os.urandom(PART_SIZE + 1)
    number = send(dock, data)
    setattr(lying, trouble, True)
    if trouble == "down":
        for _ in range(5):  # more often than a job may fail
            work(archive, lanes=("verify",))
            let_time_pass(archive)
    with pytest.raises(AssertionError):
        send(dock, waiting, tries=1)
    assert look(archive, truth, data) == []
    lying.honest()
    arrive(archive, dock, waiting)
    work(archive, lanes=("verify",))
    assert look(archive, truth, data) == [number]
    with archive.reading() as session:
        assert session.scalar(select(Job.id).where(Job.state == "dead")) is None
