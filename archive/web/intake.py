"""Taking in an upload whose bytes are all there: store first, row second, answer last.

Every step may be the last before the process dies, and doing all of them again ends the same: sealing changes nothing, the store finds
its own bytes, the accession answers what it answered, dropping the spool file twice is once. What is acknowledged has been committed.

Not guaranteed: that whole bytes are taken in at once. If the store or the database does not answer, the upload stays whole in the spool;
the sender's next try or the next sweep takes it in.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from archive.actions import accession, concatenation, upload
from archive.actions.accession import Accepted
from archive.actions.upload import UploadView
from archive.core import tus
from archive.core.digest import Digest, original_key, quarantine_key
from archive.core.errors import DigestMismatch, Fault, NotFound, Unavailable, UploadBusy, UploadGone
from archive.core.instant import Instant
from archive.core.media.sniff import HEAD_SIZE, TAIL_SIZE, Sniffed, sniff
from archive.core.tus import Concat
from archive.failpoints import failpoint
from archive.resources import Resources
from archive.web import hosting, streaming

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: ids of uploads."""

    taken_in: tuple[str, ...]
    expired: tuple[str, ...]
    dropped: tuple[str, ...]


def finish(resources: Resources, upload_id: str, now: Instant) -> Accepted:
    """Take in an upload whose bytes are all there, or in its parts; asking again answers the same.

    Raises:
        DigestMismatch: The bytes are not those declared. They are in quarantine, and the upload has ended.
        UploadGone: It ended otherwise.
        UploadBusy: Its bytes are not all there, or no longer.
        DiskFull: The store has no room; the bytes stay where they are.
        Unavailable: The store did not answer; the bytes stay where they are.
    """
    view = _find(resources, upload_id)
    if view.state == "receiving":
        failpoint("upload.whole")
        try:
            if view.concat is Concat.FINAL:
                resources.spool.join(upload_id, _parts(resources, upload_id))
            with resources.spool.seal(upload_id, sync=resources.streams is None) as (path, digest):
                # Looked at again under the lock: a sweep may have done all of it in between.
                view = _find(resources, upload_id)
                if view.state == "receiving":
                    _take_in(resources, view, path=path, digest=digest, now=now)
        except NotFound as error:
            if _find(resources, upload_id).state == "receiving":
                raise Unavailable(id=upload_id, why="no bytes") from error
        except Fault:
            if resources.streams is not None:
                resources.spool.sync(upload_id)  # what the store elsewhere did not take stays here, and its sender is told so
            raise
        view = _find(resources, upload_id)
    streaming.forget(resources, upload_id)
    resources.spool.discard(upload_id)
    failpoint("upload.dropped")
    return told(view)


def told(view: UploadView) -> Accepted:
    """Return what the sender of an ended upload is told.

    Raises:
        DigestMismatch: It was refused because its bytes are not those declared.
        UploadGone: It ended without an accession otherwise.
    """
    if view.state == "refused":
        raise DigestMismatch(id=view.id, declared="" if view.declared is None else view.declared.hex)
    if view.state != "stored" or view.number is None or view.sha256 is None:
        raise UploadGone(id=view.id, state=view.state)
    return Accepted(view.number, Digest(view.sha256), view.same_bytes_as)


def sweep(resources: Resources, now: Instant) -> Swept:
    """Take in what is whole, end what has expired, and drop bytes that belong to no upload under way.

    Done at start, so that what a crash interrupted is finished before anybody asks, and from time to time after. Of several web hosts
    each sees to the uploads whose bytes it holds, and ends what has expired of those that are gone: nobody else would, if its sender never
    asks.
    """
    host = resources.settings.web_name
    with resources.reading() as session:
        under_way = upload.receiving(session, host=host)
    taken_in = [view.id for view in under_way if _finish_if_whole(resources, view, now=now)]
    expired = []
    for name in (host, *sorted(hosting.gone(resources) - {host})):
        with resources.transaction() as session:
            expired += upload.expire(session, now=now, host=name)
    failpoint("upload.expired")
    dropped = [upload_id for upload_id in resources.spool.ids() if not _wanted(resources, upload_id)]
    for upload_id in dropped:
        streaming.forget(resources, upload_id)
        resources.spool.discard(upload_id)
    streaming.tidy(resources, now=now)
    return Swept(tuple(taken_in), tuple(expired), tuple(dropped))


def _take_in(resources: Resources, view: UploadView, *, path: Path, digest: Digest, now: Instant) -> None:
    """Put the bytes into the store and write the accession, or put them aside and write the refusal."""
    size = path.stat().st_size
    if view.concat is Concat.PARTIAL or not tus.whole(size=size, floor=view.floor, length=view.length):
        raise UploadBusy(id=view.id)
    if view.declared is not None and view.declared != digest:
        failpoint("upload.differs")
        streaming.abort(resources, view)
        kept = resources.store.put(quarantine_key(view.id), path, digest)
        failpoint("upload.quarantined")
        with resources.transaction() as session:
            accession.quarantine(
                session, upload_id=view.id, declared=view.declared, actual=digest, size=size, placed=kept, now=now
            )
        failpoint("upload.refused")
        return
    kind = sniffed(path, size)
    failpoint("accession.before_put")
    streamed = streaming.finished(resources, view)
    placed = resources.store.put(original_key(digest), path, digest) if streamed is None else streamed
    failpoint("accession.after_put")

    def accept(session: Session) -> None:
        if streamed is not None:
            streaming.completed(session, view.id)
        accession.accept(
            session,
            upload_id=view.id,
            digest=digest,
            size=size,
            placed=placed,
            sniffed=kind,
            agency=resources.settings.agency,
            zone=resources.settings.tz,
            now=now,
        )
        failpoint("accession.before_commit")

    resources.together(accept)
    failpoint("accession.committed")


def sniffed(path: Path, size: int) -> Sniffed:
    """Return what the file seems to be, by its first and last bytes."""
    with path.open("rb") as file:
        head = file.read(HEAD_SIZE)
        file.seek(max(0, size - TAIL_SIZE), os.SEEK_SET)
        return sniff(head, file.read(TAIL_SIZE))


def _finish_if_whole(resources: Resources, view: UploadView, *, now: Instant) -> bool:
    # A final upload was whole when it was made: what its own file lacks is in its parts'.
    if view.concat is Concat.PARTIAL or (
        view.concat is None and not tus.whole(size=resources.spool.size(view.id), floor=view.floor, length=view.length)
    ):
        return False
    try:
        if view.length == 0:
            resources.spool.begin(view.id)
        finish(resources, view.id, now)
    except (DigestMismatch, UploadGone, UploadBusy):
        return False
    except Fault:
        # One upload that cannot be taken in now must not keep the others out, nor the server from starting.
        _log.exception("upload %s is whole and could not be taken in; the next sweep tries again", view.id)
        return False
    return True


def _wanted(resources: Resources, upload_id: str) -> bool:
    """Say whether a spool file's bytes may still be needed; the row is always written before the file."""
    with resources.reading() as session:
        return concatenation.wanted(session, upload_id)


def _parts(resources: Resources, upload_id: str) -> list[tuple[str, int]]:
    with resources.reading() as session:
        return concatenation.parts_of(session, upload_id)


def _find(resources: Resources, upload_id: str) -> UploadView:
    with resources.reading() as session:
        return upload.find(session, upload_id)
