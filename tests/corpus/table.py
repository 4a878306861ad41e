"""Reads `expected.md`, which a person reads as well as this does."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(os.environ.get("TEST_SAMPLES") or "/nonexistent")

_GROUPS = {
    "seen": {"poster", "storyboard", "storyboard-vtt"},
    "heard": {"waveform"},
    "hash": {"stream-hash"},
    "photo": {"view", "thumb"},
}
_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One input and its expectation. `real` comes from TEST_SAMPLES; `slow` is run by `make soak` only."""

    name: str
    why: str
    kind: str
    container: str
    condition: str
    action: str
    reason: str
    makes: frozenset[str]
    findings: tuple[str, ...]
    fails: tuple[str, ...]
    real: bool
    slow: bool


def _rows(text: str) -> list[Row]:
    found, section = [], ""
    for line in text.splitlines():
        section = line.removeprefix("## ") if line.startswith("## ") else section
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or len(cells) != _COLUMNS or cells[0] in ("input", "---"):
            continue
        name, why, what, condition, plan, made, findings, fails = cells
        kind, container = what.split()
        action, reason = plan.split()
        found.append(
            Row(
                name=name.strip("*"),
                why=why,
                kind=kind,
                container=container,
                condition=condition,
                action=action,
                reason=reason,
                makes=_makes(made),
                findings=tuple(findings.split()),
                fails=tuple(fails.split()),
                real=section == "From elsewhere",
                slow=name.startswith("*"),
            )
        )
    return found


def _makes(words: str) -> frozenset[str]:
    makes: set[str] = set()
    for word in words.split():
        pages = re.fullmatch(r"pages:(\d+)-(\d+)", word)
        if pages:
            makes |= {f"{stem}-{page:04d}" for page in range(int(pages[1]), int(pages[2]) + 1) for stem in ("page", "thumb")}
        else:
            makes |= _GROUPS.get(word, {word})
    return frozenset(makes)


ROWS = _rows((Path(__file__).parent / "expected.md").read_text(encoding="utf-8"))


def codes() -> set[str]:
    """Every finding that an expectation names."""
    return {code for row in ROWS for code in row.findings}
