"""tus 1.0.0 against a running server: every vector of the protocol that concerns the extensions offered, and what senders do to it."""

import hashlib
import os
import sqlite3
import threading

import httpx
import pytest

from archive.core.digest import Digest, original_key, quarantine_key
from archive.core.tus import parse_metadata
from tests.server import RunningServer
from tests.station import Station
from tests.web.tus import BODY, PATH, TUS, Tus, checksum, id_of, metadata, refused, signed_in, stored

GIB = 2**30


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"LIUHEN_IDLE_BODY_SECONDS": "2", "LIUHEN_MAX_UPLOAD_BYTES": str(6 * GIB), "LIUHEN_WORKER": "0"}
    with RunningServer(tmp_path_factory.mktemp("uploads") / "data", settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def tus(server):
    with signed_in(server) as client:
        yield Tus(client)


# What is offered


def test_options_says_what_is_offered_without_being_asked_for_a_version(server):
    for path in (PATH, f"{PATH}/{'0' * 32}"):
        answer = httpx.options(server.base_url + path, trust_env=False)
        assert answer.status_code == 204
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert answer.headers["Tus-Max-Size"] == str(6 * GIB)
        offered = "creation,creation-with-upload,creation-defer-length,checksum,termination,expiration,concatenation"
        assert answer.headers["Tus-Extension"] == offered
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
        assert not [name for name in answer.headers if name.startswith("access-control")], "no other site may upload"


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1"])
def test_another_version_of_tus_is_refused_and_told_ours(tus, version):
    headers = {} if version is None else {"Tus-Resumable": version}
    where = tus.begin(10)
    for answer in (
        tus.client.post(PATH, headers={**headers, "Upload-Length": "1"}),
        tus.client.patch(where, headers={**BODY, "Tus-Resumable": "", **headers, "Upload-Offset": "0"}, content=b"x"),
        tus.client.delete(where, headers=headers),
    ):
        refused(answer, 412, "tus_version_unsupported")
        assert answer.headers["Tus-Version"] == "1.0.0"
    assert tus.client.head(where, headers=headers).status_code == 412
    assert tus.offset(where) == 0


def test_nobody_uploads(server):
    with httpx.Client(base_url=server.base_url, trust_env=False) as client:
        stranger = Tus(client)
        refused(stranger.create(1), 401, "sign_in_required")
        refused(stranger.patch(f"{PATH}/{'0' * 32}", 0, b"x"), 401, "sign_in_required")
        assert stranger.head(f"{PATH}/{'0' * 32}").status_code == 401


# Creation


def test_a_new_upload_is_somewhere_relative_and_expires(tus):
    sent = metadata(empty=b"", filename="录像.mp4")
    answer = tus.create(10, Upload_Metadata=sent)
    assert answer.status_code == 201
    assert answer.headers["Location"].startswith(f"{PATH}/")
    assert answer.headers["Upload-Expires"].endswith(" GMT")
    head = tus.head(answer.headers["Location"])
    assert head.status_code == 200
    assert head.headers["Upload-Offset"] == "0"
    assert head.headers["Upload-Length"] == "10"
    assert head.headers["Cache-Control"] == "no-store"
    assert parse_metadata(head.headers["Upload-Metadata"]) == parse_metadata(sent)
    assert head.headers["Upload-Expires"] == answer.headers["Upload-Expires"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "malformed"),
        ({"Upload-Length": "-1"}, 400, "malformed"),
        ({"Upload-Length": "ten"}, 400, "malformed"),
        ({"Upload-Length": "1", "Upload-Defer-Length": "1"}, 400, "malformed"),
        ({"Upload-Defer-Length": "0"}, 400, "malformed"),
        ({"Upload-Defer-Length": "yes"}, 400, "malformed"),
        ({"Upload-Length": "1", "Upload-Concat": "whole"}, 400, "malformed"),
        ({"Upload-Length": "1", "Upload-Concat": "partial;/files/a"}, 400, "malformed"),
        ({"Upload-Length": str(6 * GIB + 1)}, 413, "upload_too_large"),
        ({"Upload-Length": "1", "Upload-Metadata": "a YQ==,a Yg=="}, 400, "malformed"),
        ({"Upload-Length": "1", "Upload-Metadata": "a !"}, 400, "malformed"),
        ({"Upload-Length": "1", "Upload-Metadata": metadata(filename=b"\xff")}, 400, "malformed"),
        ({"Upload-Length": "1", "Upload-Metadata": metadata(sha256="short")}, 400, "malformed"),
    ],
)
def test_a_creation_that_makes_no_sense_is_refused(tus, headers, status, code):
    refused(tus.client.post(PATH, headers={**TUS, **headers}), status, code)


