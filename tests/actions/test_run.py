"""An item's run out of what is on record, however many files lie around it."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import event

from archive.actions import case, custody, run, technical
from archive.actions.run import run_of, runs_of
from archive.core.cases import Stage
from archive.core.errors import NotFound
from archive.core.instant import MINUTE, SECOND, Instant, parse
from archive.core.runs import Apart
from tests.actions.conftest import NOW, House

GAP = 2 * SECOND
NINE = parse("2026-03-12T09:00:00+08:00")
LENGTH = 5 * MINUTE


def docked(house: House, place: int, *, pause: int = SECOND, length: int | None = LENGTH, **facts) -> str:
    """Take in the file of this place of a recording that began at nine."""
    given = {"sequence": place, "started_at": Instant(NINE + place * (LENGTH + pause)), "clock_offset_us": 0, **facts}
    number = house.take_in(f"{place} {sorted(facts.items())} {house.uploads}".encode(), **given).number
    with house.writing() as session:
        technical.record(
            session, item_id=house.uploads, condition="sound", findings=[], technical={}, duration_us=length, now=NOW
        )
    return number


def numbers(house: House, number: str) -> list[str]:
    with house.reading() as session:
        return [member.recording.number for member in run_of(session, number, join_gap=GAP).run.members]


def test_every_member_finds_the_same_run_whichever_came_first(house):
    order = list(range(12))
    random.Random(3).shuffle(order)
    taken = {place: docked(house, place) for place in order}
    for place, number in taken.items():
        assert numbers(house, number) == [taken[each] for each in range(12)]
        with house.reading() as session:
            assert run_of(session, number, join_gap=GAP).place == place


def test_a_run_grows_when_the_file_between_two_comes_in_later(house):
    first, third = docked(house, 1), docked(house, 3)
    assert numbers(house, first) == [first]
    second = docked(house, 2)
    assert numbers(house, third) == [first, second, third]


def test_a_days_files_are_found_by_few_queries_that_look_at_one_recorder_only(house, monkeypatch):
    monkeypatch.setattr(run, "_CHUNK", 10)
    taken = [docked(house, place) for place in range(40)]
    docked(house, 50)
    for place in range(5):
        docked(house, place, recorder="DSJ-A1077")
    asked: list[str] = []
    listening = (house.engine, "before_cursor_execute", lambda _c, _cur, statement, *_rest: asked.append(statement))
    event.listen(*listening)
    assert numbers(house, taken[20]) == taken
    event.remove(*listening)
    assert len(asked) <= 12
    lite = house.engine.dialect.name == "sqlite"
    if not lite:  # an index is passed over that the rows of earlier tests swelled
        with house.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("REINDEX TABLE items")
    with house.reading() as session:
        shown = run_of(session, taken[0], join_gap=GAP)
        if not lite:  # which reads a table of one page whole, and rightly
            session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = session.connection().exec_driver_sql(
            f"EXPLAIN {'QUERY PLAN' if lite else ''} SELECT id FROM items WHERE recorder = 'x' AND started_at >= 5"
            " AND (started_at > 5 OR id > 3) ORDER BY started_at, id LIMIT 10"
        )
        assert "ix_items_recorder_started" in " ".join(str(row) for row in plan)
    assert shown.whole
    assert (shown.before, shown.after) == (None, None)


def test_a_run_longer_than_is_looked_at_says_so(house, monkeypatch):
    monkeypatch.setattr(run, "_CHUNK", 5)
    monkeypatch.setattr(run, "MOST", 5)
    taken = [docked(house, place) for place in range(16)]
    with house.reading() as session:
        assert not run_of(session, taken[0], join_gap=GAP).whole
        assert run_of(session, taken[15], join_gap=GAP).place == 5


@pytest.mark.parametrize(
    ("facts", "why"),
    [({"clock_offset_us": 3_000_000}, Apart.CLOCK), ({"officer": "李娜"}, Apart.OFFICER), ({"sequence": 7}, Apart.SEQUENCE)],
)
def test_a_file_that_nearly_belongs_is_named_with_what_keeps_it_apart(house, facts, why):
    first = docked(house, 1)
    started = Instant(NINE + 2 * LENGTH + 2 * SECOND - facts.get("clock_offset_us", 0))
    second = docked(house, 2, **{"started_at": started, **facts})
    with house.reading() as session:
        shown = run_of(session, first, join_gap=GAP)
        assert [member.recording.number for member in shown.run.members] == [first]
        assert shown.after is not None
        assert (shown.after.number, shown.after.gap, shown.after.why) == (second, SECOND, why)
        back = run_of(session, second, join_gap=GAP)
        assert back.before is not None
        assert back.before.number == first


def test_the_same_bytes_docked_again_open_at_the_members_place(house):
    first = docked(house, 1)
    facts = {"sequence": 2, "started_at": Instant(NINE + 2 * (LENGTH + SECOND)), "clock_offset_us": 0}
    once, again = (house.take_in(b"twice", modified=Instant(NOW + day), **facts).number for day in (1, 2))
    with house.writing() as session:
        for item_id in (2, 3):
            technical.record(session, item_id=item_id, condition="sound", findings=[], technical={}, duration_us=LENGTH, now=NOW)
    with house.reading() as session:
        shown = run_of(session, again, join_gap=GAP)
        assert [member.numbers for member in shown.run.members] == [(first,), (once, again)]
        assert shown.place == 1


def test_a_file_of_unknown_recorder_start_or_length_is_a_run_of_its_own(house):
    docked(house, 1)
    lone = [
        docked(house, 2, recorder=None),
        docked(house, 2, started_at=None, started_from=None),
        docked(house, 2, length=None),
    ]
    for number in lone:
        assert numbers(house, number) == [number]


def test_the_runs_of_some_items_come_once_each_in_order_of_time(house):
    morning = [docked(house, place) for place in (1, 2, 3)]
    later = [docked(house, place) for place in (9, 10)]
    with house.reading() as session:
        found = runs_of(session, [later[1], morning[2], morning[0]], join_gap=GAP)
        assert [[member.recording.number for member in each.members] for each in found] == [morning, later]


def test_no_item_has_no_run(house):
    with pytest.raises(NotFound), house.reading() as session:
        run_of(session, "131102-LX-2026-00000009", join_gap=GAP)


class TestOnACasesTimeline:
    def case_with(self, house: House, bound: list[str]) -> int:
        with house.writing() as session:
            case_id = case.open_case(session, number="114", title="t", subject="s", by=house.person, now=NOW)
            for number in bound:
                case.bind(session, case_id=case_id, number=number, stage=Stage.INVESTIGATION, at=None, by=house.person, now=NOW)
        return case_id

    def bars(self, house: House, case_id: int):
        with house.reading() as session:
            return [bar for lane in case.timeline(session, case_id, join_gap=GAP).recorders for bar in lane.bars]

    def test_a_run_is_one_bar_with_its_joins_in_it(self, house):
        taken = [docked(house, place) for place in range(10)]
        (bar,) = self.bars(house, self.case_with(house, taken))
        assert [part.number for part in bar.parts] == taken
        assert [join.gap for join in bar.joins] == [SECOND] * 9
        assert (bar.files, bar.missing) == (10, 0)
        assert bar.span.length == 10 * LENGTH + 9 * SECOND

    def test_a_run_partly_bound_shows_what_is_bound_and_counts_the_rest(self, house):
        taken = [docked(house, place) for place in range(6)]
        (bar,) = self.bars(house, self.case_with(house, [taken[1], taken[3]]))
        assert [(part.number, part.place, part.bound) for part in bar.parts] == [
            (taken[1], 2, True),
            (taken[2], 3, False),
            (taken[3], 4, True),
        ]
        assert (bar.files, bar.missing, len(bar.joins)) == (6, 4, 2)

    def test_one_act_binds_the_rest_of_a_run_and_doing_it_again_binds_nothing(self, house):
        taken = [docked(house, place) for place in range(4)]
        case_id = self.case_with(house, [taken[1]])
        asked = {"case_id": case_id, "number": taken[1], "stage": Stage.INVESTIGATION, "join_gap": GAP}
        with house.writing() as session:
            assert case.bind_run(session, **asked, by=house.person, now=NOW) == [taken[0], taken[2], taken[3]]
        with house.writing() as session:
            assert case.bind_run(session, **asked, by=house.person, now=NOW) == []
        (bar,) = self.bars(house, case_id)
        assert bar.missing == 0
        with house.reading() as session:
            assert [each.kind.value for each in custody.of_item(session, 3)][-1] == "binding"

    def test_a_file_that_stands_at_a_time_on_paper_has_a_bar_of_its_own(self, house):
        taken = [docked(house, place) for place in range(2)]
        case_id = self.case_with(house, taken[:1])
        with house.writing() as session:
            at = Instant(NINE + 60 * MINUTE)
            case.bind(session, case_id=case_id, number=taken[1], stage=Stage.INVESTIGATION, at=at, by=house.person, now=NOW)
        assert [[part.number for part in bar.parts] for bar in self.bars(house, case_id)] == [[taken[0]], [taken[1]]]
