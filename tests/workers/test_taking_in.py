"""Claims about taking in what a station sent straight to the store: twice at once, and with a store that has lost it.

That a power cut at any line is gone on from is the crash matrix's to show (tests/journeys/test_crash_matrix.py).
"""

import secrets
from dataclasses import replace

import pytest

from archive.actions import direct, jobs
from archive.adapters.s3_incoming import incoming_key
from archive.core.digest import Digest, original_key
from archive.core.errors import LeaseLost, Unavailable
from archive.core.instant import Instant
from archive.records.items import Item
from archive.records.jobs import Job
from archive.web import straight
from tests.direct_house import MIB, house, speaker, work
from tests.services import fresh_buckets
from workers import taking_in


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with house(tmp_path_factory.mktemp("direct") / "data", fresh_buckets()) as resources:
        yield resources


@pytest.fixture(scope="module")
def dock(archive):
    with speaker(archive) as station:
        yield station


def fresh(size=3 * MIB):
    return secrets.token_bytes(size)


def test_two_workers_that_take_in_the_same_at_once_make_one_item(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send_all(upload, data)
    dock.complete(upload)
    with archive.transaction() as session:
        job = jobs.claim(session, lane="verify", owner="frozen", now=archive.now())
    publish = taking_in.take_in(archive, job, lambda *_: None)
    with archive.transaction() as session:  # its lease runs out while it is frozen, and another one does the work
        session.query(Job).filter_by(id=job.id).update({"lease_until": 0})
    work(archive, lanes=("verify",))
    with pytest.raises(LeaseLost), archive.transaction() as session:
        _finished(session, job, publish, archive.now())
    with archive.reading() as session:
        assert session.query(Item).filter_by(sha256=Digest.of(data).hex).count() == 1
    assert dock.state(upload)["state"] == "stored"


def test_what_arrived_and_is_gone_from_the_store_is_asked_for_again(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send_all(upload, data)
    dock.complete(upload)
    archive.incoming.clear(incoming_key(upload), None)
    with archive.reading() as session:
        row = session.query(Job).filter(Job.kind == "take_in", Job.state == "waiting").one()
        job = jobs.ClaimedJob(row.id, row.kind, row.lane, 0, "", row.payload, 1, "w")
    with pytest.raises(Unavailable):
        taking_in.take_in(archive, job, lambda *_: None)
    with archive.transaction() as session:
        taking_in.take_in(archive, replace(job, attempt=3), lambda *_: None)(session, archive.now())
    assert dock.ask("HEAD", f"/api/v1/uploads/{upload}", headers={"Tus-Resumable": "1.0.0"}).status_code == 410
    again = dock.begin(data)
    assert again != upload
    work(archive, lanes=("verify",))


def test_a_promise_that_failed_for_good_is_made_again(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send_all(upload, data)
    dock.complete(upload)
    with archive.transaction() as session:
        row = session.query(Job).filter(Job.kind == "take_in", Job.state == "waiting").one()
        assert (row.key, row.agency, row.source) == (f"take_in:1:{upload}", "131102", f"station:{dock.caller.id}")
        row.state, row.ended_at = "dead", archive.now()
    straight.sweep(archive, archive.now())
    with archive.reading() as session:
        assert session.query(Job).filter(Job.kind == "take_in", Job.state == "waiting").count() == 0
    straight.sweep(archive, Instant(archive.now() + direct.ROUND))
    straight.sweep(archive, Instant(archive.now() + direct.ROUND))
    with archive.reading() as session:
        assert [row.key for row in session.query(Job).filter(Job.kind == "take_in", Job.state == "waiting")] == [
            f"take_in:2:{upload}"
        ]
    work(archive, lanes=("verify",))
    assert dock.state(upload)["state"] == "stored"


def test_bytes_that_the_archive_has_already_are_one_object_and_another_item(archive, dock):
    data = fresh(3 * MIB)
    numbers = []
    for name in ("dock-1", f"dock-{secrets.token_hex(4)}"):
        with speaker(archive, name=name, key=dock.key) as station:
            upload = station.begin(data)
            station.send_all(upload, data)
            station.complete(upload)
            work(archive, lanes=("verify",))
            numbers.append(station.state(upload))
    assert numbers[1]["same_bytes_as"] == numbers[0]["number"]
    key = original_key(Digest.of(data))
    assert len([row for row in archive.incoming.client.versions(archive.store.buckets.originals, key) if row.key == key]) == 1


def _finished(session, job, publish, now):
    jobs.finish(session, job, now=now)
    publish(session, now)