def test_an_upload_of_nothing_is_whole_at_its_creation(tus, server):
    answer = tus.create(0, Upload_Metadata=metadata(filename="empty.txt"))
    assert answer.status_code == 201
    assert answer.headers["Upload-Offset"] == "0"
    assert answer.headers["Liuhen-Sha256"] == Digest.of(b"").hex
    assert tus.status(answer.headers["Location"])["number"] == answer.headers["Liuhen-Number"]
    assert tus.offset(answer.headers["Location"]) == 0
    assert stored(server, b"")


def test_a_creation_may_bring_everything(tus, server):
    data = os.urandom(100_000)
    answer = tus.create(len(data), content=data)
    assert answer.status_code == 201
    assert answer.headers["Upload-Offset"] == str(len(data))
    assert answer.headers["Liuhen-Sha256"] == hashlib.sha256(data).hexdigest()
    assert stored(server, data)


def test_a_creation_may_bring_the_first_part(tus, server):
    data = os.urandom(100_000)
    answer = tus.create(len(data), content=data[:60_000])
    assert answer.status_code == 201
    assert answer.headers["Upload-Offset"] == "60000"
    answer = tus.patch(answer.headers["Location"], 60_000, data[60_000:])
    assert answer.status_code == 204
    assert stored(server, data)


def test_a_creation_that_brings_the_wrong_thing_makes_nothing(tus, server):
    before = set((server.data_dir / "spool").iterdir())
    refused(tus.create(5, content=b"12345", Content_Type="text/plain"), 415, "wrong_content_type")
    refused(tus.create(5, content=b"123456"), 413, "past_length")
    refused(tus.create(5, content=b"12345", Upload_Checksum=checksum(b"54321")), 460, "checksum_mismatch")
    refused(tus.create(5, content=b"12345", Upload_Checksum="md5 AAAA"), 400, "checksum_unsupported")
    with tus.breaking("POST", PATH, Upload_Length="5", Transfer_Encoding="chunked") as wire:
        wire.send(b"6\r\n123456\r\n0\r\n\r\n")
        assert wire.answer().status == 413
    with tus.breaking("POST", PATH, Upload_Length="0", Transfer_Encoding="chunked") as wire:
        wire.send(b"1\r\n1\r\n0\r\n\r\n")
        assert wire.answer().status == 413
    assert set((server.data_dir / "spool").iterdir()) == before


# Adding bytes


def test_bytes_come_in_parts_and_the_last_is_answered_with_a_number(tus, server):
    data = os.urandom(3_000_000)
    where = tus.begin(len(data))
    for start in range(0, len(data), 1_000_000):
        answer = tus.patch(where, start, data[start : start + 1_000_000])
        assert answer.status_code == 204
        assert answer.headers["Upload-Offset"] == str(start + 1_000_000)
        assert ("Liuhen-Number" in answer.headers) == (start == 2_000_000)
    digest = hashlib.sha256(data).hexdigest()
    number = answer.headers["Liuhen-Number"]
    assert number.startswith("131102-WS-")
    assert answer.headers["Liuhen-Sha256"] == digest
    assert tus.offset(where) == len(data)
    assert tus.status(where) == {
        "id": id_of(where),
        "state": "stored",
        "offset": len(data),
        "length": len(data),
        "concat": None,
        "number": number,
        "sha256": digest,
        "same_bytes_as": None,
        "refusal": None,
    }
    assert stored(server, data)
    assert not (server.data_dir / "spool" / id_of(where)).exists()
    again = tus.patch(where, len(data), b"")
    assert (again.status_code, again.headers["Liuhen-Number"]) == (204, number)
    refused(tus.patch(where, 0, data[:5]), 409, "offset_conflict")
    refused(tus.patch(where, len(data), b"more"), 413, "past_length")


