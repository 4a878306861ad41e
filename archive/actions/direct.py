"""Direct uploads: what a station sends straight to the store, from the first signed address to the job that takes it in.

Invariants: the multipart upload that the store makes for it is on record before anybody may send to it, and there is one of them at a
time; the last word on what came is a worker's, who reads it. `arrived` is promised work, not an acknowledgement: there is no number and no
receipt. What is left in the store of an upload that ended is on record until it is cleared away.

Not guaranteed: that no multipart upload is left behind by a process that died before it could put it on record. `orphans` finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.actions import jobs
from archive.actions.upload import own_row, row_of
from archive.core.access import Caller
from archive.core.digest import Digest
from archive.core.errors import NotFound, UploadGone, WrongWay
from archive.core.instant import MINUTE, Instant
from archive.core.parts import Parts
from archive.records import locks
from archive.records.jobs import Job
from archive.records.uploads import Upload

ROUND = 5 * MINUTE
"""How long after its last try a failed taking-in is promised again: a store that was away for longer than a job tries comes back."""


@dataclass(frozen=True, slots=True)
class Straight:
    """A direct upload: `key` and `multipart` name the store's own upload once it has begun, `version` what was made of it."""

    id: str
    state: str
    parts: Parts
    declared: Digest
    key: str | None
    multipart: str | None
    version: str | None
    expires_at: Instant

    @property
    def under_way(self) -> bool:
        """Whether parts of it may still come."""
        return self.state == "receiving"


def mark(session: Session, upload_id: str, *, part_size: int) -> None:
    """Make an upload that was just opened a direct one; no web host's spool holds any of it.

    Raises:
        NotFound: there is no such upload.
        Malformed: it has no length that parts of such a size hold.
    """
    row = row_of(session, upload_id)
    row.direct, row.host = True, None
    row.multipart = {"part_size": Parts.of(row.length or 0, wanted=part_size).size}
    session.flush()


def own(session: Session, upload_id: str, caller: Caller) -> Straight:
    """Return the caller's own direct upload.

    Raises:
        NotFound: there is none, it is somebody else's, or what was on record of it is cleared away.
        WrongWay: its bytes go through a web host.
    """
    return _straight(own_row(session, upload_id, caller))


def find(session: Session, upload_id: str) -> Straight:
    """Return a direct upload, as `own` does."""
    return _straight(row_of(session, upload_id))


def begin(session: Session, upload_id: str, *, key: str, multipart: str, instead_of: str | None) -> Straight:
    """Put on record which multipart upload of the store takes the parts, and return how that stands.

    It counts only if what is on record is `instead_of`: of two that begin at once one wins, and the other's is nobody's. The caller tells
    by the answer, and drops its own if it lost.

    Raises:
        UploadGone: the upload has ended.
    """
    row = _locked(session, upload_id)
    if row.state != "receiving":
        raise UploadGone(id=upload_id, state=row.state)
    known = dict(row.multipart or {})
    if known.get("id") == instead_of:
        row.multipart = {**known, "key": key, "id": multipart}
        session.flush()
    return _straight(row)


def arrive(session: Session, upload_id: str, *, version: str, agency: str, now: Instant) -> str:
    """Put it on record that all bytes are in the store as this version, promise to take them in, and return the state.

    Asking again changes nothing.

    Raises:
        UploadGone: the upload ended otherwise.
    """
    row = _locked(session, upload_id)
    if row.state in {"arrived", "stored", "refused"}:
        return row.state
    if row.state != "receiving":
        raise UploadGone(id=upload_id, state=row.state)
    row.state = "arrived"
    row.multipart = {**(row.multipart or {}), "version": version}
    session.flush()
    _promise(session, row, agency=agency, now=now)
    return row.state


def lose(session: Session, upload_id: str, *, now: Instant) -> None:
    """End an upload whose bytes had arrived and are not in the store any more: nothing was acknowledged, and its station sends again."""
    row = _locked(session, upload_id)
    if row.state == "arrived":
        row.state, row.ended_at, row.refusal = "expired", now, "object_missing"
        session.flush()


def supersede(session: Session, upload_id: str, *, now: Instant) -> bool:
    """End a direct upload whose station asks to send the same through a web host; say whether it was ended.

    What has arrived stays: it is on its way into the archive.
    """
    row = _locked(session, upload_id)
    if not row.direct or row.state != "receiving":
        return False
    row.state, row.ended_at = "terminated", now
    session.flush()
    return True


