"""The queue: claimed once, fenced, tried again, and dead in the end."""

import threading

import pytest

from archive.actions import jobs
from archive.core.errors import JobNotDead, LeaseLost
from archive.core.instant import SECOND, Instant
from archive.core.jobs import LEASE, MAX_ATTEMPTS
from tests.actions.conftest import NOW


def claim(house, *, lane="quick", owner="w1", now=NOW):
    with house.writing() as session:
        return jobs.claim(session, lane=lane, owner=owner, now=now)


def states(house):
    with house.reading() as session:
        return {job.kind: job.state for job in jobs.overview(session, states=("waiting", "running", "done", "dead"))}


def test_a_job_is_claimed_once(house):
    house.take_in(b"a")
    assert claim(house).kind == "examine"
    assert claim(house, owner="w2") is None


def test_the_more_urgent_goes_first_and_then_the_older(house):
    house.take_in(b"a")
    house.take_in(b"b")
    with house.writing() as session:
        for kind in ("stream_hash", "photo", "storyboard"):
            jobs.enqueue(session, kind=kind, item_id=1, sha256="0" * 64, now=NOW)
    assert [claim(house, lane="media").kind for _ in range(3)] == ["photo", "storyboard", "stream_hash"]
    assert [claim(house, lane="verify").item_id for _ in range(2)] == [1, 2]


def test_promising_the_same_work_twice_promises_it_once(house):
    house.take_in(b"a")
    with house.writing() as session:
        for recipe in ("remux", "remux", "transcode"):
            jobs.enqueue(session, kind="rendition", item_id=1, sha256="0" * 64, payload={"recipe": recipe}, now=NOW)
    assert [claim(house, lane="heavy").payload["recipe"] for _ in range(2)] == ["remux", "transcode"]
    assert claim(house, lane="heavy") is None


def test_a_worker_that_was_not_heard_of_loses_the_job_and_can_no_longer_finish_it(house):
    house.take_in(b"a")
    first = claim(house)
    later = Instant(NOW + LEASE + 1)
    second = claim(house, owner="w2", now=later)
    assert (second.id, second.attempt) == (first.id, 2)
    for act in (
        lambda session: jobs.finish(session, first, now=later),
        lambda session: jobs.keep(session, first, permille=1, note="", now=later),
        lambda session: jobs.fail(session, first, error="x", tail="", again=True, now=later),
    ):
        with pytest.raises(LeaseLost), house.writing() as session:
            act(session)
    with house.writing() as session:
        jobs.finish(session, second, now=later)
    assert states(house)["examine"] == "done"


def test_a_heartbeat_keeps_the_lease(house):
    house.take_in(b"a")
    job = claim(house)
    with house.writing() as session:
        jobs.keep(session, job, permille=500, note="probing", now=Instant(NOW + LEASE - 1))
    assert claim(house, owner="w2", now=Instant(NOW + LEASE + 1)) is None


def test_a_failed_job_waits_and_is_dead_after_its_attempts_with_the_last_words_kept(house):
    house.take_in(b"a")
    now = NOW
    for attempt in range(1, MAX_ATTEMPTS + 1):
        job = claim(house, now=now)
        assert job.attempt == attempt
        with house.writing() as session:
            jobs.fail(session, job, error="tool_failed", tail=f"words {attempt}", again=True, now=now)
        assert claim(house, now=now) is None
        now = Instant(now + 3600 * SECOND)
    assert states(house)["examine"] == "dead"
    with house.reading() as session:
        (dead,) = jobs.overview(session, states=("dead",))
    assert (dead.error, dead.error_tail) == ("tool_failed", f"words {MAX_ATTEMPTS}")


def test_a_failure_that_trying_again_cannot_mend_is_final(house):
    house.take_in(b"a")
    with house.writing() as session:
        jobs.fail(
            session, jobs.claim(session, lane="quick", owner="w", now=NOW), error="malformed", tail="", again=False, now=NOW
        )
    assert states(house)["examine"] == "dead"


def test_a_job_that_kills_its_worker_every_time_ends_dead(house):
    house.take_in(b"a")
    now = NOW
    for _ in range(MAX_ATTEMPTS):
        assert claim(house, now=now) is not None
        now = Instant(now + LEASE + 1)
    assert claim(house, now=now) is None
    assert states(house)["examine"] == "dead"


def test_a_dead_job_is_run_again_by_a_person_and_no_other_is(house):
    house.take_in(b"a")
    job = claim(house)
    with pytest.raises(JobNotDead), house.writing() as session:
        jobs.rerun(session, job_id=job.id, by=house.person, now=NOW)
    with house.writing() as session:
        jobs.fail(session, job, error="x", tail="", again=False, now=NOW)
    with house.writing() as session:
        jobs.rerun(session, job_id=job.id, by=house.person, now=NOW)
    assert claim(house).attempt == 1


def test_a_job_handed_back_is_due_at_once_and_has_lost_no_attempt(house):
    house.take_in(b"a")
    job = claim(house)
    with house.writing() as session:
        jobs.hand_back(session, job, now=NOW)
    assert claim(house, owner="w2").attempt == 1


def test_many_workers_at_once_take_each_job_once(house):
    for number in range(40):
        house.take_in(f"{number}".encode())
    taken: list[int] = []

    def work(owner: str) -> None:
        while (job := claim(house, owner=owner)) is not None:
            taken.append(job.id)
            with house.writing() as session:
                jobs.finish(session, job, now=NOW)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40
