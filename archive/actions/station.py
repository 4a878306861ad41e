"""Stations: enrolment, and the proof by which a station gets a short-lived upload token.

A station asks for a nonce, signs it, and gets one token for it, valid for 15 minutes. What is random is passed in by the caller.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.actions import custody
from archive.core.access import StationCaller
from archive.core.custody import EventKind
from archive.core.errors import Malformed, NonceSpent, NotFound, StationExists, StationRevoked, WrongCredentials
from archive.core.instant import MINUTE, Instant
from archive.core.note import Verify
from archive.records.locks import Noun, hold, sweep
from archive.records.locks import row as locked
from archive.records.stations import Nonce, Station, StationToken, station_by_name, station_of_token

TOKEN_CONTEXT = b"liuhen station token v1\n"
NONCE_LIFE = 2 * MINUTE
TOKEN_LIFE = 15 * MINUTE
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class StationView:
    """A station as people see it; `sm3`: its settings ask for SM3 beside SHA-256."""

    name: str
    sm3: bool
    enrolled_at: Instant
    revoked_at: Instant | None


def enrol(session: Session, *, name: str, public_key: bytes, by: str, now: Instant, sm3: bool = False) -> None:
    """Enrol a station under its public key (Ed25519, 32 bytes); `sm3`: what it brings gets an SM3 beside its SHA-256.

    Raises:
        Malformed: the name is not of letters, digits, dots, dashes and underscores, 64 at most.
        StationExists: one of this name is enrolled.
    """
    if not _NAME.fullmatch(name):
        raise Malformed(what="station", value=name[:64])
    hold(session, Noun.STATION, name)
    if station_by_name(session, name) is not None:
        raise StationExists(station=name)
    session.add(Station(name=name, public_key=base64.b64encode(public_key).decode(), sm3=sm3, enrolled_at=now))
    custody.record(
        session,
        kind=EventKind.STATION_ENROLLED,
        at=now,
        actor=by,
        subject=f"station:{name}",
        facts={"station": name, "public_key": base64.b64encode(public_key).decode(), "sm3": sm3},
    )


def revoke(session: Session, *, name: str, by: str, now: Instant) -> None:
    """Stop accepting a station's key and tokens.

    Raises:
        NotFound: there is no such station.
        StationRevoked: it is revoked already.
    """
    hold(session, Noun.STATION, name)
    station = station_by_name(session, name)
    if station is None:
        raise NotFound(what="station", name=name[:64])
    if station.revoked_at is not None:
        raise StationRevoked(station=name)
    station.revoked_at = now
    custody.record(session, kind=EventKind.STATION_REVOKED, at=now, actor=by, subject=f"station:{name}", facts={"station": name})


def stations(session: Session) -> list[StationView]:
    """Return every station by name."""
    return [
        StationView(row.name, row.sm3, Instant(row.enrolled_at), None if row.revoked_at is None else Instant(row.revoked_at))
        for row in session.scalars(select(Station).order_by(Station.name))
    ]


def give_nonce(session: Session, *, name: str, nonce: str, now: Instant) -> None:
    """Give a station a nonce to sign; spent ones that are long over are swept.

    Raises:
        WrongCredentials: no station of this name is enrolled.
        StationRevoked: its key is no longer accepted.
    """
    station = _standing(session, name)
    sweep(session, StationToken.token_sha256, StationToken.expires_at < now)
    spent = select(StationToken.nonce)
    # A minute later than it ends: another host, whose clock is a little behind, may be giving the token for it.
    sweep(session, Nonce.nonce, Nonce.expires_at < now - MINUTE, Nonce.nonce.not_in(spent))
    session.add(Nonce(nonce=nonce, station_id=station.id, expires_at=now + NONCE_LIFE))
    session.flush()


def signed_by_station(name: str, nonce: str) -> bytes:
    """Return the bytes that a station signs to prove that it is itself."""
    return TOKEN_CONTEXT + f"{name}\n{nonce}\n".encode()


def give_token(session: Session, *, name: str, nonce: str, signature: bytes, verify: Verify, token: str, now: Instant) -> Instant:
    """Give the token for a signed nonce and return when it expires.

    Raises:
        WrongCredentials: no such station, or the signature is not its.
        StationRevoked: its key is no longer accepted.
        NonceSpent: the nonce was used, has expired or is not this station's.
    """
    station = _standing(session, name)
    row = locked(session, Nonce, nonce)
    if row is None or row.station_id != station.id or row.used_at is not None or row.expires_at <= now:
        raise NonceSpent(station=name)
    if not verify(base64.b64decode(station.public_key), signature, signed_by_station(name, nonce)):
        raise WrongCredentials(station=name)
    row.used_at = now
    expires_at = Instant(now + TOKEN_LIFE)
    session.add(StationToken(token_sha256=_hash(token), station_id=station.id, nonce=nonce, expires_at=expires_at))
    session.flush()
    return expires_at


def by_token(session: Session, *, token: str, now: Instant) -> StationCaller | None:
    """Return the station that this token stands for, if it still does."""
    station = station_of_token(session, _hash(token), now=now)
    return None if station is None else StationCaller(station.id, station.name, base64.b64decode(station.public_key))


def _standing(session: Session, name: str) -> Station:
    station = station_by_name(session, name)
    if station is None:
        raise WrongCredentials(station=name[:64])
    if station.revoked_at is not None:
        raise StationRevoked(station=name)
    return station


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
