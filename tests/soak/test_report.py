"""The tables of docs/faults.md come from runs that were made, one for each seed."""

from __future__ import annotations

import dataclasses

import pytest

from tests.soak import report
from tests.soak.campaign import Outcome
from tests.soak.report import END, Run, section, written
from tests.soak.run import Progress

OUTCOME = Outcome(
    number=0,
    name="kill -9 of beat",
    stood_s=0.0,
    acknowledged_meanwhile=0,
    first_s=0.2,
    done_s=None,
    deposits=1234,
    bytes=10**9,
    flaws=(),
)


def run(seed, **changes):
    return Run(seed, "2026-11-22", "abc", "2 cores", (dataclasses.replace(OUTCOME, **changes),), ())


def test_each_seed_has_one_section_and_a_later_run_takes_its_place():
    document = f"before\n{END}\nafter\n"
    for each in (run(3), run(1), run(2), run(3, deposits=9)):
        document = written(document, each)
    assert document.startswith("before\n")
    assert document.endswith(f"{END}\nafter\n")
    assert [line for line in document.splitlines() if line.startswith("## ")] == ["## Seed 1", "## Seed 2", "## Seed 3"]
    assert document.count("1,234 files") == 2
    assert "9 files" in document


def test_what_never_came_and_what_was_found_are_said():
    text = section(run(1, flaws=("bytes: 131102: gone",)))
    assert "| never |" in text
    assert "step 1: bytes: 131102: gone" in text
    assert "No flaw" in section(run(1))


def test_a_document_without_the_mark_is_left_alone():
    with pytest.raises(ValueError, match="runs end"):
        written("nothing", run(1))


def test_the_document_that_is_shipped_has_the_mark():
    assert END in report.DOCUMENT.read_text("utf-8")


def test_a_step_that_was_finished_is_not_run_again_and_one_that_was_cut_off_is(tmp_path):
    progress = Progress(tmp_path / "progress.jsonl")
    assert progress.outcomes() == []
    progress.note(OUTCOME)
    with progress.path.open("a") as file:
        file.write('{"number": 1, "na')
    assert progress.outcomes() == [OUTCOME]
