"""The database's history: one Alembic step after another, run up when the database is opened.

Two processes that open a new database at once do so one after the other: the step runs in a writing transaction.
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


def config() -> Config:
    """Return Alembic's configuration; there is no ini file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest step; a database that is there already costs one query."""
    made = config()
    head = ScriptDirectory.from_config(made).get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
    with engine.connect() as raw:
        connection = raw.execution_options(writing=True)
        with _foreign_keys_off(connection), connection.begin():
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
