"""Repairs: which healthy file of the same recorder a broken one is rebuilt after, and who waits for such a file.

Invariants: a sibling is of the same recorder, an MP4 or MOV, and found sound; the nearest in sequence and time come first, since a
recorder's settings change seldom. A healthy arrival calls every broken item of its recorder that has no repaired copy yet, a few times
at most.

Not guaranteed: that a sibling was recorded with the same settings; whoever rebuilds finds out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.actions import jobs
from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.records.items import Item, Rendition, StoredObject, items_of
from archive.records.jobs import Job
from archive.records.locks import Noun, hold

RECIPE = "repair"
MOST_SIBLINGS = 5
MOST_CALLS = 8
"""How often one broken item is tried anew because a healthy file came: as many as find out that its settings were others."""
_LOOKED_AT = 400


@dataclass(frozen=True, slots=True)
class Sibling:
    """A healthy file of the same recorder."""

    number: str
    digest: Digest
    stored_version: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a broken item has to go by: its recorder, if that is known, and the healthy files of it, best first."""

    recorder: str | None
    siblings: tuple[Sibling, ...]


def wanted(session: Session, sha256: Digest) -> Wanted:
    """Return the siblings of these bytes' items, nearest first."""
    broken = [item for item in session.scalars(select(Item).where(Item.sha256 == sha256.hex).order_by(Item.id)) if item.recorder]
    if not broken:
        return Wanted(None, ())
    own = broken[0]
    rows = session.execute(
        select(Item.id, Item.number, Item.sha256, Item.sequence, Item.started_at, StoredObject.version_id)
        .join(StoredObject, StoredObject.sha256 == Item.sha256)
        .where(
            Item.recorder == own.recorder,
            Item.container == "mov",
            Item.kind == "recording",
            Item.condition == "sound",
            Item.sha256 != sha256.hex,
        )
        .order_by(func.abs(Item.id - own.id))
        .limit(_LOOKED_AT)
    ).all()

    def distance(row: Any) -> tuple[int, int, int]:  # noqa: ANN401 - a row of five columns
        in_turn = abs(row.sequence - own.sequence) if row.sequence is not None and own.sequence is not None else 1 << 40
        in_time = abs(row.started_at - own.started_at) if row.started_at is not None and own.started_at is not None else 1 << 60
        return in_turn, in_time, abs(row.id - own.id)

    nearest: dict[str, Sibling] = {}
    for row in sorted(rows, key=distance):
        nearest.setdefault(row.sha256, Sibling(row.number, Digest(row.sha256), row.version_id))
    return Wanted(own.recorder, tuple(nearest.values())[:MOST_SIBLINGS])


def want(session: Session, *, item_id: int, now: Instant) -> None:
    """Promise the repair of an item, once for each recorder that these bytes are said to be from, and not if it is made already."""
    item = session.get(Item, item_id)
    if item is None or session.get(Rendition, (item.sha256, RECIPE)) is not None:
        return
    jobs.enqueue(session, kind=RECIPE, item_id=item.id, sha256=item.sha256, payload={"recorder": item.recorder or ""}, now=now)


def call(session: Session, *, item_id: int, now: Instant) -> int:
    """Promise the repair of every broken item that waits for such a file as this one, found sound; return how many."""
    healthy = session.get(Item, item_id)
    if healthy is None or healthy.recorder is None or healthy.container != "mov" or healthy.condition != "sound":
        return 0
    mended = select(Rendition.sha256).where(Rendition.recipe == RECIPE)
    broken = session.scalars(
        select(Item)
        .where(
            Item.recorder == healthy.recorder, Item.container == "mov", Item.condition == "damaged", Item.sha256.not_in(mended)
        )
        .order_by(Item.id.desc())
        .limit(_LOOKED_AT)
    )
    called = 0
    for item in {item.sha256: item for item in broken if _lacks_index(item)}.values():
        states = list(session.scalars(select(Job.state).where(Job.kind == RECIPE, Job.sha256 == item.sha256)))
        if len(states) > MOST_CALLS or "waiting" in states:
            continue
        jobs.enqueue(session, kind=RECIPE, item_id=item.id, sha256=item.sha256, payload={"sibling": healthy.number}, now=now)
        called += 1
    return called


def _lacks_index(item: Item) -> bool:
    return any(found["code"] == "moov_missing" for found in item.findings)


def record(session: Session, *, sha256: Digest, facts: Mapping[str, Any]) -> None:
    """Write down how a repair went.

    `facts` has a `state` (made, no_recorder, no_sibling, failed), and where one was made the plan and the length that it gives.
    Nothing that came with an item and no finding is changed: the original is as damaged as it was.
    """
    hold(session, Noun.BYTES, sha256.hex)
    for item in items_of(session, sha256.hex):
        item.technical = {**item.technical, "repair": dict(facts)}
        _carry(item)
    session.flush()


def carry_over(session: Session, *, item_id: int) -> None:
    """Let a repair that was made for an earlier accession of the same bytes be seen on this item too."""
    item = session.get(Item, item_id)
    if item is None:
        return
    hold(session, Noun.BYTES, item.sha256)
    session.flush()  # a refresh drops what is not written yet: what the examination has just found, among others
    session.refresh(item)
    if item.technical.get("repair"):
        _carry(item)
        session.flush()


def _carry(item: Item) -> None:
    facts = item.technical["repair"]
    if "plan" in facts:
        item.technical = {**item.technical, "plan": facts["plan"]}
        item.duration_us = facts.get("duration_us", item.duration_us)
