"""Claims about the database's history, on both databases: old rows survive every step, and a stepped one is what a new one would be."""

import secrets
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import archive.records
from archive.records.base import Base
from archive.records.migrations import UnknownStep, config, current, head, steps, upgrade
from archive.records.postgresql import open_postgresql
from archive.records.session import open_sqlite, writing
from tests import services

FIRST = """
INSERT INTO stations VALUES (1, 'dock-1', 'a2V5', 1, NULL);
INSERT INTO objects (sha256, size, stored_at) VALUES (:sha, 3, 1);
INSERT INTO uploads (id, state, length, name, sent_metadata, station_id, created_at, expires_at)
    VALUES ('u1', 'receiving', 3, 'a', '', 1, 1, 9);
INSERT INTO items (id, number, agency, letters, year, serial, kind, sha256, upload_id, name, media_type, container,
                   station_id, clock_offset_us, stored_at, condition, findings, technical)
    VALUES (1, 'N-1', 'N', 'LX', 2026, 1, 'recording', :sha, 'u1', 'a', 'video/mp4', 'mov', 1, 5, 1, 'unchecked', '[]', '{}');
UPDATE uploads SET state = 'stored', item_id = 1;
INSERT INTO custody_events (seq, item_id, kind, at, actor, body, hash) VALUES (1, 1, 'ingestion', 1, 'station:dock-1', '{}', :sha);
INSERT INTO jobs (id, kind, lane, key, item_id, sha256, payload, priority, state, run_after, attempt, permille, note, created_at)
    VALUES (1, 'examine', 'quick', 'examine:item-1', 1, :sha, '{}', 90, 'waiting', 1, 0, 0, '', 1);
"""


def _at(engine, revision: str) -> None:
    made = config()
    with engine.connect() as raw, (connection := raw.execution_options(writing=True)).begin():
        made.attributes["connection"] = connection
        command.upgrade(made, revision)


def _bare_postgresql():
    """Give a database without a table in it."""
    service, name = services.postgres(), f"bare_{secrets.token_hex(6)}"
    return service, name, open_postgresql(service.create(name), patient=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request, tmp_path):
    assert archive.records
    if request.param == "sqlite":
        engine = open_sqlite(tmp_path / "archive.db")
        yield engine
        engine.dispose()
        return
    service, name, engine = _bare_postgresql()
    yield engine
    engine.dispose()
    service.drop(name)


@pytest.fixture
def stepped(bare):
    """A database of the first step with an item in it, brought to the newest."""
    _at(bare, "0001")
    with writing(bare) as session:
        for statement in FIRST.strip().split(";\n"):
            session.execute(text(statement.replace(":sha", f"'{'ab' * 32}'").rstrip(";\n")))
    upgrade(bare)
    return bare


def test_what_was_there_before_a_step_is_there_after_it_and_the_tables_are_those_that_the_code_describes(stepped):
    with stepped.connect() as connection:
        row = connection.execute(
            text(
                "SELECT i.number, i.key_mark, i.clock_offset_from, u.state, u.length, o.version_id, j.source, c.seq FROM items i"
                " JOIN uploads u ON u.item_id = i.id JOIN objects o ON o.sha256 = i.sha256 JOIN jobs j ON j.item_id = i.id"
                " JOIN custody_events c ON c.item_id = i.id"
            )
        ).one()
        assert (row[0], bool(row[1]), *row[2:5], row[5], bool(row[6]), row[7]) == (
            "N-1",
            False,
            "given",
            "stored",
            3,
            "",
            True,
            1,
        )
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    with writing(stepped) as session:
        session.execute(
            text(
                "INSERT INTO uploads (id, state, concat, name, sent_metadata, station_id, created_at, expires_at)"
                " VALUES ('u2', 'joined', 'partial', 'b', '', 1, 1, 9)"
            )
        )


def test_what_was_cleared_away_before_the_step_is_no_more_looked_for_than_what_is_cleared_away_after_it(bare):
    _at(bare, "0005")
    with writing(bare) as session:
        session.execute(text("INSERT INTO stations (id, name, public_key, enrolled_at) VALUES (1, 'dock-1', 'a2V5', 1)"))
        for upload_id, state, multipart in (
            ("cleared", "expired", '{"part_size": 1}'),
            ("left", "expired", '{"part_size": 1, "id": "m"}'),
            ("opened", "receiving", '{"part_size": 1}'),
        ):
            session.execute(
                text(
                    "INSERT INTO uploads (id, state, length, name, sent_metadata, station_id, created_at, expires_at, direct, multipart)"
                    " VALUES (:id, :state, 3, 'a', '', 1, 1, 9, true, :multipart)"
                ),
                {"id": upload_id, "state": state, "multipart": multipart},
            )
    upgrade(bare)
    with bare.connect() as connection:
        held = connection.execute(text("SELECT id FROM uploads WHERE multipart IS NOT NULL ORDER BY id"))
        assert [each.id for each in held] == ["left", "opened"]


REFUSED = [
    ("UPDATE uploads SET state = 'lost'", "ck_uploads_state"),
    ("UPDATE uploads SET length = -1", "ck_uploads_length"),
    ("UPDATE uploads SET item_id = NULL", "ck_uploads_stored_item"),
    ("UPDATE uploads SET station_id = NULL", "ck_uploads_one_source"),
    ("UPDATE uploads SET concat = 'both'", "ck_uploads_concat"),
    ("UPDATE items SET kind = 'song'", "ck_items_kind"),
    ("UPDATE items SET condition = 'fine'", "ck_items_condition"),
    ("DELETE FROM items", "FOREIGN KEY|foreign key"),
    ("UPDATE rules SET version = 2", "rules are never"),
    ("DELETE FROM rules", "rules are never"),
    ("UPDATE custody_events SET actor = 'nobody'", "custody.events are never"),
    ("DELETE FROM custody_events", "custody.events are never"),
]


def test_a_stepped_database_refuses_what_a_new_one_refuses(stepped):
    with writing(stepped) as session:
        session.execute(text("INSERT INTO rules VALUES (1, 'carrier', 1, '{}', 'basis', 'admin', 1)"))
    also = [(f"TRUNCATE {table} CASCADE", "are never") for table in ("rules", "custody_events")]
    for statement, what in REFUSED + (also if stepped.dialect.name == "postgresql" else []):
        with pytest.raises(DBAPIError, match=what), writing(stepped) as session:
            session.execute(text(statement))


def test_two_that_migrate_at_once_do_it_one_after_the_other(bare):
    others = [
        open_sqlite(Path(bare.url.database)) if bare.dialect.name == "sqlite" else open_postgresql(bare.url) for _ in range(2)
    ]
    failed = []

    def go(engine):
        try:
            upgrade(engine)
        except Exception as why:  # noqa: BLE001 - what was raised is what is looked at
            failed.append(why)

    threads = [threading.Thread(target=go, args=(engine,)) for engine in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in others:
        engine.dispose()
    assert failed == []
    with bare.connect() as connection:
        assert current(connection) == MigrationContext.configure(connection).get_current_revision() == head()


def test_the_steps_files_are_named_after_the_steps():
    """Which step is the newest is read off the names, without Alembic."""
    chain = [each.revision for each in ScriptDirectory.from_config(config()).walk_revisions()]
    assert steps() == chain[::-1]


def test_a_database_that_took_no_step_says_so(bare):
    with bare.connect() as connection:
        assert current(connection) is None


def test_a_database_that_a_newer_program_migrated_is_left_alone(stepped):
    with writing(stepped) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UnknownStep, match="9999"):
        upgrade(stepped)
