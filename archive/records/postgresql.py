"""Opening PostgreSQL, what must hold of it before we trust it with anything, and what its errors mean.

Invariants: a commit that returned is on disk (asserted at start: fsync, full_page_writes, synchronous_commit); whatever the database,
or the way to it, breaks with is `Unavailable`, so that the same question may be asked again; no wait has no end.

Not guaranteed: that a transaction whose commit was broken off by a lost connection did not happen. Nobody can know that here; so
whatever writes is written to be asked again, and answers the same (docs/decisions/0025).
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from archive.core.errors import LiuhenError, Malformed, Unavailable

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

_log = logging.getLogger(__name__)

CONNECTIONS: Final = 20
"""The most of one process: forty threads hold one for some milliseconds each, and PostgreSQL ships with room for a hundred in all."""
KEPT: Final = 5
"""Connections kept open by one process while nobody needs them."""
FRESH_SECONDS: Final = 2.0
"""For how long after its use a connection that says nothing is taken for a living one."""
CONNECT_SECONDS: Final = 5
POOL_SECONDS: Final = 15

_TIMEOUTS: Final = {
    # A writer frozen between two statements (stopped, swapped out, debugged) holds its locks, the chain's among them, and every
    # accession waits for it. Between two statements of ours lie microseconds.
    "idle_in_transaction_session_timeout": "10s",
    # Longer than the above, so that whoever waits for a frozen one gets through once that one is put out.
    "lock_timeout": "20s",
    # Longer than any wait for a lock; a page whose question takes a minute has a question that is wrong.
    "statement_timeout": "60s",
}
_PATIENT: Final = {"idle_in_transaction_session_timeout": "0", "statement_timeout": "0"}

# A peer that vanished without a word (power, network) is noticed within 15 to 25 s; the system's own figures are two hours and more.
_SOCKET: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}

OLDEST: Final = 150000
_DURABLE: Final = ("on", "remote_write", "remote_apply")
_BYTEWISE: Final = ("C", "POSIX", "C.UTF-8", "C.utf8")
DEFENDED: Final = ("custody_events", "rules")
"""Tables that are only ever added to."""


def open_postgresql(
    url: str, *, name: str = "liuhen", connections: int = CONNECTIONS, kept: int = KEPT, patient: bool = False
) -> Engine:
    """Return an engine on this database; nothing is asked of it yet.

    A server that was started again in between two uses of a connection is noticed by nobody: it says farewell, or its system closes the
    connection, and one over which something came unasked, or which rested for a while, is tried before its use. `name` is what the
    server's own lists show; `patient` sets no bound to statements and pauses: for an operator's long commands and for migrations.
    """
    settings = {**_TIMEOUTS, **(_PATIENT if patient else {})}
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={
            "application_name": name[:63],
            "connect_timeout": CONNECT_SECONDS,
            "options": " ".join(f"-c {key}={value}" for key, value in settings.items()),
            "client_encoding": "utf8",
            **_SOCKET,
        },
        pool_size=min(kept, connections),
        max_overflow=max(0, connections - kept),
        pool_timeout=POOL_SECONDS,
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # an error's text goes to the log, what it was about does not
    )

    @event.listens_for(engine, "checkin")
    def _rests(_connection: psycopg.Connection[Any] | None, entry: ConnectionPoolEntry) -> None:
        entry.info[_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _tried(connection: psycopg.Connection[Any], entry: ConnectionPoolEntry, _: object) -> None:
        # A question and its answer before each use would cost more than most of what is asked.
        since = entry.info.pop(_SINCE, None)
        if since is None or (time.monotonic() - since < FRESH_SECONDS and not _heard_from(connection)):
            return
        try:
            engine.dialect.do_ping(connection)  # type: ignore[arg-type]  # the driver's own connection
        except psycopg.Error as why:
            raise InvalidatePoolError from why  # the pool makes another, and trusts none that is as old

    return engine


_SINCE: Final = "since"
"""In a pooled connection's `info`: when it was last given back; not there while it is in use, or new."""


def _heard_from(connection: psycopg.Connection[Any]) -> bool:
    """Say whether something came over a connection that rests: a farewell, its end, or a mere notice."""
    try:
        ears = select.poll()
        ears.register(connection.pgconn.socket, select.POLLIN)
        return bool(ears.poll(0))
    except psycopg.Error:  # it has no socket any more
        return True


def is_postgresql(engine: Engine | Connection) -> bool:
    """Say which of the two databases this is."""
    return engine.dialect.name == "postgresql"


@contextmanager
def as_faults() -> Iterator[None]:
    """Turn what the database breaks with into our own faults.

    Raises:
        Unavailable: the connection was lost, a lock or an answer did not come in time, two transactions were in each other's way, or two
            wrote the same at one moment. The transaction is undone, unless the connection was lost in its commit.
        Malformed: a text has a NUL in it, which this database cannot hold.
    """
    try:
        yield
    except (DBAPIError, NoConnectionLeft, psycopg.Error) as why:
        fault = _fault(why)
        if fault is None:
            raise
        raise fault from why


_WHY: Final = {
    "40001": "serialization",
    "40P01": "deadlock",
    "23505": "written_at_once",
    "55P03": "lock_timeout",
    "57014": "statement_timeout",
    "25P03": "idle_timeout",
    "25006": "read_only",
}
_CLASSES: Final = {"08": "connection_lost", "53": "no_resources", "57": "shutting_down", "58": "system_error"}
AGAIN: Final = frozenset({"serialization", "deadlock", "written_at_once", "lock_timeout", "connection_lost", "shutting_down"})
"""What a second try may mend at once."""


