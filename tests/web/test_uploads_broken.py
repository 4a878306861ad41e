"""Uploads whose line breaks, whose sender is slow, doubled or refused midway, and whose store does not answer; on a running server."""

import hashlib
import json
import os
import threading
import time

import httpx
import pytest

from archive.core.digest import Digest, original_key
from tests.server import RunningServer
from tests.station import Station
from tests.web.tus import PATH, Tus, checksum, refused, signed_in, stored


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"LIUHEN_IDLE_BODY_SECONDS": "2", "LIUHEN_WORKER": "0"}
    with RunningServer(tmp_path_factory.mktemp("broken") / "data", settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def tus(server):
    with signed_in(server) as client:
        yield Tus(client)


def test_a_body_that_breaks_off_keeps_what_came(tus, server):
    data = os.urandom(6_000_000)
    where = tus.begin(len(data))
    with tus.breaking("PATCH", where, Upload_Offset="0", Content_Length=str(len(data))) as wire:
        wire.send(data[:5_000_000])
    tus.offset_reaches(where, 5_000_000)
    assert tus.patch(where, 5_000_000, data[5_000_000:]).status_code == 204
    assert stored(server, data)


def test_a_body_that_stalls_is_ended_keeps_what_came_and_frees_the_upload(tus, server):
    data = os.urandom(100)
    where = tus.begin(100)
    with tus.breaking("PATCH", where, Upload_Offset="0", Content_Length="100") as wire:
        wire.send(data[:60])
        answer = wire.answer()
    assert answer.status == 408
    assert json.loads(answer.body)["code"] == "body_stalled"
    assert answer.headers["Connection"] == "close"
    assert tus.offset(where) == 60
    assert tus.patch(where, 60, data[60:]).status_code == 204
    assert stored(server, data)


def test_a_creation_that_should_bring_everything_and_stalls_is_an_upload_with_what_came(tus, server):
    data = os.urandom(1000)
    with tus.breaking("POST", PATH, Upload_Length="1000", Content_Length="1000") as wire:
        wire.send(data[:600])
        answer = wire.answer()
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "600")
    assert tus.patch(answer.headers["Location"], 600, data[600:]).headers["Liuhen-Number"]
    assert stored(server, data)


def test_a_creation_that_should_bring_everything_and_breaks_off_leaves_nothing(tus, server):
    before = set((server.data_dir / "spool").iterdir())
    with tus.breaking("POST", PATH, Upload_Length="1000", Content_Length="1000") as wire:
        wire.send(b"x" * 600)
    deadline = time.monotonic() + 20
    threading.Event().wait(0.5)
    while set((server.data_dir / "spool").iterdir()) != before:
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_the_same_signed_creation_many_times_at_once_is_one_item(server, tmp_path):
    path = tmp_path / "once.bin"
    path.write_bytes(os.urandom(50_000))
    with Station(server.base_url, server.enrol_station("dock-twice")) as station:
        station.authorise()
        signed = station.metadata(path, Digest.of(path.read_bytes()), name="once.bin")
        token = station.client.headers["Authorization"]
        answers = []

        def send():
            with httpx.Client(base_url=server.base_url, headers={"Authorization": token}, timeout=60, trust_env=False) as client:
                answers.append(Tus(client).create(50_000, content=path.read_bytes(), Upload_Metadata=signed))

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} == {201}
        again = Tus(station.client).create(50_000, Upload_Metadata=signed)
    assert len({answer.headers["Location"] for answer in [*answers, again]}) == 1
    assert len({answer.headers["Liuhen-Number"] for answer in [*answers, again]}) == 1


def test_a_slow_body_is_not_a_stalled_one(tus, server):
    data = b"slow but steady"
    where = tus.begin(len(data))
    with tus.breaking("PATCH", where, Upload_Offset="0", Content_Length=str(len(data))) as wire:
        for byte in data:
            wire.send(bytes([byte]))
            threading.Event().wait(0.2)
        assert wire.answer().status == 204
    assert stored(server, data)


