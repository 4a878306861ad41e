"""Taking in what a station sent straight to the store: read all of it, then move it to its name and write the accession, or put it aside.

The first fetch, here, says whether these are the bytes that the station signed. The original is a copy that the store makes of them, and a
store's copy is believed as little as anything else it says: the read-back fetches the original again, and only that makes it verified.

Invariants: bytes get an original's name only after all of them were read and hashed, by the version that the completion made; the accession
is written in the transaction that finishes the job. Every step may be the last before the process dies, and doing all of them again ends
the same. What arrived stays where it is until that is on record.

Not guaranteed: that what arrived is gone from the incoming bucket when the job is done. The sweep of the web hosts clears it away.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.actions import accession, direct
from archive.core.digest import Digest, original_key, quarantine_key
from archive.core.errors import NotFound, ObjectMissing, Unavailable
from archive.core.media.sniff import HEAD_SIZE, TAIL_SIZE, Sniffed, sniff
from archive.failpoints import failpoint

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from archive.actions.direct import Straight
    from archive.actions.jobs import ClaimedJob
    from archive.adapters.s3_incoming import Incoming
    from archive.core.instant import Instant
    from archive.resources import Resources
    from workers.runner import Publish, Report

_LOOKS = 3
"""Tries after which a store that says it does not have what it put together is believed."""


def take_in(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Take in a direct upload, or put it aside if its bytes are not those that were signed; one that is over is left as it is.

    Raises:
        Unavailable: the store cannot be read, or does not make the copy, in a way that may pass.
    """
    upload_id = str(job.payload["upload"])
    try:
        with resources.reading() as session:
            found = direct.find(session, upload_id)
    except NotFound:
        return _nothing
    if found.state != "arrived" or found.key is None or found.version is None:
        return _nothing
    if resources.incoming is None:
        raise Unavailable(what="store", why="direct uploads are switched off")
    try:
        came = _read(resources.incoming, found, report)
        failpoint("take_in.read")
        if (came.digest, came.size) == (found.declared, found.parts.length):
            return _taken(resources, resources.incoming, found, came)
        return _set_aside(resources.incoming, found, came)
    except ObjectMissing as why:
        if job.attempt < _LOOKS:
            raise Unavailable(what="store", key=found.key) from why
        return lambda session, now: direct.lose(session, upload_id, now=now)


@dataclass(frozen=True, slots=True)
class _Came:
    digest: Digest
    size: int
    sniffed: Sniffed


def _nothing(_session: Session, _now: Instant) -> None:
    """Write nothing: an earlier try took it in, or it has ended."""


def _read(incoming: Incoming, found: Straight, report: Report) -> _Came:
    """Read the very version that the completion made, once and whole."""
    assert found.key is not None
    assert found.version is not None
    whole, size = hashlib.sha256(), 0
    head, tail = b"", b""
    for piece in incoming.read(found.key, found.version):
        whole.update(piece)
        size += len(piece)
        if len(head) < HEAD_SIZE:
            head += piece[: HEAD_SIZE - len(head)]
        tail = (tail + piece[-TAIL_SIZE:])[-TAIL_SIZE:]
        report(min(size * 900 // found.parts.length, 900), "reading")
    return _Came(Digest(whole.hexdigest()), size, sniff(head, tail))


def _taken(resources: Resources, incoming: Incoming, found: Straight, came: _Came) -> Publish:
    assert found.key is not None
    placed = incoming.adopt(found.key, original_key(came.digest), came.digest, version=found.version or "")
    failpoint("take_in.adopted")

    def publish(session: Session, now: Instant) -> None:
        accession.accept(
            session,
            upload_id=found.id,
            digest=came.digest,
            size=came.size,
            placed=placed,
            sniffed=came.sniffed,
            agency=resources.settings.agency,
            zone=resources.settings.tz,
            now=now,
        )

    return publish


def _set_aside(incoming: Incoming, found: Straight, came: _Came) -> Publish:
    assert found.key is not None
    placed = incoming.adopt(found.key, quarantine_key(found.id), came.digest, version=found.version or "")
    failpoint("take_in.set_aside")

    def publish(session: Session, now: Instant) -> None:
        accession.quarantine(
            session, upload_id=found.id, declared=found.declared, actual=came.digest, size=came.size, placed=placed, now=now
        )

    return publish
