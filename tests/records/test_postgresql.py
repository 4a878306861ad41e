"""PostgreSQL is trusted only where it may be, its faults are ours, and no answer that got lost is taken for a failure."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url, text

from archive.actions import accession, custody, person, station, upload
from archive.adapters import signing
from archive.core.access import PersonCaller
from archive.core.accession import Kind
from archive.core.custody import EventKind, flaws
from archive.core.digest import Digest
from archive.core.errors import Malformed, Unavailable
from archive.core.instant import Instant, parse
from archive.core.media.sniff import Sniffed
from archive.ports import Placed, Put
from archive.records.locks import Noun, hold
from archive.records.migrations import head
from archive.records.postgresql import examine, open_postgresql
from archive.records.session import Tries, reading, writing
from tests import services

NOW = parse("2026-03-12T04:00:00Z")


@pytest.fixture
def engine(postgres_url):
    engine = open_postgresql(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def tries(engine) -> Tries:
    with writing(engine) as session:
        session.execute(text("CREATE TABLE told (who INTEGER PRIMARY KEY)"))
    return Tries(engine)


def tell(session, who: int) -> int:
    session.execute(text("INSERT INTO told VALUES (:who) ON CONFLICT DO NOTHING"), {"who": who})
    return who


def told(engine) -> list[int]:
    with reading(engine) as session:
        return list(session.scalars(text("SELECT who FROM told ORDER BY who")))


def end_others(url: str) -> None:
    """Cut everybody else off this database, as a server that is started again does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def ask_alone(engine):
    with writing(engine) as session:
        return session.scalar(text("SELECT 1"))


# What it must be


def flawed(url: str, *settings: str) -> str:
    """Return the flaws that a web process finds in a database that its role was given these settings in."""
    name = make_url(url).database
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in settings:
            connection.execute(
                sql.SQL("ALTER ROLE liuhen_web IN DATABASE {} SET ").format(sql.Identifier(name)) + sql.SQL(setting)
            )
    engine = open_postgresql(services.as_role(url, "liuhen_web"))
    try:
        return "\n".join(examine(engine, revision=head()).flaws)
    finally:
        engine.dispose()


def test_a_web_process_trusts_a_migrated_database_as_its_own_role_and_nobody_elses(postgres_url, engine):
    assert flawed(postgres_url) == ""
    assert "superuser" in "\n".join(examine(engine, revision=head()).flaws)


def test_everything_that_is_wrong_is_told_at_once(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("GRANT UPDATE, TRUNCATE ON custody_events TO liuhen_web")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    found = flawed(postgres_url, "synchronous_commit = off", "default_transaction_read_only = on")
    for what in ("synchronous_commit is off", "read only", "step 0001", "may UPDATE, TRUNCATE custody_events"):
        assert what in found


def test_a_role_that_owns_the_events_or_belongs_to_who_does_is_refused(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER TABLE custody_events OWNER TO liuhen_web")
    assert "owns custody_events" in flawed(postgres_url)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        ("ENCODING 'LATIN1' LOCALE 'C'", "encoding is LATIN1"),
        ("LOCALE_PROVIDER icu ICU_LOCALE 'zh-CN' LOCALE 'C.UTF-8'", "ordered by zh-CN"),
    ],
)
def test_a_database_of_another_encoding_or_order_is_refused_before_anything_is_written(make, what):
    service = services.postgres()
    name = f"odd_{abs(hash(make)) % 10**8}"
    service.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ").format(sql.Identifier(name)) + sql.SQL(make))
    engine = open_postgresql(service.url(name))
    try:
        assert what in "\n".join(examine(engine).flaws)
    finally:
        engine.dispose()
        service.drop(name)


# What breaks


def test_a_server_that_was_started_again_in_between_is_noticed_by_nobody(postgres_url, engine):
    assert ask_alone(engine) == 1
    end_others(postgres_url)
    assert ask_alone(engine) == 1


def test_a_connection_lost_in_the_middle_of_a_look_is_unavailable_once(postgres_url, engine):
    def look():
        with reading(engine) as session:
            end_others(postgres_url)
            return session.scalar(text("SELECT 1"))

    with pytest.raises(Unavailable, match=r"connection_lost|shutting_down"):
        look()
    assert ask_alone(engine) == 1


def test_what_was_broken_off_in_the_middle_is_done_again_from_the_start(postgres_url, engine, tries):
    begun = []

    def run(session):
        tell(session, len(begun))
        begun.append(True)
        if len(begun) == 1:
            end_others(postgres_url)
        return tell(session, 10)

    assert tries.together(run) == 10
    assert told(engine) == [1, 10], "nothing of the first try is there"


def test_of_two_in_each_other_s_way_both_get_through(engine, tries):
    meeting = threading.Barrier(2)
    answers, begun = [], []

    def crossing(first, second):
        def run(session):
            session.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": first})
            begun.append(first)
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(2)
            session.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": second})
            return tell(session, first)

        return lambda: answers.append(tries.together(run))

    threads = [threading.Thread(target=crossing(1, 2)), threading.Thread(target=crossing(2, 1))]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    for thread in threads:
        thread.join(30)
    assert (sorted(answers), told(engine)) == ([1, 2], [1, 2])
    assert len(begun) == 3, "the one that was broken off began again"


