"""Uploads: what is meant to come, who sends it, and what became of it. The bytes themselves are the spool's.

Invariants: what a station sends has the length that it signed. A partial upload (tus, concatenation) is never taken in by itself.

Not guaranteed: anything a partial upload's metadata says. It is given back on asking; what counts is the final one's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from archive.actions import hosts, intent
from archive.core import manifest as manifests
from archive.core import tus
from archive.core.access import Caller, MonitorCaller, Nobody, PersonCaller, StationCaller
from archive.core.digest import Digest
from archive.core.errors import (
    LengthFixed,
    Malformed,
    ManifestMissing,
    ManifestWrong,
    NotFound,
    SignInRequired,
    UploadGone,
    UploadTooLarge,
)
from archive.core.instant import Instant
from archive.core.note import Verify
from archive.core.tus import Concat
from archive.records import locks
from archive.records.items import Item, StoredObject
from archive.records.people import Person
from archive.records.stations import Station
from archive.records.uploads import Upload
from archive.records.uploads import receiving as receiving_rows

MAX_NAME = 1024

_LEFT_OUT = frozenset({"parts", "intent", "multipart"})
"""Of JSON, which are not written where nothing is given: NULL then, as need not be asked."""

Draft = Upload
"""An upload that is not written yet, as `drafted` makes it for `add`."""


@dataclass(frozen=True, slots=True)
class UploadView:
    """An upload as the rest of the house sees it; sizes in bytes, `length` None while it is not known.

    `parts` of a final upload are their addresses as they were sent. `part_size` is set where a station sends its parts straight
    to the store. `host` is the web host whose spool holds the bytes, None in an archive that has but one. `multipart` names the store's own
    upload of what came so far.
    """

    id: str
    state: str
    length: int | None
    concat: Concat | None
    parts: tuple[str, ...]
    floor: int | None
    name: str
    declared: Digest | None
    source: str
    source_name: str
    created_at: Instant
    expires_at: Instant
    number: str | None
    sha256: str | None
    same_bytes_as: str | None
    refusal: str | None
    sent_metadata: str
    part_size: int | None = None
    host: str | None = None
    multipart: Mapping[str, Any] | None = None

    @property
    def direct(self) -> bool:
        """Whether its bytes go straight to the store and none of them through a spool."""
        return self.part_size is not None


def create(
    session: Session,
    *,
    upload_id: str,
    caller: Caller,
    length: int | None,
    metadata: Mapping[str, bytes],
    verify: Verify,
    now: Instant,
    expires_at: Instant,
    concat: Concat | None = None,
    maximum: int = tus.MAX_INTEGER,
    host: str = "",
    gone: Collection[str] = (),
) -> str:
    """Open an upload of `length` bytes, or of a length that is said later, and return its id.

    A station's upload comes with its signed manifest, which binds the bytes and says their number; a person's may declare a digest. The
    same signed manifest again is a station that did not hear our answer: it gets the upload that it opened, so that nothing is taken in
    twice; one whose bytes lay on a web host that is `gone` ends, and a new one is opened. A partial upload needs no manifest; the final one
    brings it. `host` is the web host that will hold the bytes.

    Raises:
        SignInRequired: nobody may upload.
        ManifestMissing: a station sent no manifest or no signature.
        NotFound: the case that it is for is not open.
        PageTaken: it is a page of a document, and this page has come.
        ManifestWrong: the manifest is another station's, its signature does not hold, or length or digest differ from it.
        Malformed: a name, digest or manifest has not the form it must have.
        UploadTooLarge: the manifest says more bytes than `maximum`.
    """
    hold_manifest(session, metadata)
    made = drafted(
        session,
        upload_id,
        caller=caller,
        length=length,
        metadata=metadata,
        verify=verify,
        now=now,
        concat=concat,
        host=host,
        gone=gone,
    )
    if isinstance(made, str):
        return made
    if made.length is not None and made.length > maximum:
        raise UploadTooLarge(length=made.length, maximum=maximum)
    return opened(session, made, now=now, expires_at=expires_at, gone=gone)


def add(
    session: Session,
    drafted_before: Upload,
    *,
    now: Instant,
    expires_at: Instant,
    gone: Collection[str] = (),
    again: bool = True,
) -> str:
    """Write an upload that was drafted in another transaction, unless the same manifest has come meanwhile; return which one it is.

    `again` says that this may have been done before, by a try whose commit was not heard of.

    Raises:
        As `opened` does.
    """
    if drafted_before.signature is not None:
        locks.hold(session, locks.Noun.MANIFEST, drafted_before.signature.hex())
    known = _by_manifest(session, drafted_before, now=now, gone=gone)
    if known is None and again and session.get(Upload, drafted_before.id) is not None:
        known = drafted_before.id
    if known is not None:
        return known
    # A row of its own for each try: one that was rolled back keeps what was made of it.
    values = {name: getattr(drafted_before, name) for name in Upload.__mapper__.column_attrs.keys()}  # noqa: SIM118 - no mapping
    fresh = Upload(**{name: value for name, value in values.items() if value is not None})
    return opened(session, fresh, now=now, expires_at=expires_at, gone=gone)


def hold_manifest(session: Session, metadata: Mapping[str, bytes]) -> None:
    """Wait until nobody else opens an upload by the same signed manifest, if one came; taken before the uploads' rows are."""
    if signature := metadata.get("signature"):
        locks.hold(session, locks.Noun.MANIFEST, signature.hex())