def test_a_newer_request_stops_an_older_one_and_goes_on_from_its_bytes(tus, server):
    data = os.urandom(1000)
    where = tus.begin(1000)
    with tus.breaking("PATCH", where, Upload_Offset="0", Content_Length="1000") as older:
        older.send(data[:400])
        threading.Event().wait(0.2)
        assert tus.offset(where) <= 400, "HEAD waits for nobody"
        answer = tus.patch(where, 0, data)
        assert (answer.status_code, answer.json()["facts"]["offset"]) == (409, 400), "the older one's bytes were kept first"
        answer = older.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (409, "upload_taken_over")
        assert tus.patch(where, 400, data[400:]).status_code == 204
    assert stored(server, data)


def test_asking_by_get_waits_for_nobody(tus):
    where = tus.begin(1000)
    with tus.breaking("PATCH", where, Upload_Offset="0", Content_Length="1000") as writer:
        writer.send(b"x" * 400)
        threading.Event().wait(0.2)
        assert tus.status(where)["state"] == "receiving"
        writer.send(b"x" * 600)
        assert writer.answer().status == 204, "and nobody was asked to stop"


def test_many_requests_at_once_end_with_the_right_bytes(tus, server):
    data = os.urandom(2_000_000)
    where = tus.begin(len(data))

    def send():
        with signed_in(server) as client:
            own = Tus(client)
            for _ in range(200):
                head = own.head(where)
                offset = int(head.headers["Upload-Offset"])
                if offset == len(data):
                    return
                answer = own.patch(where, offset, data[offset : offset + 300_000])
                assert answer.status_code in {204, 409, 413, 423}, answer.text

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tus.status(where)["state"] == "stored"
    assert stored(server, data)


def test_a_refusal_reaches_a_sender_in_the_middle_of_its_body(tus):
    where = tus.begin(50_000_000)
    with tus.breaking("PATCH", where, Upload_Offset="7", Content_Length="50000000") as wire:
        wire.send(bytes(20_000_000))
        answer = wire.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (409, "offset_conflict")


def test_a_sender_that_asks_first_is_refused_before_its_body(tus):
    where = tus.begin(50_000_000)
    with tus.breaking("PATCH", where, Upload_Offset="7", Content_Length="50000000", Expect="100-continue") as wire:
        assert wire.lines().readline() == b"HTTP/1.1 409 Conflict\r\n"


# A store that does not answer


def test_while_the_accession_is_not_reached_one_byte_is_missing_and_sending_it_again_reaches_it(tus, server):
    data = os.urandom(1000)
    key = server.data_dir / "store" / original_key(Digest.of(data))
    key.parent.parent.mkdir(parents=True, exist_ok=True)
    moved = key.parent.with_name("moved")
    if key.parent.exists():
        key.parent.rename(moved)
    key.parent.write_bytes(b"")  # a file where the store needs a directory
    where = tus.begin(1000)
    refused(tus.patch(where, 0, data), 503, "unavailable")
    assert tus.offset(where) == 999
    assert tus.status(where)["state"] == "receiving"
    refused(tus.patch(where, 999, data[999:]), 503, "unavailable")
    key.parent.unlink()
    if moved.exists():
        moved.rename(key.parent)
    refused(tus.patch(where, 999, bytes([data[999] ^ 1])), 409, "offset_conflict")
    refused(tus.patch(where, 998, data[998:]), 409, "offset_conflict")
    refused(tus.patch(where, 999, data[999:], Upload_Checksum=checksum(b"?")), 460, "checksum_mismatch")
    answer = tus.patch(where, 999, data[999:], Upload_Checksum=checksum(data[999:]))
    assert answer.headers["Liuhen-Sha256"] == hashlib.sha256(data).hexdigest()
    assert tus.offset(where) == 1000
    assert stored(server, data)
