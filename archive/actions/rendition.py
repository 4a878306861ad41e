"""Renditions: derived copies, each named by its original and recipe, each with how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.actions import custody
from archive.core.custody import EventKind
from archive.core.digest import Digest
from archive.core.errors import NotFound
from archive.core.instant import Instant
from archive.records.items import Item, Rendition, renditions_of
from archive.records.locks import Noun, hold

PLAYABLE = ("repair", "audio-fix", "remux", "transcode")


@dataclass(frozen=True, slots=True)
class RenditionView:
    """A rendition as the rest of the house sees it; `size` in bytes."""

    recipe: str
    version: int
    key: str
    digest: Digest
    size: int
    stored_version: str
    media_type: str
    provenance: Mapping[str, Any]
    made_at: Instant


def publish(
    session: Session,
    *,
    sha256: Digest,
    recipe: str,
    version: int,
    key: str,
    digest: Digest,
    size: int,
    stored_version: str,
    media_type: str,
    provenance: Mapping[str, Any],
    now: Instant,
) -> None:
    """Record a rendition whose bytes are in the store under `key`; one of the same original and recipe takes the place of the older.

    The custody event stands with every item of these bytes' first accession; a rendition made again with the same digest says nothing new
    and is not recorded twice.
    """
    hold(session, Noun.BYTES, sha256.hex)
    row = session.get(Rendition, (sha256.hex, recipe), populate_existing=True)
    if row is not None and (row.digest, row.key, row.version_id) == (digest.hex, key, stored_version):
        return
    if row is None:
        row = Rendition(sha256=sha256.hex, recipe=recipe)
        session.add(row)
    row.version, row.key, row.digest, row.size = version, key, digest.hex, size
    row.version_id, row.media_type, row.provenance, row.made_at = stored_version, media_type, dict(provenance), now
    session.flush()
    first = session.scalar(select(Item).where(Item.sha256 == sha256.hex).order_by(Item.id).limit(1))
    custody.record(
        session,
        kind=EventKind.RENDITION,
        at=now,
        actor="archive",
        subject=sha256.hex,
        item_id=None if first is None else first.id,
        facts={"sha256": sha256.hex, "recipe": recipe, "version": version, "rendition": digest.hex, "size": size},
    )


def of(session: Session, sha256: Digest) -> list[RenditionView]:
    """Return the renditions of an original, by recipe."""
    return [_view(row) for row in renditions_of(session, sha256.hex)]


def recipes(session: Session, sha256: Digest) -> frozenset[str]:
    """Return which recipes were made of an original; a book has six hundred, and their provenance is not wanted for that."""
    return frozenset(session.scalars(select(Rendition.recipe).where(Rendition.sha256 == sha256.hex)))


def find(session: Session, sha256: Digest, recipe: str) -> RenditionView:
    """Return one rendition.

    Raises:
        NotFound: it has not been made.
    """
    row = session.get(Rendition, (sha256.hex, recipe))
    if row is None:
        raise NotFound(what="rendition", recipe=recipe[:64])
    return _view(row)


def _view(row: Rendition) -> RenditionView:
    return RenditionView(
        recipe=row.recipe,
        version=row.version,
        key=row.key,
        digest=Digest(row.digest),
        size=row.size,
        stored_version=row.version_id,
        media_type=row.media_type,
        provenance=row.provenance,
        made_at=Instant(row.made_at),
    )
