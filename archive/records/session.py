"""Opening the database.

SQLite runs with WAL, synchronous=FULL (NORMAL loses committed rows at a power cut), foreign keys on and a busy timeout; a writing
transaction begins IMMEDIATE, so that it never fails half-way for want of the write lock.

Writers take turns before they ask for that lock, in one process by `Turns` and between processes by a lock on a file beside the
database: SQLite lets whoever does not get its own lock sleep and look again, longer each time, so that one sleeps while it is free. The
operating system wakes the next in line at once, and lets go for whoever dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

BUSY_MS = 30_000

Result = TypeVar("Result")


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
    with _begun(engine) as connection, Session(connection, expire_on_commit=False) as session:
        yield session
        session.flush()


@contextmanager
def _begun(engine: Engine) -> Iterator[Connection]:
    """Give a connection in a writing transaction, once it is this writer's turn."""
    with engine.connect() as raw, _turn_of(engine):
        connection = raw.execution_options(writing=True)
        with connection.begin():
            yield connection


@contextmanager
def _turn_of(engine: Engine) -> Iterator[None]:
    """Wait for this writer's turn among all processes, and let the next one go on afterwards."""
    descriptor = os.open(f"{engine.url.database}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Give a session that sees one moment of the database and never writes."""
    with engine.connect() as connection, Session(connection, expire_on_commit=False) as session:
        yield session


@dataclass(slots=True)
class _Work:
    """What somebody wants written, and what became of it."""

    run: Callable[[Session], Any]
    done: bool = False
    result: Any = None
    error: BaseException | None = None


class Turns:
    """Writing transactions of one process, one at a time; short ones that wait at the same moment are committed together.

    A commit is a sync of the disk, whatever is in it. So whoever's turn comes does the work of all who wait, each under a savepoint of its
    own, and commits once; nobody goes on before that. What one of them refuses undoes its own work only.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[_Work] = []

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """Give a session in a writing transaction of its own, as `writing` does."""
        with self._turn, writing(self._engine) as session:
            yield session

    def together(self, run: Callable[[Session], Result]) -> Result:
        """Do this in a writing transaction, with whatever else waits, and return what it returned once that is committed.

        Raises:
            What `run` raises, having undone it; what the commit raises, having undone all.
        """
        mine = _Work(run)
        with self._guard:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                self._do_all()
        if mine.error is not None:
            raise mine.error
        return cast("Result", mine.result)

    def _do_all(self) -> None:
        with self._guard:
            batch, self._waiting = self._waiting, []
        try:
            if len(batch) == 1:  # nobody to be kept apart from
                with writing(self._engine) as session:
                    batch[0].result = batch[0].run(session)
                return
            with _begun(self._engine) as connection:
                for work in batch:
                    self._do(connection, work)
        except BaseException as error:
            for work in batch:
                work.error = work.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            for work in batch:
                work.done = True

    def _do(self, connection: Connection, work: _Work) -> None:
        try:
            with (
                connection.begin_nested(),
                Session(connection, expire_on_commit=False, join_transaction_mode="rollback_only") as session,
            ):
                work.result = work.run(session)
                session.flush()
        except Exception as error:  # noqa: BLE001 - raised where it belongs, in the thread that asked
            work.error = error
