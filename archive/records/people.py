"""Who may sign in, and who is signed in. Passwords and tokens are kept as hashes only."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ForeignKey, bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from archive.records.base import Base, IntKey, MaybeWhen, When


class Person(Base):
    """Somebody with an account."""

    __tablename__ = "people"

    id: Mapped[IntKey]
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str] = mapped_column(deferred=True)  # read by whoever asks for it, which a worker's role may not
    created_at: Mapped[When]
    disabled_at: Mapped[MaybeWhen]


class SignIn(Base):
    """One signed-in browser; the cookie's SHA-256 is the key, the cookie itself is nowhere."""

    __tablename__ = "sign_ins"

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    created_at: Mapped[When]
    expires_at: Mapped[When]


class FailedSignIn(Base):
    """One failed attempt, so that guessing is slowed and seen."""

    __tablename__ = "failed_sign_ins"

    id: Mapped[IntKey]
    login: Mapped[str] = mapped_column(index=True)
    address: Mapped[str]
    at: Mapped[When]


def person_by_login(session: Session, login: str) -> Person | None:
    """Return the account of this name."""
    return session.scalar(select(Person).where(Person.login == login))


def signed_in(session: Session, token_sha256: str, *, now: int) -> Person | None:
    """Return who this cookie stands for, if it has not expired and the account is not disabled."""
    return session.scalar(_SIGNED_IN, {"token": token_sha256, "now": now})


# Made once: every request asks it, and making it cost half as much as asking.
_SIGNED_IN: Final = (
    select(Person)
    .join(SignIn, SignIn.person_id == Person.id)
    .where(SignIn.token_sha256 == bindparam("token"), SignIn.expires_at > bindparam("now"), Person.disabled_at.is_(None))
)