def test_what_never_gets_through_is_unavailable_and_says_why(postgres_url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = make_url(postgres_url).set(port=taken.getsockname()[1])
    engine = open_postgresql(nowhere.render_as_string(hide_password=False))
    with pytest.raises(Unavailable, match="connection_lost"):
        ask_alone(engine)
    engine.dispose()


def test_a_frozen_writer_is_put_out_and_those_who_wait_for_it_get_through(postgres_url, monkeypatch):
    monkeypatch.setitem(
        open_postgresql.__globals__["_TIMEOUTS"], "idle_in_transaction_session_timeout", "300ms"
    )  # ten seconds, as shipped
    engine = open_postgresql(postgres_url)

    def freeze():
        with writing(engine) as frozen:
            hold(frozen, Noun.CUSTODY)
            with writing(engine) as session:
                hold(session, Noun.CUSTODY)
            got_through.append(True)
            frozen.execute(text("SELECT 1"))

    got_through: list[bool] = []
    with pytest.raises(Unavailable):
        freeze()
    assert got_through
    engine.dispose()


def test_a_text_with_a_nul_is_malformed_and_not_a_fault(engine):
    with pytest.raises(Malformed), reading(engine) as session:
        person.password_hash(session, login="ad\x00min", now=NOW)


def test_a_number_of_more_than_32_bits_is_kept(engine):
    with writing(engine) as session:
        session.execute(text("INSERT INTO objects (sha256, size, stored_at) VALUES (:d, 1099511627776, 1)"), {"d": "a" * 64})
        station.enrol(session, name="dock-1", public_key=b"x" * 32, by="operator", now=NOW)
        session.execute(
            text(
                "INSERT INTO items (id, number, agency, letters, year, serial, kind, sha256, name, media_type, container, stored_at,"
                " condition, findings, technical, sequence) VALUES (5000000000, 'N', 'N', 'LX', 2026, 1, 'photo', :d, 'n', 'm', 'c', 1,"
                " 'sound', '[]', '{}', 999999999999)"
            ),
            {"d": "a" * 64},
        )
    with reading(engine) as session:
        assert session.scalar(text("SELECT sequence FROM items")) == 999999999999


class Deaf:
    """A way to the server that breaks off when the server answers a commit: done, and never heard of. The next connections are whole."""

    def __init__(self, url: str) -> None:
        self._to = make_url(url)
        self.breaks = 0
        self.left = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = self._to.set(port=self._server.getsockname()[1]).render_as_string(hide_password=False)
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _listen(self):
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._carry, args=(near,)))
            self._threads[-1].start()

    def _carry(self, near):
        with near, socket.create_connection((self._to.host, self._to.port)) as far:
            back = threading.Thread(target=self._back, args=(far, near))
            back.start()
            self._deaf = False
            while data := near.recv(65536):
                if b"COMMIT" in data and self.left:
                    self.left -= 1
                    self._deaf = True
                far.sendall(data)
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)
            back.join()

    def _back(self, far, near):
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if self._deaf:
                    self.breaks += 1
                    near.shutdown(socket.SHUT_RDWR)
                    return
                near.sendall(data)


def test_a_commit_whose_answer_was_lost_is_found_and_not_done_twice(postgres_url):
    """A person's small upload, which nothing names but the answer that got lost: told the very number that it has."""
    with Deaf(postgres_url) as deaf:
        engine = open_postgresql(deaf.url, connections=1, kept=1)
        with writing(engine) as session:
            person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=NOW)
        me = PersonCaller(1, "admin", "管理员")
        with reading(engine) as session:
            drafted = upload.drafted(
                session,
                "a" * 32,
                caller=me,
                length=3,
                metadata={"filename": b"x.pdf"},
                verify=signing.verify,
                now=NOW,
                concat=None,
            )
        begun = []

        def take_in(session):
            begun.append(True)
            assert upload.add(session, drafted, now=NOW, expires_at=Instant(NOW + 10**12)) == "a" * 32
            return accession.accept(
                session,
                upload_id="a" * 32,
                digest=Digest.of(b"abc"),
                size=3,
                placed=Placed(Put.WRITTEN, ""),
                sniffed=Sniffed(Kind.DOCUMENT, "application/pdf", "pdf"),
                agency="131102",
                zone=ZoneInfo("Asia/Shanghai"),
                now=NOW,
            )

        deaf.left = 1
        accepted = Tries(engine).together(take_in)
        assert (deaf.breaks, len(begun)) == (1, 2)
        with reading(engine) as session:
            assert session.execute(text("SELECT number FROM items")).scalars().all() == [accepted.number]
            chain = list(custody.chain(session))
        assert flaws(chain) == []
        assert sum(EventKind.STORED.value in link.body for link in chain) == 1
        engine.dispose()
