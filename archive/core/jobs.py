"""The rules of the queue: lanes, priorities, leases, attempts and back-off. The table itself is in records, its verbs in actions."""

from __future__ import annotations

from dataclasses import dataclass

from archive.core.instant import HOUR, SECOND, Instant

LEASE = 60 * SECOND
"""How long a claim holds without a heartbeat: long enough for a loaded machine, short enough that a dead worker is noticed."""
HEARTBEAT = 15 * SECOND
LONGEST_PAUSE = 600 * SECOND
"""The longest wait between two attempts."""
STORE_PAUSE = 15 * SECOND
"""How long a job waits for a store that does not answer at all, or is full, or refuses us: no attempt of its own was spent on that."""
MAX_ATTEMPTS = 3
TAIL = 4000
"""Characters of a tool's last words that are kept."""


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of job: its lane and its priority (higher goes first)."""

    lane: str
    priority: int


KINDS: dict[str, Work] = {
    # what a person waits for comes first: whether and how it plays
    "examine": Work("quick", 90),
    "page": Work("quick", 88),  # the one that somebody opened, before its turn
    "read_back": Work("verify", 80),
    "tiles": Work("media", 85),
    "assemble": Work("quick", 75),
    "repair": Work("heavy", 60),
    "rendition": Work("heavy", 50),
    "photo": Work("media", 70),
    "pages": Work("media", 65),
    "extend_locks": Work("verify", 90),  # a lock that ran out protects nothing
    "take_in": Work("verify", 85),  # a station waits for its receipt, and for the room on its recorder
    "restore": Work("verify", 70),
    "canary": Work("verify", 25),
    "replicate": Work("verify", 20),
    "check": Work("verify", 10),
    "prune": Work("quick", 5),
    "storyboard": Work("media", 60),
    "waveform": Work("media", 55),
    "telemetry": Work("media", 40),
    "notes": Work("media", 35),
    "stream_hash": Work("media", 30),
}
ASK_SECOND = frozenset({"replicate", "restore", "extend_locks"})
"""Kinds that ask the second store: they wait where that one is away."""
AWAITED = 95
"""The priority of what somebody looks at a page for: before all that nobody waits for."""
SHOWS = frozenset({"examine", "photo", "rendition", "repair"})
"""Kinds without which an item's page has nothing to show; a page of a document has its own way to be asked for."""
LANES = ("quick", "verify", "media", "heavy")
OVERDUE = HOUR
"""How long a job must have been due before its age counts."""
LATE_TURNS = 8
"""One claim in so many asks for what is overdue, whatever its priority: a lane that never catches up still does its lowest kinds."""


def opened(lane: str) -> tuple[int, ...]:
    """Return the priorities, in a lane, of what somebody has a page open for: before those, age does not count."""
    return (AWAITED, *(KINDS[kind].priority for kind in ("page", "tiles") if KINDS[kind].lane == lane))


def late_turn(now: Instant) -> bool:
    """Say whether a claim made at this moment is one that asks for what is overdue.

    It goes by the last digits of a clock that counts microseconds, so that claims need no count in common, nor a lock to keep one.
    """
    return now % LATE_TURNS == 0


def retry_at(attempt: int, *, now: Instant) -> Instant:
    """Return when a job that failed its `attempt`-th time is due again: 5 s, then 20 s, then 80 s, never more than 10 min."""
    return Instant(now + min(5 * 4 ** (attempt - 1) * SECOND, LONGEST_PAUSE))
