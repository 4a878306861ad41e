"""The read-back: have the store's bytes read, hashed and their leaves with them, and say what was found.

A read-back must come from the store, and after the accession. In a store that is far away the one fetch of this host serves it, and probe
and storyboard from the same copy (`ObjectStore.survey`): the digests are of the bytes as they came over the wire, not of the copy. A later
fixity check asks for the bytes anew.

SM3 is reckoned too where the item's manifest has one, its station's settings ask for it, or the agency's do.

Not guaranteed: that a flaw is the store's. A verdict says what came; bytes that were wrong once are fetched again before it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from archive.actions import fixity, item
from archive.actions.fixity import Verdict
from archive.actions.jobs import ClaimedJob
from archive.core.digest import Digest, original_key
from archive.core.errors import Mismatch, ObjectMissing, StoreRefuses, Unavailable
from archive.core.instant import Instant
from archive.ports import ObjectStore
from archive.records.locks import Noun, hold
from archive.resources import Resources
from workers.runner import Publish, Report

_ATTEMPTS = 3
"""So often is asked, with growing pauses, before a fault that may pass, or a store's word that it has no such object, becomes a verdict."""


@dataclass(frozen=True, slots=True)
class Found:
    """A verdict on one version of an original; leaves and SM3 only if it is intact."""

    verdict: Verdict
    leaves: list[Digest]
    sm3: str | None


def read_back(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Re-read an original; altered, missing and unreadable are verdicts, not failures of the job.

    Raises:
        Unavailable: the store cannot be read now, in a way that may pass.
    """
    digest = Digest(job.sha256)
    with resources.reading() as session:
        stored = item.stored(session, digest)
        sm3 = resources.settings.sm3 or fixity.wants_sm3(session, item_id=job.item_id)
        # One that was promised again, for whatever reason its payload gives, is a fixity check: it reads anew.
        since = None if job.payload else fixity.taken_in(session, item_id=job.item_id)
    try:
        found = judged(resources.store, digest, stored, sm3=sm3, since=since, report=report)
    except StoreRefuses:
        raise  # a wrong key or clock says nothing of the object
    except Unavailable:
        if job.attempt < _ATTEMPTS or not resources.store.answers():
            raise
        found = Found(Verdict.UNREADABLE, [], None)
    if found.verdict is Verdict.MISSING and job.attempt < _ATTEMPTS:
        raise Unavailable(sha256=digest.hex, why="the store says that it has no such object")

    def publish(session: Session, now: Instant) -> None:
        hold(session, Noun.BYTES, digest.hex)  # a version that is put in its place from here on waits for this verdict
        if item.stored(session, digest).version != stored.version:
            raise Unavailable(why="another version was put in the place of the one that was read", sha256=digest.hex)
        fixity.record(session, item_id=job.item_id, verdict=found.verdict, leaves=found.leaves, sm3=found.sm3, now=now)

    return publish


def judged(store: ObjectStore, digest: Digest, stored: item.Stored, *, sm3: bool, since: Instant | None, report: Report) -> Found:
    """Have all bytes of an original read and return the verdict on them.

    Args:
        store: Where it lies.
        digest: What it must be.
        stored: Its size and the version that is read.
        sm3: Whether SM3 is asked for.
        since: The accession that this reads back; None for a fixity check, which reads anew.
        report: Told of progress; what it raises ends the reading.

    Raises:
        Unavailable: the bytes cannot be read.
    """

    def beat(done: int, of: int) -> None:
        report(min(999, done * 1000 // max(of, 1)), "reading")

    try:
        survey = store.survey(original_key(digest), version=stored.version, sm3=sm3, since=since, beat=beat)
    except ObjectMissing:
        return Found(Verdict.MISSING, [], None)
    except Mismatch:
        return Found(Verdict.ALTERED, [], None)
    if survey.digest != digest or survey.size != stored.size:
        return Found(Verdict.ALTERED, [], None)
    return Found(Verdict.INTACT, list(survey.leaves), survey.sm3)
