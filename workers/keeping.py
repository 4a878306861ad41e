"""What keeps the archive as it is: trials of its stores, locks extended, copies and repair from them, originals read again, pruning.

Invariants: whatever a store was asked to do is read back from it before a row says so; locks are never shortened; a copy becomes part of
a repair only if its bytes, read whole, have the digest that names the original; a flawed version is left where it is. Work on many
objects goes in bounded batches, each a job of its own that promises the next, so that a crash repeats one batch at most.

Not guaranteed: that a store which says that a lock is there will keep it. That is tried daily, on objects made for it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy.orm import Session

from archive.actions import fixity, housekeeping, jobs, replica, store
from archive.actions.fixity import Verdict
from archive.actions.jobs import ClaimedJob
from archive.actions.store import Locked
from archive.adapters import s3_probe
from archive.adapters.s3_store import S3Store
from archive.core.canonical import Json
from archive.core.digest import Digest, original_key
from archive.core.errors import Fault, Mismatch, ObjectMissing, Unavailable
from archive.core.instant import DAY, SECOND, Instant
from archive.core.worm import Standing
from archive.ports import ObjectStore
from archive.resources import Resources, tried
from workers.runner import Handler, Publish, Report

log = logging.getLogger("liuhen.keeping")

BATCH: Final = 200
"""Locks or copies that one job looks after: a few seconds of requests, well within a lease."""
COPIES: Final = "copies"
"""What a job of locks says that is about those of the second store."""
PRUNED: Final = 1000
"""Finished jobs that are removed in one transaction."""


def canary(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Try every store out and keep what that showed; a second store that does not answer is left for tomorrow.

    Raises:
        Unavailable: the first store did not answer.
    """
    facts: dict[str, dict[str, Json]] = {}
    for name, target in tried(resources.settings).items():
        report(500 * len(facts), "trying")
        try:
            facts[name] = s3_probe.try_out(target, token=f"{job.id}-{job.attempt}-{resources.now()}", clock=resources.now)
        except Unavailable as why:
            if name == resources.settings.store_name:
                raise
            log.warning("the object store %s could not be tried: %s", name, why)

    def publish(session: Session, now: Instant) -> None:
        for name, shown in sorted(facts.items()):
            record_trial(session, name, shown, now=now)

    return publish


def record_trial(session: Session, name: str, facts: Mapping[str, Json], *, now: Instant) -> Standing:
    """Keep what a trial showed, and say in the log what somebody must see to."""
    standing = store.record_trial(session, store=name, facts=facts, now=now)
    if standing is Standing.BROKEN:
        view = store.newest(session, store=name)
        failed = [each.trial.value for each in view.judged if each.alarming] if view else []
        log.error("the object store %s does not keep what is written once: %s", name, ", ".join(failed))
    return standing


# Locks


