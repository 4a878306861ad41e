"""What only one transaction at a time may do, by noun. On PostgreSQL these are locks until the transaction ends; SQLite has one writer.

Lock order: a transaction takes what it takes in the order of `Noun`, and several of one noun in the order of their keys, so that no two
wait for each other. `hold` and `row` see to it on both databases, so that the tests of either find who does not.

READ COMMITTED means: a look after the lock sees what the holder before committed, a look before it may not. So: hold, then look.

Not guaranteed: anything about whoever changes a row without asking here first.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, delete, select, text
from sqlalchemy.orm import QueryableAttribute, Session

from archive.records.base import Base
from archive.records.cases import Case
from archive.records.items import Item
from archive.records.papers import Paper
from archive.records.stations import Nonce, Station
from archive.records.uploads import Upload

Row = TypeVar("Row", bound=Base)


class Noun(IntEnum):
    """What can be held, in the order in which it is taken."""

    STATION = 10
    """A station, or one to be enrolled."""
    RULE = 15
    """Which version of a rule is the last."""
    PEOPLE = 20
    """That there is an account at all."""
    NONCE = 25
    """A number used once."""
    MANIFEST = 30
    """The upload that a station opened by this signed manifest."""
    UPLOAD = 40
    """What becomes of an upload, and whose its parts are."""
    PAPER = 50
    """Which pages of a document have come."""
    BYTES = 60
    """What is known of bytes, by their digest: object, renditions, and what examination says of all their items."""
    ITEM = 70
    """What a station may do with an item's files."""
    SERIAL = 80
    """The counters of all kinds, which numbers are taken from and given back by a rollback: numbers run without a gap."""
    CASES = 90
    """Which numbers cases have."""
    CASE = 100
    """What is bound to a case."""
    STORE = 115
    """What the last trial of an object store showed."""
    VIEWING = 120
    """Whether a look goes on."""
    CUSTODY = 999
    """The end of the chain. Everybody passes here, so it is taken last, just before the commit (archive.actions.custody)."""


_ROWS: Final[dict[type[Base], Noun]] = {
    Station: Noun.STATION,
    Nonce: Noun.NONCE,
    Upload: Noun.UPLOAD,
    Paper: Noun.PAPER,
    Item: Noun.ITEM,
    Case: Noun.CASE,
}
_LOCKED: Final = (Upload, Nonce)
"""Rows that whoever holds them may change, so that one question both holds and reads them."""

_HELD = "held"


def hold(session: Session, noun: Noun, key: str = "") -> None:
    """Wait until nobody else holds this, and hold it until the transaction ends; what is held already is not waited for."""
    if _take(session, noun, key) and session.get_bind().dialect.name == "postgresql":
        name = hashlib.sha256(f"liuhen {noun.name} {key}".encode()).digest()[:8]
        session.execute(_LOCK, {"name": int.from_bytes(name, "big", signed=True)})


def row(session: Session, table: type[Row], key: Any) -> Row | None:  # noqa: ANN401 - a primary key of whatever type
    """Return the row of this key as the last holder left it, held until the transaction ends; None if there is none.

    Others may still refer to it. What only some roles may change is held by its name, since a lock on a row asks for that right. A row that
    this transaction wrote itself is nobody else's to see, and is returned as it is.
    """
    noun = _ROWS[table]
    if (noun, _name(key)) in session.info.get(_HELD, ()) and (found := session.get(table, key)) is not None:
        return found
    if table not in _LOCKED:
        hold(session, noun, _name(key))
        return session.get(table, key, populate_existing=True)
    _take(session, noun, _name(key))
    return session.get(table, key, with_for_update={"key_share": True}, populate_existing=True)


def own(session: Session, table: type[Base], key: object) -> None:
    """Say that this transaction wrote the row of this key itself, so that nobody needs to be waited for."""
    session.info.setdefault(_HELD, {})[_ROWS[table], _name(key)] = None


def passing(session: Session, noun: Noun, key: str = "") -> None:
    """Say that the statement at hand waits by itself for whoever holds this: a row that two write at once."""
    _take(session, noun, key)


def sweep(session: Session, key: QueryableAttribute[Any], *over: ColumnElement[bool]) -> None:
    """Remove the rows that are over, by their primary key, but those that somebody else has in hand: a sweep waits for nobody."""
    chosen = select(key).where(*over).with_for_update(skip_locked=True)
    session.execute(delete(key.class_).where(key.in_(chosen)).execution_options(synchronize_session=False))


_LOCK: Final = text("SELECT pg_advisory_xact_lock(:name)")


def _name(key: object) -> str:
    return f"{key:020d}" if isinstance(key, int) else str(key)


def _take(session: Session, noun: Noun, key: str) -> bool:
    held: dict[tuple[Noun, str], None] = session.info.setdefault(_HELD, {})
    if (noun, key) in held:
        return False
    highest = max(held, default=None)
    assert highest is None or highest <= (noun, key), f"{noun.name} {key} is asked for after {highest[0].name} {highest[1]}"
    held[noun, key] = None
    return True
