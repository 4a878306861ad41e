"""What keeps the archive: whoever has the disks spoils originals under their locks, and it is found, repaired and told."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from archive.actions import fsck, housekeeping, jobs, replica, store
from archive.actions import item as items
from archive.adapters.s3_store import S3Store
from archive.commands import store as command
from archive.core.custody import EventKind
from archive.core.digest import Digest, original_key
from archive.core.errors import StoreRefuses
from archive.core.instant import DAY, HOUR, SECOND, Instant
from archive.core.worm import Standing
from archive.records.custody import CustodyEvent
from archive.records.items import StoredObject
from archive.records.jobs import Job
from archive.records.stores import Replica
from tests.media_files import media_file
from tests.services import fresh_buckets
from tests.workers.keeping_house import keeping_house, lose, opened_store, rot
from workers import keeping


@pytest.fixture(scope="module")
def s3():
    return fresh_buckets()


@pytest.fixture(scope="module")
def house(tmp_path_factory, s3):
    """One house for all, since making buckets takes its time; each test brings photos of its own."""
    with keeping_house(tmp_path_factory.mktemp("house"), s3) as made:
        yield made


@pytest.fixture
def shop(house):
    held = house.resources
    yield house
    house.resources = held


@pytest.fixture
def photo(shop, picture):
    """A photo that was taken in, read back and copied."""
    return shop.process(picture)


@pytest.fixture
def picture(tmp_path):
    """A picture that no other test has."""
    return another(tmp_path, "photo.png")


def another(folder, name: str):
    made = folder / f"{secrets.token_hex(8)}-{name}"
    made.write_bytes(media_file(name).read_bytes() + secrets.token_bytes(8))
    return made


def look_again(shop, number: str) -> None:
    """Have an item's original read back anew, and do what follows from it."""
    with shop.resources.transaction() as session:
        item, now = items.find(session, number), shop.resources.now()
        jobs.enqueue(session, kind="read_back", item_id=item.id, sha256=item.sha256.hex, payload={"asked": now}, now=now)
    shop.work()


def row(shop, number: str) -> StoredObject:
    with shop.resources.reading() as session:
        return session.get(StoredObject, items.find(session, number).sha256.hex)


def copy(shop, number: str) -> Replica:
    with shop.resources.reading() as session:
        return session.get(Replica, (items.find(session, number).sha256.hex, shop.resources.settings.replica_name))


def events(shop, kind: EventKind, number: str | None = None) -> list[dict]:
    with shop.resources.reading() as session:
        rows = session.scalars(select(CustodyEvent).where(CustodyEvent.kind == kind.value).order_by(CustodyEvent.seq))
        told = [json.loads(event.body) for event in rows]
    return [each["facts"] for each in told if number is None or each["subject"] == number]


def findings(shop, *numbers: str, deep: bool = True, now: Instant | None = None) -> list[fsck.Finding]:
    """What fsck says of these items' bytes, or of everything."""
    held, about = shop.resources, [shop.item(number).sha256.hex for number in numbers]
    second = fsck.Second(held.settings.replica_name, held.replica)
    with held.reading() as session:
        found = fsck.check(
            session, held.store, deep=deep, now=now or held.now(), progress=lambda *_: None, locks=True, second=second
        )
        return [each for each in found if not about or any(digest in each.subject for digest in about)]


def content(shop, number: str) -> bytes:
    found = row(shop, number)
    key = original_key(shop.item(number).sha256)
    return b"".join(shop.resources.store.reread(key, version=found.version_id))


def test_a_verified_original_is_copied_to_the_second_store_and_read_back_from_there(shop, photo, picture):
    made = copy(shop, photo)
    assert (made.verdict, bool(made.version_id)) == ("intact", True)
    key = original_key(shop.item(photo).sha256)
    assert b"".join(shop.resources.replica.reread(key, version=made.version_id)) == picture.read_bytes()
    assert findings(shop, photo) == []


