"""Taking bytes in: numbers, sameness, promises and refusals, on the real database."""

from contextlib import suppress

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from archive.actions import accession, custody, fixity, item, jobs, quarantine, technical, upload
from archive.actions.fixity import Verdict
from archive.adapters import signing
from archive.core.access import Nobody, StationCaller
from archive.core.accession import Kind
from archive.core.custody import EventKind, flaws
from archive.core.digest import Digest
from archive.core.errors import (
    Malformed,
    ManifestMissing,
    ManifestWrong,
    NotFound,
    NumbersSpent,
    SignInRequired,
    TooEarly,
    UploadGone,
)
from archive.core.instant import Instant, parse
from archive.core.media.sniff import Sniffed
from archive.ports import Placed, Put
from archive.records.items import Serial
from tests.actions.conftest import MP4, NOW, SHANGHAI, sign


def test_an_item_carries_what_the_station_signed(house):
    accepted = house.take_in(b"film")
    with house.reading() as session:
        found = item.find(session, accepted.number)
    assert accepted.number == "131102-LX-2026-00000001"
    assert (found.recorder, found.officer, found.sequence, found.source_name) == ("DSJ-A1023", "张伟", 1, "dock-1")
    assert found.clock_started_at == parse("2026-03-12T09:01:20+08:00")
    assert found.started_at == parse("2026-03-12T09:01:23+08:00")
    assert found.clock_verified
    assert found.verified_at is None
    assert found.carrier == {"label": "TF", "identity": "0x5a31f0c2", "kind": "volume"}


def test_the_year_of_a_number_is_the_agencys(house):
    # eight hours before midnight UTC it is the next year in Shanghai
    first = house.accept(house.begin(b"a"), b"a", now=parse("2026-12-31T15:59:59Z"))
    second = house.accept(house.begin(b"b"), b"b", now=parse("2026-12-31T16:00:00Z"))
    assert (first.number, second.number) == ("131102-LX-2026-00000001", "131102-LX-2027-00000001")


def test_kinds_count_apart(house):
    photo = Sniffed(Kind.PHOTO, "image/jpeg", "jpeg")
    numbers = [house.accept(house.begin(c), c, sniffed=s).number for c, s in ((b"1", photo), (b"2", photo))]
    assert numbers == ["131102-ZP-2026-00000001", "131102-ZP-2026-00000002"]
    assert house.take_in(b"3").number == "131102-LX-2026-00000001"


def test_asking_again_answers_the_same_and_takes_no_second_number(house):
    upload_id = house.begin(b"film")
    first = house.accept(upload_id, b"film")
    assert house.accept(upload_id, b"film") == first
    assert house.take_in(b"other").number == "131102-LX-2026-00000002"
    with house.reading() as session:
        assert item.page(session, item.Filter()).total == 2


def test_the_same_bytes_twice_are_one_object_and_the_second_says_so(house):
    first = house.take_in(b"film")
    second = house.take_in(b"film", name="DCIM/copy.MP4")
    assert second.same_bytes_as == first.number
    with house.reading() as session:
        assert item.find(session, second.number).same_bytes_as == first.number
        # examined and read back each, but nothing of the bytes is made twice
        assert sorted(job.kind for job in jobs.of_item(session, 1, first.digest.hex)) == ["examine", "read_back"]


@pytest.mark.parametrize(
    ("verdict", "put", "stays"),
    [
        (Verdict.INTACT, Put.WRITTEN, True),
        (Verdict.INTACT, Put.ALREADY, True),
        (Verdict.INTACT, Put.REPAIRED, False),
        (Verdict.MISSING, Put.WRITTEN, False),
        (None, Put.WRITTEN, False),
    ],
)
def test_a_version_that_was_read_back_and_is_intact_is_not_given_up_for_one_that_nobody_has_read(house, verdict, put, stays):
    house.accept(house.begin(b"film"), b"film", version="read")
    if verdict is not None:
        with house.writing() as session:
            fixity.record(session, item_id=1, verdict=verdict, leaves=[], now=NOW)
    house.accept(house.begin(b"film", name="DCIM/copy.MP4"), b"film", put=put, version="unread")
    with house.reading() as session:
        assert item.stored(session, Digest.of(b"film")).version == ("read" if stays else "unread")


