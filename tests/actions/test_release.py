"""Claims about leave to free a recorder: who gets it, for what, and what is written down."""

import json

import pytest

from archive.actions import case, custody, fixity, release, rule, station, technical
from archive.actions.fixity import Verdict
from archive.actions.release import Signed
from archive.adapters import signing
from archive.core.access import StationCaller
from archive.core.cases import Stage
from archive.core.custody import EventKind
from archive.core.digest import Digest
from archive.core.errors import Malformed, ManifestWrong, NotFound, NotVerified, TooEarly
from archive.core.instant import DAY, Instant
from archive.core.manifest import Carrier
from archive.core.release import CarrierRule
from archive.records.cases import Case
from archive.records.items import Item, item_by_number
from tests.actions.conftest import NOW, SEED, sign

CONTENT = b"footage"
LATER = Instant(NOW + DAY)


@pytest.fixture
def number(house):
    """The number of an item whose bytes were read back and found intact."""
    taken = house.take_in(CONTENT).number
    verify(house, taken)
    return taken


def verify(house, number, verdict=Verdict.INTACT, sm3=None, condition="sound"):
    with house.writing() as session:
        found = item_by_number(session, number)
        technical.record(session, item_id=found.id, condition=condition, findings=[], technical={}, now=NOW)
        return fixity.record(session, item_id=found.id, verdict=verdict, leaves=[Digest.of(CONTENT)], now=NOW, sm3=sm3)


def signed(house, content=CONTENT, **facts):
    manifest = house.manifest(content, **{"sequence": 1, **facts})
    return Signed(manifest.encode(), sign(manifest.signing_bytes()))


def ask(house, number, file=None, *, caller=None, now=LATER):
    with house.writing() as session:
        return release.ask(
            session, number=number, signed=file or signed(house), caller=caller or house.station, verify=signing.verify, now=now
        )


def report(house, number, file=None, *, kept=None):
    with house.writing() as session:
        return release.report(
            session,
            number=number,
            signed=file or signed(house),
            kept=kept,
            caller=house.station,
            verify=signing.verify,
            now=LATER,
        )


def told(house, number):
    with house.reading() as session:
        found = item_by_number(session, number)
        return [
            (event.kind, dict(event.facts))
            for event in custody.of_item(session, found.id)
            if event.kind in {EventKind.RELEASED, EventKind.RELEASE_BARRED}
        ]


def test_leave_is_given_for_verified_bytes_and_the_removal_is_one_event(house, number):
    assert ask(house, number).state == "granted"
    assert told(house, number) == []
    for _ in range(2):  # a station that was cut off tells it again
        assert report(house, number).state == "done"
    [(kind, facts)] = told(house, number)
    assert kind is EventKind.RELEASED
    assert (facts["carrier"], facts["name"], facts["sha256"]) == ("TF", "DCIM/100MEDIA/A.MP4", Digest.of(CONTENT).hex)
    assert facts["verified_at"] == "2026-03-12T04:00:00.000000Z"
    assert ask(house, number).state == "granted"  # the same file is there again, from a copy of the card
    assert report(house, number).state == "done"
    assert len(told(house, number)) == 1


@pytest.mark.parametrize("verdict", [None, Verdict.ALTERED, Verdict.MISSING, Verdict.UNREADABLE])
def test_no_leave_while_the_latest_verdict_is_not_intact(house, verdict):
    number = house.take_in(CONTENT).number
    if verdict is not None:
        verify(house, number)
        verify(house, number, verdict)
    with pytest.raises(NotVerified):
        ask(house, number)
    assert told(house, number) == []


def test_another_stations_item_is_not_known(house, number):
    with house.writing() as session:
        station.enrol(session, name="dock-2", public_key=signing.public_of(SEED), by="operator", now=NOW)
    with pytest.raises(NotFound):
        ask(house, number, caller=StationCaller(2, "dock-2", house.station.public_key))
    with pytest.raises(NotFound):
        ask(house, "131102-LX-2026-00000099")


