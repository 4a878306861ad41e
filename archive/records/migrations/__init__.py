"""The database's history: one Alembic step after another; SQLite is run up when it is opened, PostgreSQL by `liuhen admin migrate` only.

Two processes that do so at once do it one after the other: all steps run in one writing transaction, on PostgreSQL under a lock. A step
that fails leaves the database as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

LOCK = 0x6C697568656E
"""The name that migrations hold on PostgreSQL: «liuhen»."""


def config() -> Config:
    """Return Alembic's configuration; there is no ini file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.set_main_option("path_separator", "os")
    return made


def head() -> str | None:
    """Return the newest step, which this program is written for."""
    return ScriptDirectory.from_config(config()).get_current_head()


class UnknownStep(Exception):
    """The database is at a step that this program does not have: it was migrated by a newer one."""


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest step; a database that is there already costs one query.

    Raises:
        UnknownStep: it is further than this program.
    """
    made = config()
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == head():
        return
    if found is not None and found not in {each.revision for each in ScriptDirectory.from_config(made).walk_revisions()}:
        raise UnknownStep(f"the database is at step {found}, which this program does not know: a newer one migrated it")
    with engine.connect() as raw:
        connection = raw.execution_options(writing=True)
        with _foreign_keys_off(connection), connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%(name)s)", {"name": LOCK})
            made.attributes["connection"] = connection
            command.upgrade(made, "head")
            if connection.dialect.name == "sqlite" and (
                broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            ):
                raise sa.exc.IntegrityError("PRAGMA foreign_key_check", None, ValueError(str(broken[:5])))


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Let SQLite make a table anew that others refer to; it heeds the pragma only outside a transaction, and all is checked at the end."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.dbapi_connection
    assert driver is not None
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")
