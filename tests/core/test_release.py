"""The carrier rule's laws."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.errors import Malformed
from archive.core.instant import DAY, Instant
from archive.core.release import SHIPPED, STATION_SAYS, Bound, CarrierRule, Reason, bars, comparable, intact

NOW = Instant(1_773_300_000_000_000)
TEXTS = st.sampled_from(["食品安全", "食品 安全", "ＦＯＯＤ", "food", "经营超过保质期食品", "", " "])
RULES = st.builds(
    lambda key_mark, damaged, matters, days: CarrierRule(
        key_mark, damaged, tuple({comparable(m): m for m in matters if m.strip()}.values()), days, "依据"
    ),
    st.booleans(),
    st.booleans(),
    st.lists(TEXTS),
    st.none() | st.integers(0, 400),
)
CASES = st.lists(st.builds(Bound, st.sampled_from(["一", "二", "三"]), TEXTS), max_size=4)


@given(rule=RULES, key_mark=st.booleans(), damaged=st.booleans(), cases=CASES, age=st.integers(0, 500 * DAY))
def test_a_bar_is_what_the_rule_says_and_each_has_its_reason(rule, key_mark, damaged, cases, age):
    found = bars(rule, key_mark=key_mark, damaged=damaged, cases=cases, docked_at=NOW, now=Instant(NOW + age))
    over = rule.days is not None and age >= rule.days * DAY
    matters = {comparable(text) for text in rule.matters}
    expected = [] if over else [case.number for case in cases if comparable(case.matter) in matters]
    assert [bar.case for bar in found if bar.reason is Reason.MATTER] == expected
    assert any(bar.reason is Reason.KEY_MARK for bar in found) is (rule.key_mark and key_mark and not over)
    assert any(bar.reason is Reason.DAMAGED for bar in found) is (rule.damaged and damaged and not over)
    assert all(bar.until is None if rule.days is None else bar.until > NOW + age for bar in found)


@given(rule=RULES, key_mark=st.booleans(), cases=CASES, age=st.integers(0, 500 * DAY), later=st.integers(0, 500 * DAY))
def test_what_is_free_stays_free_as_time_goes_by(rule, key_mark, cases, age, later):
    facts = {"key_mark": key_mark, "damaged": key_mark, "cases": cases, "docked_at": NOW}
    if not bars(rule, now=Instant(NOW + age), **facts):
        assert not bars(rule, now=Instant(NOW + age + later), **facts)


@given(rule=RULES)
def test_a_rule_comes_back_from_its_json_as_it_was(rule):
    assert CarrierRule.of(json.loads(json.dumps(rule.facts(), ensure_ascii=False))) == rule


def test_a_case_without_a_matter_is_barred_by_none():
    rule = CarrierRule(key_mark=False, damaged=False, matters=("食品安全",), days=None, basis="依据")
    assert bars(rule, key_mark=True, damaged=True, cases=[Bound("一", "")], docked_at=NOW, now=NOW) == []


@pytest.mark.parametrize(("left", "right"), [("食品 安全", "食品安全"), ("ＦＯＯＤ", "food"), (" A\u2009B ", "ab")])
def test_matters_are_the_same_however_they_are_typed(left, right):
    assert comparable(left) == comparable(right)


def test_the_shipped_rule_keeps_what_is_marked_for_good_and_names_its_basis():
    assert (SHIPPED.key_mark, SHIPPED.damaged, SHIPPED.matters, SHIPPED.days) == (True, True, (), None)
    assert "法释〔2002〕21号" in SHIPPED.basis


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key_mark", 1), ("key_mark", None), ("matters", "食品"), ("matters", [1]), ("matters", ["a", "Ａ"]), ("matters", [" "]),
        ("matters", ["a\u202eb"]), ("days", -1), ("days", True), ("days", 1.5), ("days", 10**9), ("basis", ""), ("basis", 3),
        ("type", "x"), ("v", 2), ("v", True), ("more", 1),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused(field, value):
    with pytest.raises(Malformed):
        CarrierRule.of({**SHIPPED.facts(), field: value})


@pytest.mark.parametrize("facts", [None, [], "rule", {}, {"type": "liuhen.rule.carrier"}])
def test_what_lacks_a_field_is_refused(facts):
    with pytest.raises(Malformed):
        CarrierRule.of(facts)


@given(verdict=st.sampled_from([None, "intact", "altered", "missing", "unreadable"]), verified=st.booleans())
def test_only_what_was_verified_and_is_intact_still_is_free_to_go(verdict, verified):
    assert intact(verdict=verdict, verified=verified) is (verdict == "intact" and verified)


def test_a_station_cannot_speak_for_the_rule():
    assert not STATION_SAYS & {Reason.KEY_MARK, Reason.MATTER, Reason.GONE}
