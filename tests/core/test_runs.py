"""Which files of a recorder make one run, and what lies at their joins."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.accession import Kind
from archive.core.errors import Malformed
from archive.core.instant import MINUTE, SECOND, Instant
from archive.core.runs import PRE_RECORD, Apart, By, Recording, apart, runs

GAP = 2 * SECOND
NINE = Instant(1_773_277_280_000_000)


def file(place: int, start: int | None, length: int | None = 5 * MINUTE, **facts) -> Recording:
    """A file of a recorder that begins `start` microseconds after nine."""
    given_facts = {
        "id": place,
        "number": f"131102-LX-2026-{place:08d}",
        "sha256": f"{place:064x}",
        "kind": Kind.RECORDING,
        "recorder": "DSJ-A1023",
        "officer": "张伟",
        "sequence": place,
        "start": None if start is None else Instant(NINE + start),
        "length": length,
        "clock_offset": -3 * SECOND,
    }
    return Recording(**{**given_facts, **facts})


def numbers(found) -> list[list[str]]:
    return [[member.recording.number for member in run.members] for run in found]


def sizes(*files: Recording, join_gap: int = GAP) -> list[int]:
    return [len(run.members) for run in runs(files, join_gap=join_gap)]


@st.composite
def recordings(draw) -> list[Recording]:
    """Files of a few recorders crowded into a few minutes, so that they meet, overlap and miss one another."""
    return [
        file(
            place,
            draw(st.none() | st.integers(0, 40).map(lambda s: s * SECOND)),
            draw(st.none() | st.integers(0, 40).map(lambda s: s * SECOND)),
            recorder=draw(st.sampled_from(["A", "A", "A", "B", None])),
            officer=draw(st.sampled_from(["张伟", "张伟", None])),
            sequence=draw(st.none() | st.integers(0, 6) | st.sampled_from([998, 999, 9999])),
            clock_offset=draw(st.sampled_from([0, 0, 0, 1, None])),
            sha256=f"{draw(st.integers(1, 9)):064x}",
        )
        for place in range(1, draw(st.integers(1, 14)) + 1)
    ]


@st.composite
def split(draw) -> tuple[list[Recording], list[int]]:
    """One recording as a recorder splits it, numbered onwards from anywhere, and the gaps it left."""
    count = draw(st.integers(2, 12))
    gaps = draw(st.lists(st.integers(-PRE_RECORD, GAP), min_size=count - 1, max_size=count - 1))
    first = draw(st.integers(0, 200) | st.sampled_from([995, 9995, 999_990]))
    digits = 10 ** max(3, len(str(first)))
    # A counter that is full goes on with 1, as DCF's does, or with 0.
    restart = draw(st.sampled_from([0, 1]))
    at, counted, files = 0, first, []
    for place in range(count):
        length = draw(st.integers(PRE_RECORD + 1, 10 * MINUTE))
        files.append(file(place + 1, at, length, sequence=counted))
        at += length + (gaps[place] if place < count - 1 else 0)
        counted = counted + 1 if counted + 1 < digits else restart
    return files, gaps


@given(split(), st.randoms(use_true_random=False))
def test_what_a_recorder_split_is_one_run_and_every_gap_and_overlap_is_told_to_the_microsecond(made, chance):
    files, gaps = made
    shuffled = list(files)
    chance.shuffle(shuffled)
    (run,) = runs(shuffled, join_gap=GAP)
    assert [member.recording for member in run.members] == files
    assert [join.gap for join in run.joins] == gaps
    assert {join.by for join in run.joins} == {By.SEQUENCE}
    assert run.span.length == run.recorded + sum(gaps)


@given(recordings(), st.integers(0, 5 * SECOND))
def test_every_file_stands_in_one_run_once(files, join_gap):
    found = runs(files, join_gap=join_gap)
    told = [number for run in found for member in run.members for number in member.numbers]
    assert sorted(told) == sorted(each.number for each in files)
    for run in found:
        assert [run.place(number) for number in told] == [
            next((place for place, member in enumerate(run.members) if number in member.numbers), None) for number in told
        ]


@given(recordings(), st.integers(0, 5 * SECOND), st.randoms(use_true_random=False))
def test_the_order_in_which_files_came_changes_nothing(files, join_gap, chance):
    shuffled = list(files)
    chance.shuffle(shuffled)
    assert runs(shuffled, join_gap=join_gap) == runs(files, join_gap=join_gap)


@given(recordings(), st.integers(0, 5 * SECOND))
def test_members_share_recorder_officer_and_clock_and_nothing_longer_than_the_join_gap_is_joined_over(files, join_gap):
    for run in runs(files, join_gap=join_gap):
        assert len(run.joins) == len(run.members) - 1
        for before, after, join in zip(run.members, run.members[1:], run.joins, strict=False):
            first, second = before.recording, after.recording
            assert (first.recorder, first.officer, first.clock_offset) == (second.recorder, second.officer, second.clock_offset)
            assert join.gap == second.start - first.start - first.length
            assert -PRE_RECORD <= join.gap <= join_gap
            assert first.span.start < second.span.start
            assert first.span.end < second.span.end
            assert apart(first, second, join_gap=join_gap) is None
        if len(run.members) > 1:
            assert run.span.length == run.recorded + sum(join.gap for join in run.joins)
            assert all(member.recording.span is not None and member.recording.recorder for member in run.members)


@given(recordings(), st.integers(0, 5 * SECOND))
def test_no_two_runs_could_still_be_joined_by_number(files, join_gap):
    """Two runs whose end and beginning follow by number stay apart only where another file took one of the two places."""
    found = runs(files, join_gap=join_gap)
    taken_after = {a.recording.id for run in found for a in run.members[1:]}
    taken_before = {b.recording.id for run in found for b in run.members[:-1]}
    for before, after in itertools.permutations(found, 2):
        first, second = before.members[-1].recording, after.members[0].recording
        assert first.id not in taken_before
        assert second.id not in taken_after
        assert apart(first, second, join_gap=join_gap) is not None


def test_a_pause_of_two_seconds_joins_and_one_of_a_microsecond_more_does_not():
    assert sizes(file(1, 0), file(2, 5 * MINUTE + GAP)) == [2]
    assert sizes(file(1, 0), file(2, 5 * MINUTE + GAP + 1)) == [1, 1]
    assert sizes(file(1, 0), file(2, 5 * MINUTE), join_gap=0) == [2]


def test_a_number_that_is_missing_parts_a_run_though_the_times_meet():
    assert sizes(file(1, 0), file(3, 5 * MINUTE)) == [1, 1]
    assert apart(file(1, 0), file(3, 5 * MINUTE), join_gap=GAP) is Apart.SEQUENCE


def test_adjacent_numbers_an_hour_apart_are_two_runs():
    assert apart(file(1, 0), file(2, 60 * MINUTE), join_gap=GAP) is Apart.GAP


@pytest.mark.parametrize(("before", "after", "joined"), [(9999, 1, True), (999, 0, True), (9998, 1, False), (9, 0, False)])
def test_a_counter_of_nines_begins_anew(before, after, joined):
    files = [file(1, 0, sequence=before), file(2, 5 * MINUTE, sequence=after)]
    assert sizes(*files) == ([2] if joined else [1, 1])


def test_a_counter_that_began_anew_joins_only_where_the_time_says_so():
    assert sizes(file(1, 0, sequence=9999), file(2, 60 * MINUTE, sequence=1)) == [1, 1]


def test_without_numbers_time_alone_joins_and_the_join_says_so():
    (run,) = runs([file(1, 0, sequence=None), file(2, 5 * MINUTE + SECOND)], join_gap=GAP)
    assert [(join.gap, join.by) for join in run.joins] == [(SECOND, By.TIME)]


def test_an_overlap_longer_than_the_join_gap_needs_a_number_to_be_believed():
    overlap = 5 * MINUTE - 20 * SECOND
    assert sizes(file(1, 0), file(2, overlap)) == [2]
    assert sizes(file(1, 0, sequence=None), file(2, overlap)) == [1, 1]
    assert sizes(file(1, 0), file(2, 5 * MINUTE - PRE_RECORD - 1)) == [1, 1]


def test_a_file_within_another_is_no_continuation_of_it():
    assert sizes(file(1, 0, 20 * SECOND), file(2, SECOND, 10 * SECOND)) == [1, 1]


def test_two_recordings_at_once_on_one_number_stay_two_runs_of_their_own_files():
    first = [file(1, 0, sequence=10), file(2, 5 * MINUTE, sequence=11)]
    second = [file(3, MINUTE, sequence=50), file(4, 6 * MINUTE, sequence=51)]
    assert numbers(runs([*first, *second], join_gap=GAP)) == [[f.number for f in first], [f.number for f in second]]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"recorder": "DSJ-A1077"}, Apart.RECORDER),
        ({"kind": Kind.AUDIO}, Apart.RECORDER),
        ({"officer": "李娜"}, Apart.OFFICER),
        ({"officer": None}, Apart.OFFICER),
        ({"clock_offset": -2 * SECOND}, Apart.CLOCK),
        ({"clock_offset": None}, Apart.CLOCK),
        ({"length": None}, Apart.UNDATED),
        ({"start": None}, Apart.UNDATED),
    ],
)
def test_what_differs_between_two_files_keeps_them_apart_and_is_named(facts, why):
    following = dataclasses.replace(file(2, 5 * MINUTE), **facts)
    assert sizes(file(1, 0), following) == [1, 1]
    assert apart(file(1, 0), following, join_gap=GAP) is why


def test_files_of_no_known_recorder_are_never_joined():
    assert sizes(file(1, 0, recorder=None), file(2, 5 * MINUTE, recorder=None)) == [1, 1]


def test_the_same_bytes_docked_twice_are_one_member_under_its_first_number():
    twice = file(9, 5 * MINUTE, sha256=f"{2:064x}", sequence=2)
    (run,) = runs([twice, file(1, 0), file(2, 5 * MINUTE), file(3, 10 * MINUTE)], join_gap=GAP)
    assert [member.recording.id for member in run.members] == [1, 2, 3]
    assert run.members[1].also == (twice.number,)
    assert run.place(twice.number) == run.place(file(2, 0).number) == 1


def test_a_cut_file_counts_by_what_it_really_holds():
    """A file that claims its five minutes and holds nineteen seconds: what follows it does not follow at once."""
    assert sizes(file(1, 0, 19 * SECOND), file(2, 5 * MINUTE)) == [1, 1]
    assert sizes(file(1, 0, 5 * MINUTE), file(2, 5 * MINUTE)) == [2]


def test_a_negative_join_gap_or_length_is_refused():
    with pytest.raises(Malformed):
        runs([], join_gap=-1)
    with pytest.raises(Malformed):
        file(1, 0, -1)
