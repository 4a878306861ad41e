"""Opening the database.

SQLite runs with WAL, synchronous=FULL (NORMAL loses committed rows at a power cut), foreign keys on and a busy timeout; a writing
transaction begins IMMEDIATE, so that it never fails half-way for want of the write lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

BUSY_MS = 30_000


def open_sqlite(path: Path) -> Engine:
    """Return an engine on this file; nothing is created yet but an empty database."""
    path.touch(mode=0o600)  # before SQLite makes it for everybody to read; its journal takes over the mode
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:  # noqa: ANN401 - the driver's own object
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Give a session in a writing transaction: committed when the block ends, rolled back when it raises."""
    with engine.connect() as raw:
        connection = raw.execution_options(writing=True)
        with connection.begin(), Session(connection, expire_on_commit=False) as session:
            yield session
            session.flush()


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Give a session that sees one moment of the database and never writes."""
    with engine.connect() as connection, Session(connection, expire_on_commit=False) as session:
        yield session