def find(session: Session, upload_id: str) -> UploadView:
    """Return the upload.

    Raises:
        NotFound: there never was one of this id.
    """
    return _view(session, row_of(session, upload_id))


def require_owner(session: Session, upload_id: str, caller: Caller) -> UploadView:
    """Return the upload if it is the caller's own.

    Raises:
        NotFound: there is none, or it is somebody else's, which is not told apart.
    """
    return _view(session, own_row(session, upload_id, caller))


def declare_length(session: Session, upload_id: str, length: int) -> None:
    """Note the length that was deferred.

    Raises:
        UploadGone: the upload has ended.
        LengthFixed: it has another length.
    """
    row = _receiving(session, upload_id)
    if row.length not in {None, length}:
        raise LengthFixed(length=row.length or 0, declared=length)
    row.length = length
    session.flush()


def set_floor(session: Session, upload_id: str, floor: int | None) -> None:
    """Note that bytes past `floor` are not known to be right yet; None: all that the spool holds is.

    Raises:
        UploadGone: the upload has ended.
    """
    _receiving(session, upload_id).floor = floor
    session.flush()


def extend(session: Session, upload_id: str, *, expires_at: Instant) -> None:
    """Give an upload that moves more time.

    Raises:
        UploadGone: the upload has ended.
    """
    _receiving(session, upload_id).expires_at = expires_at
    session.flush()


def terminate(session: Session, upload_id: str, *, now: Instant) -> None:
    """End an upload at its sender's wish; what came is dropped.

    Raises:
        UploadGone: it has ended already.
    """
    row = _receiving(session, upload_id)
    row.state, row.ended_at = "terminated", now
    session.flush()


def expire(session: Session, *, now: Instant, host: str | None = None) -> list[str]:
    """End every upload whose time has run out, or those of one web host, and return their ids."""
    ended = []
    for upload_id in sorted(row.id for row in _under_way(session, host) if row.expires_at <= now):
        row = locks.row(session, Upload, upload_id)
        if row is not None and row.state == "receiving" and row.expires_at <= now:
            row.state, row.ended_at = "expired", now
            ended.append(row.id)
    session.flush()
    return ended


def receiving(session: Session, *, host: str | None = None) -> list[UploadView]:
    """Return every upload that is under way, or those whose bytes one web host holds, oldest first."""
    return [_view(session, row) for row in _under_way(session, host)]


def in_store(session: Session, digest: Digest) -> bool:
    """Say whether the store has these bytes, as far as is known: they were found intact when last read, or wait to be read back."""
    found = session.execute(select(StoredObject.verdict).where(StoredObject.sha256 == digest.hex)).first()
    return found is not None and found.verdict in {None, "intact"}


def row_of(session: Session, upload_id: str) -> Upload:
    """Return the upload's row; for this ring.

    Raises:
        NotFound: there never was one of this id.
    """
    row = session.get(Upload, upload_id)
    if row is None:
        raise NotFound(what="upload", id=upload_id[:64])
    return row


