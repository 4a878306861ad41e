"""Rules that differ by place: which version holds, and a new one with its legal basis. A version is never changed and never removed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from archive.actions import custody
from archive.core.canonical import Json
from archive.core.custody import EventKind
from archive.core.instant import Instant
from archive.core.release import SHIPPED, CarrierRule
from archive.records.locks import Noun, hold
from archive.records.rules import Rule, rule_in_force, rule_versions

CARRIER = "carrier"


@dataclass(frozen=True, slots=True)
class CarrierRuleView:
    """One version of the carrier rule: who made it and when, in microseconds UTC; version 0 is the shipped one, which nobody made."""

    version: int
    rule: CarrierRule
    made_by: str | None
    made_at: Instant | None


def carrier(session: Session) -> CarrierRuleView:
    """Return the carrier rule in force."""
    found = rule_in_force(session, CARRIER)
    return CarrierRuleView(0, SHIPPED, None, None) if found is None else _view(found)


def carrier_history(session: Session) -> list[CarrierRuleView]:
    """Return every version there was, the shipped one first."""
    return [CarrierRuleView(0, SHIPPED, None, None), *map(_view, rule_versions(session, CARRIER))]


def set_carrier(session: Session, *, rule: CarrierRule, by: str, now: Instant) -> CarrierRuleView:
    """Put a new version of the carrier rule in force and return it; the rule that holds already makes no new version."""
    hold(session, Noun.RULE, CARRIER)
    holds = carrier(session)
    if holds.rule == rule:
        return holds
    facts = rule.facts()
    row = Rule(kind=CARRIER, version=holds.version + 1, body=facts, basis=rule.basis, made_by=by, made_at=now)
    session.add(row)
    session.flush()
    said: dict[str, Json] = {name: value for name, value in facts.items() if name not in {"type", "v"}}
    custody.record(
        session,
        kind=EventKind.RULE_SET,
        at=now,
        actor=by,
        subject=f"rule:{CARRIER}",
        facts={"rule": CARRIER, "version": row.version, **said},
    )
    return _view(row)


def _view(row: Rule) -> CarrierRuleView:
    return CarrierRuleView(row.version, CarrierRule.of(row.body), row.made_by, Instant(row.made_at))
