"""The flaw: a document of threats that promises tests which are not there, or leaves out attacks that are tried."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")


def test_every_test_that_the_threat_model_names_is_there():
    named = re.findall(r"`(tests/[\w/.]+)`", TEXT)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_attack_that_is_tried_stands_in_the_threat_model():
    tried = {f"tests/attacks/{path.name}" for path in Path(__file__).parent.glob("test_*.py")} - {
        "tests/attacks/test_threat_model.py"
    }
    assert {name for name in tried if name not in TEXT} == set()
