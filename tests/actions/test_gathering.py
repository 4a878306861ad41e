"""Accessions that wait together on PostgreSQL: one commit, each by itself."""

import threading

import pytest
from sqlalchemy import text

from archive.core.errors import Malformed, Unavailable
from archive.records.gathering import Gathering
from archive.records.postgresql import open_postgresql


@pytest.fixture
def engine(postgres_url):
    engine = open_postgresql(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE told (who integer PRIMARY KEY, at bigint DEFAULT txid_current())"))
    yield engine
    engine.dispose()


def write(who, *, after=None):
    def run(session):
        if after is not None:
            after()
        session.execute(text("INSERT INTO told (who) VALUES (:who)"), {"who": who})
        if who == 3:
            raise Malformed(what="three")
        return who

    return run


def told(engine):
    with engine.connect() as connection:
        return {row.who: row.at for row in connection.execute(text("SELECT who, at FROM told"))}


def many(gathering, engine, count):
    """Have one hold the turn until the others wait, and return what each of them got."""
    first, held, got = threading.Event(), threading.Event(), {}

    def do(who, after=None):
        try:
            got[who] = gathering.together(write(who, after=after))
        except (Malformed, Unavailable) as why:
            got[who] = why

    def hold():
        first.set()
        held.wait(20)

    threads = [threading.Thread(target=do, args=(0, hold))]
    threads[0].start()
    first.wait(20)
    threads += [threading.Thread(target=do, args=(who,)) for who in range(1, count)]
    for thread in threads[1:]:
        thread.start()
    while len(gathering._waiting) < count - 1:
        pass
    held.set()
    for thread in threads:
        thread.join()
    return got


def test_those_that_wait_are_committed_at_once_and_a_refusal_is_its_own(engine):
    got = many(Gathering(engine), engine, 8)
    assert isinstance(got.pop(3), Malformed)
    assert got == {who: who for who in range(8) if who != 3}
    there = told(engine)
    assert set(there) == set(got)
    assert len({at for who, at in there.items() if who}) == 1, "one transaction for all that waited"


def test_a_batch_that_is_broken_off_is_done_one_by_one(engine):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO told (who) VALUES (5)"))
    got = many(Gathering(engine), engine, 8)
    assert isinstance(got.pop(5), Unavailable), "somebody wrote the same: it is asked again, and finds it"
    assert isinstance(got.pop(3), Malformed)
    assert got == {who: who for who in (0, 1, 2, 4, 6, 7)}
    assert set(told(engine)) == {0, 1, 2, 4, 5, 6, 7}