def _fault(why: Exception) -> LiuhenError | None:
    if isinstance(why, NoConnectionLeft):
        return Unavailable(what="database", why="no_connection_left")
    error = why.orig if isinstance(why, DBAPIError) else why
    if isinstance(error, psycopg.DataError) and "NUL" in str(error):
        return Malformed(what="text", reason="nul")
    state = getattr(error, "sqlstate", None)
    if state is None:
        lost = isinstance(error, psycopg.OperationalError) or (isinstance(why, DBAPIError) and why.connection_invalidated)
        return Unavailable(what="database", why="connection_lost") if lost else None
    reason = _WHY.get(state) or _CLASSES.get(state[:2])
    if reason == "written_at_once":
        _log.warning("two transactions wrote the same at once: %s", getattr(getattr(error, "diag", None), "constraint_name", ""))
    return None if reason is None else Unavailable(what="database", why=reason)


@dataclass(frozen=True, slots=True)
class Standing:
    """What was found of a database: `flaws` forbid to start, `notes` are for the operator to know."""

    flaws: tuple[str, ...]
    notes: tuple[str, ...]


def examine(engine: Engine, *, revision: str | None = None) -> Standing:
    """Return everything that speaks against trusting this database with records.

    With a `revision`, the step that this program was written for, the schema must be at that step, and the role that we come as must not
    be able to change or remove what is only ever added to. Migrations come without one, as the role that owns it all.

    Raises:
        Unavailable: the database does not answer.
    """
    with as_faults(), engine.connect() as connection:
        flaws = [*_of_server(connection), *_of_database(connection)]
        flaws += [] if revision is None else _of_schema(connection, revision)
        notes = []
        if _show(connection, "data_checksums") != "on":
            notes.append("data_checksums is off: rot on its disk stays unseen; `pg_checksums --enable` switches it on")
    return Standing(tuple(flaws), tuple(notes))


def _of_server(connection: Connection) -> Iterator[str]:
    if int(_show(connection, "server_version_num")) < OLDEST:
        yield f"PostgreSQL {_show(connection, 'server_version')} is too old: 15 or newer"
    for name in ("fsync", "full_page_writes"):
        if _show(connection, name) != "on":
            yield f"{name} is off: a power cut may take with it what was acknowledged"
    found = _show(connection, "synchronous_commit")
    if found not in _DURABLE:
        yield f"synchronous_commit is {found}: a commit that was answered may be lost; one of {', '.join(_DURABLE)}"
    if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar() or _show(connection, "transaction_read_only") == "on":
        yield "it is a standby, or read only for this role: nothing can be recorded there"


def _of_database(connection: Connection) -> Iterator[str]:
    encoding = _show(connection, "server_encoding")
    if encoding != "UTF8":
        yield f"its encoding is {encoding}, not UTF8"
    collation = connection.exec_driver_sql(_COLLATION).scalar()
    if collation not in _BYTEWISE:
        yield (
            f"its texts are ordered by {collation}, which another version of the system's library orders otherwise, and every index "
            "on text is then wrong without a word; create it with --template=template0 --locale=C.UTF-8"
        )


_COLLATION: Final = """
    SELECT CASE datlocprovider
        WHEN 'i' THEN coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
        WHEN 'b' THEN 'C'
        ELSE datcollate END
    FROM pg_database d WHERE datname = current_database()
"""
"""The system's library (c) by its locale; ICU (i) by its, which is never bytewise and whose column another release renamed; the server's
own (b) orders bytewise whatever it is called."""


def _of_schema(connection: Connection, revision: str) -> Iterator[str]:
    there = connection.exec_driver_sql("SELECT to_regclass('alembic_version') IS NOT NULL").scalar()
    if there and not connection.exec_driver_sql("SELECT has_table_privilege('alembic_version', 'SELECT')").scalar():
        yield "this role may not read the schema's step; run `liuhen admin migrate`, which grants it"
        return
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if there else None
    if found != revision:
        yield f"its schema is at step {found or 'none'}, this program is written for {revision}; run `liuhen admin migrate`"
    if connection.exec_driver_sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").scalar():
        yield "this role is a superuser, whom no trigger and no missing right keeps from anything"
        return
    for table in DEFENDED:
        if connection.exec_driver_sql(f"SELECT to_regclass('{table}') IS NULL").scalar():
            continue
        owns = "SELECT pg_has_role(current_user, relowner, 'MEMBER') FROM pg_class WHERE oid = to_regclass(%(table)s)"
        if connection.exec_driver_sql(owns, {"table": table}).scalar():
            yield f"this role owns {table}, so that it could take its guards away; come as the role that `liuhen admin migrate` made"
            continue
        may = [
            right
            for right in ("UPDATE", "DELETE", "TRUNCATE")
            if connection.exec_driver_sql("SELECT has_table_privilege(%(t)s, %(r)s)", {"t": table, "r": right}).scalar()
        ]
        if may:
            yield f"this role may {', '.join(may)} {table}, which is only ever added to"


def _show(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql("SELECT current_setting(%(name)s)", {"name": name}).scalar())