def test_the_same_bytes_again_are_a_second_item_that_says_so(tus):
    data = os.urandom(1000)
    first = tus.create(1000, content=data)
    second = tus.create(1000, content=data)
    assert "Liuhen-Same-Bytes-As" not in first.headers
    assert second.headers["Liuhen-Same-Bytes-As"] == first.headers["Liuhen-Number"]
    assert second.headers["Liuhen-Number"] != first.headers["Liuhen-Number"]


def test_bytes_that_begin_elsewhere_are_refused(tus):
    where = tus.begin(10)
    assert tus.patch(where, 0, b"1234").status_code == 204
    refused(tus.patch(where, 0, b"1"), 409, "offset_conflict")
    refused(tus.patch(where, 5, b"6"), 409, "offset_conflict")
    refused(tus.client.patch(where, headers=BODY, content=b"5"), 400, "malformed")
    refused(tus.patch(where, 4, b"5", Content_Type="application/octet-stream"), 415, "wrong_content_type")
    assert tus.offset(where) == 4


def test_bytes_past_the_length_are_refused_before_and_during_the_body(tus):
    where = tus.begin(10)
    refused(tus.patch(where, 0, b"12345678901"), 413, "past_length")
    assert tus.offset(where) == 0
    with tus.breaking("PATCH", where, Upload_Offset="0", Transfer_Encoding="chunked") as wire:
        wire.send(b"4\r\n1234\r\n")
        tus.offset_reaches(where, 0)
        wire.send(b"7\r\n5678901\r\n0\r\n\r\n")
        answer = wire.answer()
    assert answer.status == 413
    assert tus.offset(where) in {0, 4}, "what came in a chunk that passes the length is dropped whole"


def test_an_empty_body_changes_nothing(tus):
    where = tus.begin(10)
    answer = tus.patch(where, 0, b"")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "0")


def test_offsets_pass_four_gibibytes(tus, server):
    where = tus.begin(5 * GIB)
    os.truncate(server.data_dir / "spool" / id_of(where), 4 * GIB + 3)
    assert tus.offset(where) == 4 * GIB + 3
    refused(tus.patch(where, 3, b"wrapped"), 409, "offset_conflict")
    answer = tus.patch(where, 4 * GIB + 3, b"")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(4 * GIB + 3))
    assert tus.delete(where).status_code == 204


@pytest.mark.parametrize("name", ["0" * 32, "nonsense", "..%2f..%2fliuhen.db", "%00", "A" * 32])
def test_an_upload_that_never_was_is_not_found(tus, name):
    assert tus.head(f"{PATH}/{name}").status_code == 404
    assert tus.patch(f"{PATH}/{name}", 0, b"x").status_code == 404


def test_a_percent_encoded_name_is_the_same_name(tus):
    where = tus.begin(10)
    encoded = f"{PATH}/" + "".join(f"%{ord(char):02x}" for char in id_of(where))
    assert tus.patch(encoded, 0, b"12345").headers["Upload-Offset"] == "5"
    assert tus.offset(where) == 5


def test_another_sender_sees_nothing_of_an_upload(tus, server):
    where = tus.begin(10)
    with Station(server.base_url, server.enrol_station("dock-stranger")) as station:
        station.authorise()
        other = Tus(station.client)
        assert other.head(where).status_code == 404
        refused(other.patch(where, 0, b"1"), 404, "not_found")
        refused(other.delete(where), 404, "not_found")
    assert tus.offset(where) == 0


# Checksums


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_checksum_that_holds_is_taken_for_each_body_alone(tus, server, algorithm):
    data = os.urandom(200_000)
    where = tus.begin(len(data))
    assert tus.patch(where, 0, data[:90_000], Upload_Checksum=checksum(data[:90_000], algorithm)).status_code == 204
    answer = tus.patch(where, 90_000, data[90_000:], Upload_Checksum=checksum(data[90_000:], algorithm))
    assert answer.headers["Liuhen-Sha256"] == hashlib.sha256(data).hexdigest()
    assert stored(server, data)


