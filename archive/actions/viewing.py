"""Viewings (调阅): every look at an item is logged, one viewing for the many requests of one replay."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive.actions import custody
from archive.core.access import Caller
from archive.core.custody import EventKind
from archive.core.instant import MINUTE, Instant
from archive.records.items import Item, Viewing
from archive.records.locks import Noun, hold

PAUSE = 30 * MINUTE
"""A look that pauses longer is another look."""
AHEAD = MINUTE
"""How far ahead of ours another web host's clock may be: a look that is further on began under a wrong one, and covers none of ours."""


def look(session: Session, *, item_id: int, caller: Caller, what: str, now: Instant) -> None:
    """Log that the caller looks: `what` is page, replay, pages, ahead or download; goes on with the viewing that is open, or opens one.

    `ahead` is what a player was sent of a file before playing it; of one that is being replayed already it is nothing new.
    """
    if what == "ahead" and _open(session, item_id, caller, "replay", now) is not None:
        return
    if what != "download" and _go_on(session, item_id, caller, what, now):
        return
    hold(session, Noun.VIEWING, f"{item_id} {caller.actor} {what}")  # a replay begins with several requests at once
    if what != "download" and _go_on(session, item_id, caller, what, now):
        return
    session.add(Viewing(item_id=item_id, actor=caller.actor, what=what, began_at=now, last_at=now))
    item = session.get(Item, item_id)
    assert item is not None
    custody.record(
        session,
        kind=EventKind.DOWNLOADED if what == "download" else EventKind.VIEWED,
        at=now,
        actor=caller.actor,
        subject=item.number,
        item_id=item_id,
        facts={"number": item.number, "what": what},
    )


def _go_on(session: Session, item_id: int, caller: Caller, what: str, now: Instant) -> bool:
    """Go on with the look that is open, if one is."""
    found = _open(session, item_id, caller, what, now)
    if found is not None:
        later = update(Viewing).where(Viewing.id == found.id, Viewing.last_at < now)
        session.execute(later.values(last_at=now).execution_options(synchronize_session=False))
    return found is not None


def _open(session: Session, item_id: int, caller: Caller, what: str, now: Instant) -> Viewing | None:
    return session.scalar(
        select(Viewing)
        .where(
            Viewing.item_id == item_id,
            Viewing.actor == caller.actor,
            Viewing.what == what,
            Viewing.last_at.between(now - PAUSE + 1, now + AHEAD),
        )
        .order_by(Viewing.id.desc())
        .limit(1)
    )
