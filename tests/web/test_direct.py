"""Claims about direct uploads: what the archive says to a station that sends straight to the store, and what it holds to."""

import secrets
from dataclasses import replace

import pytest

from archive.adapters.s3_incoming import incoming_key
from archive.core.digest import Digest, original_key
from archive.core.instant import DAY, HOUR, Instant
from archive.records.items import Item, StoredObject
from archive.web import straight
from archive.web.app import create_app
from tests.direct_house import CAN, MIB, PART, TUS, house, speaker, work
from tests.services import fresh_buckets


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with house(tmp_path_factory.mktemp("direct") / "data", fresh_buckets()) as resources:
        yield resources


@pytest.fixture(scope="module")
def dock(archive):
    with speaker(archive) as station:
        yield station


def fresh(size=PART + 1000):
    return secrets.token_bytes(size)


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def only(resources, data):
    """Return number and version of the one item with these bytes."""
    with resources.reading() as session:
        rows = session.query(Item.number, StoredObject.version_id).join(StoredObject, StoredObject.sha256 == Item.sha256)
        ((number, version),) = rows.filter(Item.sha256 == Digest.of(data).hex).all()
    return number, version


def held(resources):
    """Return the uploads of which the store holds parts or objects."""
    incoming = resources.incoming
    return {key for key, _, _ in incoming.begun()} | {key for key, _ in incoming.objects()}


def test_a_file_goes_straight_to_the_store_and_is_an_item_when_a_worker_has_read_it(archive, dock):
    data = fresh(2 * PART + 7)
    upload = dock.begin(data)
    dock.send_all(upload, data)
    assert dock.complete(upload).json()["state"] == "arrived"
    told = dock.state(upload)
    assert (told["state"], told["number"], told["offset"]) == ("arrived", None, len(data))
    work(archive, lanes=("verify",))
    told = dock.state(upload)
    assert (told["state"], told["sha256"]) == ("stored", Digest.of(data).hex)
    number, version = only(archive, data)
    assert b"".join(archive.store.reread(original_key(Digest.of(data)), version=version)) == data
    lock = archive.store.locked_until(original_key(Digest.of(data)), version)
    assert lock.until > archive.now() + DAY // 2
    assert dock.ask("GET", f"/api/v1/items/{number}/receipt").status_code == 200
    assert incoming_key(upload) in held(archive)
    straight.sweep(archive, archive.now())
    assert incoming_key(upload) not in held(archive)


