"""The read-back: read the bytes from the store, hash them and their leaves, and say what was found."""

from __future__ import annotations

import hashlib

from sqlalchemy.orm import Session

from archive.actions import fixity, item
from archive.actions.fixity import Verdict
from archive.actions.jobs import ClaimedJob
from archive.core.digest import LEAF_SIZE, Digest, original_key
from archive.core.errors import Mismatch, ObjectMissing, Unavailable
from archive.core.instant import Instant
from archive.resources import Resources
from workers.runner import Publish, Report


def read_back(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Re-read an original; altered, missing and unreadable are verdicts, not failures of the job.

    Raises:
        Unavailable: the store cannot be read now, in a way that may pass.
    """
    key = original_key(Digest(job.sha256))
    with resources.reading() as session:
        size = item.size_of(session, Digest(job.sha256))
    try:
        verdict, leaves = _compare(resources, key, Digest(job.sha256), size, report)
    except ObjectMissing:
        verdict, leaves = Verdict.MISSING, []
    except Unavailable:
        if job.attempt < 3:  # noqa: PLR2004 - a passing fault is tried again before it becomes a verdict
            raise
        verdict, leaves = Verdict.UNREADABLE, []

    def publish(session: Session, now: Instant) -> None:
        fixity.record(session, item_id=job.item_id, verdict=verdict, leaves=leaves, now=now)

    return publish


def _compare(resources: Resources, key: str, digest: Digest, size: int, report: Report) -> tuple[Verdict, list[Digest]]:
    whole, leaf = hashlib.sha256(), hashlib.sha256()
    leaves: list[Digest] = []
    read = 0
    try:
        if resources.store.size(key) != size:
            return Verdict.ALTERED, []
        for piece in resources.store.reread(key):
            whole.update(piece)
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
        return Verdict.ALTERED, []
    if read % LEAF_SIZE or not leaves:
        leaves.append(Digest(leaf.hexdigest()))
    if read != size or whole.hexdigest() != digest.hex:
        return Verdict.ALTERED, []
    return Verdict.INTACT, leaves
