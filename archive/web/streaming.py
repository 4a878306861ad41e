"""Uploads whose parts go to the store while the rest comes in, and what is left of them when they end otherwise.

Invariants: only what a sender declared a digest for is sent ahead, and the object is made of the parts only after all bytes were found to
be those declared. What the store has begun for an upload is named in the upload's row before a part is sent, so that any host can end it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqlalchemy.orm import Session

from archive.actions import hosts, upload
from archive.actions.upload import UploadView
from archive.adapters.s3_parts import Wanted
from archive.adapters.s3_store import S3Store
from archive.adapters.spool import Appender
from archive.core.digest import Digest
from archive.core.errors import LiuhenError
from archive.core.instant import DAY, HOUR, Instant
from archive.ports import Placed
from archive.resources import Resources
from archive.web import hosting

_STRAY_AFTER: Final = 2 * DAY
"""Beside an upload's own time: what a store began for it and nobody remembers is older than this."""

log = logging.getLogger("liuhen.web")


def watched(resources: Resources, view: UploadView, appender: Appender) -> Callable[[Sequence[bytes]], None]:
    """Return what writes an upload's bytes, and lets those parts of it go to the store that are full by then."""
    wanted = _wanted(resources, view)
    if wanted is None or resources.streams is None:
        return appender.write
    streams = resources.streams

    def write(buffers: Sequence[bytes]) -> None:
        try:
            appender.write(buffers)
        finally:
            streams.advance(wanted, appender.position)

    return write


def settled(resources: Resources, view: UploadView, position: int) -> None:
    """Say that bytes whose checksum was found to hold are there to stay."""
    wanted = _wanted(resources, view)
    if wanted is not None and resources.streams is not None:
        resources.streams.advance(wanted, position)


def finished(resources: Resources, view: UploadView) -> Placed | None:
    """Make the object of the parts of a whole upload that has the digest declared; None if it has to be put.

    Raises:
        Unavailable: the store did not answer.
    """
    wanted = _wanted(resources, view)
    return None if wanted is None or resources.streams is None else resources.streams.finish(wanted)


def completed(session: Session, upload_id: str) -> None:
    """Note with the accession that the store's own upload is an object now."""
    hosts.forget_multipart(session, upload_id)


def abort(resources: Resources, view: UploadView) -> None:
    """Give up what was sent ahead of an upload that is not what was declared; where the store does not answer, a sweep does it later."""
    if resources.streams is None:
        return
    try:
        resources.streams.abort(view.id, _identity(view))
    except LiuhenError as why:
        log.warning("what was sent ahead of upload %s is still in the store: %s", view.id, why)
    else:
        with resources.transaction() as session:
            hosts.forget_multipart(session, view.id)


def forget(resources: Resources, upload_id: str) -> None:
    """Let go of an upload that has ended; what the store began for it and did not finish, the next sweep ends."""
    if resources.streams is not None:
        resources.streams.forget(upload_id)


def tidy(resources: Resources, *, now: Instant) -> None:
    """End what the store began for uploads of this host, or of one that is gone, which have ended; and what nobody remembers."""
    streams = resources.streams
    if streams is None:
        return
    names = {resources.settings.web_name} | hosting.gone(resources)
    with resources.reading() as session:
        left = hosts.abandoned(session, names=names)
    for upload_id, identity in left:
        try:
            streams.abort(upload_id, {name: str(value) for name, value in identity.items()})
        except LiuhenError as why:
            log.warning("what the store began for upload %s is not ended yet: %s", upload_id, why)
            return
        with resources.transaction() as session:
            hosts.forget_multipart(session, upload_id)
    age = resources.settings.upload_expiry_hours * HOUR + _STRAY_AFTER
    also = [resources.replica] if isinstance(resources.replica, S3Store) else []
    streams.end_strays(before=Instant(now - age), known=lambda: _known(resources), also=also)


def _known(resources: Resources) -> set[str]:
    with resources.reading() as session:
        return hosts.multiparts(session)


def _wanted(resources: Resources, view: UploadView) -> Wanted | None:
    """Return what the store needs to know of an upload, if its parts may go ahead of it."""
    if resources.streams is None or view.concat is not None or view.declared is None:
        return None
    if (view.length or 0) < resources.streams.worth:
        return None
    digest = view.declared

    def note(identity: Mapping[str, str]) -> None:
        with resources.transaction() as session:
            hosts.note_multipart(session, view.id, identity)

    return Wanted(
        upload_id=view.id,
        path=resources.spool.path(view.id),
        length=view.length or 0,
        digest=digest,
        identity=_identity(view),
        begin=lambda: not _in_store(resources, digest),
        note=note,
    )


def _identity(view: UploadView) -> Mapping[str, str] | None:
    return None if view.multipart is None else {name: str(value) for name, value in view.multipart.items()}


def _in_store(resources: Resources, digest: Digest) -> bool:
    with resources.reading() as session:
        return upload.in_store(session, digest)
