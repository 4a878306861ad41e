"""The flaw: bytes that go past the archive straight to its store, and come in as something else than a station signed."""

import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from archive.adapters.s3_client import Part
from archive.adapters.s3_incoming import ADDRESS_SECONDS, incoming_key
from archive.core.digest import Digest, original_key, quarantine_key
from archive.core.errors import ObjectMissing, StoreRefuses, Unavailable
from archive.core.instant import SECOND, Instant
from archive.records.custody import CustodyEvent
from archive.records.items import Item, StoredObject
from archive.records.uploads import Quarantined
from archive.web import straight
from tests.direct_house import CAN, PART, house, speaker, work
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


def changed(url, **query):
    parts = urlsplit(url)
    return parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **query})).geturl()


def items(resources, data):
    with resources.reading() as session:
        return session.query(Item).filter_by(sha256=Digest.of(data).hex).all()


def test_a_leaked_address_is_good_for_nothing_but_the_part_it_was_given_for(archive, dock):
    data, other = fresh(), fresh()
    upload = dock.begin(data)
    leaked = dock.address(upload, 1, data[:PART])
    url, theirs = leaked["url"], hashlib.sha256(other[:PART]).hexdigest()

    def answer(method="PUT", where=url, content=data[:PART], **headers):
        said = {**leaked["headers"], **{name.replace("_", "-"): value for name, value in headers.items()}}
        return dock.store.request(method, where, headers=said, content=content).status_code

    assert answer(content=other[:PART]) == 400, "other bytes under the signed digest"
    assert answer(content=other[:PART], x_amz_content_sha256=theirs) == 403, "another digest"
    assert answer(content=data[: PART - 1], content_length=str(PART - 1)) == 403, "another size"
    assert answer(where=changed(url, partNumber="2")) == 403, "another part"
    assert answer(where=changed(url, uploadId="2~somebody")) == 403, "another upload"
    assert answer(where=url.replace(upload, secrets.token_hex(16))) == 403, "another key"
    assert answer(where=changed(url, **{"X-Amz-Expires": "604800"})) == 403, "a longer life"
    assert answer("GET", content=b"", content_length="0") == 403
    assert answer("DELETE", content=b"", content_length="0") == 403
    assert dock.standing(upload)["parts"] == []
    assert answer() == 200


