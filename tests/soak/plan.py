"""What is broken, when, for how long and in whose hands: all of it from a seed, so that a run can be told and done again.

Every kind of fault comes once by itself, in the order below; after that come steps of one, two or three faults at once, drawn by the seed.
A plan says nothing of the machinery that carries it out (`breaking`) nor of what must hold afterwards (`invariants`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """A kind of fault, in the words of the table in docs/faults.md."""

    WEB_KILLED = "kill -9 of a web process"
    WORKER_KILLED = "kill -9 of a worker"
    BEAT_KILLED = "kill -9 of beat"
    DATABASE_RESTARTED = "PostgreSQL restarted (fast)"
    DATABASE_STOPPED_AT_ONCE = "PostgreSQL stopped without a checkpoint (immediate)"
    DATABASE_KILLED = "kill -9 of PostgreSQL, all of it"
    BROKER_DOWN = "RabbitMQ down"
    QUEUES_DELETED = "RabbitMQ's queues deleted"
    STORE_DOWN = "S3 down"
    STORE_SLOW = "S3 slow"
    STORE_FULL = "S3 over its quota"
    WORKER_FROZEN = "a worker frozen past its lease and thawed"
    SPOOL_FULL = "no room in a spool"
    CLOCK_BACK = "clocks stepped back an hour"


MOMENTARY = frozenset({Fault.WEB_KILLED, Fault.WORKER_KILLED, Fault.BEAT_KILLED, Fault.DATABASE_RESTARTED, Fault.QUEUES_DELETED})
"""Faults that are over as soon as they are done: what was ended is started again as its supervisor would."""

ALONE = frozenset({Fault.WORKER_FROZEN})
"""Faults that wait for something to happen meanwhile, which another fault at the same time could keep from happening for ever."""

_SAME_THING = (
    frozenset({Fault.DATABASE_RESTARTED, Fault.DATABASE_STOPPED_AT_ONCE, Fault.DATABASE_KILLED}),
    frozenset({Fault.BROKER_DOWN, Fault.QUEUES_DELETED}),
    frozenset({Fault.STORE_DOWN, Fault.STORE_SLOW, Fault.STORE_FULL}),
)
"""Of each of these only one at a time: a thing that is down cannot be slow."""


@dataclass(frozen=True, slots=True)
class Step:
    """Faults that stand at the same time for `lasts_s` seconds; `victim` says which of several processes, counted round."""

    number: int
    faults: tuple[Fault, ...]
    lasts_s: float
    victim: int

    @property
    def name(self) -> str:
        """The step's row in a table."""
        return " + ".join(self.faults)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of it: steps drawn beyond one of each kind, and how long a fault stands, in seconds."""

    drawn: int
    shortest_s: float
    longest_s: float
    broker_s: float


REDUCED = Counts(drawn=0, shortest_s=1, longest_s=1, broker_s=1)
FULL = Counts(drawn=12, shortest_s=3, longest_s=10, broker_s=60)
"""RabbitMQ is down for a minute where that is all there is; among drawn faults it is down for as long as they are."""


def plan(seed: int, counts: Counts) -> tuple[Step, ...]:
    """Return the steps of a run; the same seed and counts give the same steps."""
    chance = random.Random(seed)
    steps = [_step(number, (fault,), chance, counts) for number, fault in enumerate(Fault)]
    drawn = range(len(steps), len(steps) + counts.drawn)
    return (*steps, *(_step(number, _together(chance), chance, counts) for number in drawn))


def _step(number: int, faults: tuple[Fault, ...], chance: random.Random, counts: Counts) -> Step:
    a_minute = faults == (Fault.BROKER_DOWN,) and number < len(Fault)
    lasts = counts.broker_s if a_minute else round(chance.uniform(counts.shortest_s, counts.longest_s), 1)
    return Step(number, faults, lasts, chance.randrange(2**16))


def _together(chance: random.Random) -> tuple[Fault, ...]:
    """Draw up to three faults that can stand at once."""
    wanted, drawn = chance.randint(1, 3), list(Fault)
    chance.shuffle(drawn)
    found: list[Fault] = []
    for fault in drawn:
        alone = fault in ALONE or bool(found and found[0] in ALONE)
        clash = any(fault in kind and kind & set(found) for kind in _SAME_THING)
        if len(found) < wanted and not clash and not (alone and found):
            found.append(fault)
    return tuple(sorted(found, key=list(Fault).index))