def extend_locks(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Extend the locks of the next originals whose lock ends within half its length, read each back, and promise the batch after it.

    A job whose payload is `of` copies does so for those in the second store. What cannot be extended is told, and tried again the next
    day: it keeps nothing behind it waiting.

    Raises:
        Unavailable: the store does not answer, and did not from the first of them on.
    """
    of_copies = job.payload.get("of") == COPIES
    held = resources.replica if of_copies else resources.store
    name = resources.settings.replica_name if of_copies else ""
    if not isinstance(held, S3Store):
        return _nothing
    settings, now = resources.settings, resources.now()
    half = Instant(now + settings.lock_days * DAY // 2)
    with resources.reading() as session:
        due = store.locks_due(session, before=half, after=_after(job), limit=BATCH, copies_in=name)
    found: list[tuple[Locked, Instant]] = []
    looked = 0
    for each in due:
        report(1000 * looked // len(due), "locking")
        try:
            found.append((each, _extended(held, original_key(each.digest), each.version, half)))
        except Fault as why:
            log.warning("the lock of %s (version %s) could not be extended: %s", each.digest.hex, each.version, why)
            if isinstance(why, Unavailable) and not held.answers():
                if not looked:
                    raise
                break  # what was found is written down, and the next job waits for the store
        looked += 1

    def publish(session: Session, now: Instant) -> None:
        for each, until in found:
            store.locked(session, found=each, until=until, copies_in=name)
        if looked and (len(due) == BATCH or looked < len(due)):
            last = due[looked - 1]
            place = {"day": job.payload.get("day", ""), "after": last.digest.hex, "until": last.until or 0}
            place |= {"of": COPIES} if of_copies else {}
            jobs.enqueue(session, kind="extend_locks", payload=place, now=now)

    return publish


def _extended(store_of: S3Store, key: str, version: str, enough: Instant) -> Instant:
    """See that a version is locked for at least that long and return until when the store then says it is; it is never locked for less.

    Raises:
        ObjectMissing: there is no such version.
        Unavailable: the store did not extend it, or said so and did not.
    """
    held = store_of.locked_until(key, version).until
    if held is None or held < enough:
        wanted = store_of.lock_until(key)
        assert wanted is not None
        store_of.extend(key, version, wanted)
        held = store_of.locked_until(key, version).until
        if held is None or held < wanted - SECOND:
            raise Unavailable(key=key, why="the store takes a lock and does not keep it")
    return held


def _after(job: ClaimedJob) -> Locked | None:
    digest, until = str(job.payload.get("after", "")), int(job.payload.get("until", 0))
    return Locked(Digest(digest), "", Instant(until) if until else None) if digest else None


# Copies


def kept(handler: Handler) -> Handler:
    """Return a read-back that also reads back the lock, and promises what the verdict asks for: a copy, or a repair from one."""

    def then(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
        publish = handler(resources, job, report)
        digest, name = Digest(job.sha256), replica_name(resources)
        lock = _lock_of(resources, digest)

        def all_of_it(session: Session, now: Instant) -> None:
            publish(session, now)
            if lock is not None:
                store.locked(session, found=lock[0], until=lock[1])
            if name is not None:
                replica.follow(session, digest=digest, store=name, now=now)

        return all_of_it

    return then


def checks(handler: Handler) -> Handler:
    """Return a fixity check by this read-back; of a job about no original, the promise of those that are due, the oldest first.

    Or of read-backs of what was left without a lasting verdict. So many bytes a day: a job promises a batch and, behind it, the job that
    goes on where it ended.
    """
    read = kept(handler)

    def check(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
        if job.sha256:
            return read(resources, job, report)
        settings, given = resources.settings, job.payload
        if "left_after" in given:
            return _left(job)
        if not settings.fixity_days:
            return _nothing

        def publish(session: Session, now: Instant) -> None:
            before, left = Instant(now - settings.fixity_days * DAY), int(given.get("left", settings.fixity_day_bytes))
            after = (int(given.get("checked", 0)), str(given.get("after", "")))
            rest = fixity.promise(session, before=before, after=after, most=left, limit=BATCH, now=now)
            if rest is not None:
                place = {"day": given.get("day", ""), "checked": rest.checked_at, "after": rest.sha256, "left": rest.left}
                jobs.enqueue(session, kind="check", payload=place, now=now)

        return publish

    return check


def _left(job: ClaimedJob) -> Publish:
    """Promise a day's read-backs of what is left without a verdict that it can stay with; `left_after` is the item to go on after."""
    day = str(job.payload.get("day", ""))

    def publish(session: Session, now: Instant) -> None:
        last = fixity.promise_left(session, day=day, after=int(job.payload["left_after"]), limit=BATCH, now=now)
        if last is not None:
            jobs.enqueue(session, kind="check", payload={"day": day, "left_after": last}, now=now)

    return publish


def _lock_of(resources: Resources, digest: Digest) -> tuple[Locked, Instant] | None:
    """Return the end of an original's lock as the store says it; None if it says none, which the next round of locks sees to."""
    first = resources.store
    if not isinstance(first, S3Store):
        return None
    with resources.reading() as session:
        version = replica.original(session, digest).version
    try:
        until = first.locked_until(original_key(digest), version).until
    except Fault:
        return None
    return None if until is None else (Locked(digest, version, None), until)


def replica_name(resources: Resources) -> str | None:
    """Return the name of the second store on record, None if there is none."""
    return None if resources.replica is None else resources.settings.replica_name or "replica"


def replicate(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Copy an original to the second store; a job about no original promises those that are missing.

    Raises:
        ObjectMissing, Mismatch: the original is not what it should be; that is for its read-back to say.
        Unavailable: one of the stores did not answer, or the second one does not have what it took.
    """
    second, name = resources.replica, replica_name(resources)
    if second is None or name is None:
        return _nothing
    if not job.sha256:
        return _catching_up(job, name)
    digest = Digest(job.sha256)
    with resources.reading() as session:
        was, copy = replica.original(session, digest), replica.copy_of(session, digest, store=name)
    key = original_key(digest)
    if was.verdict != Verdict.INTACT or (copy is not None and copy.verdict == Verdict.INTACT):
        return _nothing
    with resources.store.local(key, version=was.version, beat=_telling(report, "fetching", 0)) as path:
        placed = second.put(key, path, digest)
    report(600, "reading back")
    _read_back(second, key, placed.version, digest, _telling(report, "reading back", 600))

    def publish(session: Session, now: Instant) -> None:
        replica.copied(session, digest=digest, store=name, version=placed.version, now=now)

    return publish


def _catching_up(job: ClaimedJob, name: str) -> Publish:
    def publish(session: Session, now: Instant) -> None:
        last = replica.catch_up(session, store=name, after=str(job.payload.get("after", "")), limit=BATCH, now=now)
        if last is not None:
            # Behind the copies that were just promised: jobs of one source are done in the order of their promise.
            place = {"day": job.payload.get("day", ""), "after": last}
            jobs.enqueue(session, kind="replicate", payload=place, now=now)

    return publish


def restore(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Put the intact copy of a flawed original in its place, as a new version beside the flawed one, read that back, and name it.

    A copy that turns out flawed itself is put on record as such, and repairs nothing.

    Raises:
        Unavailable: one of the stores did not answer, or the first does not have what it took.
    """
    second, name = resources.replica, replica_name(resources)
    if second is None or name is None:
        return _nothing
    digest = Digest(job.sha256)
    with resources.reading() as session:
        was, copy = replica.original(session, digest), replica.copy_of(session, digest, store=name)
    if was.verdict in (None, Verdict.INTACT) or copy is None or copy.verdict != Verdict.INTACT:
        return _nothing
    key, version = original_key(digest), copy.version
    with resources.scratch() as folder:
        path = folder / "copy"
        try:
            whole = hashlib.sha256()
            with path.open("xb") as file:
                for piece in second.reread(key, version=version):
                    whole.update(piece)
                    file.write(piece)
                    report(300 * file.tell() // max(was.size, 1), "fetching")
        except ObjectMissing:
            return _flawed(digest, name, Verdict.MISSING)
        if whole.hexdigest() != digest.hex:
            return _flawed(digest, name, Verdict.ALTERED)
        report(400, "writing")
        placed = resources.store.put(key, path, digest)
    _read_back(resources.store, key, placed.version, digest, _telling(report, "reading back", 700))

    def publish(session: Session, now: Instant) -> None:
        if replica.restored(session, was=was, placed=placed, store=name, now=now):
            log.warning("%s was %s and is repaired from %s", digest.hex, was.verdict, name)

    return publish


def _flawed(digest: Digest, name: str, verdict: Verdict) -> Publish:
    log.error("the copy of %s in %s is %s: it repairs nothing", digest.hex, name, verdict.value)

    def publish(session: Session, now: Instant) -> None:
        replica.judged(session, digest=digest, store=name, verdict=verdict, now=now)

    return publish


def _read_back(of: ObjectStore, key: str, version: str, digest: Digest, beat: Callable[[int, int], None]) -> None:
    """Read what was put from the store's medium.

    Raises:
        Unavailable: it is not there, or is something else; putting it again may help.
    """
    try:
        found = of.survey(key, version=version, sm3=False, since=None, beat=beat)
    except (ObjectMissing, Mismatch) as why:
        raise Unavailable(key=key, why=why.code) from why
    if found.digest != digest:
        raise Unavailable(key=key, why="read back as something else")


def _telling(report: Report, note: str, base: int) -> Callable[[int, int], None]:
    return lambda done, of: report(base + (1000 - base) * done // (max(of, 1) * 2), note)


# The queue


def prune(resources: Resources, _job: ClaimedJob, report: Report) -> Publish:
    """Remove jobs that were finished so many days ago, a thousand at a time; failed ones stay for somebody to look at."""
    before, removed = Instant(resources.now() - resources.settings.job_days * DAY), 0
    while True:
        with resources.transaction() as session:
            gone = housekeeping.prune(session, before=before, limit=PRUNED)
        removed += gone
        report(0, f"{removed} removed")
        if gone < PRUNED:
            return _nothing


def _nothing(_session: Session, _now: Instant) -> None:
    """Write nothing."""