def own_row(session: Session, upload_id: str, caller: Caller) -> Upload:
    """Return the row of the caller's own upload; for this ring.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    row = row_of(session, upload_id)
    owns = (isinstance(caller, StationCaller) and row.station_id == caller.id) or (
        isinstance(caller, PersonCaller) and row.person_id == caller.id
    )
    if not owns:
        raise NotFound(what="upload", id=upload_id[:64])
    return row


def drafted(
    session: Session,
    upload_id: str,
    *,
    caller: Caller,
    length: int | None,
    metadata: Mapping[str, bytes],
    verify: Verify,
    now: Instant,
    concat: Concat | None,
    host: str = "",
    gone: Collection[str] = (),
) -> Upload | str:
    """Return the row for a new upload, or the id of the one that a station opened by the same manifest; nothing is written.

    Raises:
        As `create` does.
    """
    if isinstance(caller, Nobody | MonitorCaller):
        raise SignInRequired(act="upload.create")
    declared = _declared(metadata)
    row = Upload(
        id=upload_id,
        state="receiving",
        length=length,
        concat=concat,
        name=_name(metadata),
        sent_metadata=tus.format_metadata(metadata),
        created_at=now,
        host=host or None,
    )
    if isinstance(caller, StationCaller):
        row.station_id = caller.id
    else:
        row.person_id = caller.id
    if concat is Concat.PARTIAL:
        return row
    if isinstance(caller, StationCaller):
        signed, encoded, signature = _signed_manifest(metadata, caller=caller, verify=verify)
        if signed.size != (signed.size if length is None else length) or (declared is not None and declared != signed.sha256):
            raise ManifestWrong(reason="describes_another_upload", station=caller.name)
        row.manifest, row.signature, row.length = encoded, signature, signed.size
        if (known := _by_manifest(session, row, now=now, gone=gone)) is not None:
            return known
        row.name, declared, row.intent = signed.name, signed.sha256, intent.of_manifest(signed)
    else:
        row.intent = intent.of_person(session, metadata)
    row.declared_sha256 = None if declared is None else declared.hex
    return row


def opened(session: Session, row: Upload, *, now: Instant, expires_at: Instant, gone: Collection[str] = ()) -> str:
    """Write what `drafted` made, and return its id; what the same manifest had opened on a host that is gone ends.

    If that was taken in meanwhile, by a host that came back, it is the one whose id is returned, and nothing is written.

    Raises:
        Malformed, PageTaken: it is a page of a document that it does not fit.
    """
    row.expires_at = expires_at
    if gone and row.signature is not None and not hosts.lose_by_manifest(session, row, gone=gone, now=now):
        known = _by_manifest(session, row, now=now, gone=gone)
        if known is not None:
            return known
    intent.open_paper(session, row, now=now)
    session.add(row)
    session.flush()
    for name in _LEFT_OUT.difference(row.__dict__):
        set_committed_value(row, name, None)
    locks.own(session, Upload, row.id)
    return row.id


def _by_manifest(session: Session, row: Upload, *, now: Instant, gone: Collection[str]) -> str | None:
    """Return the upload that a station opened by the same signed manifest, if it did, and its bytes are not on a host that is gone."""
    if row.signature is None:
        return None
    here = or_(Upload.host.is_(None), Upload.host.not_in(gone), Upload.direct)
    under_way = and_(Upload.state == "receiving", Upload.expires_at > now, here)
    return session.scalar(
        select(Upload.id)
        .where(Upload.signature == row.signature, Upload.manifest == row.manifest, Upload.station_id == row.station_id)
        .where(or_(Upload.state.in_(("stored", "arrived")), under_way))
        .limit(1)
    )


def _under_way(session: Session, host: str | None) -> list[Upload]:
    return [row for row in receiving_rows(session) if host is None or (host == (row.host or "") and not row.direct)]


def _receiving(session: Session, upload_id: str) -> Upload:
    row = locks.row(session, Upload, upload_id)
    if row is None:
        raise NotFound(what="upload", id=upload_id[:64])
    if row.state != "receiving":
        raise UploadGone(id=upload_id, state=row.state)
    return row


def _declared(metadata: Mapping[str, bytes]) -> Digest | None:
    raw = metadata.get("sha256")
    return None if raw is None else Digest(raw.decode("ascii", "replace"))


def _name(metadata: Mapping[str, bytes]) -> str:
    """The sender's file name, its last part only; path parts and control characters have no business in it."""
    raw = metadata.get("filename", b"")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as why:
        raise Malformed(what="filename", reason="utf8") from why
    clean = manifests.portable_name([part for part in text.replace("\\", "/").split("/") if part not in {"", ".", ".."}][-1:])
    return clean[:MAX_NAME] or "unnamed"


def _signed_manifest(
    metadata: Mapping[str, bytes], *, caller: StationCaller, verify: Verify
) -> tuple[manifests.Manifest, bytes, bytes]:
    """Return the manifest in a station's metadata, its bytes and its signature."""
    encoded, signature = metadata.get("manifest"), metadata.get("signature")
    if encoded is None or signature is None:
        raise ManifestMissing(station=caller.name)
    signed = manifests.decode(encoded)
    if not verify(caller.public_key, signature, manifests.signing_bytes(encoded)):
        raise ManifestWrong(reason="signature", station=caller.name)
    if signed.station != caller.name:
        raise ManifestWrong(reason="another_station", station=caller.name)
    return signed, encoded, signature


def _view(session: Session, row: Upload) -> UploadView:
    item = None if row.item_id is None else session.get(Item, row.item_id)
    same = None if item is None or item.same_bytes_as_id is None else session.get(Item, item.same_bytes_as_id)
    if row.station_id is not None:
        station = session.get(Station, row.station_id)
        source, source_name = "station", station.name if station else ""
    else:
        person = session.get(Person, row.person_id)
        source, source_name = "person", person.name if person else ""
    return UploadView(
        id=row.id,
        state=row.state,
        length=row.length,
        concat=None if row.concat is None else Concat(row.concat),
        parts=tuple(row.parts or ()),
        floor=row.floor,
        name=row.name,
        declared=None if row.declared_sha256 is None else Digest(row.declared_sha256),
        source=source,
        source_name=source_name,
        created_at=Instant(row.created_at),
        expires_at=Instant(row.expires_at),
        number=None if item is None else item.number,
        sha256=None if item is None else item.sha256,
        same_bytes_as=None if same is None else same.number,
        refusal=row.refusal,
        sent_metadata=row.sent_metadata,
        host=row.host,
        multipart=row.multipart,
        part_size=int((row.multipart or {}).get("part_size", 0)) if row.direct else None,
    )
