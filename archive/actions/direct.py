"""Direct uploads: what a station sends straight to the store, from the first signed address to the job that takes it in.

Invariants: the multipart upload that the store makes for it is on record before anybody may send to it, and there is one of them at a
time; the last word on what came is a worker's, who reads it. `arrived` is promised work, not an acknowledgement: there is no number and no
receipt. What is left in the store of an upload that ended is on record until it is cleared away, and nothing is after that: what a sweep
asks does not get dearer by the uploads that were.

Not guaranteed: that no multipart upload is left behind by a process that died before it could put it on record. `orphans` finds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement, String, and_, cast, func, literal, null, or_, select, tuple_, update
from sqlalchemy.orm import Session

from archive.actions import jobs
from archive.actions.upload import own_row, row_of
from archive.core.access import Caller
from archive.core.digest import Digest
from archive.core.errors import NotFound, UploadGone, WrongWay
from archive.core.instant import MINUTE, Instant
from archive.core.parts import LEAST_SIZE, Parts
from archive.records import locks
from archive.records.jobs import Job
from archive.records.uploads import Upload

Some = TypeVar("Some")

ROUND = 5 * MINUTE
"""How long after its last try a failed taking-in is promised again: a store that was away for longer than a job tries comes back."""

AT_ONCE = 200
"""Uploads that one transaction of a sweep looks at or holds."""

_UNDER_WAY = ("receiving", "arrived")
_ROUND = func.coalesce(cast(Upload.multipart["round"].as_string(), String), "0")
_JOB_KEY = literal("take_in:").concat(_ROUND).concat(":").concat(Upload.id)
"""The key of the latest promise, as `archive.actions.jobs` makes it of a job that is about no item."""


@dataclass(frozen=True, slots=True)
class Straight:
    """A direct upload: `key` and `multipart` name the store's own upload once it has begun, `version` what was made of it.

    Of one that is over and cleared away only the length is on record; `parts` is then of some size.
    """

    id: str
    state: str
    parts: Parts
    declared: Digest
    key: str | None
    multipart: str | None
    version: str | None
    expires_at: Instant
    ended_at: Instant | None

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


def ended(session: Session, *, after: Straight | None = None) -> list[Straight]:
    """Return uploads that ended, or were taken in, and of which the store may still hold something, the next few `after` that one."""
    query = select(Upload).where(
        Upload.multipart.is_not(None), Upload.ended_at.is_not(None), Upload.direct, Upload.state.not_in(_UNDER_WAY)
    )
    if after is not None:
        query = query.where(tuple_(Upload.ended_at, Upload.id) > tuple_(literal(after.ended_at), literal(after.id)))
    return [_straight(row) for row in session.scalars(query.order_by(Upload.ended_at, Upload.id).limit(AT_ONCE))]


def cleared(session: Session, upload_id: str) -> None:
    """Put it on record that the store holds nothing of an ended upload any more."""
    over = (Upload.id == upload_id, Upload.direct, Upload.state.not_in(_UNDER_WAY))
    session.execute(update(Upload).where(*over).values(multipart=null()))


def orphans(session: Session, held: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return, of (upload, multipart) that the store holds, those that no upload has on record."""
    left = []
    for some in _in_turn(sorted(set(held))):
        asked = (Upload.id.in_({upload_id for upload_id, _ in some}), Upload.direct, Upload.multipart.is_not(None))
        known = session.execute(select(Upload.id, Upload.multipart).where(*asked))
        named = {(upload_id, str((multipart or {}).get("id"))) for upload_id, multipart in known}
        left += [pair for pair in some if pair not in named]
    return left


def unwanted(session: Session, held: Iterable[str]) -> list[str]:
    """Return, of the uploads whose object the store holds, those that wait for nothing: taken in, ended, or never heard of."""
    left: list[str] = []
    for some in _in_turn(sorted(set(held))):
        wanted = session.scalars(select(Upload.id).where(Upload.id.in_(some), Upload.direct, Upload.state.in_(_UNDER_WAY)))
        left += sorted(set(some).difference(wanted))
    return left


def promise_again(session: Session, *, agency: str, now: Instant) -> list[str]:
    """Promise anew to take in what has arrived and whose last promise failed a while ago, a few of them at a time; return the uploads.

    A job gives up after a few tries; bytes that a station is waiting for are not to lie there until somebody notices.
    """
    again = []
    query = select(Upload.id).outerjoin(Job, Job.key == _JOB_KEY).where(Upload.direct, Upload.state == "arrived", _failed(now))
    for upload_id in session.scalars(query.order_by(Upload.id).limit(AT_ONCE)).all():
        row = _locked(session, upload_id)
        # looked at once more, now that nobody else promises it
        if session.scalar(query.where(Upload.id == upload_id)) is not None:
            _promise(session, row, agency=agency, now=now)
            again.append(row.id)
    return again


def _failed(now: Instant) -> ColumnElement[bool]:
    """Return the condition that the job of the latest promise ended a while ago, or is not there."""
    return or_(Job.id.is_(None), and_(Job.state.in_(("dead", "done")), func.coalesce(Job.ended_at, 0) <= now - ROUND))


def _promise(session: Session, row: Upload, *, agency: str, now: Instant) -> None:
    """Promise the next round of taking an upload in; each is a job of its own, since a job is promised once."""
    row.multipart = {**(row.multipart or {}), "round": int((row.multipart or {}).get("round", 0)) + 1}
    session.flush()
    work = {"upload": row.id, "round": row.multipart["round"]}
    jobs.enqueue(session, kind="take_in", payload=work, whose=(agency, f"station:{row.station_id}"), now=now)


def _in_turn(them: Sequence[Some]) -> Iterator[Sequence[Some]]:
    return (them[at : at + AT_ONCE] for at in range(0, len(them), AT_ONCE))


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
        parts=Parts.of(row.length, wanted=int(known.get("part_size", LEAST_SIZE))),
        declared=Digest(row.declared_sha256),
        key=known.get("key"),
        multipart=known.get("id"),
        version=known.get("version"),
        expires_at=Instant(row.expires_at),
        ended_at=None if row.ended_at is None else Instant(row.ended_at),
    )
