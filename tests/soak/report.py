"""docs/faults.md's tables: one for each seed that was run, made from that run's progress file and nothing else.

A seed's table stands between two markers and is replaced as a whole by its next run; a run that was not made, or not to its end, has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.soak.campaign import Outcome

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
END = "<!-- runs end -->"
HEAD = (
    "| step | fault | stood | taken in meanwhile | first «stored» after | jobs done after | files so far |\n"
    "| ---: | --- | ---: | ---: | ---: | ---: | ---: |\n"
)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that came to its end."""

    seed: int
    when: str
    commit: str
    machine: str
    outcomes: tuple[Outcome, ...]
    flaws: tuple[str, ...]
    """What the last judgement found, of everything together."""


def section(run: Run) -> str:
    """Return a run's part of the document."""
    last = run.outcomes[-1]
    flaws = [f"step {each.number + 1}: {flaw}" for each in run.outcomes for flaw in each.flaws] + list(run.flaws)
    verdict = "No flaw was found." if not flaws else "**Flaws:**\n\n" + "\n".join(f"- {flaw}" for flaw in flaws)
    return (
        f"{_marker(run.seed)}\n## Seed {run.seed}\n\n"
        f"Run on {run.when} at {run.commit}, {run.machine}. {len(run.outcomes)} steps; {last.deposits:,} files acknowledged, "
        f"{last.bytes / 1e9:.1f} GB, every one of them verified and receipted. {verdict}\n\n"
        f"{HEAD}{''.join(map(_row, run.outcomes))}\n"
    )


def written(document: str, run: Run) -> str:
    """Return the document with this run's section in the place of an earlier one of its seed, sections in the order of their seeds.

    Raises:
        ValueError: the document has not the mark where runs end.
    """
    before, mark, after = document.partition(END)
    if not mark:
        raise ValueError(f"no {END} in the document")
    first = before.find("<!-- seed ")
    head, runs = (before, "") if first < 0 else (before[:first], before[first:])
    sections = {int(found[1]): found[0] for found in re.finditer(r"<!-- seed (\d+) -->\n.*?(?=<!-- seed |\Z)", runs, re.DOTALL)}
    sections[run.seed] = section(run)
    return head + "".join(sections[seed] for seed in sorted(sections)) + mark + after


def worst(outcomes: Sequence[Outcome]) -> tuple[float | None, float | None]:
    """Return the longest waits for a first acknowledgement and for all jobs, of those that came to an end."""
    firsts = [each.first_s for each in outcomes if each.first_s is not None]
    dones = [each.done_s for each in outcomes if each.done_s is not None]
    return max(firsts, default=None), max(dones, default=None)


def _marker(seed: int) -> str:
    return f"<!-- seed {seed} -->"


def _row(each: Outcome) -> str:
    return (
        f"| {each.number + 1} | {each.name} | {each.stood_s:.1f} s | {each.acknowledged_meanwhile} | {_seconds(each.first_s)} "
        f"| {_seconds(each.done_s)} | {each.deposits:,} |\n"
    )


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
