"""Web hosts: which of them hold uploads, and when each was last heard of.

Invariants: a name belongs to one spool at a time, told apart by the nonce that lies in the spool beside the bytes; whoever beats with
another nonce learns that the name is not its own. When a spool takes over the name of one that is gone, the uploads which that one held end
in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, null, select, update
from sqlalchemy.orm import Session

from archive.core.errors import HostGone, NotFound, UploadGone
from archive.core.instant import Instant
from archive.records import locks
from archive.records.hosts import Host
from archive.records.uploads import Upload


@dataclass(frozen=True, slots=True)
class HostView:
    """A web host; `beat` changes with every sign of life."""

    name: str
    nonce: str
    started_at: Instant
    beat: Instant


def claim(session: Session, *, name: str, nonce: str, now: Instant) -> HostView | None:
    """Take a name for this spool; None if it is now its own, else whose it is, who may be gone or not."""
    row = session.get(Host, name)
    if row is None:
        session.add(Host(name=name, nonce=nonce, started_at=now, seen_at=now))
        session.flush()  # two that begin at once: the database lets one
        return None
    ours = update(Host).where(Host.name == name, Host.nonce == nonce).values(started_at=now, seen_at=now).returning(Host.name)
    if session.scalars(ours.execution_options(synchronize_session=False)).all():
        return None
    session.refresh(row)  # somebody else's, or taken over at this moment
    return _view(row)


def take_over(session: Session, *, name: str, nonce: str, before: HostView, now: Instant) -> bool:
    """Take the name of a spool that is gone, and end the uploads whose bytes it held; False if it was heard of after all."""
    changed = session.scalars(
        update(Host)
        .where(Host.name == name, Host.nonce == before.nonce, Host.seen_at == before.beat)
        .values(nonce=nonce, started_at=now, seen_at=now)
        .returning(Host.name)
    ).all()
    if not changed:
        return False
    for upload_id in session.scalars(
        select(Upload.id).where(Upload.host == name, Upload.state == "receiving").order_by(Upload.id)
    ):
        lose(session, upload_id, now=now)
    return True


def beat(session: Session, *, name: str, nonce: str, now: Instant) -> bool:
    """Say that this host goes on; False if its name is another spool's now."""
    return bool(
        session.scalars(update(Host).where(Host.name == name, Host.nonce == nonce).values(seen_at=now).returning(Host.name)).all()
    )


def every(session: Session) -> list[HostView]:
    """Return all web hosts by name."""
    return [_view(row) for row in session.scalars(select(Host).order_by(Host.name))]


def lose(session: Session, upload_id: str, *, now: Instant) -> bool:
    """End an upload whose bytes lay on a web host that is gone; False if it had ended before."""
    row = locks.row(session, Upload, upload_id)
    if row is None or row.state != "receiving" or row.direct:
        return False
    row.state, row.ended_at, row.refusal = "expired", now, HostGone.code
    session.flush()
    return True


def lose_by_manifest(session: Session, like: Upload, *, gone: Collection[str], now: Instant) -> bool:
    """End what a station had opened by the same signed manifest on hosts that are gone: it sends to another one now.

    False if one of them had ended otherwise before, or been taken in: its host was not gone after all.
    """
    same = (Upload.signature == like.signature, Upload.manifest == like.manifest, Upload.station_id == like.station_id)
    query = select(Upload.id).where(*same, Upload.state == "receiving", Upload.host.in_(gone)).order_by(Upload.id)
    lost = [lose(session, upload_id, now=now) for upload_id in session.scalars(query).all()]
    return all(lost)


def note_multipart(session: Session, upload_id: str, identity: Mapping[str, Any]) -> None:
    """Note the store's own upload of what has come so far.

    Raises:
        NotFound, UploadGone: there is no such upload under way; whoever began the store's own aborts it.
    """
    row = locks.row(session, Upload, upload_id)
    if row is None:
        raise NotFound(what="upload", id=upload_id[:64])
    if row.state != "receiving":
        raise UploadGone(id=upload_id, state=row.state)
    row.multipart = dict(identity)
    session.flush()


def forget_multipart(session: Session, upload_id: str) -> None:
    """Note that the store holds no upload of its own of this any more: it was completed or aborted."""
    session.execute(update(Upload).where(Upload.id == upload_id).values(multipart=null()))


def abandoned(session: Session, *, names: Collection[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the uploads of these web hosts that have ended and left the store's own unfinished, each with what names that."""
    query = select(Upload).where(
        Upload.multipart.is_not(None), Upload.state.not_in(("receiving", "arrived")), Upload.direct.is_(False)
    )
    return [
        (row.id, row.multipart or {})
        for row in session.scalars(query.where(func.coalesce(Upload.host, "").in_(names)).order_by(Upload.id))
    ]


def multiparts(session: Session) -> set[str]:
    """Return the store's own names of all uploads that it has begun and not finished, as far as anything refers to them."""
    found = session.scalars(select(Upload.multipart).where(Upload.multipart.is_not(None)))
    return {str(each.get("upload", "")) for each in found if each}


def _view(row: Host) -> HostView:
    return HostView(row.name, row.nonce, Instant(row.started_at), Instant(row.seen_at))