@pytest.mark.parametrize("facts", [{"station": "dock-2"}, {"content": b"other"}])
def test_a_manifest_of_another_file_gets_no_leave(house, number, facts):
    with pytest.raises(ManifestWrong):
        ask(house, number, signed(house, **facts))


def test_a_manifest_that_nobody_signed_gets_no_leave(house, number):
    with pytest.raises(ManifestWrong):
        ask(house, number, Signed(signed(house).manifest, bytes(64)))
    with pytest.raises(Malformed):
        ask(house, number, Signed(b"{}", bytes(64)))


def test_the_shipped_rule_keeps_what_the_recorder_marked_and_says_so_once(house, number):
    marked = signed(house, key_mark=True)
    for _ in range(2):
        standing = ask(house, number, marked)
        assert (standing.state, standing.reason) == ("kept", "key_mark")
        assert (standing.refusal.code, standing.refusal.facts["reason"]) == ("release_barred", "key_mark")
    [(kind, facts)] = told(house, number)
    assert kind is EventKind.RELEASE_BARRED
    assert facts["bars"] == [{"reason": "key_mark", "case": None, "until": None}]
    assert ask(house, number).state == "granted"  # the same bytes on a card where nobody marked them


def test_a_matter_keeps_what_is_bound_to_its_case_and_names_the_case(house, number):
    with house.writing() as session:
        rules(session, matters=("食品 安全",), days=30)
        opened = case.open_case(
            session, number="〔2026〕114", title="t", subject="s", matter="食品安全", by=house.person, now=NOW
        )
        case.bind(session, case_id=opened, number=number, stage=Stage.INVESTIGATION, at=None, by=house.person, now=NOW)
    standing = ask(house, number, now=Instant(NOW + 30 * DAY - 1))
    assert standing.refusal.facts == {
        "number": number, "reason": "matter", "case": "〔2026〕114", "until": "2026-04-11T04:00:00.000000Z",
    }  # fmt: skip
    assert ask(house, number, now=Instant(NOW + 30 * DAY)).state == "granted"
    with house.writing() as session:
        session.get(Case, opened).matter, session.get(Case, opened).title = "", "食品安全"
    assert ask(house, number).refusal.facts["case"] == "〔2026〕114"  # where nobody gave a matter, the title counts
    with house.writing() as session:
        rules(session, matters=("另一案由",))
    assert ask(house, number).state == "granted"


def rules(session, *, matters, days=None):
    wanted = CarrierRule(key_mark=False, damaged=False, matters=matters, days=days, basis="办法第三条")
    return rule.set_carrier(session, rule=wanted, by="operator", now=NOW)


def test_a_new_version_names_its_number_and_the_old_ones_stay(house):
    with house.writing() as session:
        assert [rules(session, matters=(text,)).version for text in ("甲", "乙", "乙")] == [1, 2, 2]
    with house.reading() as session:
        assert [view.rule.matters for view in rule.carrier_history(session)] == [(), ("甲",), ("乙",)]


def test_what_a_station_keeps_is_an_event_with_the_reason_once(house, number):
    assert ask(house, number).state == "granted"
    for _ in range(2):
        assert report(house, number, kept="changed").reason == "changed"
    assert report(house, number, kept="not_removable").reason == "not_removable"
    assert [facts["reason"] for _kind, facts in told(house, number)] == ["changed", "not_removable"]
    assert ask(house, number).state == "granted"
    assert report(house, number).state == "done"
    assert [kind.value for kind, _facts in told(house, number)] == ["release barred", "release barred", "release"]


@pytest.mark.parametrize("before", ["nothing", "barred"])
def test_a_file_that_is_gone_without_leave_is_never_called_released(house, number, before):
    file = signed(house, key_mark=before == "barred")
    if before == "barred":
        assert ask(house, number, file).state == "kept"
    assert report(house, number, file).reason == "gone"
    assert told(house, number)[-1][1]["reason"] == "gone"


