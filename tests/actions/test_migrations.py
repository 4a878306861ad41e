"""Claims about the database's history: old rows survive every step, and a stepped database is the one that a new one would be."""

import sqlite3

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

import archive.records
from archive.records.base import Base
from archive.records.migrations import config, upgrade
from archive.records.session import open_sqlite, writing

FIRST = """
INSERT INTO stations VALUES (1, 'dock-1', 'a2V5', 1, NULL);
INSERT INTO objects (sha256, size, stored_at) VALUES (:sha, 3, 1);
INSERT INTO uploads (id, state, length, name, sent_metadata, station_id, created_at, expires_at)
    VALUES ('u1', 'receiving', 3, 'a', '', 1, 1, 9);
INSERT INTO items (id, number, agency, letters, year, serial, kind, sha256, upload_id, name, media_type, container,
                   station_id, clock_offset_us, stored_at, condition, findings, technical)
    VALUES (1, 'N-1', 'N', 'LX', 2026, 1, 'recording', :sha, 'u1', 'a', 'video/mp4', 'mov', 1, 5, 1, 'unchecked', '[]', '{}');
UPDATE uploads SET state = 'stored', item_id = 1;
"""


def _at(engine, revision: str) -> None:
    made = config()
    with engine.connect() as raw, (connection := raw.execution_options(writing=True)).begin():
        made.attributes["connection"] = connection
        command.upgrade(made, revision)


@pytest.fixture
def stepped(tmp_path):
    """A database of the first step with an item in it, brought to the newest."""
    assert archive.records
    engine = open_sqlite(tmp_path / "archive.db")
    _at(engine, "0001")
    with writing(engine) as session:
        for statement in FIRST.strip().split(";\n"):
            session.execute(text(statement.replace(":sha", f"'{'ab' * 32}'").rstrip(";\n")))
    upgrade(engine)
    yield engine
    engine.dispose()


def test_an_item_taken_in_before_a_step_is_there_after_it_with_its_upload(stepped):
    with stepped.connect() as connection:
        row = connection.execute(
            text(
                "SELECT i.number, i.key_mark, i.clock_offset_from, u.state, u.length FROM items i JOIN uploads u ON u.item_id = i.id"
            )
        )
        assert row.one() == ("N-1", 0, "given", "stored", 3)


def test_a_stepped_database_has_the_tables_that_the_code_describes(stepped):
    with stepped.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_stepped_database_takes_the_states_that_are_new(stepped):
    with writing(stepped) as session:
        session.execute(
            text(
                "INSERT INTO uploads (id, state, concat, name, sent_metadata, station_id, created_at, expires_at)"
                " VALUES ('u2', 'joined', 'partial', 'b', '', 1, 1, 9)"
            )
        )


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE uploads SET state = 'lost'", "ck_uploads_state"),
        ("UPDATE uploads SET length = -1", "ck_uploads_length"),
        ("UPDATE uploads SET item_id = NULL", "ck_uploads_stored_item"),
        ("UPDATE uploads SET station_id = NULL", "ck_uploads_one_source"),
        ("UPDATE uploads SET concat = 'both'", "ck_uploads_concat"),
        ("UPDATE items SET kind = 'song'", "ck_items_kind"),
        ("UPDATE items SET condition = 'fine'", "ck_items_condition"),
        ("DELETE FROM items", "FOREIGN KEY"),
    ],
)
def test_a_stepped_database_still_refuses_what_a_new_one_refuses(stepped, tmp_path, statement, what):
    stepped.dispose()
    connection = sqlite3.connect(tmp_path / "archive.db")
    connection.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(sqlite3.IntegrityError, match=what):
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("statement", ["UPDATE rules SET version = 2", "DELETE FROM rules"])
def test_a_rule_is_never_changed_and_never_removed(stepped, tmp_path, statement):
    stepped.dispose()
    connection = sqlite3.connect(tmp_path / "archive.db")
    connection.execute("INSERT INTO rules VALUES (1, 'carrier', 1, '{}', 'basis', 'admin', 1)")
    with pytest.raises(sqlite3.IntegrityError, match="rules are never"):
        connection.execute(statement)
    connection.close()
