"""Docking stations, the nonces they sign and the tokens they upload with."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ForeignKey, bindparam, false, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from archive.records.base import Base, IntKey, MaybeWhen, When


class Station(Base):
    """A docking station and the public half of its key (Ed25519, 32 bytes, base64); `sm3`: its settings ask for SM3 beside SHA-256."""

    __tablename__ = "stations"

    id: Mapped[IntKey]
    name: Mapped[str] = mapped_column(unique=True)
    public_key: Mapped[str]
    sm3: Mapped[bool] = mapped_column(default=False, server_default=false())
    enrolled_at: Mapped[When]
    revoked_at: Mapped[MaybeWhen]


class Nonce(Base):
    """A number used once: asked for by a station, signed by it, and spent on one token."""

    __tablename__ = "nonces"

    nonce: Mapped[str] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    expires_at: Mapped[When] = mapped_column(index=True)
    used_at: Mapped[MaybeWhen]


class StationToken(Base):
    """An upload token, bound to the nonce that was signed for it; only its SHA-256 is kept."""

    __tablename__ = "station_tokens"

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    station_id: Mapped[int] = mapped_column(ForeignKey("stations.id"))
    nonce: Mapped[str] = mapped_column(ForeignKey("nonces.nonce"), unique=True)
    expires_at: Mapped[When] = mapped_column(index=True)


def station_by_name(session: Session, name: str) -> Station | None:
    """Return the station of this name, revoked or not."""
    return session.scalar(select(Station).where(Station.name == name))


def station_of_token(session: Session, token_sha256: str, *, now: int) -> Station | None:
    """Return the station that holds this token, if neither token nor station has ended."""
    return session.scalar(_OF_TOKEN, {"token": token_sha256, "now": now})


# Made once: every request asks it, and making it cost half as much as asking.
_OF_TOKEN: Final = (
    select(Station)
    .join(StationToken, StationToken.station_id == Station.id)
    .where(
        StationToken.token_sha256 == bindparam("token"), StationToken.expires_at > bindparam("now"), Station.revoked_at.is_(None)
    )
)
