"""People: accounts and sign-ins. Hashing of passwords is passed in; what is random too."""

from __future__ import annotations

import hashlib

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from archive.actions import custody
from archive.core.access import PersonCaller
from archive.core.cases import required_text
from archive.core.custody import EventKind
from archive.core.errors import Malformed, TooManyAttempts, WrongCredentials
from archive.core.instant import HOUR, MINUTE, Instant
from archive.records.locks import Noun, hold, sweep
from archive.records.people import FailedSignIn, Person, SignIn, person_by_login, signed_in

SIGN_IN_LIFE = 12 * HOUR
"""A working day and its evening; a shared office computer is signed out by morning."""
ATTEMPTS = 10
ATTEMPT_WINDOW = 15 * MINUTE
MIN_PASSWORD = 12


def anybody(session: Session) -> bool:
    """Say whether there is any account yet."""
    return session.scalar(select(Person.id).limit(1)) is not None


def bootstrap(session: Session, *, login: str, name: str, password_hash: str, now: Instant) -> bool:
    """Make the first account if there is none, and say whether it was made."""
    hold(session, Noun.PEOPLE)
    if anybody(session):
        return False
    session.add(Person(login=login, name=name, password_hash=password_hash, created_at=now))
    session.flush()
    custody.record(
        session, kind=EventKind.ACCOUNT_MADE, at=now, actor="archive", subject=f"person:{login}", facts={"login": login}
    )
    return True


def password_hash(session: Session, *, login: str, now: Instant) -> str | None:
    """Return what the password of this account must be held against; None if there is no such account.

    It is checked outside any transaction, because a slow hash is the point of it and nobody should wait for it.

    Raises:
        TooManyAttempts: this account had ten failures within 15 minutes.
    """
    recent = select(func.count()).select_from(FailedSignIn)
    recent = recent.where(FailedSignIn.login == login[:64], FailedSignIn.at > now - ATTEMPT_WINDOW)
    if (session.scalar(recent) or 0) >= ATTEMPTS:
        raise TooManyAttempts(login=login[:64], minutes=ATTEMPT_WINDOW // MINUTE)
    person = person_by_login(session, login)
    return None if person is None else person.password_hash


def sign_in(session: Session, *, login: str, right: bool, token: str, address: str, now: Instant) -> PersonCaller | None:
    """Sign somebody in under a new token if the password was right, or return None after noting the failure.

    The caller commits either, and refuses after: a refusal that rolled the note back would let guessing go on.
    """
    person = person_by_login(session, login)
    if person is None or person.disabled_at is not None or not right:
        session.add(FailedSignIn(login=login[:64], address=address, at=now))
        session.flush()
        return None
    sweep(session, SignIn.token_sha256, SignIn.expires_at < now)
    sweep(session, FailedSignIn.id, FailedSignIn.login == login)
    session.add(SignIn(token_sha256=_hash(token), person_id=person.id, created_at=now, expires_at=now + SIGN_IN_LIFE))
    session.flush()
    custody.record(
        session,
        kind=EventKind.SIGNED_IN,
        at=now,
        actor=f"person:{login}",
        subject=f"person:{login}",
        facts={"login": login, "address": address},
    )
    return PersonCaller(person.id, person.login, person.name)


def sign_out(session: Session, *, token: str) -> None:
    """End the sign-in of this token; it is no error if it has ended."""
    session.execute(delete(SignIn).where(SignIn.token_sha256 == _hash(token)))


def by_token(session: Session, *, token: str, now: Instant) -> PersonCaller | None:
    """Return who this token stands for, if it still does."""
    person = signed_in(session, _hash(token), now=now)
    return None if person is None else PersonCaller(person.id, person.login, person.name)


def set_password(session: Session, *, login: str, password: str, password_hash: str, now: Instant) -> None:
    """Give an account another password and sign it out everywhere.

    Raises:
        Malformed: the password is shorter than 12 characters.
        WrongCredentials: there is no such account.
    """
    required_text("login", login)
    if len(password) < MIN_PASSWORD:
        raise Malformed(what="password", shortest=MIN_PASSWORD)
    person = person_by_login(session, login)
    if person is None:
        raise WrongCredentials(login=login)
    person.password_hash = password_hash
    session.execute(delete(SignIn).where(SignIn.person_id == person.id))
    custody.record(
        session,
        kind=EventKind.ACCOUNT_MADE,
        at=now,
        actor="operator",
        subject=f"person:{login}",
        facts={"login": login, "password": "changed"},
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
