"""What examination found out about an item: condition, findings, technical facts.

It adds to an item and changes nothing that came with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.actions import custody
from archive.core.custody import EventKind
from archive.core.digest import Digest
from archive.core.errors import NotFound
from archive.core.instant import Instant
from archive.records.items import Item, items_of
from archive.records.locks import Noun, hold

CONDITIONS = ("sound", "damaged", "unrecognised")
FINDINGS_KEPT = 50
"""How many findings an item carries; a book of ten thousand broken pages would make its own record a bomb."""


def record(
    session: Session,
    *,
    item_id: int,
    condition: str,
    findings: Sequence[Mapping[str, Any]],
    technical: Mapping[str, Any],
    started_at: Instant | None = None,
    duration_us: int | None = None,
    now: Instant,
) -> None:
    """Record an examination.

    `findings` are {code, facts} each, in words only on pages; `technical` is the probe's facts and the plan; `started_at` is
    the media's own statement of its start (recorder's clock), used where the station's manifest had none.

    Raises:
        NotFound: there is no such item.
    """
    assert condition in CONDITIONS
    sha256 = session.scalar(select(Item.sha256).where(Item.id == item_id))
    if sha256 is None:
        raise NotFound(what="item", id=item_id)
    item = next(each for each in _held(session, sha256) if each.id == item_id)
    # What later jobs found out about these bytes was found once, at their first accession, and is true of every other.
    earlier = session.scalar(select(Item).where(Item.sha256 == item.sha256, Item.id < item.id).order_by(Item.id).limit(1))
    technical = {**({} if earlier is None else earlier.technical), **technical}
    item.condition, item.findings, item.technical, item.duration_us = (
        condition,
        _kept(findings),
        dict(technical),
        duration_us,
    )
    if item.clock_started_at is None and started_at is not None:
        item.clock_started_at, item.started_from = started_at, "media"
        item.started_at = Instant(started_at + (item.clock_offset_us or 0))
    custody.record(
        session,
        kind=EventKind.EXAMINED,
        at=now,
        actor="archive",
        subject=item.number,
        item_id=item.id,
        facts={"number": item.number, "condition": condition, "findings": [str(f["code"]) for f in item.findings]},
    )


def _kept(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The findings that are kept, and how many more there were."""
    kept = [dict(found) for found in findings[:FINDINGS_KEPT]]
    left = len(findings) - len(kept)
    return [*kept, {"code": "more_findings", "facts": {"count": left}}] if left > 0 else kept


def _held(session: Session, sha256: str) -> list[Item]:
    """Return every item of these bytes as whoever wrote to them last left it; nobody else writes to them before the commit."""
    hold(session, Noun.BYTES, sha256)
    return items_of(session, sha256)


def found(session: Session, *, sha256: Digest, code: str, facts: Mapping[str, Any] | None = None) -> None:
    """Add what a later job found wrong with bytes to every item of them, once; they are then damaged."""
    for item in _held(session, sha256.hex):
        if all(known["code"] != code for known in item.findings):
            item.findings = [*item.findings, {"code": code, "facts": dict(facts or {})}]
            item.condition = "damaged"
    session.flush()


def merge(session: Session, *, sha256: Digest, facts: Mapping[str, Any]) -> None:
    """Add facts that a later job found out about bytes to every item of them, replacing those of the same name."""
    for item in _held(session, sha256.hex):
        item.technical = {**item.technical, **facts}
    session.flush()


def of_bytes(session: Session, sha256: Digest) -> Mapping[str, Any]:
    """Return the technical facts of these bytes, as their first item has them; empty before the first examination."""
    item = session.scalar(select(Item).where(Item.sha256 == sha256.hex).order_by(Item.id).limit(1))
    return {} if item is None else item.technical
