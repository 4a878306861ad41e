"""Values that are impossible to build wrong."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.access import Act, Nobody, PersonCaller, StationCaller, allowed, require
from archive.core.accession import AccessionNumber, Kind
from archive.core.cases import Stage, comparable, required_text
from archive.core.digest import Digest, derived_key, original_key, quarantine_key
from archive.core.errors import Malformed, NotAllowed, SignInRequired
from archive.core.instant import Instant, iso, local, parse
from archive.core.jobs import retry_at
from archive.core.receipt import Receipt

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.integers(0, 250_000_000_000_000_000))
def test_an_instant_survives_its_text(micros):
    assert parse(iso(Instant(micros))) == micros


def test_an_instant_is_shown_in_the_agencys_zone():
    assert local(parse("2026-03-12T09:01:20+08:00"), ZoneInfo("Asia/Shanghai")).strftime("%F %T") == "2026-03-12 09:01:20"
    assert iso(parse("2026-03-12T09:01:20+08:00")) == "2026-03-12T01:01:20.000000Z"


@pytest.mark.parametrize("text", ["", "2026-03-12", "2026-03-12T09:01:20", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_text_that_names_no_instant_is_refused(text):
    with pytest.raises(Malformed):
        parse(text)


def test_an_accession_number_is_written_as_the_agency_writes_it():
    number = AccessionNumber("131102", Kind.RECORDING, 2026, 231)
    assert str(number) == "131102-LX-2026-00000231"
    assert AccessionNumber.parse("131102-LX-2026-00000231") == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "131102-LX-2026-231",
        "131102-XX-2026-00000231",
        "131102-LX-2026-00000000",
        "1-LX-2026-00000001",
        "131102-LX-2026-00000231 ",
    ],
)
def test_what_is_no_accession_number_is_refused(text):
    with pytest.raises(Malformed):
        AccessionNumber.parse(text)


@pytest.mark.parametrize("text", ["", EMPTY.upper(), EMPTY[:-1], EMPTY + "0", "g" * 64, EMPTY + "\n"])
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(Malformed):
        Digest(text)


def test_bytes_are_stored_under_their_digest():
    digest = Digest.of(b"")
    assert digest.hex == EMPTY
    assert original_key(digest) == f"originals/sha256/e3/b0/{EMPTY}"
    assert derived_key(digest, "remux", 2, "a.mp4") == f"derived/sha256/e3/b0/{EMPTY}/remux-v2/a.mp4"
    assert quarantine_key("u1") == "quarantine/u1"
    assert digest.short == "e3b0c442…7852b855"


def test_a_receipt_survives_its_text_and_nothing_else_is_one():
    receipt = Receipt(
        AccessionNumber("131102", Kind.PHOTO, 2026, 1), Digest(EMPTY), 0, "dock-1", Instant(1_000_000), Instant(2_000_000)
    )
    assert Receipt.parse(receipt.text()) == receipt
    assert receipt.text() == (
        f'{{"number":"131102-ZP-2026-00000001","sha256":"{EMPTY}","size":0,"station":"dock-1",'
        '"stored_at":"1970-01-01T00:00:01.000000Z","verified_at":"1970-01-01T00:00:02.000000Z"}\n'
    )
    for text in (
        "{}\n",
        receipt.text().replace('"size":0', '"size":"0"'),
        receipt.text().replace('"size":0', '"size":true'),
        "[]\n",
    ):
        with pytest.raises(Malformed):
            Receipt.parse(text)


def test_stages_are_named_by_code_or_by_the_laws_word():
    assert Stage.named("调查取证") is Stage.named("investigation") is Stage.INVESTIGATION
    with pytest.raises(Malformed):
        Stage.named("elsewhere")


@pytest.mark.parametrize("text", ["", "  ", "x" * 201, "a\x00b", "a\nb"])
def test_a_text_that_a_case_cannot_carry_is_refused(text):
    with pytest.raises(Malformed):
        required_text("case_title", text)


@pytest.mark.parametrize(
    "text",
    [
        "桃市监罚〔2026〕114号A",
        " 桃市监罚 [2026] 114 号 a",
        "桃市监罚（２０２６）１１４号Ａ",
        "桃市监罚(2026)114\u3000号A",
        "桃市监罚【2026】114号A",
        "桃市监罚［2026］114号A",
    ],
)
def test_a_case_number_is_the_same_however_it_is_typed(text):
    assert comparable(text) == "桃市监罚(2026)114号A"
    assert comparable(text) != comparable("桃市监罚〔2026〕115号A")


def test_back_off_grows_and_is_bounded():
    waits = [retry_at(attempt, now=Instant(0)) // 1_000_000 for attempt in range(1, 8)]
    assert waits == [5, 20, 80, 320, 600, 600, 600]


def test_nobody_is_told_to_sign_in_and_a_station_that_it_may_not():
    with pytest.raises(SignInRequired):
        require(Nobody(), Act.ITEM_READ)
    with pytest.raises(NotAllowed):
        require(StationCaller(1, "s", b""), Act.ITEM_READ)
    require(PersonCaller(1, "admin", "管理员"), Act.ITEM_READ)


@pytest.mark.parametrize("act", list(Act))
def test_whatever_nobody_may_do_everybody_may(act):
    if allowed(Nobody(), act):
        assert allowed(StationCaller(1, "s", b""), act)
    if allowed(StationCaller(1, "s", b""), act) and act is not Act.RELEASE:
        assert allowed(PersonCaller(1, "a", "a"), act)


def test_only_a_station_frees_a_recorder():
    assert allowed(StationCaller(1, "s", b""), Act.RELEASE)
    assert not allowed(PersonCaller(1, "a", "a"), Act.RELEASE)
    assert not allowed(Nobody(), Act.RELEASE)
