"""Claims about `liuhen rule` and `liuhen station`: what an operator gives and is told."""

import json

import pytest
from click.testing import CliRunner

from archive.actions import custody, station
from archive.adapters import signing
from archive.cli import cli
from archive.core.custody import EventKind
from archive.core.release import SHIPPED, CarrierRule
from archive.dock import credential
from archive.records.custody import CustodyEvent
from archive.resources import opened
from archive.settings import read

RULE = CarrierRule(
    key_mark=True, damaged=False, matters=("经营超过保质期食品",), days=180, basis="桃城区市场监管局音像记录管理办法第十二条"
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("LIUHEN_AGENCY", "131102")
    with opened(read({}, data_dir=tmp_path / "data", agency="131102")):
        return tmp_path / "data"


@pytest.fixture
def run(data):
    def command(*arguments, given=None):
        return CliRunner().invoke(cli, [*arguments, "--data", str(data)], input=given)

    return command


def test_the_shipped_rule_holds_until_another_is_set(run):
    told = json.loads(run("rule", "carrier", "show").stdout)
    assert (told["version"], told["rule"], told["made_by"]) == (0, SHIPPED.facts(), None)
    assert told["rule"]["key_mark"] is True
    assert "第十二条" in told["rule"]["basis"]


def test_a_rule_that_is_set_is_shown_kept_in_the_history_and_a_custody_event(run, data, tmp_path):
    (tmp_path / "rule.json").write_text(json.dumps(RULE.facts(), ensure_ascii=False), "utf-8")
    assert json.loads(run("rule", "carrier", "set", str(tmp_path / "rule.json")).stdout)["version"] == 1
    shown = run("rule", "carrier", "show").stdout
    assert json.loads(shown)["rule"] == RULE.facts()
    assert (
        json.loads(run("rule", "carrier", "set", "-", given=shown).stdout)["version"] == 1
    )  # what holds already is no new version
    history = [json.loads(line) for line in run("rule", "carrier", "history").stdout.splitlines()]
    assert [(row["version"], row["rule"]["days"]) for row in history] == [(0, None), (1, 180)]
    with opened(read({}, data_dir=data, agency="131102")) as resources, resources.reading() as session:
        made = [link for link in custody.chain(session) if json.loads(link.body)["kind"] == EventKind.RULE_SET.value]
        assert [json.loads(link.body)["facts"]["basis"] for link in made] == [RULE.basis]
        assert session.query(CustodyEvent).filter_by(kind=EventKind.RULE_SET.value).one().actor == "operator"


@pytest.mark.parametrize("given", ["", "[]", "{}", '{"rule": 1}', '{"rule": {"type": "liuhen.rule.carrier"}}'])
def test_what_is_no_rule_changes_nothing(run, given):
    assert run("rule", "carrier", "set", "-", given=given).exception.code == "malformed"
    assert json.loads(run("rule", "carrier", "show").stdout)["version"] == 0


def test_a_station_that_wants_sm3_says_so_in_its_credential_and_in_the_list(run, tmp_path):
    for name, more in (("dock-1", []), ("a-long-name-of-a-station", ["--sm3"])):
        assert run("station", "enrol", name, "--out", str(tmp_path / name), *more).exit_code == 0
    assert [credential.load(tmp_path / name).sm3 for name in ("dock-1", "a-long-name-of-a-station")] == [False, True]
    assert "sm3" not in json.loads((tmp_path / "dock-1").read_text("utf-8"))
    heading, first, second = run("station", "list").stdout.splitlines()
    assert heading.split() == ["station", "enrolled", "revoked", "hashes"]
    assert first.endswith("SHA-256, SM3")
    assert second.endswith("SHA-256")
    assert [line.index("SHA-256") for line in (first, second)] == [heading.index("hashes")] * 2
    assert [json.loads(line)["sm3"] for line in run("station", "list", "--json").stdout.splitlines()] == [True, False]


def test_a_station_enrolled_for_sm3_is_an_event_that_says_so(house):
    with house.writing() as session:
        station.enrol(session, name="dock-3", public_key=signing.public_of(bytes(32)), by="operator", now=1, sm3=True)
        assert json.loads(list(custody.chain(session))[-1].body)["facts"]["sm3"] is True
