"""Uploads whose length is said later, and uploads made of parts (tus: creation-defer-length, concatenation), on a running server."""

import hashlib
import os

import httpx
import pytest

from archive.core.digest import Digest, original_key, quarantine_key
from tests.server import RunningServer
from tests.station import Station
from tests.web.tus import PATH, TUS, Tus, checksum, id_of, metadata, refused, signed_in, stored

MAXIMUM = 10_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"LIUHEN_IDLE_BODY_SECONDS": "2", "LIUHEN_MAX_UPLOAD_BYTES": str(MAXIMUM), "LIUHEN_WORKER": "0"}
    with RunningServer(tmp_path_factory.mktemp("parts") / "data", settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def tus(server):
    with signed_in(server) as client:
        yield Tus(client)


@pytest.fixture(scope="module")
def station(server):
    with Station(server.base_url, server.enrol_station("dock-parts")) as station:
        station.authorise()
        yield station


def where_of(answer: httpx.Response) -> str:
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


# A length that is said later


def test_a_deferred_length_is_said_once_and_the_upload_is_whole_with_it(tus, server):
    data = os.urandom(5000)
    where = where_of(tus.defer())
    head = tus.head(where)
    assert (head.headers["Upload-Defer-Length"], head.headers["Upload-Offset"]) == ("1", "0")
    assert "Upload-Length" not in head.headers
    assert tus.patch(where, 0, data[:2000]).headers["Upload-Offset"] == "2000"
    assert tus.status(where)["length"] is None
    answer = tus.patch(where, 2000, data[2000:3000], Upload_Length="5000")
    assert answer.headers["Upload-Offset"] == "3000"
    head = tus.head(where)
    assert head.headers["Upload-Length"] == "5000"
    assert "Upload-Defer-Length" not in head.headers
    answer = tus.patch(where, 3000, data[3000:], Upload_Length="5000")  # the same again is no change
    assert answer.headers["Liuhen-Sha256"] == hashlib.sha256(data).hexdigest()
    assert stored(server, data)
    assert tus.patch(where, 5000, b"", Upload_Length="5000").status_code == 204
    refused(tus.patch(where, 5000, b"", Upload_Length="5001"), 400, "length_fixed")


def test_a_deferred_length_may_come_with_no_bytes_at_all(tus, server):
    data = os.urandom(100)
    where = where_of(tus.defer(content=data))
    assert tus.offset(where) == 100, "an upload whose length nobody knows is never whole by itself"
    assert tus.status(where)["state"] == "receiving"
    answer = tus.patch(where, 100, b"", Upload_Length="100")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "100")
    assert answer.headers["Liuhen-Number"]
    assert stored(server, data)


def test_an_upload_of_nothing_may_have_deferred_its_length(tus):
    where = where_of(tus.defer())
    answer = tus.patch(where, 0, b"", Upload_Length="0")
    assert answer.headers["Liuhen-Sha256"] == Digest.of(b"").hex


def test_a_second_other_length_is_refused_and_changes_nothing(tus):
    where = where_of(tus.defer())
    assert tus.patch(where, 0, b"12345", Upload_Length="10").status_code == 204
    refused(tus.patch(where, 5, b"67890", Upload_Length="11"), 400, "length_fixed")
    refused(tus.patch(where, 5, b"67890", Upload_Length="ten"), 400, "malformed")
    assert tus.head(where).headers["Upload-Length"] == "10"
    assert tus.offset(where) == 5
    declared = tus.begin(10)
    refused(tus.patch(declared, 0, b"1", Upload_Length="11"), 400, "length_fixed")


def test_a_length_that_is_less_than_what_is_there_is_refused(tus):
    where = where_of(tus.defer(content=b"12345"))
    refused(tus.patch(where, 5, b"", Upload_Length="4"), 413, "past_length")
    refused(tus.patch(where, 5, b"678", Upload_Length="7"), 413, "past_length")
    assert "Upload-Length" not in tus.head(where).headers, "a length that was refused was not said"
    assert tus.patch(where, 5, b"67", Upload_Length="7").headers["Liuhen-Number"]


def test_bytes_of_an_unknown_length_stay_within_the_archives_maximum(tus):
    refused(tus.client.post(PATH, headers={**TUS, "Upload-Length": str(MAXIMUM + 1)}), 413, "upload_too_large")
    where = where_of(tus.defer())
    refused(tus.patch(where, 0, b"", Upload_Length=str(MAXIMUM + 1)), 413, "upload_too_large")
    refused(tus.patch(where, 0, bytes(MAXIMUM + 1)), 413, "upload_too_large")
    with tus.breaking("PATCH", where, Upload_Offset="0", Transfer_Encoding="chunked") as wire:
        for _ in range(11):
            wire.send(b"f4240\r\n" + bytes(1_000_000) + b"\r\n")
        wire.send(b"0\r\n\r\n")
        assert wire.answer().status == 413
    assert tus.offset(where) <= MAXIMUM
    assert tus.delete(where).status_code == 204