def expire(session: Session, *, now: Instant) -> list[str]:
    """End every direct upload whose time has run out before all of it had arrived, and return their ids."""
    late = (Upload.direct, Upload.state == "receiving", Upload.expires_at <= now)
    gone = []
    for upload_id in session.scalars(select(Upload.id).where(*late).order_by(Upload.id)).all():
        row = _locked(session, upload_id)
        if row.state == "receiving" and row.expires_at <= now:
            row.state, row.ended_at = "expired", now
            gone.append(row.id)
    session.flush()
    return gone


def ended(session: Session) -> list[Straight]:
    """Return uploads that ended, or were taken in, and of which the store may still hold something."""
    over = Upload.state.not_in(("receiving", "arrived"))
    rows = session.scalars(select(Upload).where(Upload.direct, over, Upload.ended_at.is_not(None)).order_by(Upload.ended_at))
    return [_straight(row) for row in rows if (row.multipart or {}).get("id") is not None]


def cleared(session: Session, upload_id: str) -> None:
    """Put it on record that the store holds nothing of an ended upload any more."""
    row = _locked(session, upload_id)
    if row.state not in {"receiving", "arrived"}:
        row.multipart = {name: value for name, value in (row.multipart or {}).items() if name == "part_size"}
        session.flush()


def orphans(session: Session, held: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return, of (upload, multipart) that the store holds, those that no upload under way has on record."""
    known = session.execute(select(Upload.id, Upload.multipart).where(Upload.direct, Upload.multipart.is_not(None)))
    named = {(upload_id, str((multipart or {}).get("id"))) for upload_id, multipart in known}
    return [pair for pair in held if pair not in named]


def unwanted(session: Session, held: Iterable[str]) -> list[str]:
    """Return, of the uploads whose object the store holds, those that wait for nothing: taken in, ended, or never heard of."""
    alive = ("receiving", "arrived")
    wanted = set(session.scalars(select(Upload.id).where(Upload.direct, Upload.state.in_(alive))))
    return sorted(set(held) - wanted)


def promise_again(session: Session, *, agency: str, now: Instant) -> list[str]:
    """Promise anew to take in what has arrived and whose last promise failed a while ago; return the uploads.

    A job gives up after a few tries; bytes that a station is waiting for are not to lie there until somebody notices.
    """
    again = []
    for upload_id in session.scalars(select(Upload.id).where(Upload.direct, Upload.state == "arrived").order_by(Upload.id)).all():
        row = _locked(session, upload_id)
        latest = session.scalar(select(Job).where(Job.key == _job_key(row)))
        failed = latest is None or (latest.state in {"dead", "done"} and (latest.ended_at or 0) + ROUND <= now)
        if row.state == "arrived" and failed:
            _promise(session, row, agency=agency, now=now)
            again.append(row.id)
    return again


def _promise(session: Session, row: Upload, *, agency: str, now: Instant) -> None:
    """Promise the next round of taking an upload in; each is a job of its own, since a job is promised once."""
    row.multipart = {**(row.multipart or {}), "round": int((row.multipart or {}).get("round", 0)) + 1}
    session.flush()
    work = {"upload": row.id, "round": row.multipart["round"]}
    jobs.enqueue(session, kind="take_in", payload=work, whose=(agency, f"station:{row.station_id}"), now=now)


def _job_key(row: Upload) -> str:
    """Return the key of the latest promise, as `archive.actions.jobs` makes it of a job that is about no item."""
    return f"take_in:{(row.multipart or {}).get('round', 0)}:{row.id}"


def _locked(session: Session, upload_id: str) -> Upload:
    """Return the upload's row, to be changed by nobody else until this transaction ends."""
    row = locks.row(session, Upload, upload_id)
    if row is None:
        raise NotFound(what="upload", id=upload_id[:64])
    return row


def _straight(row: Upload) -> Straight:
    if not row.direct or row.length is None or row.declared_sha256 is None:
        raise WrongWay(id=row.id)
    known = row.multipart or {}
    return Straight(
        id=row.id,
        state=row.state,
        parts=Parts(row.length, int(known["part_size"])),
        declared=Digest(row.declared_sha256),
        key=known.get("key"),
        multipart=known.get("id"),
        version=known.get("version"),
        expires_at=Instant(row.expires_at),
    )
