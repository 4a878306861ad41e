"""Accessions that wait together on PostgreSQL: one commit, each by itself."""

import threading
import time

import pytest
from sqlalchemy import text

from archive.actions import accession
from archive.core.accession import Kind
from archive.core.digest import Digest
from archive.core.errors import Malformed, Unavailable
from archive.core.media.sniff import Sniffed
from archive.ports import Placed, Put
from archive.records.gathering import Gathering
from archive.records.postgresql import open_postgresql
from archive.records.session import writing
from tests.actions.conftest import NOW, SHANGHAI, settled


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


def test_batches_of_different_kinds_do_not_wait_for_each_other_in_a_circle(on_postgresql, caplog):
    """One has a document and goes on to a photo; another has its photo and waits for the end of the chain, which the first holds."""
    house = settled(on_postgresql)
    kinds = {b"document": Sniffed(Kind.DOCUMENT, "application/pdf", "pdf"), b"photo": Sniffed(Kind.PHOTO, "image/jpeg", "jpeg")}
    contents = [b"first", b"document", b"photo", b"another photo"]
    uploads = {content: house.begin(content) for content in contents}
    before = deadlocks(house.engine)

    def take(content, session):
        accession.accept(
            session,
            upload_id=uploads[content],
            digest=Digest.of(content),
            size=len(content),
            placed=Placed(Put.WRITTEN, ""),
            sniffed=kinds[b"photo" if b"photo" in content else b"document"],
            agency="131102",
            zone=SHANGHAI,
            now=NOW,
        )

    def other():
        with writing(house.engine) as session:
            take(b"another photo", session)

    others = threading.Thread(target=other)

    def photo(session):
        others.start()
        while others.is_alive() and not waits(house.engine):
            time.sleep(0.002)
        take(b"photo", session)

    gathering = Gathering(house.engine)
    together(gathering, [lambda session: take(b"first", session), lambda session: take(b"document", session), photo])
    others.join(30)
    assert "broken off" not in caplog.text
    assert deadlocks(house.engine) == before
    with house.reading() as session:
        assert session.execute(text("SELECT count(*) FROM items")).scalar() == len(contents)


def together(gathering, works):
    """Do the first, and meanwhile have the others wait in their order, so that they are one batch."""
    first, go_on = threading.Event(), threading.Event()

    def begin(session):
        first.set()
        assert go_on.wait(20)
        works[0](session)

    threads = [threading.Thread(target=gathering.together, args=(begin,))]
    threads[0].start()
    assert first.wait(20)
    for count, work in enumerate(works[1:], 1):
        threads.append(threading.Thread(target=gathering.together, args=(work,)))
        threads[-1].start()
        while len(gathering._waiting) < count:
            time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join(60)


def waits(engine):
    with engine.connect() as connection:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(connection.execute(text(waiting)).scalar())


def deadlocks(engine):
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        return connection.execute(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")).scalar()
