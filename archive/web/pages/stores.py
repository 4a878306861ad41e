"""What the object stores enforce, in words: the part of the status page that somebody reads before they rely on a lock.

Invariant: green is what a trial showed, and only while that trial is recent; what was not shown is grey, what nothing relies on amber, what
gave way red.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from archive.actions.replica import Copies
from archive.actions.status import StoreView
from archive.actions.store import Locks
from archive.core.instant import Instant
from archive.core.worm import KNOWN, Judgement, Outcome, Trial
from archive.web.pages import shapes
from archive.web.pages.words import N_, Say

STANDING: Final[Mapping[str, tuple[str, str]]] = {
    "holds": ("is-verified", N_("It refused everything that it must refuse.")),
    "unproved": ("is-waiting", N_("Part of what it must refuse was not shown.")),
    "broken": ("is-flaw", N_("It gave way: what is locked here can be changed or removed.")),
    "overdue": ("is-grey", N_("It was last tried too long ago to say anything.")),
    "untried": ("is-grey", N_("It was not tried yet.")),
}

CLAIM: Final[Mapping[Trial, str]] = {
    Trial.VERSIONING: N_("Every version is kept"),
    Trial.BUCKET_LOCK: N_("The bucket was made with Object Lock"),
    Trial.LOCKED_PUT: N_("An original is locked by the request that writes it"),
    Trial.LOCKED_MULTIPART: N_("So is one that is written in parts"),
    Trial.DELETE_VERSION: N_("A locked version cannot be deleted"),
    Trial.DELETE_BYPASS: N_("Nor by asking to bypass the lock"),
    Trial.DELETE_BATCH: N_("Nor among many at once"),
    Trial.SHORTEN: N_("A lock cannot be shortened"),
    Trial.SHORTEN_BYPASS: N_("Nor by asking to bypass it"),
    Trial.WEAKEN: N_("Nor be made one that can be lifted"),
    Trial.EXTEND: N_("A lock can be extended"),
    Trial.OVERWRITE: N_("Writing under the same name leaves the locked version as it is"),
    Trial.MARKER: N_("Deleting the name leaves the locked version as it is"),
    Trial.HOLD: N_("A version under a legal hold cannot be deleted"),
    Trial.HOLD_LIFTED: N_("It can be when the hold is lifted"),
    Trial.CLOCK: N_("The store's clock agrees with ours"),
    Trial.CHECKSUM: N_("Bytes with a wrong SHA-256 are refused"),
    Trial.CONTENT_MD5: N_("Bytes with a wrong MD5 are refused"),
    Trial.CREATE_ONLY: N_("A write that may only create does not overwrite"),
    Trial.DATES: N_("The ends of locks are written in the usual form"),
}

LIMIT: Final[Mapping[Trial, str]] = {
    Trial.LOCKED_MULTIPART: N_("The lock is set by a request right after it, and read back."),
    Trial.HOLD_LIFTED: N_("Nothing relies on it yet."),
    Trial.CLOCK: N_("Locks end by the store's clock."),
    Trial.CHECKSUM: N_("Nothing relies on it: every byte is read back and hashed."),
    Trial.CONTENT_MD5: N_("Nothing relies on it: every byte is read back and hashed."),
    Trial.CREATE_ONLY: N_("Nothing relies on it: what is read is named by its version."),
    Trial.DATES: N_("They are read all the same."),
}
"""What is done about a limitation that is known."""

SHOWN: Final[Mapping[Outcome, tuple[str, str]]] = {
    Outcome.ENFORCED: ("is-verified", N_("shown")),
    Outcome.NOT_ENFORCED: ("is-waiting", N_("not so")),
    Outcome.UNKNOWN: ("is-grey", N_("not shown")),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was tried: what it claims, how it came out, how that is coloured, and what is done about it."""

    claim: str
    said: str
    colour: str
    note: str


@dataclass(frozen=True, slots=True)
class Card:
    """One store as the page shows it."""

    name: str
    said: str
    colour: str
    at: Instant | None
    lines: tuple[Line, ...]


def card(view: StoreView, say: Say) -> Card:
    """Return a store in words."""
    colour, said = STANDING[view.standing]
    judged = () if view.trial is None else view.trial.judged
    stale = view.standing in ("overdue", "untried")
    return Card(
        view.name,
        say(said),
        colour,
        None if view.trial is None else view.trial.at,
        tuple(_line(each, say, stale=stale) for each in judged),
    )


def _line(each: Judgement, say: Say, *, stale: bool) -> Line:
    colour, said = SHOWN[each.outcome]
    if each.alarming:
        return Line(say(CLAIM[each.trial]), say(said), "is-flaw", say(N_("See to this: what is locked is not safe.")))
    limited = each.outcome is Outcome.NOT_ENFORCED
    note = say(LIMIT[each.trial]) if limited and (each.trial in KNOWN or each.trial in LIMIT) else ""
    return Line(say(CLAIM[each.trial]), say(said), "is-grey" if stale else colour, note)


def locks(counted: Locks, say: Say) -> Iterator[tuple[str, str, str]]:
    """Yield (name, what it is, colour) of the originals' locks."""
    if counted.ran_out:
        yield say(N_("Locks that ran out")), shapes.grouped(counted.ran_out), "is-flaw"
    if counted.soon:
        yield say(N_("Locks that end soon and were not extended")), shapes.grouped(counted.soon), "is-waiting"
    yield say(N_("Locked originals, the lock read back")), shapes.grouped(counted.held), ""
    if counted.unread:
        yield say(N_("Originals whose lock was not read back yet")), shapes.grouped(counted.unread), "is-grey"


def copies(counted: Copies | None, say: Say) -> Iterator[tuple[str, str, str]]:
    """Yield (name, what it is, colour) of the originals' second copies; None where there is no second store."""
    if counted is None:
        yield (
            say(N_("Second store")),
            say(N_("None: an original whose bytes rot or are lost cannot be restored.")),
            "is-waiting",
        )
        return
    yield say(N_("Originals with two copies")), shapes.grouped(counted.two), ""
    if counted.one:
        yield say(N_("Originals with one copy")), shapes.grouped(counted.one), "is-waiting"
    if counted.flawed:
        yield say(N_("Copies found altered, missing or unreadable")), shapes.grouped(counted.flawed), "is-flaw"
