"""When a recorder may be freed of a file, where the original carrier (原始载体) must be kept: the agency's carrier rule, and what it bars.

A carrier rule is data: whether the recorder's key mark (重点标记) bars release, whether damage does, which matters (案由) do, and for how
many days after docking; each version has its legal basis. Invariants: nothing is released whose bytes were not found intact the last
time they were read; what is barred is told with every reason there is, so that nobody finds the second when the first is gone.

Not guaranteed: that somebody does not take the file from the recorder by hand. The archive then says that it was not asked.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from archive.core.canonical import Json
from archive.core.errors import Malformed
from archive.core.instant import DAY, Instant

MAX_MATTERS = 1000
MAX_TEXT = 200
MAX_BASIS = 2000
MAX_DAYS = 36_500
_RULE = frozenset({"type", "v", "key_mark", "damaged", "matters", "days", "basis"})
_INTACT = "intact"


class Reason(StrEnum):
    """Why a file stays on its carrier. The first three are the rule's; the others are told by the station, or found by the archive."""

    KEY_MARK = "key_mark"
    DAMAGED = "damaged"
    """What is missing may still lie on the carrier, where its maker can look for it, until something else is written there."""
    MATTER = "matter"
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    NOT_REMOVABLE = "not_removable"
    GONE = "gone"
    """It is not there any more, and no leave was given."""


STATION_SAYS = frozenset({Reason.CHANGED, Reason.UNREADABLE, Reason.NOT_REMOVABLE})
"""The reasons with which a station may report that it kept a file."""


@dataclass(frozen=True, slots=True)
class CarrierRule:
    """What bars release: the key mark, damage, these matters; for `days` days after docking, None for as long as they hold."""

    key_mark: bool
    damaged: bool
    matters: tuple[str, ...]
    days: int | None
    basis: str

    def __post_init__(self) -> None:
        if len(self.matters) > MAX_MATTERS or len({comparable(text) for text in self.matters}) != len(self.matters):
            raise Malformed(what="carrier_rule", field="matters", reason="too_many_or_twice")
        for text in self.matters:
            _plain("matters", text, MAX_TEXT)
        _plain("basis", self.basis, MAX_BASIS)
        if self.days is not None and not 0 <= self.days <= MAX_DAYS:
            raise Malformed(what="carrier_rule", field="days", value=self.days)

    def facts(self) -> dict[str, Json]:
        """Return the rule as it is kept, shown and given."""
        return {
            "type": "liuhen.rule.carrier",
            "v": 1,
            "key_mark": self.key_mark,
            "damaged": self.damaged,
            "matters": list(self.matters),
            "days": self.days,
            "basis": self.basis,
        }

    @classmethod
    def of(cls, facts: object) -> CarrierRule:
        """Return the rule that these facts (`facts()` of one, or a JSON file's) spell.

        Raises:
            Malformed: a field is missing, unknown, of the wrong type or absurd.
        """
        if not isinstance(facts, dict) or facts.keys() != _RULE:
            raise Malformed(what="carrier_rule", reason="fields", wanted=" ".join(sorted(_RULE)))
        if facts["type"] != "liuhen.rule.carrier" or facts["v"] != 1 or facts["v"] is True:
            raise Malformed(what="carrier_rule", reason="type_or_version")
        key_mark, damaged, matters, days, basis = (facts[name] for name in ("key_mark", "damaged", "matters", "days", "basis"))
        for field, value, form in (("key_mark", key_mark, bool), ("damaged", damaged, bool), ("basis", basis, str)):
            if not isinstance(value, form):
                raise Malformed(what="carrier_rule", field=field)
        if not isinstance(matters, list) or not all(isinstance(text, str) for text in matters):
            raise Malformed(what="carrier_rule", field="matters")
        if days is not None and (not isinstance(days, int) or isinstance(days, bool)):
            raise Malformed(what="carrier_rule", field="days")
        return cls(key_mark, damaged, tuple(matters), days, basis)


@dataclass(frozen=True, slots=True)
class Bound:
    """A case that the item is bound to."""

    number: str
    matter: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One reason why a file stays: with the case where it is the case's matter, and until when where it ends."""

    reason: Reason
    case: str | None
    until: Instant | None


def bars(
    rule: CarrierRule, *, key_mark: bool, damaged: bool, cases: Iterable[Bound], docked_at: Instant, now: Instant
) -> list[Bar]:
    """Return everything by which the rule keeps a file on its carrier.

    Args:
        rule: the agency's.
        key_mark: the recorder marked it.
        damaged: its examination found damage.
        cases: what it is bound to.
        docked_at: the accession's moment.
        now: the moment of asking.
    """
    until = None if rule.days is None else Instant(docked_at + rule.days * DAY)
    if until is not None and now >= until:
        return []
    barred = {comparable(text) for text in rule.matters}
    found = [Bar(Reason.KEY_MARK, None, until)] if rule.key_mark and key_mark else []
    found += [Bar(Reason.DAMAGED, None, until)] if rule.damaged and damaged else []
    found += [Bar(Reason.MATTER, case.number, until) for case in cases if comparable(case.matter) in barred]
    return found


def intact(*, verdict: str | None, verified: bool) -> bool:
    """Say whether the bytes were verified and found intact the last time they were read."""
    return verified and verdict == _INTACT


def comparable(matter: str) -> str:
    """Return a matter as it is compared: widths, case and white space make no difference."""
    return "".join(unicodedata.normalize("NFKC", matter).casefold().split())


def _plain(field: str, text: str, longest: int) -> None:
    if not text.strip() or len(text) > longest or text != text.strip() or any(not c.isprintable() for c in text):
        raise Malformed(what="carrier_rule", field=field)


SHIPPED = CarrierRule(
    key_mark=True,
    damaged=True,
    matters=(),
    days=None,
    basis="《最高人民法院关于行政诉讼证据若干问题的规定》（法释〔2002〕21号）第十二条：提供录音、录像等视听资料的，应当提供有关资料的原始载体。",
)
"""What holds until the agency decides otherwise."""
