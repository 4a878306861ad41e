"""Opening the database, and transactions on either of the two.

Invariants: a writing transaction is committed when its block ends and undone when it raises; what was put off to the last (`at_last`) is
done just before the commit, when all else is written. A reading one sees one moment, and writes nothing.

SQLite runs with WAL, synchronous=FULL (NORMAL loses committed rows at a power cut), foreign keys on and a busy timeout; a writing
transaction begins IMMEDIATE, so that it never fails half-way for want of the write lock.

Writers take turns before they ask for that lock, in one process by `Turns` and between processes by a lock on a file beside the
database: SQLite lets whoever does not get its own lock sleep and look again, longer each time, so that one sleeps while it is free. The
operating system wakes the next in line at once, and lets go for whoever dies.

PostgreSQL has as many writers as ask (`Tries`), each in a transaction of its own under READ COMMITTED; what must not be done by two at
once is held by name (archive.records.locks). What a deadlock, a restart or a lost connection breaks off there is tried again where the
work was given as a function, and is `Unavailable` where it was not.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

from archive.core.errors import Unavailable
from archive.records.postgresql import AGAIN, as_faults, is_postgresql

BUSY_MS = 30_000
_LAST = "last"

Result = TypeVar("Result")


def open_sqlite(path: Path) -> Engine:
    """Return an engine on this file; nothing is created yet but an empty database."""
    path.touch(mode=0o600)  # before SQLite makes it for everybody to read; its journal takes over the mode
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:  # noqa: ANN401 - the driver's own object
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            with _turn_of(engine):  # of two that change it at once one is refused, and no busy timeout waits for that
                cursor.execute("PRAGMA journal_mode=WAL")
        for pragma in ("synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Give a session in a writing transaction: committed when the block ends, rolled back when it raises.

    Raises:
        Unavailable: the database (PostgreSQL) broke it off; asked again, it may go through, or turn out to have gone through.
    """
    with begun(engine) as connection, Session(connection, expire_on_commit=False) as session:
        yield session
        ended(session)


def at_last(session: Session, do: Callable[[], None]) -> None:
    """Have this done in this transaction after all else, in the order of asking: for what others wait for."""
    session.info.setdefault(_LAST, []).append(do)


def ended(session: Session) -> None:
    """Do what was put off to the end of the transaction; for this ring."""
    session.flush()
    for do in session.info.pop(_LAST, ()):
        do()
    session.flush()


@contextmanager
def begun(engine: Engine) -> Iterator[Connection]:
    """Give a connection in a writing transaction, on SQLite once it is this writer's turn."""
    if is_postgresql(engine):
        with as_faults(), engine.begin() as connection:
            yield connection
        return
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
    """Give a session that sees one moment of the database and never writes.

    Raises:
        Unavailable: the database (PostgreSQL) does not answer.
    """
    if is_postgresql(engine):
        with as_faults(), engine.connect() as raw:
            connection = raw.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with Session(connection, expire_on_commit=False) as session:
                yield session
                session.commit()  # nothing was written; a rollback would make the driver forget every statement it has prepared
        return
    with engine.connect() as connection, Session(connection, expire_on_commit=False) as session:
        yield session


@contextmanager
def asking(engine: Engine) -> Iterator[Session]:
    """Give a session that never writes and whose every question sees a moment of its own.

    For one question, or several that need not agree: PostgreSQL is spared the beginning and the end of a transaction, each a question more.

    Raises:
        Unavailable: the database (PostgreSQL) does not answer.
    """
    if not is_postgresql(engine):
        with reading(engine) as session:
            yield session
        return
    with as_faults(), engine.connect() as raw:
        connection = raw.execution_options(isolation_level="AUTOCOMMIT")
        with Session(connection, expire_on_commit=False, autoflush=False) as session:
            yield session


def patiently(session: Session) -> None:
    """Let this transaction's questions and pauses take as long as they take: for an operator's look at all there is."""
    if is_postgresql(session.connection()):
        session.connection().exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        session.connection().exec_driver_sql("SET LOCAL statement_timeout = 0")


class Tries:
    """Writing transactions on PostgreSQL: each its own, and one given as a function is tried again where that may help."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """Give a session in a writing transaction, as `writing` does."""
        with writing(self._engine) as session:
            yield session

    def together(self, run: Callable[[Session], Result]) -> Result:
        """Do this in a writing transaction and return what it returned once that is committed.

        It is done from the start again, up to six times within about three seconds, where the database broke it off, which a server
        that is started again takes less than. It may so be done though an earlier try was committed and its answer lost: so it must be such
        that doing it again finds that and answers the same.

        Raises:
            What `run` raises, having undone it; Unavailable: it could not be done.
        """
        for pause in PAUSES:
            try:
                return self._once(run)
            except Unavailable as why:
                if why.facts.get("what") != "database" or why.facts.get("why") not in AGAIN:
                    raise
            time.sleep(pause)
        return self._once(run)

    def _once(self, run: Callable[[Session], Result]) -> Result:
        with writing(self._engine) as session:
            return run(session)


PAUSES: Final = (0.02, 0.1, 0.4, 0.8, 1.6)
"""Seconds before each further try: one loser of a deadlock goes on at once, a server that starts again is waited for."""


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
            with begun(self._engine) as connection:
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
                ended(session)
        except Exception as error:  # noqa: BLE001 - raised where it belongs, in the thread that asked
            work.error = error
