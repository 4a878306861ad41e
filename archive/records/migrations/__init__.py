"""The database's history: one Alembic step after another; SQLite is run up when it is opened, PostgreSQL by `liuhen admin migrate` only.

Two processes that do so at once do it one after the other: all steps run in one writing transaction, on PostgreSQL under a lock. A step
that fails leaves the database as it was.

Nearly every start finds the database at its newest step, so that is seen by one query and the names of the steps' files; Alembic is loaded
by who has something to do (a third of a second of a start otherwise).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

if TYPE_CHECKING:
    from alembic.config import Config

LOCK = 0x6C697568656E
"""The name that migrations hold on PostgreSQL: «liuhen»."""


def config() -> Config:
    """Return Alembic's configuration; there is no ini file."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.set_main_option("path_separator", "os")
    return made


def steps() -> list[str]:
    """Return the names of all steps, oldest first: the numbers that their files begin with."""
    return sorted(each.name.partition("_")[0] for each in (Path(__file__).parent / "versions").glob("[0-9]*_*.py"))


def head() -> str:
    """Return the newest step, which this program is written for."""
    return steps()[-1]


def current(connection: Connection) -> str | None:
    """Return the last step that the database took, or None if it took none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


class UnknownStep(Exception):
    """The database is at a step that this program does not have: it was migrated by a newer one."""


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest step; a database that is there already costs one query.

    Raises:
        UnknownStep: it is further than this program.
    """
    with engine.connect() as connection:
        found = current(connection)
    if found == head():
        return
    if found is not None and found not in steps():
        raise UnknownStep(f"the database is at step {found}, which this program does not know: a newer one migrated it")
    from alembic import command  # noqa: PLC0415 - see above

    made = config()
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
