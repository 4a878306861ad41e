"""Each role of PostgreSQL can do what it must and is refused what it must not; both are tried, none is read off a list."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import errors
from sqlalchemy.exc import ProgrammingError

from archive.actions import (
    accession,
    case,
    custody,
    fixity,
    jobs,
    person,
    release,
    rule,
    station,
    technical,
    upload,
    viewing,
)
from archive.adapters import signing
from archive.core.access import PersonCaller, StationCaller
from archive.core.accession import Kind
from archive.core.cases import Stage
from archive.core.custody import EventKind
from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.core.manifest import Page
from archive.core.media.sniff import Sniffed
from archive.core.release import SHIPPED
from archive.ports import Placed, Put
from archive.records.base import Base
from archive.records.postgresql import open_postgresql
from archive.records.roles import TABLES, Roles
from archive.records.session import reading, writing
from tests import services
from tests.actions.conftest import NOW, SEED, SHANGHAI, House, publish_rendition, sign

ROLES = Roles()
LATER = Instant(NOW + 10**12)


@pytest.fixture
def engines(postgres_url):
    made = {role: open_postgresql(services.as_role(postgres_url, role)) for role in (ROLES.web, ROLES.worker, ROLES.audit)}
    yield made
    for engine in made.values():
        engine.dispose()


def test_every_table_is_decided_on():
    assert set(TABLES) == {*Base.metadata.tables, "alembic_version"}


def test_a_day_s_work_is_done_by_a_web_role_and_a_worker_s(engines):
    web, worker = engines[ROLES.web], engines[ROLES.worker]
    house = House(web, StationCaller(1, "dock-1", signing.public_of(SEED)), PersonCaller(1, "admin", "管理员"))
    with writing(web) as session:
        station.enrol(session, name="dock-1", public_key=signing.public_of(SEED), by="operator", now=NOW)
        person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=NOW)
        assert person.password_hash(session, login="admin", now=NOW) == "x"
    with writing(web) as session:
        rule.set_carrier(session, rule=replace(SHIPPED, basis="another"), by="operator", now=NOW)
    with writing(web) as session:
        person.sign_in(session, login="admin", right=False, token="t", address="a", now=NOW)
        person.sign_in(session, login="admin", right=True, token="t", address="a", now=NOW)
        person.set_password(session, login="admin", password="p" * 12, password_hash="y", now=NOW)
    with writing(web) as session:
        station.give_nonce(session, name="dock-1", nonce="n", now=NOW)
        signature = sign(station.signed_by_station("dock-1", "n"))
        station.give_token(session, name="dock-1", nonce="n", signature=signature, verify=signing.verify, token="t", now=NOW)
    number = house.take_in(b"film").number
    with writing(web) as session:
        case_id = case.open_case(session, number="1", title="t", subject="s", by=house.person, now=NOW)
    with writing(web) as session:
        binding = case.bind(session, case_id=case_id, number=number, stage=Stage.OPENING, at=None, by=house.person, now=NOW)
        viewing.look(session, item_id=1, caller=house.person, what="page", now=NOW)
    with writing(web) as session:
        case.unbind(session, case_id=case_id, binding_id=binding, by=house.person, now=NOW)

    with writing(worker) as session:
        claimed = jobs.claim(session, lane="verify", owner="w", now=LATER)
        assert claimed is not None
        jobs.keep(session, claimed, permille=1, note="", now=LATER)
    with writing(worker) as session:
        fixity.record(session, item_id=1, verdict=fixity.Verdict.INTACT, leaves=[Digest.of(b"film")], now=NOW)
        technical.record(session, item_id=1, condition="sound", findings=[], technical={}, now=NOW)
        publish_rendition(session, of=b"film", recipe="thumb", content=b"thumb")
        jobs.finish(session, claimed, now=LATER)

    signed = house.manifest(b"film", sequence=99)
    with writing(web) as session:
        own = release.Signed(signed.encode(), sign(signed.signing_bytes()))
        given = {"number": number, "signed": own, "caller": house.station, "verify": signing.verify, "now": NOW}
        assert release.ask(session, **given).state in {"granted", "kept"}

    # A document of scans: its pages by the web role, the list of them by the worker's.
    for place in (1, 2):
        content = f"page {place}".encode()
        document = Page(id="7" * 32, page=place, of=2, title="询问笔录")
        house.accept(house.begin(content, document=document), content, sniffed=Sniffed(Kind.DOCUMENT, "application/pdf", "pdf"))
    with writing(worker) as session:
        accession.assembled(
            session,
            paper_id="7" * 32,
            digest=Digest.of(b"list"),
            size=4,
            placed=Placed(Put.WRITTEN, ""),
            agency="131102",
            zone=SHANGHAI,
            now=NOW,
        )
    upload_id = house.begin(b"differs")
    with writing(worker) as session:  # what a station sent straight to the store is taken in, or not, by a worker
        accession.quarantine(
            session,
            upload_id=upload_id,
            declared=Digest.of(b"differs"),
            actual=Digest.of(b"x"),
            size=1,
            placed=Placed(Put.WRITTEN, ""),
            now=NOW,
        )
    with reading(engines[ROLES.audit]) as session:
        kinds = {event.kind for event in custody.of_item(session, 1)}
        assert {EventKind.STORED, EventKind.READ_BACK, EventKind.BOUND, EventKind.VIEWED} <= kinds
        assert upload.find(session, upload_id).state == "refused"


GUARDED = [
    f"{verb} {table}{rest}"
    for table in ("custody_events", "rules")
    for verb, rest in (("UPDATE", " SET kind = 'x'"), ("DELETE FROM", ""), ("TRUNCATE", ""), ("DROP TABLE", ""))
]
NOBODY = [
    *GUARDED,
    "ALTER TABLE custody_events DISABLE TRIGGER ALL",
    "SET session_replication_role = 'replica'",
    "CREATE TABLE mine (a int)",
    "CREATE FUNCTION pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT'",
    "DELETE FROM items",
    "TRUNCATE viewings",
    "UPDATE alembic_version SET version_num = '9'",
    "CREATE ROLE other",
]
REFUSED = {
    ROLES.web: [
        *NOBODY,
        "UPDATE objects SET verdict = 'intact'",
        "UPDATE items SET verified_at = 1",
        "INSERT INTO renditions SELECT * FROM renditions",
        "DELETE FROM jobs",
        "UPDATE replicas SET verdict = 'intact'",
    ],
    ROLES.worker: [
        *NOBODY,
        "SELECT password_hash FROM people",
        "SELECT * FROM people",
        "SELECT * FROM sign_ins",
        "SELECT * FROM station_tokens",
        "SELECT * FROM nonces",
        "UPDATE people SET password_hash = 'x'",
        "INSERT INTO stations (name, public_key, enrolled_at) VALUES ('x', 'x', 1)",
        "UPDATE stations SET revoked_at = NULL",
        "UPDATE releases SET state = 'granted'",
        "INSERT INTO rules SELECT * FROM rules",
        "INSERT INTO cases SELECT * FROM cases",
    ],
    ROLES.audit: [
        *NOBODY,
        "SELECT password_hash FROM people",
        "SELECT * FROM sign_ins",
        "SELECT * FROM station_tokens",
        "SELECT nextval('items_id_seq')",
        *(
            f"UPDATE {table} SET {'sha256' if table == 'objects' else 'id'} = NULL"
            for table in ("items", "objects", "jobs", "uploads")
        ),
        "INSERT INTO custody_events SELECT * FROM custody_events",
    ],
}


def refused(connection, statement) -> bool:
    try:
        connection.execute(statement)
    except errors.InsufficientPrivilege:
        return True
    return False


@pytest.mark.parametrize("role", REFUSED)
def test_a_role_is_refused_what_is_not_its_work(postgres_url, role):
    with psycopg.connect(services.as_role(postgres_url, role), autocommit=True) as connection:
        for statement in REFUSED[role]:
            assert refused(connection, statement), f"{role} may {statement}"
        for table in Base.metadata.tables:
            letters = TABLES[table][(ROLES.web, ROLES.worker, ROLES.audit).index(role)]
            if "s" in letters and not (table == "people" and role != ROLES.web):
                connection.execute(f"SELECT * FROM {table}")


@pytest.mark.parametrize("statement", GUARDED)
def test_the_guards_stop_even_who_owns_the_tables(postgres_url, statement):
    if statement.startswith("DROP"):
        return
    with psycopg.connect(postgres_url) as connection, pytest.raises(errors.RaiseException, match="never changed or removed"):
        connection.execute(f"{statement} CASCADE" if statement.startswith("TRUNCATE") else statement)


def test_a_worker_that_asks_for_a_password_s_hash_is_refused_and_one_that_does_not_reads_the_rest(engines):
    with writing(engines[ROLES.web]) as session:
        person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=NOW)
    with reading(engines[ROLES.worker]) as session:
        found = session.get(person.Person, 1)
        assert found.name == "管理员"
        with pytest.raises(ProgrammingError):
            assert found.password_hash


# liuhen admin migrate


def migrate(url: str, tmp_path, *options: str):
    from archive.cli import cli  # noqa: PLC0415 - what it brings along is long to load

    environment = {
        "LIUHEN_PROFILE": "production",
        "LIUHEN_DATABASE_URL": url,
        "LIUHEN_BROKER_URL": "amqp://l:long-enough-word@127.0.0.1:1/x",
        "LIUHEN_S3_ENDPOINT": "http://127.0.0.1:1",
        "LIUHEN_S3_ACCESS_KEY": "a-key-of-ours",
        "LIUHEN_S3_SECRET_KEY": "a-word-of-ours",
        "LIUHEN_KEYS_DIR": str(tmp_path / "keys"),
        "LIUHEN_WEB_NAME": "web1",
        "LIUHEN_DATA_DIR": str(tmp_path / "data"),
    }
    return CliRunner(env=environment).invoke(cli, ["admin", "migrate", *options], standalone_mode=False)


def test_migrating_makes_tables_and_roles_and_again_changes_nothing(tmp_path):
    service, name = services.postgres(), "migrating"
    options = [f"--{each}-role=made_{each}" for each in ("web", "worker", "audit")]
    service.ensure_role("made_migrate", password=service.password)
    service.execute("ALTER ROLE made_migrate CREATEROLE")  # type: ignore[arg-type]  # psycopg wants a literal
    service.create(name, owner="made_migrate")
    url = service.url(name, role="made_migrate")
    try:
        first = migrate(url, tmp_path, *options)
        assert first.exception is None, first.exception
        assert "made: made_web, which has no password yet" in first.output
        again = migrate(url, tmp_path, *options)
        assert again.exception is None
        assert "made:" not in again.output
        with psycopg.connect(service.url(name)) as connection:
            connection.execute("SET ROLE made_audit")
            assert connection.execute("SELECT count(*) FROM custody_events").fetchone() == (0,)
    finally:
        service.drop(name)
        for each in ("web", "worker", "audit", "migrate"):
            service.execute(psycopg.sql.SQL("DROP ROLE IF EXISTS {}").format(psycopg.sql.Identifier(f"made_{each}")))


def test_who_may_not_make_roles_is_told_what_to_ask_for(tmp_path):
    service, name = services.postgres(), "unmigrated"
    service.ensure_role("bare_migrate", password=service.password)
    service.create(name, owner="bare_migrate")
    try:
        found = migrate(service.url(name, role="bare_migrate"), tmp_path, "--web-role=not_there")
        assert "as a superuser: CREATE ROLE not_there" in str(found.exception)
        wrong = migrate(service.url(name, role="bare_migrate"), tmp_path, "--web-role=Not There")
        assert "small letters" in str(wrong.exception)
    finally:
        service.drop(name)
        service.execute(psycopg.sql.SQL("DROP ROLE IF EXISTS {}").format(psycopg.sql.Identifier("bare_migrate")))
