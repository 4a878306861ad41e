"""What is kept aside because it was not what was declared; never an item, and never lost sight of."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.records.people import Person
from archive.records.stations import Station
from archive.records.uploads import Quarantined, Upload


@dataclass(frozen=True, slots=True)
class QuarantinedView:
    """Bytes kept aside because they were not what was declared."""

    upload_id: str
    name: str
    declared: Digest
    actual: Digest
    size: int
    source: str
    at: Instant


def kept(session: Session, *, limit: int = 50, after: str | None = None) -> list[QuarantinedView]:
    """Return what is kept aside, newest first; `after` is the upload's id of the last row seen."""
    seen = None if after is None else session.get(Quarantined, after[:64])
    query = (
        select(Quarantined, Upload, Station.name, Person.name)
        .join(Upload, Upload.id == Quarantined.upload_id)
        .outerjoin(Station, Station.id == Upload.station_id)
        .outerjoin(Person, Person.id == Upload.person_id)
        .order_by(Quarantined.at.desc(), Quarantined.upload_id)
        .limit(limit)
    )
    if seen is not None:
        tie = and_(Quarantined.at == seen.at, Quarantined.upload_id > seen.upload_id)
        query = query.where(or_(Quarantined.at < seen.at, tie))
    return [
        QuarantinedView(
            row.upload_id,
            row.name,
            Digest(row.declared_sha256),
            Digest(row.actual_sha256),
            row.size,
            station or person or "",
            Instant(row.at),
        )
        for row, _upload, station, person in session.execute(query)
    ]


def count(session: Session) -> int:
    """Return how much is kept aside."""
    return session.scalar(select(func.count()).select_from(Quarantined)) or 0
