"""What is due by the calendar: the trial of the stores, locks and copies to be seen to, originals to be read again, finished jobs to go.

What a passing fault left without a read-back that verifies it is among those: its sender waits for the receipt.

Deciding is pure: given what is known and the time, `due` says what to promise. Promising is idempotent: a job's key carries its day, or its
hour, so that however many schedulers look however often, each thing is promised once.

Not guaranteed: that anything happens at a certain time. Whoever runs no scheduler for a week has a trial that is a week old, and the status
page says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from archive.actions import fixity, jobs, store
from archive.core.instant import DAY, HOUR, Instant, iso
from archive.resources import Resources, tried
from workers.keeping import COPIES, replica_name

TRIED_EVERY: Final = DAY
TRIED_AT_START: Final = HOUR
"""A store that was tried this recently is not tried again because a process begins: many may begin at once."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the calendar is held against: when the store whose turn is longest past was tried (None: never), and what there is to keep."""

    stores: bool
    tried: Instant | None = None
    replica: bool = False
    fixity: bool = False
    left: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """A job to be promised, if it is not yet."""

    kind: str
    payload: Mapping[str, str | int] = field(default_factory=dict)


def due(known: Known, *, now: Instant, started: bool = False) -> list[Promise]:
    """Return what is due; `started` says that a scheduler has just begun, upon which stores are tried before their day is over.

    A trial that meets a store which is away waits for it, so one for each day is enough; beginning promises one an hour at most.
    """
    day, hour = iso(now)[:10], iso(now)[11:13]
    found = [Promise("prune", {"day": day})]
    if known.stores:
        age = None if known.tried is None else now - known.tried
        if age is None or not 0 <= age < TRIED_EVERY:
            found.append(Promise("canary", {"day": day}))
        elif started and age >= TRIED_AT_START:
            found.append(Promise("canary", {"day": day, "hour": hour}))
        found.append(Promise("extend_locks", {"day": day}))
    if known.replica:
        found.append(Promise("replicate", {"day": day}))
        found.append(Promise("extend_locks", {"day": day, "of": COPIES}))
    if known.fixity:
        found.append(Promise("check", {"day": day}))
    if known.left:
        found.append(Promise("check", {"day": day, "left_after": 0}))
    return found


def promise(resources: Resources, *, now: Instant, started: bool = False) -> int:
    """Promise what is due and not promised yet; return how many jobs that were.

    Raises:
        Unavailable: the database does not answer.
    """
    with resources.reading() as session:
        newest = [store.newest(session, store=name) for name in tried(resources.settings)]
        known = Known(
            stores=bool(newest),
            tried=None if None in newest else min((view.at for view in newest if view), default=None),
            replica=replica_name(resources) is not None,
            fixity=resources.settings.fixity_days > 0,
            left=fixity.any_left(session),
        )
    with resources.transaction() as session:
        return sum(
            jobs.enqueue(session, kind=each.kind, payload=each.payload, now=now) for each in due(known, now=now, started=started)
        )
