r"""Custody events and the link between them.

An event's body is canonical JSON that names the hash of the event before it:

    hash(n) = SHA-256("liuhen custody v1\n" || body(n)),  body(n).prev = hash(n-1),  body(1).prev = 64 zeros

so that changing, removing or inserting an event breaks every link after it. A chain alone does not bind whoever holds the whole
database: they can write it anew from any point. That needs somebody outside, which a chain in a table cannot give.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from archive.core.canonical import Json, decode, encode
from archive.core.errors import Malformed
from archive.core.instant import Instant, iso

CONTEXT = b"liuhen custody v1\n"
GENESIS = "0" * 64


class EventKind(StrEnum):
    """What can happen to an item, a case or the archive itself; PREMIS 3 event types where it has one."""

    STORED = "ingestion"
    READ_BACK = "fixity check"
    EXAMINED = "metadata extraction"
    RENDITION = "derivation"
    REFUSED = "quarantine"
    REPAIRED = "repair"
    VIEWED = "viewing"
    DOWNLOADED = "dissemination"
    CASE_OPENED = "case opening"
    RELEASED = "release"
    RELEASE_BARRED = "release barred"
    RULE_SET = "rule change"
    STORE_TRIED = "store trial"
    BOUND = "binding"
    UNBOUND = "unbinding"
    STATION_ENROLLED = "station enrolment"
    STATION_REVOKED = "station revocation"
    ACCOUNT_MADE = "account creation"
    SIGNED_IN = "sign-in"


@dataclass(frozen=True, slots=True)
class Link:
    """An event as it goes into the chain."""

    seq: int
    body: str
    hash: str


@dataclass(frozen=True, slots=True)
class ChainFlaw:
    """Something verification of the chain found."""

    seq: int
    what: str


def link(*, seq: int, prev: str, kind: EventKind, at: Instant, actor: str, subject: str, facts: Mapping[str, Json]) -> Link:
    """Return the next link: event number `seq` (from 1), after the event whose hash is `prev`."""
    body = encode(
        {
            "actor": actor,
            "at": iso(at),
            "facts": dict(facts),
            "kind": kind.value,
            "prev": prev,
            "seq": seq,
            "subject": subject,
            "v": 1,
        }
    )
    return Link(seq, body.decode(), hash_of(body))


def hash_of(body: bytes) -> str:
    """Return the hash of an event's body."""
    return hashlib.sha256(CONTEXT + body).hexdigest()


def flaws(links: Iterable[Link]) -> list[ChainFlaw]:
    """Return everything wrong with a chain given from its first event on; an intact chain has none."""
    found: list[ChainFlaw] = []
    prev, expected = GENESIS, 1
    for each in links:
        if each.seq != expected:
            found.append(ChainFlaw(each.seq, f"sequence: {expected} expected"))
        if hash_of(each.body.encode()) != each.hash:
            found.append(ChainFlaw(each.seq, "hash is not that of the body"))
        try:
            body = decode(each.body.encode())
        except Malformed:
            found.append(ChainFlaw(each.seq, "body is not canonical"))
            body = {}
        if not isinstance(body, dict) or body.get("prev") != prev or body.get("seq") != each.seq:
            found.append(ChainFlaw(each.seq, "link to the event before is broken"))
        prev, expected = each.hash, each.seq + 1
    return found