def test_a_transaction_that_fails_takes_no_number(house):
    upload_id = house.begin(b"film")
    with suppress(ZeroDivisionError), house.writing() as session:
        accession.accept(
            session,
            upload_id=upload_id,
            digest=Digest.of(b"film"),
            size=4,
            placed=Placed(Put.WRITTEN),
            sniffed=MP4,
            agency="131102",
            zone=SHANGHAI,
            now=NOW,
        )
        raise ZeroDivisionError
    with house.reading() as session:
        assert upload.find(session, upload_id).state == "receiving"
    assert house.accept(upload_id, b"film").number.endswith("00000001")


def test_numbers_end_and_are_not_taken_from_elsewhere(house):
    with house.writing() as session:
        session.add(Serial(agency="131102", letters="LX", year=2026, last=99_999_999))
    with pytest.raises(NumbersSpent):
        house.take_in(b"film")


def test_bytes_that_are_not_those_declared_become_no_item(house):
    upload_id = house.begin(b"film")
    with house.writing() as session:
        accession.quarantine(
            session,
            upload_id=upload_id,
            declared=Digest.of(b"film"),
            actual=Digest.of(b"fake"),
            size=4,
            placed=Placed(Put.WRITTEN),
            now=NOW,
        )
    with house.reading() as session:
        assert upload.find(session, upload_id).state == "refused"
        assert [kept.actual for kept in quarantine.kept(session)] == [Digest.of(b"fake")]
        assert item.page(session, item.Filter()).total == 0
    with pytest.raises(UploadGone):
        house.accept(upload_id, b"film")


def test_there_is_no_receipt_before_the_bytes_were_read_back(house):
    accepted = house.take_in(b"film")
    with house.reading() as session, pytest.raises(TooEarly):
        fixity.receipt(session, number=accepted.number)
    with house.writing() as session:
        fixity.record(session, item_id=1, verdict=Verdict.INTACT, leaves=[Digest.of(b"film")], now=Instant(NOW + 1))
    with house.reading() as session:
        receipt = fixity.receipt(session, number=accepted.number, station_id=1)
        assert (str(receipt.number), receipt.sha256, receipt.station) == (accepted.number, accepted.digest, "dock-1")
        with pytest.raises(NotFound):
            fixity.receipt(session, number=accepted.number, station_id=2)


@pytest.mark.parametrize("verdict", [Verdict.ALTERED, Verdict.MISSING, Verdict.UNREADABLE])
def test_a_flawed_read_back_verifies_nothing(house, verdict):
    accepted = house.take_in(b"film")
    with house.writing() as session:
        fixity.record(session, item_id=1, verdict=verdict, leaves=[], now=NOW)
    with house.reading() as session:
        assert item.find(session, accepted.number).verified_at is None
        with pytest.raises(TooEarly):
            fixity.receipt(session, number=accepted.number)


def test_every_accession_stands_in_the_chain_once(house):
    for content in (b"a", b"b", b"a"):
        house.take_in(content)
    with house.reading() as session:
        assert flaws(custody.chain(session)) == []
        assert [event.kind for event in custody.of_item(session, 3)] == [EventKind.STORED]
        assert custody.of_item(session, 3)[0].facts["same_bytes_as"] == "131102-LX-2026-00000001"


@pytest.mark.parametrize(
    "statement", ["UPDATE custody_events SET actor='x'", "DELETE FROM custody_events", "DELETE FROM custody_events WHERE seq=1"]
)
def test_the_database_itself_keeps_custody_events(house, statement):
    with pytest.raises(DatabaseError), house.writing() as session:
        session.execute(text(statement))


