"""Who may do what in PostgreSQL: a role each for web processes, workers and auditors, and nothing that they do not need.

Invariants: no role but the one that migrates owns anything, makes anything, or changes or removes what is only ever added to; a worker
and an auditor see no password's hash and no token's. Every table is named here, so that a new one is nobody's until somebody decides.

Not guaranteed: that a role has a password, or from where it may come. That is the operator's (docs/operations.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

RIGHTS: Final = {"s": "SELECT", "i": "INSERT", "u": "UPDATE", "d": "DELETE"}

TABLES: Final[dict[str, tuple[str, str, str]]] = {
    # table: what a web process may, what a worker may, what an auditor may
    "people": ("siu", "s", "s"),
    # Removing what is over while others have it in hand locks rows first, and that asks for the right to change them.
    "sign_ins": ("siud", "", ""),
    "failed_sign_ins": ("siud", "", "s"),
    "stations": ("siu", "s", "s"),
    "nonces": ("siud", "", ""),
    "station_tokens": ("siud", "", ""),
    "hosts": ("siud", "s", "s"),
    "uploads": ("siu", "su", "s"),
    "quarantine": ("si", "si", "s"),
    "objects": ("siu", "siu", "s"),
    "items": ("si", "siu", "s"),
    "serials": ("siu", "siu", "s"),
    "renditions": ("s", "siu", "s"),
    "viewings": ("siu", "", "s"),
    "cases": ("si", "s", "s"),
    "bindings": ("siu", "si", "s"),
    "papers": ("si", "su", "s"),
    "paper_pages": ("si", "si", "s"),
    "releases": ("siu", "s", "s"),
    "custody_events": ("si", "si", "s"),
    "rules": ("si", "s", "s"),
    "jobs": ("siu", "siud", "s"),
    "lane_turns": ("s", "siu", "s"),
    "replicas": ("s", "siud", "s"),
    "probes": ("s", "sid", "s"),
    "alembic_version": ("s", "s", "s"),
}
"""Whoever sets accounts, stations and rules from the command line comes as a web process."""

ONLY: Final = {("objects", 0): "version_id, locked_until"}
"""What a role may change of a row, where that is not all of it: a web process names another version, and no verdict."""

SECRET: Final = {"people": "password_hash"}
"""Columns that workers and auditors do not see, though they see the rest of the row."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles' names in this installation.

    Raises:
        ValueError: one is no plain name, or two are the same.
    """

    web: str = "liuhen_web"
    worker: str = "liuhen_worker"
    audit: str = "liuhen_audit"

    def __post_init__(self) -> None:
        names = (self.web, self.worker, self.audit)
        if wrong := [name for name in names if not _NAME.fullmatch(name)]:
            raise ValueError(f"{wrong[0]!r}: small letters, digits and _ only, 63 at most")
        if len(set(names)) < len(names):
            raise ValueError("web, worker and audit are three roles")


class CannotMakeRoles(Exception):
    """A role is missing, and the one that migrates may not make it; the text says what a superuser must do."""


def grant(connection: Connection, roles: Roles) -> list[str]:
    """Make the roles that are missing, without a password, give each exactly its rights, and return the names of those made.

    Raises:
        CannotMakeRoles: one is missing and this role may not make it.
        ValueError: one is a superuser, or the very role that migrates.
    """
    made = [name for name in (roles.web, roles.worker, roles.audit) if _make(connection, name)]
    connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    for place, name in enumerate((roles.web, roles.worker, roles.audit)):
        for statement in _statements(connection, name, place):
            connection.exec_driver_sql(statement)
    return made


def _make(connection: Connection, name: str) -> bool:
    found = connection.exec_driver_sql(
        "SELECT rolsuper, rolname = current_user FROM pg_roles WHERE rolname = %(name)s", {"name": name}
    ).first()
    if found is not None:
        if any(found):
            raise ValueError(f"{name} is a superuser or the role that migrates: it cannot be kept from anything")
        return False
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN")
    except ProgrammingError as why:
        raise CannotMakeRoles(
            f"there is no role {name}, and this one may not make roles; as a superuser: CREATE ROLE {name} LOGIN PASSWORD '…'"
        ) from why
    return True


def _statements(connection: Connection, name: str, place: int) -> Iterator[str]:
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}"
    yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {name}"
    yield f"REVOKE ALL ON SCHEMA public FROM {name}"
    yield f"GRANT USAGE ON SCHEMA public TO {name}"
    for table, rights in TABLES.items():
        for letter in rights[place]:
            columns = ""
            if letter == "s" and place and table in SECRET:
                columns = _open_columns(connection, table)
            elif letter == "u" and (table, place) in ONLY:
                columns = f" ({ONLY[table, place]})"
            yield f"GRANT {RIGHTS[letter]}{columns} ON {table} TO {name}"
        if "i" in rights[place] and (sequence := _sequence(connection, table)):
            yield f"GRANT USAGE ON SEQUENCE {sequence} TO {name}"


def _open_columns(connection: Connection, table: str) -> str:
    names = connection.exec_driver_sql(
        "SELECT attname FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped",
        {"table": table},
    ).scalars()
    return " (" + ", ".join(name for name in names if name != SECRET[table]) + ")"


def _sequence(connection: Connection, table: str) -> str | None:
    found = connection.exec_driver_sql(
        "SELECT pg_get_serial_sequence(%(table)s, 'id') FROM pg_attribute"
        " WHERE attrelid = %(table)s::regclass AND attname = 'id' AND NOT attisdropped",
        {"table": table},
    ).scalar()
    return None if found is None else str(found)
