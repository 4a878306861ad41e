"""Claims about taking in what a station sent straight to the store: dead at any line, twice at once, and with a store that has lost it."""

import multiprocessing
import re
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from archive.actions import direct, jobs
from archive.adapters.s3_incoming import incoming_key
from archive.core.digest import Digest, original_key
from archive.core.errors import LeaseLost, Unavailable
from archive.core.instant import HOUR, Instant
from archive.records.items import Item, StoredObject
from archive.records.jobs import Job
from archive.records.uploads import Quarantined
from archive.web import straight
from tests.direct_house import KEY, MIB, Store, die, house, live, speaker, work
from tests.services import fresh_buckets
from workers import taking_in

SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["tests.direct_house"])
LIFE = 120
POINTS = [
    "upload.created", "direct.begun", "direct.kept", "direct.completed", "direct.arrived", "job.claimed", "take_in.read", "take_in.adopted",
    "job.published", "job.committed", "direct.expired", "direct.cleared",
]  # fmt: skip
ASIDE = ["take_in.set_aside", "job.published"]
OTHERS = {"direct.superseded"}


@pytest.fixture(scope="module")
def store():
    return Store.of(fresh_buckets())


@pytest.fixture(scope="module")
def archive(tmp_path_factory, store):
    with house(tmp_path_factory.mktemp("direct") / "data", store) as resources:
        yield resources


@pytest.fixture(scope="module")
def dock(archive):
    with speaker(archive, key=KEY) as station:
        yield station


def fresh(size=3 * MIB):
    return secrets.token_bytes(size)


def dies(*arguments):
    """Live a life in another process, and say how it ended."""
    process = SPAWN.Process(target=die, args=arguments)
    process.start()
    process.join(LIFE)
    code = process.exitcode
    process.close()
    return code


def left_in(resources):
    return [key for key, _, _ in resources.incoming.begun()] + [key for key, _ in resources.incoming.objects()]


def items(resources, data):
    with resources.reading() as session:
        return session.query(Item).filter_by(sha256=Digest.of(data).hex).all()


@pytest.mark.parametrize("failpoint", POINTS)
def test_a_power_cut_anywhere_is_followed_by_one_item_with_these_bytes(archive, store, failpoint):
    content = fresh()
    assert dies(archive.settings.data_dir, store, content, content, failpoint) == 137, "the failpoint was not reached"
    live(archive, content, content)
    (item,) = items(archive, content)
    assert item.verified_at is not None
    with archive.reading() as session:
        version = session.get(StoredObject, item.sha256).version_id
        states = jobs.counts(session)
        assert (states["waiting"], states["running"], states["dead"]) == (states["waiting"], 0, 0)
    assert b"".join(archive.store.reread(original_key(Digest.of(content)), version=version)) == content
    straight.sweep(archive, Instant(archive.now() + 2 * HOUR))
    assert left_in(archive) == []


@pytest.mark.parametrize("failpoint", ASIDE)
def test_a_power_cut_anywhere_is_followed_by_one_refusal_of_other_bytes(archive, store, failpoint):
    content, signed = fresh(), fresh()
    assert dies(archive.settings.data_dir, store, content, signed, failpoint) == 137, "the failpoint was not reached"
    upload = live(archive, content, signed)
    assert items(archive, content) == items(archive, signed) == []
    with archive.reading() as session:
        assert session.get(Quarantined, upload).actual_sha256 == Digest.of(content).hex
    assert left_in(archive) == []


def test_every_place_at_which_a_direct_upload_may_break_off_is_tried():
    root = Path(__file__).resolve().parents[2]
    sources = [path.read_text("utf-8") for folder in ("archive", "workers") for path in (root / folder).rglob("*.py")]
    named = {point for source in sources for point in re.findall(r'failpoint\("((?:direct|take_in)\.\w+)"\)', source)}
    assert named == {point for point in [*POINTS, *ASIDE] if point.startswith(("direct.", "take_in."))} | OTHERS


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
        assert row.key == f"take_in:1:{upload}"
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