def test_a_checksum_that_does_not_hold_leaves_the_offset_where_it_was(tus, server):
    data = os.urandom(20)
    where = tus.begin(20)
    tus.patch(where, 0, data[:10])
    refused(tus.patch(where, 10, b"x" * 10, Upload_Checksum=checksum(data[10:])), 460, "checksum_mismatch")
    assert tus.offset(where) == 10
    # Bytes sent without a checksum after that are not cut off by what the failed one left.
    assert tus.patch(where, 10, data[10:15]).status_code == 204
    refused(tus.patch(where, 15, b"x" * 5, Upload_Checksum=checksum(data[15:], "sha1")), 460, "checksum_mismatch")
    assert tus.patch(where, 15, data[15:], Upload_Checksum=checksum(data[15:])).status_code == 204
    assert stored(server, data)


@pytest.mark.parametrize(
    ("value", "code"), [("md5 AAAA", "checksum_unsupported"), ("sha1 AAAA", "malformed"), ("sha1 *", "malformed")]
)
def test_a_checksum_that_cannot_be_checked_is_refused(tus, value, code):
    where = tus.begin(10)
    refused(tus.patch(where, 0, b"1", Upload_Checksum=value), 400, code)
    assert tus.offset(where) == 0


def test_a_checksummed_body_that_breaks_off_counts_for_nothing(tus):
    where = tus.begin(10)
    tus.patch(where, 0, b"12")
    with tus.breaking("PATCH", where, Upload_Offset="2", Content_Length="8", Upload_Checksum=checksum(b"x" * 8)) as wire:
        wire.send(b"345")
        threading.Event().wait(0.3)
    assert tus.offset(where) == 2
    answer = tus.patch(where, 2, b"abc")
    assert answer.headers["Upload-Offset"] == "5"
    assert tus.offset(where) == 5


# Whole-file digest


def test_bytes_that_are_not_those_declared_are_refused_and_kept_aside(tus, server):
    data, declared = b"what came", Digest.of(b"what was meant")
    where = tus.begin(len(data), sha256=declared.hex)
    refused(tus.patch(where, 0, data), 460, "digest_mismatch")
    assert tus.status(where)["state"] == "refused"
    assert tus.status(where)["refusal"] == "digest_mismatch"
    assert tus.head(where).status_code == 410
    refused(tus.patch(where, 0, data), 410, "upload_gone")
    assert (server.data_dir / "store" / quarantine_key(id_of(where))).read_bytes() == data
    assert not (server.data_dir / "store" / original_key(Digest.of(data))).exists()


def test_bytes_that_are_those_declared_are_taken(tus):
    data = b"what was meant"
    where = tus.begin(len(data), sha256=Digest.of(data).hex)
    assert tus.patch(where, 0, data).status_code == 204


# The other methods


def test_a_post_may_stand_for_another_method(tus):
    where = tus.begin(10)
    override = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0"}
    answer = tus.client.post(where, headers={**BODY, **override}, content=b"123")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "3")
    answer = tus.client.post(where, headers={**TUS, "X-HTTP-Method-Override": "HEAD"})
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (200, "3")
    refused(tus.client.post(where, headers={**TUS, "X-HTTP-Method-Override": "PUT"}), 400, "malformed")
    refused(tus.client.post(where, headers=TUS), 400, "malformed")
    assert tus.client.post(where, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert tus.head(where).status_code == 410


def test_a_terminated_upload_is_gone_with_its_bytes(tus, server):
    where = tus.begin(10)
    tus.patch(where, 0, b"123")
    assert tus.delete(where).status_code == 204
    assert tus.head(where).status_code == 410
    refused(tus.patch(where, 3, b"4"), 410, "upload_gone")
    refused(tus.delete(where), 410, "upload_gone")
    assert tus.status(where)["state"] == "terminated"
    assert not (server.data_dir / "spool" / id_of(where)).exists()


def test_what_is_taken_in_cannot_be_terminated(tus, server):
    answer = tus.create(7, content=b"kept so")
    refused(tus.delete(answer.headers["Location"]), 410, "upload_gone")
    assert stored(server, b"kept so")


def test_an_expired_upload_is_gone(tus, server):
    where = tus.begin(10)
    tus.patch(where, 0, b"123")
    with sqlite3.connect(server.data_dir / "liuhen.db") as database:
        database.execute("UPDATE uploads SET expires_at = 1 WHERE id = ?", (id_of(where),))
    database.close()
    assert tus.head(where).status_code == 410
    refused(tus.patch(where, 3, b"4"), 410, "upload_gone")