class TestManifests:
    """What a station must send, and what it cannot pass off."""

    def create(self, house, metadata, *, length=4, caller=None):
        with house.writing() as session:
            upload.create(
                session,
                upload_id="u",
                caller=caller or house.station,
                length=length,
                metadata=metadata,
                verify=signing.verify,
                now=NOW,
                expires_at=NOW,
            )

    def signed(self, house, **facts):
        made = house.manifest(b"film", **facts)
        return {"manifest": made.encode(), "signature": sign(made.signing_bytes())}

    def test_a_station_without_a_manifest_is_refused(self, house):
        with pytest.raises(ManifestMissing):
            self.create(house, {"filename": b"a.mp4"})

    def test_a_manifest_signed_by_another_key_is_refused(self, house):
        other = StationCaller(1, "dock-1", signing.public_of(bytes(32)))
        with pytest.raises(ManifestWrong):
            self.create(house, self.signed(house), caller=other)

    def test_another_stations_manifest_is_refused(self, house):
        with pytest.raises(ManifestWrong):
            self.create(house, self.signed(house, station="dock-2"))

    def test_a_manifest_of_another_length_is_refused(self, house):
        with pytest.raises(ManifestWrong):
            self.create(house, self.signed(house), length=5)

    def test_a_digest_beside_the_manifest_must_be_the_same(self, house):
        with pytest.raises(ManifestWrong):
            self.create(house, {**self.signed(house), "sha256": Digest.of(b"x").hex.encode()})

    def test_a_signature_over_the_bare_manifest_is_not_one_over_a_manifest(self, house):
        made = house.manifest(b"film")
        with pytest.raises(ManifestWrong):
            self.create(house, {"manifest": made.encode(), "signature": sign(made.encode())})

    def test_the_same_signed_manifest_again_is_the_same_upload_and_another_manifest_another(self, house):
        metadata = self.signed(house)
        ids = []
        for upload_id, sent in (("u1", metadata), ("u2", metadata), ("u3", self.signed(house, name="other.mp4"))):
            with house.writing() as session:
                ids.append(
                    upload.create(
                        session,
                        upload_id=upload_id,
                        caller=house.station,
                        length=4,
                        metadata=sent,
                        verify=signing.verify,
                        now=NOW,
                        expires_at=Instant(NOW + 1),
                    )
                )
        assert ids == ["u1", "u1", "u3"]

    def test_nobody_uploads(self, house):
        with pytest.raises(SignInRequired):
            self.create(house, {}, caller=Nobody())

    def test_a_persons_file_name_loses_its_path(self, house):
        self.create(house, {"filename": "../../etc/检查\u202egpj.exe".encode()}, caller=house.person)
        with house.reading() as session:
            assert upload.find(session, "u").name == "检查%E2%80%AEgpj.exe"

    def test_a_name_that_is_no_text_is_refused(self, house):
        with pytest.raises(Malformed):
            self.create(house, {"filename": b"\xff\xfe"}, caller=house.person)

    def test_somebody_elses_upload_cannot_be_told_from_none(self, house):
        self.create(house, {"filename": b"a"}, caller=house.person)
        with house.reading() as session, pytest.raises(NotFound):
            upload.require_owner(session, "u", house.station)


def test_counters_are_there_once(house):
    house.take_in(b"a")
    with house.reading() as session:
        assert session.scalars(select(Serial.last)).all() == [1]


def test_what_is_found_out_about_bytes_is_known_of_every_item_of_them(house):
    house.take_in(b"pdf")
    house.take_in(b"pdf")
    with house.writing() as session:
        technical.record(session, item_id=1, condition="sound", findings=[], technical={"probe": 1}, now=NOW)
        technical.record(session, item_id=2, condition="sound", findings=[], technical={"probe": 1}, now=NOW)
        technical.merge(session, sha256=Digest.of(b"pdf"), facts={"document": {"pages": 2}})
    third = house.take_in(b"pdf")
    with house.writing() as session:
        technical.record(session, item_id=3, condition="sound", findings=[], technical={"probe": 2}, now=NOW)
    with house.reading() as session:
        for number in ("131102-LX-2026-00000001", "131102-LX-2026-00000002", third.number):
            assert item.find(session, number).technical["document"] == {"pages": 2}
        assert item.find(session, third.number).technical["probe"] == 2