def test_no_station_may_say_that_a_rule_kept_it(house, number):
    with pytest.raises(Malformed):
        report(house, number, kept="key_mark")


def test_the_same_bytes_on_two_carriers_are_two_releases(house, number):
    copy = signed(house, carrier=Carrier("TF 2", "uuid:2", "volume"), name="COPY.MP4")
    for file in (signed(house), copy):
        assert ask(house, number, file).state == "granted"
        assert report(house, number, file).state == "done"
    assert [facts["carrier"] for _kind, facts in told(house, number)] == ["TF", "TF 2"]


SM3, OTHER = "a" * 64, "b" * 64


def test_a_signed_sm3_is_wanted_compared_and_in_the_receipt(house):
    number = house.take_in(CONTENT, sm3=SM3).number
    with house.reading() as session:
        assert fixity.wants_sm3(session, item_id=item_by_number(session, number).id)
    assert verify(house, number, sm3=SM3) is Verdict.INTACT
    with house.reading() as session:
        assert fixity.receipt(session, number=number).sm3 == SM3


def test_an_sm3_that_does_not_hold_is_altered_and_never_verified(house):
    number = house.take_in(CONTENT, sm3=SM3).number
    assert verify(house, number, sm3=OTHER) is Verdict.ALTERED
    with house.reading() as session:
        found = item_by_number(session, number)
        assert found.verified_at is None
        event = json.loads(list(custody.chain(session))[-1].body)["facts"]
        assert (event["verdict"], event["sm3"], event["sm3_signed"]) == ("altered", OTHER, SM3)
    with pytest.raises(NotVerified):
        ask(house, number, signed(house, sm3=SM3))


def test_a_false_sm3_of_one_station_does_not_spoil_what_another_brought(house, number):
    false = house.take_in(CONTENT, sm3=SM3).number
    assert verify(house, false, sm3=OTHER) is Verdict.ALTERED
    assert ask(house, number).state == "granted"
    with house.reading() as session:
        assert session.get(Item, 2).verified_at is None


def test_a_station_that_signs_none_gets_a_receipt_without_sm3(house, number):
    verify(house, number, sm3=SM3)
    with house.reading() as session:
        assert fixity.receipt(session, number=number).sm3 is None


def test_many_receipts_are_one_question_and_other_stations_items_are_unknown(house, number):
    waiting = house.take_in(b"not yet").number
    with house.reading() as session:
        mine = fixity.receipts(session, numbers=[waiting, number, "131102-LX-2026-00000099", number], station_id=1)
        others = fixity.receipts(session, numbers=[number], station_id=2)
        with pytest.raises(Malformed):
            fixity.receipts(session, numbers=["x"] * 201)
    assert [str(receipt.number) for receipt in mine.found] == [number]
    assert (mine.waiting, mine.unknown) == ([waiting], ["131102-LX-2026-00000099"])
    assert (others.found, others.unknown) == ([], [number])


def test_a_damaged_file_stays_on_its_recorder_until_the_agency_decides_otherwise(house):
    number = house.take_in(CONTENT).number
    verify(house, number, condition="damaged")
    standing = ask(house, number)
    assert (standing.state, standing.reason) == ("kept", "damaged")
    assert standing.refusal.facts["reason"] == "damaged"
    with house.writing() as session:
        wanted = CarrierRule(key_mark=True, damaged=False, matters=(), days=None, basis="办法第三条")
        rule.set_carrier(session, rule=wanted, by="admin", now=LATER)
    assert ask(house, number).state == "granted"


def test_no_leave_is_given_before_the_examination_has_looked_for_damage(house):
    number = house.take_in(CONTENT).number
    with house.writing() as session:
        found = item_by_number(session, number)
        fixity.record(session, item_id=found.id, verdict=Verdict.INTACT, leaves=[Digest.of(CONTENT)], now=NOW)
    with pytest.raises(TooEarly, match="unexamined"):
        ask(house, number)
