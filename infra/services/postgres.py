"""A PostgreSQL server of one's own.

Invariants: fsync, full_page_writes and synchronous_commit stay on, pages carry checksums, the encoding is UTF-8 and the order of text
C.UTF-8, passwords are scram-sha-256: what the program asserts when it starts is so here too. Only memory is small.
"""

from __future__ import annotations

import secrets
import signal
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from infra.services import (
    Daemon,
    OneDaemon,
    ServiceFailed,
    account,
    await_ready,
    environment,
    free_port,
    prepared,
    remembered,
    run,
    started,
)

OWNER = "postgres"
"""Debian's account for the server, and the name of its first role."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
    "log_min_duration_statement": "2s",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def programs() -> Path:
    """Return the directory of the newest PostgreSQL installed; Debian keeps it off the path.

    Raises:
        ServiceFailed: There is none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise ServiceFailed("no PostgreSQL here; install Debian's package postgresql")
    return found[-1].parent


class Postgres(OneDaemon):
    """A server in a directory; making the object starts nothing."""

    def __init__(self, directory: Path) -> None:
        self._owner = account(OWNER)
        self.directory = prepared(directory, owner=self._owner)
        kept = remembered(self.directory, lambda: {"port": free_port(), "password": secrets.token_urlsafe(18)})
        self.port = int(kept["port"])
        self.password = str(kept["password"])
        self.daemon = Daemon(self.directory, "postgres")
        self._environment = environment(self.directory)

    def url(self, database: str = "postgres", *, role: str = OWNER, password: str | None = None) -> str:
        """Return the address of a database, as a role; without a password, as the server's first role."""
        return f"postgresql://{role}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, over what an earlier run left if there is anything, and return when it answers.

        Raises:
            ServiceFailed: It did not start.
        """
        data = self.directory / "data"
        if not (data / "PG_VERSION").exists():
            self._initialise(data)
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command = [str(programs() / "postgres"), "-D", str(data), f"--port={self.port}", *options]
        if self.daemon.pid() is None:
            # What a killed server leaves names a process id that somebody else may have by now; ours are told apart by birth.
            (data / "postmaster.pid").unlink(missing_ok=True)
        self.daemon.spawn(command, environ=self._environment, owner=self._owner)
        await_ready(self.daemon, self.answers)

    def _initialise(self, data: Path) -> None:
        word = self.directory / "first-password"
        word.touch(mode=0o644)
        word.write_text(self.password, "utf-8")
        try:
            run(
                [
                    *(programs() / "initdb", "-D", data, "-U", OWNER, "--pwfile", word, "--no-sync", "--data-checksums"),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
                ],
                environ=self._environment,
                owner=self._owner,
            )
        finally:
            word.unlink()

    def answers(self) -> bool:
        """Return whether it takes connections."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=2):
            return True
        return False

    def execute(self, statement: LiteralString | sql.Composed, *, database: str = "postgres") -> None:
        """Run one statement as the server's first role, outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def create(self, database: str, *, template: str = "template0", owner: str = OWNER) -> str:
        """Make a database and return its address."""
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(*map(sql.Identifier, (database, template, owner))))
        return self.url(database)

    def ensure(self, database: str, *, owner: str = OWNER) -> str:
        """Make a database where there is none of that name, and return its address."""
        with psycopg.connect(self.url()) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        return self.url(database) if there else self.create(database, owner=owner)

    def ensure_role(self, name: str, *, password: str) -> None:
        """Make a role that may sign in and nothing else, or give the one that is there this password."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            verb = sql.SQL("ALTER ROLE" if there else "CREATE ROLE")
            words = (verb, sql.Identifier(name), sql.Literal(password))
            connection.execute(sql.SQL("{} {} LOGIN PASSWORD {}").format(*words))

    def drop(self, database: str) -> None:
        """Drop a database, ending whoever is connected to it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def stop(self) -> None:
        """End it as an operator would; who is connected is cut off («fast»)."""
        self.daemon.stop(signal.SIGINT)


def running(directory: Path) -> AbstractContextManager[Postgres]:
    """Start a server in a directory and end it."""
    return started(Postgres(directory))
