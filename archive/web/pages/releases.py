"""Freeing a recorder in words: what was removed from which carrier, and why something stays there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archive.web.pages import words
from archive.web.pages.words import N_

KINDS = ("release", "release barred")

_WHY: Mapping[str, str] = {
    "key_mark": N_("the recorder marked it as important, and the carrier rule keeps such files"),
    "damaged": N_("it is damaged, and the carrier rule keeps such files: what is missing may still lie there"),
    "changed": N_("it is not what was docked any more"),
    "unreadable": N_("it could not be read again"),
    "not_removable": N_("the medium does not let it be removed"),
    "gone": N_("it was taken away without leave"),
}


def said(kind: str, facts: Mapping[str, Any], say: words.Say) -> str:
    """Return what a release or its bar was, as a sentence."""
    place = {"carrier": facts.get("carrier", ""), "name": facts.get("name", "")}
    if kind == "release":
        return say(N_("Removed from the carrier %(carrier)s against a verified receipt: %(name)s")) % place
    if facts.get("reason") == "gone":
        return say(N_("No longer on the carrier %(carrier)s: %(why)s")) % {**place, "why": say(_WHY["gone"])}
    return say(N_("Kept on the carrier %(carrier)s: %(why)s")) % {**place, "why": say(N_(", ")).join(_reasons(facts, say))}


def why(reason: str, say: words.Say) -> str:
    """Return in words why a file stays, from the reasons as the table of releases has them."""
    bars = [each.partition(" ") for each in reason.split("; ")]
    return say(N_(", ")).join(_reasons({"bars": [{"reason": code, "case": case} for code, _, case in bars]}, say))


def _reasons(facts: Mapping[str, Any], say: words.Say) -> list[str]:
    bars = facts.get("bars") or [{"reason": facts.get("reason", "")}]
    return [
        say(N_("the carrier rule keeps the matter of case %(case)s")) % {"case": bar["case"]}
        if bar["reason"] == "matter"
        else say(_WHY[bar["reason"]])
        if bar["reason"] in _WHY
        else str(bar["reason"])
        for bar in bars
    ]