def test_bytes_that_rot_under_their_lock_are_found_and_restored_beside_what_was_found(shop, photo, picture, s3):
    digest, before = shop.item(photo).sha256, row(shop, photo)
    key = original_key(digest)
    lock = shop.resources.store.locked(key, version=before.version_id)
    spoiled = rot(s3, digest, before.version_id)
    assert lock > shop.resources.now(), "the lock did not keep it from whoever has the disks"
    assert [each.code for each in findings(shop, photo) if each.flaw] == ["bytes_altered"]

    look_again(shop, photo)

    after = row(shop, photo)
    assert (after.verdict, after.version_id != before.version_id) == ("intact", True)
    assert content(shop, photo) == picture.read_bytes()
    assert b"".join(shop.resources.store.reread(key, version=before.version_id)) == spoiled, "what was found stays"
    assert [each["verdict"] for each in events(shop, EventKind.READ_BACK, photo)] == ["intact", "altered"]
    (told,) = events(shop, EventKind.REPAIRED, photo)
    assert (told["found"], told["version_before"], told["version"]) == ("altered", before.version_id, after.version_id)
    assert told["from_store"] == shop.resources.settings.replica_name
    assert {(each.code, each.flaw) for each in findings(shop, photo)} == {("unreferenced", False)}


def test_bytes_that_rot_where_nobody_looks_are_found_by_the_calendar_and_restored(shop, photo, picture, s3):
    with shop.resources.transaction() as session:
        session.get(StoredObject, shop.item(photo).sha256.hex).checked_at -= 100 * DAY
    rot(s3, shop.item(photo).sha256, row(shop, photo).version_id)
    with shop.resources.transaction() as session:
        jobs.enqueue(session, kind="check", payload={"day": "2026-11-22"}, now=shop.resources.now())
    shop.work()
    assert [each["verdict"] for each in events(shop, EventKind.READ_BACK, photo)] == ["intact", "altered"]
    assert (row(shop, photo).verdict, content(shop, photo)) == ("intact", picture.read_bytes())


def test_bytes_that_are_gone_are_restored_too(shop, photo, picture, s3):
    lose(s3, shop.item(photo).sha256, row(shop, photo).version_id)
    look_again(shop, photo)
    for _ in range(2):  # a store that says that it has no such object is asked again
        with shop.resources.transaction() as session:
            session.execute(update(Job).where(Job.state == "waiting").values(run_after=1, lease_until=1))
        shop.work()
    assert row(shop, photo).verdict == "intact"
    assert content(shop, photo) == picture.read_bytes()
    (told,) = events(shop, EventKind.REPAIRED, photo)
    assert told["found"] in {"missing", "altered", "unreadable"}


def test_a_copy_that_is_spoilt_itself_repairs_nothing_and_is_made_anew_when_the_original_is_well_again(shop, photo, picture, s3):
    digest, was = shop.item(photo).sha256, row(shop, photo)
    rot(s3, digest, copy(shop, photo).version_id)
    rot(s3, digest, was.version_id)
    look_again(shop, photo)
    assert (row(shop, photo).verdict, row(shop, photo).version_id) == ("altered", was.version_id)
    assert copy(shop, photo).verdict == "altered"
    assert events(shop, EventKind.REPAIRED, photo) == []
    # The same bytes come in again: the store takes them in the place of the altered ones, and a new copy is made.
    shop.process(picture)
    with shop.resources.transaction() as session:
        replica.follow(session, digest=digest, store=shop.resources.settings.replica_name, now=shop.resources.now())
    shop.work()
    assert copy(shop, photo).verdict == row(shop, photo).verdict == "intact"


