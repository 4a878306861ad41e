"""The read-back: read the bytes from the store, hash them and their leaves, and say what was found.

SM3 is reckoned in the same pass where the item's manifest has one, its station's settings ask for it, or the agency's do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy.orm import Session

from archive.actions import fixity, item
from archive.actions.fixity import Verdict
from archive.actions.jobs import ClaimedJob
from archive.core.digest import LEAF_SIZE, Digest, original_key
from archive.core.errors import Mismatch, ObjectMissing, Unavailable
from archive.core.instant import Instant
from archive.resources import Resources
from archive.sm3 import Sm3
from workers.runner import Publish, Report


def read_back(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Re-read an original; altered, missing and unreadable are verdicts, not failures of the job.

    Raises:
        Unavailable: the store cannot be read now, in a way that may pass.
    """
    key = original_key(Digest(job.sha256))
    with resources.reading() as session:
        stored = item.stored(session, Digest(job.sha256))
        sm3 = Sm3() if resources.settings.sm3 or fixity.wants_sm3(session, item_id=job.item_id) else None
    try:
        found = _compare(resources, key, Digest(job.sha256), stored, sm3, report=report)
    except ObjectMissing:
        found = _Found(Verdict.MISSING, [], None)
    except Unavailable:
        if job.attempt < 3:  # noqa: PLR2004 - a passing fault is tried again before it becomes a verdict
            raise
        found = _Found(Verdict.UNREADABLE, [], None)

    def publish(session: Session, now: Instant) -> None:
        fixity.record(session, item_id=job.item_id, verdict=found.verdict, leaves=found.leaves, sm3=found.sm3, now=now)

    return publish


@dataclass(frozen=True, slots=True)
class _Found:
    verdict: Verdict
    leaves: list[Digest]
    sm3: str | None


_ALTERED = _Found(Verdict.ALTERED, [], None)


def _compare(resources: Resources, key: str, digest: Digest, stored: item.Stored, sm3: Sm3 | None, *, report: Report) -> _Found:
    whole, leaf = hashlib.sha256(), hashlib.sha256()
    leaves: list[Digest] = []
    read, size = 0, stored.size
    try:
        if resources.store.size(key, version=stored.version) != size:
            return _ALTERED
        for piece in resources.store.reread(key, version=stored.version):
            whole.update(piece)
            if sm3 is not None:
                sm3.update(piece)
            view = memoryview(piece)
            while view:
                room = LEAF_SIZE - read % LEAF_SIZE
                part, view = view[:room], view[room:]
                leaf.update(part)
                read += len(part)
                if read % LEAF_SIZE == 0:
                    leaves.append(Digest(leaf.hexdigest()))
                    leaf = hashlib.sha256()
            report(read * 1000 // max(size, 1), "reading")
    except Mismatch:
        return _ALTERED
    if read % LEAF_SIZE or not leaves:
        leaves.append(Digest(leaf.hexdigest()))
    if read != size or whole.hexdigest() != digest.hex:
        return _ALTERED
    return _Found(Verdict.INTACT, leaves, None if sm3 is None else sm3.hexdigest())
