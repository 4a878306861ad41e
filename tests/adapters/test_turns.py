"""Writers of one process take turns; short transactions that wait at the same moment share one commit, and nothing else."""

import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import event, text

from archive.adapters.durable import make_directories
from archive.core.errors import Malformed
from archive.records.session import Turns, open_sqlite, reading, writing


@pytest.fixture
def engine(tmp_path):
    engine = open_sqlite(tmp_path / "archive.db")
    with writing(engine) as session:
        session.execute(text("CREATE TABLE told (who INTEGER PRIMARY KEY)"))
    yield engine
    engine.dispose()


def told(engine):
    with reading(engine) as session:
        return set(session.scalars(text("SELECT who FROM told")))


def tell(who):
    def run(session):
        session.execute(text("INSERT INTO told VALUES (:who)"), {"who": who})
        return who * 10

    return run


def all_at_once(turns, works):
    """Let these wait behind one that holds the turn, and return what each returned or raised."""
    answers = {}

    def ask(index, work):
        try:
            answers[index] = turns.together(work)
        except Exception as error:  # noqa: BLE001 - what was raised is what is looked at
            answers[index] = error

    threads = [threading.Thread(target=ask, args=each) for each in enumerate(works)]
    with turns.alone() as session:
        session.execute(text("SELECT 1"))
        for thread in threads:
            thread.start()
        while len(turns._waiting) < len(works):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    return answers


def test_what_waits_together_is_committed_once_and_each_is_answered_with_its_own(engine):
    turns, commits = Turns(engine), []
    event.listen(engine, "commit", lambda _: commits.append(True))
    assert all_at_once(turns, [tell(who) for who in range(8)]) == {who: who * 10 for who in range(8)}
    assert told(engine) == set(range(8))
    assert len(commits) == 2, "the one that they waited for, and theirs"


def test_one_that_is_refused_undoes_its_own_and_no_others(engine):
    def refused(session):
        tell(5)(session)
        raise Malformed(what="told")

    answers = all_at_once(Turns(engine), [tell(1), refused, tell(2), tell(1)])
    assert {type(answer) for answer in answers.values()} >= {int, Malformed}
    assert isinstance(answers[1], Malformed)
    assert (answers[2], told(engine)) == (20, {1, 2})
    assert sum(isinstance(answers[index], int) for index in (0, 3)) == 1, "one of the two came first, and only the other failed"


def test_when_the_commit_fails_nobody_is_told_that_it_held(engine):
    event.listen(engine, "commit", lambda _: (_ for _ in ()).throw(OSError("the disk")))
    turns = Turns(engine)
    with pytest.raises(OSError, match="the disk"):
        turns.together(tell(1))
    assert told(engine) == set()


def test_many_writers_all_get_their_turn(engine):
    turns = Turns(engine)

    def write(first):
        for who in range(first, first + 10):
            assert turns.together(tell(who)) == who * 10
            with turns.alone() as session:
                tell(who + 1000)(session)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told(engine) == {*range(80), *range(1000, 1080)}


def test_a_directorys_name_is_made_durable_once(tmp_path, monkeypatch):
    synced, known, real = [], set(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink()), real(fd)))
    make_directories(tmp_path, tmp_path / "a" / "b", known=known)
    assert synced == [tmp_path / "a", tmp_path]
    make_directories(tmp_path, tmp_path / "a" / "b", known=known)
    make_directories(tmp_path, tmp_path / "a" / "c", known=known)
    assert synced[2:] == [tmp_path / "a"]
    make_directories(tmp_path, tmp_path / "a" / "c")
    assert synced[3:] == [tmp_path / "a", tmp_path], "whoever does not know does it again"
