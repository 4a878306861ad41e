"""Final uploads (tus 1.0.0, concatenation): one upload made of several, in their order.

Invariants: a final upload claims its parts in the transaction that makes it, so that their bytes are given away once; from then on they
are the final one's, and nothing is added to them or taken from them. Parts are the caller's own and have all of their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.actions.upload import drafted, hold_manifest, opened, own_row, row_of
from archive.core import tus
from archive.core.access import Caller
from archive.core.errors import UploadGone
from archive.core.instant import Instant
from archive.core.note import Verify
from archive.core.tus import Concat
from archive.records import locks
from archive.records.uploads import Upload


def create(
    session: Session,
    *,
    upload_id: str,
    caller: Caller,
    parts: Sequence[str],
    sizes: Mapping[str, int],
    metadata: Mapping[str, bytes],
    verify: Verify,
    maximum: int,
    now: Instant,
    expires_at: Instant,
    host: str = "",
) -> str:
    """Open the final upload of these parts, which are its own from now on, and return its id; asking again returns the same.

    Args:
        session: A writing transaction.
        upload_id: Its id, unless it was made before.
        caller: Who asks; the parts must be theirs.
        parts: The parts' addresses as they were sent, in order.
        sizes: Bytes that have come, by id.
        metadata: Its own; the parts' does not count.
        verify: Holds a manifest's signature against a station's key.
        maximum: The most bytes it may have.
        now: The time.
        expires_at: When it is given up, should it never be taken in.
        host: The web host that holds the parts' bytes.

    Raises:
        NotFound: one of them is no upload of the caller's.
        UploadGone: one of them has ended, or belongs to another final upload.
        PartsUnfinished: one of them has not all of its bytes.
        Malformed, UploadTooLarge, SignInRequired, ManifestMissing, ManifestWrong, PageTaken: as for `create`.
    """
    hold_manifest(session, metadata)
    held = [locks.row(session, Upload, part) for part in sorted({tus.part_id(part) for part in parts})]
    known = known_final(session, caller=caller, parts=parts)
    if known is not None:
        return known
    length = final_length(session, caller=caller, parts=parts, sizes=sizes, maximum=maximum, now=now)
    made = drafted(
        session,
        upload_id,
        caller=caller,
        length=length,
        metadata=metadata,
        verify=verify,
        now=now,
        concat=Concat.FINAL,
        host=host,
    )
    if isinstance(made, str):
        return made
    made.parts = list(parts)
    for each in held:
        assert each is not None
        each.state, each.ended_at = "joined", now
    return opened(session, made, now=now, expires_at=expires_at)


def final_length(
    session: Session, *, caller: Caller, parts: Sequence[str], sizes: Mapping[str, int], maximum: int, now: Instant
) -> int:
    """Return the bytes that a final upload of these parts would have.

    Raises:
        As `create_final` does.
    """
    rows = [own_row(session, tus.part_id(part), caller) for part in parts]
    for row in rows:
        if row.concat == Concat.PARTIAL and (row.state != "receiving" or row.expires_at <= now):
            raise UploadGone(id=row.id, state="expired" if row.state == "receiving" else row.state)
    facts = [tus.Part(row.id, row.concat == Concat.PARTIAL, row.length, sizes.get(row.id, 0), row.floor) for row in rows]
    return tus.joined_length(facts, maximum=maximum)


def known_final(session: Session, *, caller: Caller, parts: Sequence[str]) -> str | None:
    """Return the final upload that was made of exactly these parts, if there is one: its maker did not hear our answer.

    Raises:
        NotFound: one of them is no upload of the caller's.
        Malformed: one of them is no upload's address.
    """
    ids = [tus.part_id(part) for part in parts]
    rows = [own_row(session, part, caller) for part in ids]
    if not all(row.state == "joined" for row in rows):
        return None
    # A final upload is made in the transaction that ends its parts, at one time.
    made = select(Upload).where(Upload.concat == Concat.FINAL, Upload.created_at == rows[0].ended_at)
    for final in session.scalars(made):
        if final.state in {"receiving", "stored", "refused"} and [tus.part_id(part) for part in final.parts or ()] == ids:
            return final.id
    return None


def parts_of(session: Session, upload_id: str) -> list[tuple[str, int]]:
    """Return a final upload's parts in their order, each with its size in bytes; none of any other upload."""
    rows = [row_of(session, tus.part_id(part)) for part in row_of(session, upload_id).parts or ()]
    return [(row.id, row.length or 0) for row in rows]


def wanted(session: Session, upload_id: str) -> bool:
    """Say whether an upload's bytes are still needed: it is under way, or a part of one that is."""
    row = session.get(Upload, upload_id)
    if row is None or row.state != "joined":
        return row is not None and row.state == "receiving"
    finals = select(Upload).where(Upload.concat == Concat.FINAL, Upload.state == "receiving")
    return any(upload_id in map(tus.part_id, final.parts or ()) for final in session.scalars(finals))