def test_nothing_is_acknowledged_before_a_worker_has_read_it(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send_all(upload, data)
    dock.complete(upload)
    answer = dock.ask("HEAD", f"/api/v1/uploads/{upload}", headers=TUS)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (200, str(len(data)))
    assert not {"liuhen-number", "liuhen-part-size"} & set(answer.headers)
    with archive.reading() as session:
        assert session.query(Item).filter_by(sha256=Digest.of(data).hex).all() == []
    work(archive, lanes=("verify",))


@pytest.mark.parametrize(
    ("size", "headers"), [(PART, TUS), (PART, {**TUS, "Liuhen-Direct": "0"}), (2 * MIB - 1, CAN)], ids=["old", "no", "small"]
)
def test_an_old_station_and_a_small_file_go_through_the_archive(dock, size, headers):
    answer = dock.create(fresh(size), headers=headers)
    assert answer.status_code == 201
    assert "Liuhen-Part-Size" not in answer.headers
    assert answer.headers["Upload-Offset"] == "0"
    refused(dock.ask("GET", "/api/v1/direct/" + answer.headers["Location"].rpartition("/")[2]), 409, "wrong_way")


def test_an_archive_that_offers_no_such_thing_takes_the_bytes_itself(archive, dock):
    settings = archive.settings.model_copy(update={"direct_uploads": False})
    elsewhere = replace(dock, app=create_app(replace(archive, settings=settings)))
    assert "Liuhen-Part-Size" not in elsewhere.create(fresh()).headers


def test_a_station_goes_on_where_it_was(archive, dock):
    data = fresh(2 * PART + 5)
    upload = dock.begin(data)
    assert dock.standing(upload)["parts"] == []
    dock.send(upload, 2, data[PART : 2 * PART])
    told = dock.standing(upload)
    assert (told["parts"], told["length"], told["part_size"]) == ([[2, PART]], len(data), PART)
    again = dock.ask("HEAD", f"/api/v1/uploads/{upload}", headers=TUS)
    assert (again.headers["Upload-Offset"], again.headers["Liuhen-Part-Size"]) == ("0", str(PART))


def test_the_same_manifest_is_the_same_upload_at_any_time(archive, dock):
    data = fresh()
    said = {"Upload-Length": str(len(data)), "Upload-Metadata": dock.metadata(data), **CAN}
    where = {dock.ask("POST", "/api/v1/uploads", headers=said).headers["Location"] for _ in range(2)}
    upload = where.pop().rpartition("/")[2]
    assert not where
    dock.send_all(upload, data)
    dock.complete(upload)
    arrived = dock.ask("POST", "/api/v1/uploads", headers=said)
    assert (arrived.headers["Location"].rpartition("/")[2], arrived.headers["Upload-Offset"]) == (upload, str(len(data)))
    work(archive, lanes=("verify",))
    stored = dock.ask("POST", "/api/v1/uploads", headers=said)
    assert stored.headers["Liuhen-Number"] == only(archive, data)[0]


def test_a_completion_is_refused_until_every_part_has_its_size(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    refused(dock.complete(upload), 409, "parts_differ")
    dock.send(upload, 1, data[:PART])
    answer = dock.complete(upload)
    refused(answer, 409, "parts_differ")
    assert answer.json()["facts"]["number"] == 2
    # somebody with the store's own keys puts a part of another size there
    key, multipart = incoming_key(upload), next(upload_id for key, upload_id, _ in archive.incoming.begun() if upload in key)
    archive.incoming.client.part(archive.incoming.bucket, key, multipart, 2, data[PART:] + b"more")
    refused(dock.complete(upload), 409, "parts_differ")
    dock.send(upload, 2, data[PART:])
    assert [dock.complete(upload).json()["state"] for _ in range(2)] == ["arrived", "arrived"]
    work(archive, lanes=("verify",))
    assert dock.complete(upload).json()["state"] == "stored"


@pytest.mark.parametrize("number", [0, 3, 10_001])
def test_there_are_addresses_for_the_parts_that_the_manifest_has_and_no_others(dock, number):
    asked = {"parts": [{"number": number, "sha256": "0" * 64}]}
    refused(dock.ask("POST", f"/api/v1/direct/{dock.begin(fresh())}/parts", json=asked), 400, "malformed")


def test_nobody_else_hears_of_an_upload(archive, dock):
    upload = dock.begin(fresh())
    with speaker(archive, name=f"dock-{secrets.token_hex(4)}") as other:
        refused(other.ask("GET", f"/api/v1/direct/{upload}"), 404, "not_found")
        refused(other.complete(upload), 404, "not_found")
        asked = {"parts": [{"number": 1, "sha256": "0" * 64}]}
        refused(other.ask("POST", f"/api/v1/direct/{upload}/parts", json=asked), 404, "not_found")


def test_what_goes_straight_cannot_come_here_as_well(dock):
    upload = dock.begin(fresh())
    body = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    refused(dock.ask("PATCH", f"/api/v1/uploads/{upload}", headers=body, content=b"x"), 410, "upload_gone")


def test_a_station_that_cannot_reach_the_store_sends_here_what_it_began_straight(archive, dock):
    data = fresh()
    said = {"Upload-Length": str(len(data)), "Upload-Metadata": dock.metadata(data)}
    begun = dock.ask("POST", "/api/v1/uploads", headers=said | CAN).headers["Location"].rpartition("/")[2]
    dock.send(begun, 1, data[:PART])
    answer = dock.ask("POST", "/api/v1/uploads", headers=said | TUS)
    here = answer.headers["Location"].rpartition("/")[2]
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "0")
    assert "Liuhen-Part-Size" not in answer.headers
    assert here != begun
    refused(dock.complete(begun), 410, "upload_gone")
    body = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert dock.ask("PATCH", f"/api/v1/uploads/{here}", headers=body, content=data).status_code == 204
    only(archive, data)
    straight.sweep(archive, archive.now())
    assert incoming_key(begun) not in held(archive)


def test_a_completion_that_nobody_heard_of_is_found(archive, dock):
    for ask in (dock.standing, lambda upload: dock.complete(upload).json()):
        data = fresh()
        upload = dock.begin(data)
        dock.send_all(upload, data)
        _, found = straight.own(archive, upload, dock.caller)
        archive.incoming.complete(found.key, found.multipart, archive.incoming.parts(found.key, found.multipart))
        assert ask(upload)["state"] == "arrived"
        work(archive, lanes=("verify",))
        assert dock.state(upload)["state"] == "stored"


def test_what_the_store_lost_is_asked_for_again(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send(upload, 1, data[:PART])
    _, found = straight.own(archive, upload, dock.caller)
    archive.incoming.abort(found.key, found.multipart)
    refused(dock.complete(upload), 409, "parts_differ")
    assert dock.standing(upload)["parts"] == []
    dock.send_all(upload, data)
    assert dock.complete(upload).json()["state"] == "arrived"


def test_of_two_that_begin_at_once_one_remains(archive, dock):
    upload = dock.begin(fresh())
    incoming, found = straight.own(archive, upload, dock.caller)
    assert found.multipart is None
    first, second = (straight.begun(archive, incoming, found) for _ in range(2))  # both saw that there was none
    assert first.multipart == second.multipart
    assert [multipart for key, multipart, _ in incoming.begun() if key == incoming_key(upload)] == [first.multipart]


def test_an_upload_that_moves_gets_its_time_again_and_one_that_rests_is_cleared_away(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send(upload, 1, data[:PART])
    late = Instant(archive.now() + archive.settings.upload_expiry_hours * HOUR * 3 // 4)
    _, before = straight.own(archive, upload, dock.caller)
    straight.moved(archive, before, now=late)
    _, after = straight.own(archive, upload, dock.caller)
    assert after.expires_at > before.expires_at
    straight.sweep(archive, Instant(after.expires_at - 1))
    assert dock.standing(upload)["state"] == "receiving"
    straight.sweep(archive, after.expires_at)
    refused(dock.ask("GET", f"/api/v1/direct/{upload}"), 410, "upload_gone")
    assert incoming_key(upload) not in held(archive)


def test_what_is_on_nobodys_record_is_cleared_away_once_it_is_old(archive):
    incoming, stray = archive.incoming, secrets.token_hex(16)
    incoming.begin(incoming_key(stray))
    made = secrets.token_hex(16)
    archive.incoming.client.put(incoming.bucket, incoming_key(made), b"x")
    straight.sweep(archive, archive.now())
    assert {incoming_key(stray), incoming_key(made)} <= held(archive)
    straight.sweep(archive, Instant(archive.now() + 2 * HOUR))
    assert not {incoming_key(stray), incoming_key(made)} & held(archive)