def test_a_checksum_holds_for_bytes_of_an_unknown_length_too(tus):
    where = where_of(tus.defer(content=b"12345", Upload_Checksum=checksum(b"12345")))
    refused(tus.patch(where, 5, b"67", Upload_Checksum=checksum(b"76")), 460, "checksum_mismatch")
    assert tus.offset(where) == 5
    last = tus.patch(where, 5, b"67", Upload_Length="7", Upload_Checksum=checksum(b"67"))
    assert last.headers["Liuhen-Sha256"] == Digest.of(b"1234567").hex


def test_a_station_has_said_the_length_in_its_manifest(station, server, tmp_path):
    tus, path = Tus(station.client), tmp_path / "a.bin"
    path.write_bytes(os.urandom(1000))
    sent = station.metadata(path, Digest.of(path.read_bytes()), name="a.bin")
    where = where_of(tus.defer(Upload_Metadata=sent))
    assert tus.head(where).headers["Upload-Length"] == "1000"
    refused(tus.patch(where, 0, b"1", Upload_Length="999"), 400, "length_fixed")
    refused(tus.patch(where, 0, bytes(1001)), 413, "past_length")
    assert tus.patch(where, 0, path.read_bytes(), Upload_Length="1000").headers["Liuhen-Number"]
    assert stored(server, path.read_bytes())


def test_a_deferred_creation_with_more_than_the_manifest_says_makes_nothing(station, server, tmp_path):
    before = set((server.data_dir / "spool").iterdir())
    path = tmp_path / "b.bin"
    path.write_bytes(b"12345")
    sent = station.metadata(path, Digest.of(b"12345"), name="b.bin")
    refused(Tus(station.client).defer(content=b"123456", Upload_Metadata=sent), 413, "past_length")
    assert set((server.data_dir / "spool").iterdir()) == before


# Uploads made of parts


def test_a_final_upload_is_its_parts_in_the_order_given(tus, server):
    one, two, three = os.urandom(300_000), os.urandom(5), os.urandom(200_000)
    parts = [tus.part(data) for data in (one, two, three)]
    for part, data in zip(parts, (one, two, three), strict=True):
        head = tus.head(part)
        assert head.headers["Upload-Concat"] == "partial"
        assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (str(len(data)), str(len(data)))
        assert tus.status(part)["number"] is None, "a part is never taken in by itself"
    whole = three + one + two
    answer = tus.final(parts[2], parts[0], parts[1], Upload_Metadata=metadata(filename="whole.bin", sha256=Digest.of(whole).hex))
    where = where_of(answer)
    assert answer.headers["Liuhen-Sha256"] == Digest.of(whole).hex
    assert stored(server, whole)
    head = tus.head(where)
    assert head.headers["Upload-Concat"] == f"final;{parts[2]} {parts[0]} {parts[1]}"
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (str(len(whole)), str(len(whole)))
    assert tus.status(where)["concat"] == "final"
    refused(tus.patch(where, len(whole), b"more"), 403, "final_upload")
    refused(tus.patch(where, 0, b"more"), 403, "final_upload")
    for part in parts:
        assert tus.head(part).status_code == 410
        assert tus.status(part)["state"] == "joined"
        assert not (server.data_dir / "spool" / id_of(part)).exists()


def test_parts_may_be_named_by_any_spelling_of_their_address(tus, server):
    parts = [tus.part(data) for data in (b"relative ", b"absolute ", b"encoded")]
    encoded = f"{PATH}/" + "".join(f"%{ord(char):02X}" for char in id_of(parts[2]))
    answer = tus.final(parts[0], server.base_url + parts[1], encoded)
    assert answer.headers["Liuhen-Sha256"] == Digest.of(b"relative absolute encoded").hex
    named = f"final;{parts[0]} {server.base_url + parts[1]} {encoded}"
    assert tus.head(where_of(answer)).headers["Upload-Concat"] == named, "as it was sent"


def test_the_answer_to_a_final_creation_that_got_lost_is_given_again(tus):
    parts = [tus.part(b"told "), tus.part(b"twice")]
    first, second = tus.final(*parts), tus.final(*parts)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Liuhen-Number"] == first.headers["Liuhen-Number"]
    refused(tus.final(*reversed(parts)), 410, "upload_gone")