def test_an_address_runs_out(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send(upload, 1, data[:PART])
    incoming, found = straight.own(archive, upload, dock.caller)
    long_ago = Instant(archive.now() - (ADDRESS_SECONDS + 1) * SECOND)
    spent = incoming.address(found.key, found.multipart, 1, size=PART, sha256=Digest.of(data[:PART]), now=long_ago)
    assert dock.put({"url": spent.url, "headers": spent.headers}, data[:PART]).status_code == 403


def test_the_store_s_secret_is_in_no_address(archive, dock):
    upload = dock.begin(fresh())
    said = str(dock.address(upload, 1, b"x")) + repr(archive.incoming.keys)
    assert archive.incoming.keys.secret not in said


def test_other_bytes_than_those_signed_are_set_aside_and_never_an_item(archive, dock):
    signed, sent = fresh(), fresh()
    upload = dock.begin(sent, signed=Digest.of(signed))
    dock.send_all(upload, sent)
    assert dock.complete(upload).json()["state"] == "arrived"
    work(archive, lanes=("verify",))
    told = dock.state(upload)
    assert (told["state"], told["refusal"], told["number"]) == ("refused", "digest_mismatch", None)
    assert items(archive, sent) == items(archive, signed) == []
    with archive.reading() as session:
        kept = session.get(Quarantined, upload)
        assert (kept.declared_sha256, kept.actual_sha256) == (Digest.of(signed).hex, Digest.of(sent).hex)
        (event,) = session.query(CustodyEvent).filter(CustodyEvent.body.contains(upload)).all()
        assert Digest.of(sent).hex in event.body
        version = kept.version_id
    assert b"".join(archive.store.reread(quarantine_key(upload), version=version)) == sent
    with pytest.raises(ObjectMissing):
        archive.incoming.client.stat(archive.incoming.store.buckets.originals, original_key(Digest.of(sent)))


def test_parts_in_any_order_and_sent_twice_are_one_file_and_the_last_of_a_part_counts(archive, dock):
    data = fresh(2 * PART + 3)
    upload = dock.begin(data)
    for number in (3, 1, 2, 1):
        dock.send(upload, number, data[(number - 1) * PART : number * PART])
    dock.send(upload, 2, secrets.token_bytes(PART))
    dock.send(upload, 2, data[PART : 2 * PART])
    dock.complete(upload)
    work(archive, lanes=("verify",))
    assert dock.state(upload)["sha256"] == Digest.of(data).hex


def test_a_part_cannot_be_replaced_once_all_were_there(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send_all(upload, data)
    evil = secrets.token_bytes(PART)
    kept = dock.address(upload, 1, evil)
    dock.complete(upload)
    assert dock.put(kept, evil).status_code == 404
    work(archive, lanes=("verify",))
    assert dock.state(upload)["sha256"] == Digest.of(data).hex


def test_what_is_put_in_the_place_of_a_completed_file_is_not_what_is_taken_in(archive, dock):
    """Whoever has the store's keys can write a newer version; the completed one is named, and read."""
    data = fresh()
    upload = dock.begin(data)
    dock.send_all(upload, data)
    dock.complete(upload)
    archive.incoming.client.put(archive.incoming.bucket, incoming_key(upload), b"something else")
    work(archive, lanes=("verify",))
    assert dock.state(upload)["sha256"] == Digest.of(data).hex
    with archive.reading() as session:
        version = session.get(StoredObject, Digest.of(data).hex).version_id
    assert b"".join(archive.store.reread(original_key(Digest.of(data)), version=version)) == data
    straight.sweep(archive, archive.now())
    assert upload not in {key.rpartition("/")[2] for key, _ in archive.incoming.objects()}


def test_a_part_replaced_between_the_look_and_the_completion_does_not_slip_in(archive, dock):
    data = fresh()
    upload = dock.begin(data)
    dock.send_all(upload, data)
    incoming, found = straight.own(archive, upload, dock.caller)
    looked_at = incoming.parts(found.key, found.multipart)
    dock.send(upload, 1, secrets.token_bytes(PART))
    with pytest.raises((StoreRefuses, Unavailable)):
        incoming.complete(found.key, found.multipart, looked_at)
    with pytest.raises((StoreRefuses, Unavailable)):
        incoming.complete(found.key, found.multipart, [Part(1, "0" * 32, PART), *looked_at[1:]])


def test_two_docks_with_one_manifest_are_one_upload_and_one_item(archive, dock):
    data = fresh(3 * PART)
    said = {"Upload-Length": str(len(data)), "Upload-Metadata": dock.metadata(data), **CAN}

    def whole(order):
        upload = dock.ask("POST", "/api/v1/uploads", headers=said).headers["Location"].rpartition("/")[2]
        for number in order:
            part = data[(number - 1) * PART : number * PART]
            asked = {"parts": [{"number": number, "sha256": Digest.of(part).hex}]}
            answer = dock.ask("POST", f"/api/v1/direct/{upload}/parts", json=asked)
            if answer.status_code == 410:  # the other one has said that all is there
                break
            with httpx.Client(trust_env=False, timeout=60) as store:
                (where,) = answer.json()["parts"]
                assert store.put(where["url"], headers=where["headers"], content=part).status_code in {200, 404}
        return upload, dock.complete(upload).status_code

    with ThreadPoolExecutor(2) as pool:
        ended = [each.result() for each in [pool.submit(whole, (1, 2, 3)), pool.submit(whole, (3, 2, 1))]]
    assert len({upload for upload, _ in ended}) == 1
    assert {status for _, status in ended} <= {200, 409, 410, 503}, "one may be told to ask again"
    assert dock.complete(ended[0][0]).json()["state"] in {"arrived", "stored"}
    work(archive, lanes=("verify",))
    assert len(items(archive, data)) == 1
    straight.sweep(archive, archive.now())
    assert ended[0][0] not in {key.rpartition("/")[2] for key, _, _ in archive.incoming.begun()}
