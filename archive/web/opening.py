"""Opening, moving and ending uploads: the database's and the spool's side of each, in the order that a crash may break off anywhere.

Invariants: an upload's row is written before its file, so that a file without a row is nobody's. A small upload that comes whole with its
creation is put into the store first; then row, accession, jobs and custody event are written in one transaction. Its file in the spool
is no upload's, and a sweep leaves it alone while it is in hand. A final upload and its parts change hands in one transaction.

Not guaranteed: that a person who did not hear the answer to such a creation finds it again: nothing names it but that answer. A station's
signed manifest does.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from archive.actions import accession, concatenation, direct, upload
from archive.actions.accession import Accepted
from archive.actions.upload import UploadView
from archive.adapters import signing
from archive.core import tus
from archive.core.access import Caller
from archive.core.digest import Digest, original_key
from archive.core.errors import PartsApart
from archive.core.instant import HOUR, Instant
from archive.failpoints import failpoint
from archive.ports import Placed
from archive.resources import Resources
from archive.web import hosting, intake, streaming


@dataclass(frozen=True, slots=True)
class Opening:
    """What a creation asks for.

    Attributes:
        id: The name that the upload gets, unless it is there already.
        caller: Who asks.
        asked: What the headers say.
        metadata: The pairs of Upload-Metadata.
        now: When.
        part_size: The size of the parts that are to go straight to the store; None: the bytes come here.
    """

    id: str
    caller: Caller
    asked: tus.Creation
    metadata: Mapping[str, bytes]
    now: Instant
    part_size: int | None = None


def create(resources: Resources, opening: Opening) -> UploadView:
    """Open an upload and return it, or the one that is there already by the same signed manifest.

    Raises:
        As `archive.actions.upload.create` does; DiskFull, Unavailable: its file cannot be made.
    """
    with resources.transaction() as session:
        upload_id = upload.create(
            session,
            upload_id=opening.id,
            caller=opening.caller,
            length=opening.asked.length,
            concat=opening.asked.concat,
            metadata=opening.metadata,
            verify=signing.verify,
            maximum=resources.settings.max_upload_bytes,
            now=opening.now,
            expires_at=expiry(resources, opening.now),
            host=resources.settings.web_name,
            gone=hosting.gone(resources),
        )
        if opening.part_size is not None and upload_id == opening.id:
            direct.mark(session, upload_id, part_size=opening.part_size)
        view = upload.find(session, upload_id)
    failpoint("upload.created")
    if view.state == "receiving" and not view.direct and hosting.holds(resources, view):
        resources.spool.begin(upload_id)
    failpoint("upload.begun")
    return view


def take_in_whole(resources: Resources, opening: Opening, buffers: Sequence[bytes]) -> Accepted | None:
    """Take in an upload whose bytes all came with its creation, in one transaction.

    Returns:
        None if it has to go the long way, and nothing was done: it is there already, or its bytes are not those declared.

    Raises:
        As `create` and `archive.web.intake.finish` do.
    """
    gone = hosting.gone(resources)
    made = _draft(resources, opening, gone)
    if made is None:
        return None
    found, new = made
    tries = itertools.count()
    with resources.spool.laid_down(opening.id, buffers) as (path, digest):
        if found.declared_sha256 not in {None, digest.hex}:
            return None
        failpoint("small.laid_down")
        sniffed = intake.sniffed(path, path.stat().st_size)
        placed = _placed(resources, path, digest, new=new)
        failpoint("small.put")

        def accept(session: Session) -> Accepted | None:
            expires_at = expiry(resources, opening.now)
            again = next(tries) > 0
            if upload.add(session, found, now=opening.now, expires_at=expires_at, gone=gone, again=again) != opening.id:
                return None  # the same manifest came twice at once
            accepted = accession.accept(
                session,
                upload_id=opening.id,
                digest=digest,
                size=path.stat().st_size,
                placed=placed,
                sniffed=sniffed,
                agency=resources.settings.agency,
                zone=resources.settings.tz,
                now=opening.now,
                actor=opening.caller.actor,
            )
            failpoint("small.before_commit")
            return accepted

        accepted = resources.together(accept)
        failpoint("small.committed")
    return accepted


def _draft(resources: Resources, opening: Opening, gone: frozenset[str]) -> tuple[upload.Draft, bool] | None:
    """Return the row of an upload that is not there yet, and whether its bytes, as declared, are new; nothing is written."""
    with resources.asking() as session:
        found = upload.drafted(
            session,
            opening.id,
            caller=opening.caller,
            length=opening.asked.length,
            metadata=opening.metadata,
            verify=signing.verify,
            now=opening.now,
            concat=None,
            host=resources.settings.web_name,
            gone=gone,
        )
        if isinstance(found, str):
            return None
        declared = None if resources.streams is None else found.declared_sha256
        return found, declared is not None and not upload.in_store(session, Digest(declared))


def _placed(resources: Resources, path: Path, digest: Digest, *, new: bool) -> Placed:
    """Put a small file; a store elsewhere is not asked for bytes of which the database knows nothing."""
    if resources.streams is not None and new:
        return resources.streams.put_new(path, digest)
    return resources.store.put(original_key(digest), path, digest)


def look_at_parts(resources: Resources, opening: Opening) -> None:
    """Pass a final upload that is there already or could be made now, before anybody who writes to its parts is asked to stop.

    Raises:
        PartsApart: the parts lie on different web hosts.
        HostGone, Unavailable: they lie on another one, which is gone or may come back.
        As `archive.actions.concatenation.create` does.
    """
    ids = [tus.part_id(part) for part in opening.asked.parts]
    if len({tus.host_of(part) for part in ids}) > 1:
        raise PartsApart(hosts=",".join(sorted({tus.host_of(part) for part in ids}))[:200])
    for part in ids:
        with resources.reading() as session:
            view = upload.require_owner(session, part, opening.caller)
        hosting.require_here(resources, view, now=opening.now)
    with resources.reading() as session:
        if concatenation.known_final(session, caller=opening.caller, parts=opening.asked.parts) is None:
            concatenation.final_length(
                session,
                caller=opening.caller,
                parts=opening.asked.parts,
                sizes=_sizes(resources, opening.asked.parts),
                maximum=resources.settings.max_upload_bytes,
                now=opening.now,
            )


def create_final(resources: Resources, opening: Opening) -> UploadView:
    """Open a final upload, which has its parts from then on, and return it, or the one that these parts make already.

    Raises:
        As `archive.actions.concatenation.create` does.
    """
    with resources.transaction() as session:
        upload_id = concatenation.create(
            session,
            upload_id=opening.id,
            caller=opening.caller,
            parts=opening.asked.parts,
            sizes=_sizes(resources, opening.asked.parts),
            metadata=opening.metadata,
            verify=signing.verify,
            maximum=resources.settings.max_upload_bytes,
            now=opening.now,
            expires_at=expiry(resources, opening.now),
            host=resources.settings.web_name,
        )
        view = upload.find(session, upload_id)
    failpoint("final.created")
    return view


def declare(resources: Resources, view: UploadView, length: int | None) -> UploadView:
    """Note a deferred length, if it is said now, and return the upload.

    Raises:
        LengthFixed, UploadGone: as `archive.actions.upload.declare_length` does.
    """
    if length is None or view.length is not None:
        return view
    with resources.transaction() as session:
        upload.declare_length(session, view.id, length)
        found = upload.find(session, view.id)
    failpoint("upload.declared")
    return found


def extend(resources: Resources, view: UploadView, now: Instant) -> UploadView:
    """Give an upload that moves its full time again, once half of it is gone."""
    later = expiry(resources, now)
    if 2 * (view.expires_at - now) > later - now:
        return view
    with resources.transaction() as session:
        upload.extend(session, view.id, expires_at=later)
        return upload.find(session, view.id)


def terminate(resources: Resources, upload_id: str, now: Instant) -> None:
    """End an upload and drop what came of it, its parts' bytes included.

    Raises:
        UploadGone: It has ended already.
    """
    with resources.transaction() as session:
        upload.terminate(session, upload_id, now=now)
        parts = concatenation.parts_of(session, upload_id)
    failpoint("upload.terminated")
    for part, _ in parts:
        resources.spool.discard(part)
    streaming.forget(resources, upload_id)
    resources.spool.discard(upload_id)


def expiry(resources: Resources, now: Instant) -> Instant:
    """Return when an upload that moves now expires."""
    return Instant(now + resources.settings.upload_expiry_hours * HOUR)


def _sizes(resources: Resources, parts: Sequence[str]) -> dict[str, int]:
    ids = map(tus.part_id, parts)
    return {part: resources.spool.size(part) for part in ids}