def test_a_final_upload_waits_for_no_part(tus):
    done, unfinished = tus.part(b"done"), tus.part(b"not ", length=8)
    refused(tus.final(done, unfinished), 409, "parts_unfinished")
    deferred = where_of(tus.defer(Upload_Concat="partial", content=b"length unknown"))
    refused(tus.final(done, deferred), 409, "parts_unfinished")
    assert tus.patch(unfinished, 4, b"done").status_code == 204
    assert tus.patch(deferred, 14, b"", Upload_Length="14").headers["Upload-Offset"] == "14"
    answer = tus.final(done, unfinished, deferred)
    assert answer.headers["Liuhen-Sha256"] == Digest.of(b"donenot donelength unknown").hex


@pytest.mark.parametrize(
    ("concat", "code"),
    [
        ("final;", "malformed"),
        ("final", "malformed"),
        ("final;/files/a", "malformed"),
        (f"final;{PATH}/..", "malformed"),
        ("final;http://[/x", "malformed"),
        (f"final;{PATH}/{'0' * 32}?x=1", "malformed"),
        (f"final;{PATH}/{'0' * 32}", "not_found"),
    ],
)
def test_a_final_upload_of_what_is_no_part_is_refused(tus, concat, code):
    refused(tus.client.post(PATH, headers={**TUS, "Upload-Concat": concat}), 404 if code == "not_found" else 400, code)


def test_a_final_upload_of_the_wrong_parts_is_refused_and_leaves_them(tus, server):
    part, ordinary = tus.part(b"a part"), tus.begin(5)
    gone = tus.part(b"gone")
    tus.delete(gone)
    refused(tus.final(part, part), 400, "malformed")
    refused(tus.final(part, ordinary), 400, "malformed")
    refused(tus.final(part, gone), 410, "upload_gone")
    refused(tus.final(part, Upload_Length="6"), 400, "malformed")
    refused(tus.final(part, Upload_Defer_Length="1"), 400, "malformed")
    refused(tus.client.post(PATH, headers={**TUS, "Upload-Concat": f"final;{part}"}, content=b"body"), 400, "malformed")
    big = [tus.part(bytes(MAXIMUM // 2 + 1)) for _ in range(2)]
    refused(tus.final(*big), 413, "upload_too_large")
    assert all(tus.delete(each).status_code == 204 for each in big)
    assert not (server.data_dir / "spool" / id_of(big[0])).exists()
    assert tus.final(part).status_code == 201, "one part is enough, and none of this has touched it"


def test_another_senders_part_is_not_found(tus, station):
    theirs = Tus(station.client).part(b"theirs")
    refused(tus.final(tus.part(b"mine"), theirs), 404, "not_found")


def test_joined_bytes_that_are_not_those_declared_are_kept_aside(tus, server):
    parts = [tus.part(b"what "), tus.part(b"came")]
    named = metadata(sha256=Digest.of(b"what was meant").hex)
    refused(tus.final(*parts, Upload_Metadata=named), 460, "digest_mismatch")
    refused(tus.final(*parts, Upload_Metadata=named), 460, "digest_mismatch")
    aside = [path.read_bytes() for path in (server.data_dir / "store" / "quarantine").iterdir()]
    assert b"what came" in aside
    assert not (server.data_dir / "store" / original_key(Digest.of(b"what came"))).exists()
    assert quarantine_key("x") == "quarantine/x"


def test_a_station_signs_the_whole_and_not_the_parts(station, server, tmp_path):
    tus, path = Tus(station.client), tmp_path / "joined.bin"
    data = os.urandom(100_000)
    path.write_bytes(data)
    parts = [tus.part(data[:40_000]), tus.part(data[40_000:])]
    refused(tus.final(*parts), 400, "manifest_missing")
    signed = station.metadata(path, Digest.of(data), name="joined.bin")
    refused(tus.final(parts[0], Upload_Metadata=signed), 400, "manifest_wrong")
    answer = tus.final(*parts, Upload_Metadata=signed)
    assert answer.headers["Liuhen-Sha256"] == Digest.of(data).hex
    assert tus.create(len(data), Upload_Metadata=signed).headers["Location"] == answer.headers["Location"]
    assert stored(server, data)


def test_parts_and_wholes_of_nothing_are_joined_too(tus):
    empty = [tus.part(b""), tus.part(b"")]
    assert tus.final(empty[0], tus.part(b"x"), empty[1]).headers["Liuhen-Sha256"] == Digest.of(b"x").hex
    assert tus.final(tus.part(b"")).headers["Liuhen-Sha256"] == Digest.of(b"").hex


def test_a_part_that_is_written_to_is_not_taken_from_under_its_writer(tus):
    part = tus.part(b"1234", length=8)
    with tus.breaking("PATCH", part, Upload_Offset="4", Content_Length="4") as wire:
        wire.send(b"56")
        refused(tus.final(part), 409, "parts_unfinished")
        wire.send(b"78")
        assert wire.answer().status == 204, "whoever asks for too much too early stops nobody"
    assert tus.final(part).headers["Liuhen-Sha256"] == Digest.of(b"12345678").hex