def test_what_has_no_copy_yet_is_promised_one_page_after_another(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("workers.keeping.BATCH", 1)
    second, shop.resources = shop.resources.replica, dataclasses.replace(shop.resources, replica=None)
    numbers = [shop.process(another(tmp_path, "photo.png")) for _ in range(3)]
    shop.resources = dataclasses.replace(shop.resources, replica=second)
    assert [copy(shop, number) for number in numbers] == [None] * 3
    assert "one_copy" in {each.code for each in findings(shop, deep=False)}
    with shop.resources.transaction() as session:
        jobs.enqueue(session, kind="replicate", payload={"day": "2026-11-22"}, now=shop.resources.now())
    shop.work()
    assert [copy(shop, number).verdict for number in numbers] == ["intact"] * 3
    assert findings(shop, *numbers) == []


def test_a_lock_that_ends_soon_is_extended_and_read_back_and_none_is_shortened(shop, photo, s3):
    digest, held = shop.item(photo).sha256, shop.resources
    key, version = original_key(digest), row(shop, photo).version_id
    first = held.store.locked(key, version=version)

    extend(shop)
    assert row(shop, photo).locked_until == first, "a lock that holds long enough is written down and left"
    longer = opened_store(s3, held.store.buckets, None, shop, lock_days=9)
    try:
        shop.resources = dataclasses.replace(held, store=longer, settings=held.settings.model_copy(update={"lock_days": 9}))
        extend(shop)
        extended = row(shop, photo).locked_until
        assert extended > first + 6 * DAY
        assert longer.locked(key, version=version) == extended
    finally:
        longer.close()
    shop.resources = held
    extend(shop)
    assert held.store.locked(key, version=version) == row(shop, photo).locked_until == extended


@pytest.fixture
def longer(shop, s3, tmp_path):
    """The house with stores that lock for nine days, so that every lock in it ends soon."""
    held = shop.resources
    first = opened_store(s3, held.store.buckets, tmp_path, shop, lock_days=9)
    second = opened_store(s3, held.replica.buckets, None, shop, lock_days=9)
    settings = held.settings.model_copy(update={"lock_days": 9})
    shop.resources = dataclasses.replace(held, store=first, replica=second, settings=settings)
    yield shop
    first.close()
    second.close()


def extend(shop, **payload) -> None:
    with shop.resources.transaction() as session:
        jobs.enqueue(session, kind="extend_locks", payload={"day": secrets.token_hex(4), **payload}, now=shop.resources.now())
    shop.work()


def test_a_lock_that_cannot_be_extended_keeps_no_other_waiting(longer, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "BATCH", 1)
    refused, other = (longer.process(another(tmp_path, "photo.png")) for _ in range(2))
    monkeypatch.setattr(keeping, "_extended", refusing(keeping._extended, original_key(longer.item(refused).sha256)))
    with longer.resources.transaction() as session:  # nobody looked at either, so that both are the first
        session.execute(update(StoredObject).values(locked_until=None))
    extend(longer)
    assert row(longer, refused).locked_until is None
    assert row(longer, other).locked_until > longer.resources.now() + 8 * DAY


def refusing(extended, key):
    def extend_all_but_one(held, wanted, version, enough):
        if wanted == key:
            raise StoreRefuses(what="store", key=key)
        return extended(held, wanted, version, enough)

    return extend_all_but_one


def test_a_copys_lock_is_extended_when_it_is_due_itself(shop, photo, longer):
    key, was = original_key(shop.item(photo).sha256), copy(shop, photo)
    second = shop.resources.replica
    before = second.locked(key, version=was.version_id)
    assert (was.locked_until, row(shop, photo).locked_until is None) == (None, False)
    extend(shop, of="copies")
    assert copy(shop, photo).locked_until == second.locked(key, version=was.version_id) > before + 6 * DAY
    assert row(shop, photo).locked_until < shop.resources.now() + 3 * DAY, "the original's was not asked for"
    later = Instant(shop.resources.now() + 20 * DAY)
    ended = [each.subject for each in findings(shop, photo, deep=False, now=later) if each.code == "lock_ran_out"]
    assert [each.startswith(shop.resources.settings.replica_name) for each in sorted(ended)].count(True) == 1


def test_a_store_that_goes_away_among_the_locks_is_waited_for_and_what_was_done_is_on_record(longer, tmp_path, monkeypatch):
    numbers = [longer.process(another(tmp_path, "photo.png")) for _ in range(2)]
    with longer.resources.transaction() as session:
        session.execute(update(StoredObject).values(locked_until=1))
        wanted = [longer.item(number).sha256.hex for number in numbers]
        session.execute(update(StoredObject).where(StoredObject.sha256.in_(wanted)).values(locked_until=None))
    done, gone = sorted(numbers, key=lambda number: longer.item(number).sha256.hex)
    with monkeypatch.context() as away:
        away.setattr(keeping, "_extended", refusing(keeping._extended, original_key(longer.item(gone).sha256)))
        away.setattr(S3Store, "answers", lambda _: False)
        extend(longer)
        assert row(longer, done).locked_until > longer.resources.now() + 8 * DAY
        assert row(longer, gone).locked_until is None
    with longer.resources.transaction() as session:
        session.execute(update(Job).where(Job.state == "waiting").values(run_after=1, lease_until=None))
    longer.work()
    assert row(longer, gone).locked_until > longer.resources.now() + 8 * DAY


def test_locks_of_what_a_restored_database_does_not_know_are_extended_when_somebody_asks(longer, photo, s3, monkeypatch):
    held = longer.resources
    stray = original_key(Digest.of(b"came after the backup"))
    versions = [each.client.put(each.buckets.of(stray), stray, b"came after the backup") for each in (held.store, held.replica)]
    known = row(longer, photo)
    before = held.store.locked(original_key(Digest(known.sha256)), version=known.version_id)
    monkeypatch.setattr(command, "settings_of", lambda **_: held.settings)
    monkeypatch.setattr(command, "opened", lambda *_, **__: contextlib.nullcontext(held))
    done = CliRunner().invoke(command.extend_unknown)
    assert done.output.count("versions that no row knows are locked") == 2, done.output
    assert stray not in done.output, "what could not be locked is named"
    for each, version in zip((held.store, held.replica), versions, strict=True):
        assert each.locked(stray, version=version) > held.now() + 7 * DAY
    assert held.store.locked(original_key(Digest(known.sha256)), version=known.version_id) == before


def test_a_lock_that_ran_out_and_one_that_is_shorter_than_on_record_are_flaws(shop, photo):
    until = row(shop, photo)
    with shop.resources.transaction() as session:
        store.locked(
            session,
            found=store.Locked(shop.item(photo).sha256, until.version_id, None),
            until=Instant(shop.resources.now() + 20 * DAY),
        )
    assert {each.code for each in findings(shop, photo) if each.flaw} == {"lock_shorter"}
    later = Instant(shop.resources.now() + 30 * DAY)
    assert {each.code for each in findings(shop, photo, deep=False, now=later) if each.flaw} == {"lock_ran_out"}


def test_another_version_under_an_originals_name_is_a_note_and_the_one_on_record_is_read(shop, photo):
    key = original_key(shop.item(photo).sha256)
    shop.resources.store.client.put(shop.resources.settings.s3_originals, key, b"somebody else's")
    assert [(each.code, each.flaw) for each in findings(shop, photo)] == [("unreferenced", False)]
    look_again(shop, photo)
    assert row(shop, photo).verdict == "intact"


def test_the_stores_are_tried_and_a_change_of_what_they_show_is_on_record_once(shop):
    with shop.resources.transaction() as session:
        jobs.enqueue(session, kind="canary", payload={"hour": "1"}, now=shop.resources.now())
    shop.work()
    settings = shop.resources.settings
    with shop.resources.reading() as session:
        views = [store.newest(session, store=name) for name in (settings.store_name, settings.replica_name)]
    assert [view.standing for view in views] == [Standing.HOLDS] * 2
    assert len(events(shop, EventKind.STORE_TRIED)) == 2

    def tried(facts) -> Standing:
        with shop.resources.transaction() as session:
            return keeping.record_trial(session, settings.store_name, facts, now=shop.resources.now())

    assert tried(views[0].facts) is Standing.HOLDS
    assert len(events(shop, EventKind.STORE_TRIED)) == 2, "the same once more is no event"
    # Somebody points the archive at a bucket that locks nothing.
    assert tried({"kind": "s3", "versioning": "Off", "object_lock": "Off", "steps": {}}) is Standing.BROKEN
    *_, told = events(shop, EventKind.STORE_TRIED)
    assert (told["was"], told["standing"]) == ("holds", "broken")
    assert told["shown"]["versioning"] == "not_enforced"


def test_finished_jobs_go_after_their_days_and_failed_ones_stay(shop, photo):
    with shop.resources.transaction() as session:
        job = session.scalar(select(Job).where(Job.kind == "examine").order_by(Job.id.desc()))
        job.state, job.error = "dead", "tool_failed"
    with shop.resources.transaction() as session:
        assert housekeeping.prune(session, before=Instant(shop.resources.now() - HOUR), limit=100) == 0
        assert housekeeping.prune(session, before=Instant(shop.resources.now() + SECOND), limit=1000) > 0
    with shop.resources.reading() as session:
        assert jobs.counts(session) == {"waiting": 0, "running": 0, "done": 0, "dead": 1}
