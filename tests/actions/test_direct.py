"""Direct uploads on the real databases: what a sweep asks is about those that are not over, however many were."""

from contextlib import contextmanager

import pytest
from sqlalchemy import event, select

from archive.actions import direct
from archive.core.instant import DAY, Instant
from archive.core.parts import LEAST_SIZE
from archive.records.jobs import Job
from archive.records.locks import Noun
from archive.records.uploads import Upload
from tests.actions.conftest import NOW

AGENCY = "131102"
PAUSE = Instant(NOW + direct.ROUND)


def begun(house, name, *, state="receiving"):
    """A direct upload of which the store holds parts."""
    upload_id = house.begin(name.encode())
    with house.writing() as session:
        direct.mark(session, upload_id, part_size=LEAST_SIZE)
        direct.begin(session, upload_id, key=f"incoming/{upload_id}", multipart=f"m-{name}", instead_of=None)
        if state == "arrived":
            direct.arrive(session, upload_id, version="v", agency=AGENCY, now=NOW)
        elif state != "receiving":
            row = session.get(Upload, upload_id)
            row.state, row.ended_at = state, NOW
    return upload_id


@contextmanager
def loaded():
    """The uploads that are read meanwhile."""
    seen = []

    def see(row, _context):
        seen.append(row.id)

    event.listen(Upload, "load", see)
    try:
        yield seen
    finally:
        event.remove(Upload, "load", see)


def test_an_upload_that_is_over_and_cleared_away_is_not_looked_at_again(house):
    gone = [begun(house, f"gone-{number}", state="terminated") for number in range(5)]
    left, under_way = begun(house, "left", state="expired"), begun(house, "under-way")
    with house.writing() as session:
        for upload_id in [*gone, under_way]:
            direct.cleared(session, upload_id)
    with house.reading() as session, loaded() as seen:
        assert [each.id for each in direct.ended(session)] == [left]
        assert seen == [left]
        assert direct.find(session, gone[0]).multipart is None
        assert direct.find(session, under_way).multipart == "m-under-way"
        plan = session.connection()
        lite = plan.dialect.name == "sqlite"
        if not lite:  # which reads a table of one page whole, and rightly
            plan.exec_driver_sql("SET LOCAL enable_seqscan = off")
        shown = plan.exec_driver_sql(
            f"EXPLAIN {'QUERY PLAN' if lite else ''} SELECT id FROM uploads WHERE multipart IS NOT NULL AND ended_at IS NOT NULL"
            " AND direct AND state NOT IN ('receiving', 'arrived') ORDER BY ended_at, id LIMIT 10"
        )
        assert "ix_uploads_held" in " ".join(str(row) for row in shown)


def test_what_is_left_is_gone_through_a_few_at_a_time_and_each_is_met_once(house, monkeypatch):
    monkeypatch.setattr(direct, "AT_ONCE", 2)
    left = [begun(house, f"left-{number}", state="expired") for number in range(5)]
    met, last = [], None
    with house.reading() as session:
        while page := direct.ended(session, after=last):
            assert len(page) <= 2
            met, last = [*met, *(each.id for each in page)], page[-1]
        assert sorted(met) == sorted(left)
        assert direct.orphans(session, [(left[0], "m-left-0"), (left[3], "another"), ("x", "m-left-4")]) == [
            (left[3], "another"),
            ("x", "m-left-4"),
        ]
        waiting = begun(house, "waiting")
    with house.reading() as session:
        assert direct.unwanted(session, [*left, waiting, "x"]) == sorted([*left, "x"])


@pytest.mark.parametrize("ended", ["dead", "done", "gone"])
def test_only_what_failed_a_while_ago_is_held_and_promised_again(house, ended):
    waiting, failed = begun(house, "waiting", state="arrived"), begun(house, "failed", state="arrived")

    def end(round_):
        with house.writing() as session:
            job = session.scalar(select(Job).where(Job.key == f"take_in:{round_}:{failed}"))
            assert job.state == "waiting"
            if ended == "gone":
                session.delete(job)
            else:
                job.state, job.ended_at = ended, NOW

    def again(now):
        with house.writing() as session:
            found = direct.promise_again(session, agency=AGENCY, now=now)
            held = {key for noun, key in session.info.get("held", ()) if noun is Noun.UPLOAD}
            assert held == set(found), f"{waiting} is nobody's to hold"
        return found

    assert again(Instant(NOW + DAY)) == []
    for round_ in (1, 2):
        end(round_)
        if ended != "gone":
            assert again(Instant(PAUSE - 1)) == []
        assert again(PAUSE) == [failed]
        assert again(Instant(PAUSE + DAY)) == []
