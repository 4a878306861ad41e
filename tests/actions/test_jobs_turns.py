"""Whose turn it is, on both databases: priority, then agencies in turn, then sources in turn, then age; and nothing that is waited for."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, func, select, text

from archive.actions import jobs
from archive.core.instant import HOUR, SECOND, Instant
from archive.core.jobs import AWAITED, LATE_TURNS, LEASE, MAX_ATTEMPTS, OVERDUE
from archive.records.items import Item, StoredObject
from archive.records.jobs import Job, LaneTurn
from archive.records.postgresql import open_postgresql
from archive.records.session import reading, writing
from archive.records.stations import Station
from tests.actions.conftest import NOW

AGENCIES, STATIONS = ("A", "B", "C"), (1, 2, 3)


def sha(agency: str, station: int) -> str:
    return f"{ord(agency):02x}{station:02x}" * 16


@dataclass
class Queue:
    """A database with an item of each station in each agency, and short words for what tests do with its queue."""

    engine: Engine
    items: dict[tuple[str, int], int] = field(default_factory=dict)
    promised: int = 0
    now: Instant = NOW

    def __post_init__(self) -> None:
        with writing(self.engine) as session:
            session.add_all(Station(id=each, name=f"dock-{each}", public_key="", enrolled_at=NOW) for each in STATIONS)
            session.flush()
            for number, (agency, station) in enumerate((a, s) for a in AGENCIES for s in STATIONS):
                session.add(StoredObject(sha256=sha(agency, station), size=1, stored_at=NOW))
                session.flush()
                self.items[agency, station] = number + 1
                session.add(
                    Item(
                        id=number + 1,
                        number=f"{agency}-{station}",
                        agency=agency,
                        letters="LX",
                        year=2026,
                        serial=number,
                        kind="recording",
                        sha256=sha(agency, station),
                        name="a",
                        media_type="video/mp4",
                        container="mov",
                        station_id=station,
                        stored_at=NOW,
                    )
                )

    def promise(self, agency: str, station: int, *, kind: str = "rendition", times: int = 1) -> list[int]:
        made = []
        with writing(self.engine) as session:
            for _ in range(times):
                self.promised += 1
                jobs.enqueue(
                    session,
                    kind=kind,
                    item_id=self.items[agency, station],
                    sha256=sha(agency, station),
                    payload={"n": self.promised},
                    now=self.now,
                )
                made.append(self.promised)
        return made

    def claim(self, lane: str = "heavy", owner: str = "w") -> jobs.ClaimedJob | None:
        with writing(self.engine) as session:
            return jobs.claim(session, lane=lane, owner=owner, now=self.now)

    def whose(self, lane: str = "heavy") -> tuple[str, int] | None:
        """Claim and finish the next; say whose it was."""
        job = self.claim(lane)
        if job is None:
            return None
        with writing(self.engine) as session:
            jobs.finish(session, job, now=self.now)
        return next(whose for whose, item in self.items.items() if item == job.item_id)

    def state(self, job: jobs.ClaimedJob) -> str:
        with reading(self.engine) as session:
            return session.scalars(select(Job.state).where(Job.id == job.id)).one()

    def clear(self) -> None:
        with writing(self.engine) as session:
            session.execute(delete(Job))
            session.execute(delete(LaneTurn))


@pytest.fixture(params=["sqlite", "postgresql"])
def queue(request):
    return Queue(request.getfixturevalue(f"on_{request.param}"))


def test_the_files_of_a_full_dock_do_not_keep_another_docks_first_waiting(queue):
    queue.promise("A", 1, times=80)
    assert {queue.whose() for _ in range(20)} == {("A", 1)}
    queue.promise("A", 2, times=3)
    assert sorted(queue.whose() for _ in range(6)) == [("A", 1)] * 3 + [("A", 2)] * 3


def test_agencies_are_served_in_turn_however_much_each_has_waiting(queue):
    for station in STATIONS:
        queue.promise("A", station, times=20)
    queue.promise("B", 1, times=10)
    served = Counter(agency for agency, _ in (queue.whose() for _ in range(20)))
    assert served == {"A": 10, "B": 10}
    queue.promise("C", 1)
    assert queue.whose() == ("C", 1), "the agency that was never served comes next"


def test_a_later_job_of_a_higher_priority_goes_before_any_line(queue):
    queue.promise("A", 1, times=5)
    queue.promise("B", 2, kind="repair")
    assert queue.whose() == ("B", 2)


def test_what_somebody_looks_at_a_page_for_goes_before_all_that_nobody_waits_for(queue):
    queue.promise("A", 1, kind="repair", times=3)
    queue.promise("A", 2, times=3)
    (awaited,) = queue.promise("A", 3)
    with writing(queue.engine) as session:
        jobs.hasten(session, sha256=sha("A", 3))
    assert queue.claim().payload == {"n": awaited}
    with reading(queue.engine) as session:
        assert session.scalar(select(func.count()).where(Job.priority == AWAITED)) == 1


def test_a_job_that_comes_back_is_next_and_opens_no_way_round_those_who_wait(queue):
    queue.promise("A", 1)
    lost = queue.claim()
    queue.promise("A", 2, times=50)
    for _ in range(30):
        queue.whose()
    queue.now = Instant(NOW + LEASE + 1)
    again = queue.claim()
    assert (again.id, again.attempt) == (lost.id, 2)
    with writing(queue.engine) as session:
        jobs.hand_back(session, again, now=queue.now)
    queue.promise("A", 3, times=30)  # whoever lined up at the old job's turn would now be thirty turns ahead
    assert queue.claim().id == lost.id
    assert Counter(queue.whose() for _ in range(20)) == {("A", 2): 10, ("A", 3): 10}


def test_a_clock_that_was_set_back_neither_starves_an_agency_nor_holds_a_lost_job(queue):
    queue.promise("A", 1, times=8)
    queue.promise("B", 1, times=8)
    lost = queue.claim()
    queue.now = Instant(NOW - HOUR)
    assert Counter(agency for agency, _ in (queue.whose() for _ in range(6))) == {"A": 3, "B": 3}
    with writing(queue.engine) as session:
        jobs.settle(session, now=queue.now)
    queue.now = Instant(queue.now + LEASE + 1)
    assert lost.id in {queue.claim().id, queue.claim().id}  # it is the other agency's turn, and then its own


def test_a_failed_job_rests_and_is_passed_over_until_its_pause_ends(queue):
    first, second = queue.promise("A", 1, times=2)
    job = queue.claim()
    with writing(queue.engine) as session:
        jobs.fail(session, job, error="unavailable", tail="", again=True, now=queue.now)
    assert queue.claim().payload == {"n": second}
    assert queue.claim() is None
    with reading(queue.engine) as session:
        assert not jobs.anything_due(session, lane="heavy", now=queue.now)
        assert jobs.due(session, lane="heavy", most=5, now=Instant(queue.now + 6 * SECOND)) == 1
    queue.now = Instant(NOW + 6 * SECOND)
    assert queue.claim().payload == {"n": first}


def test_a_job_that_took_its_worker_with_it_each_time_is_dead(queue):
    queue.promise("A", 1)
    for _ in range(MAX_ATTEMPTS):
        job = queue.claim()
        queue.now = Instant(queue.now + LEASE + 1)
    assert queue.claim() is None
    assert queue.state(job) == "dead"


def test_housekeeping_is_promised_once_however_many_promise_it_at_the_same_moment(queue):
    gate, new = threading.Barrier(6), []

    def promise() -> None:
        gate.wait()
        with writing(queue.engine) as session:
            new.append(jobs.enqueue(session, kind="canary", payload={"day": "2026-03-12"}, now=NOW))
            assert session.info.get(jobs.RING, []) == (["verify"] if new[-1] else [])

    threads = [threading.Thread(target=promise) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [False] * 5 + [True]
    claimed = queue.claim("verify")
    assert (claimed.item_id, claimed.sha256, claimed.payload) == (0, "", {"day": "2026-03-12"})
    assert queue.claim("verify") is None


def test_many_workers_at_once_take_each_job_once_and_leave_none(queue):
    for agency in AGENCIES:
        queue.promise(agency, 1, times=10)
        queue.promise(agency, 2, kind="repair", times=4)
    taken: list[int] = []

    def work(owner: str) -> None:
        while (job := queue.claim(owner=owner)) is not None:
            taken.append(job.id)
            with writing(queue.engine) as session:
                jobs.finish(session, job, now=queue.now)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 42


def test_a_lane_that_never_catches_up_still_does_what_comes_last_in_it(queue):
    """Work of the highest kind comes as fast as it is done, each moment; what nobody hurries for gets its turns once it is overdue."""
    replicas = 5
    with writing(queue.engine) as session:
        for number in range(replicas):
            jobs.enqueue(session, kind="replicate", sha256=sha("A", 1), payload={"n": number}, now=queue.now)

    def keep_busy(claims):
        done = []
        for _ in range(claims):
            queue.now = Instant(queue.now + 1)
            queue.promise("A", 1, kind="read_back")
            job = queue.claim("verify")
            done.append(job.payload["n"] if job.kind == "replicate" else job.kind)
        return done

    queue.promise("A", 1, kind="read_back", times=4)
    assert set(keep_busy(LATE_TURNS * 2)) == {"read_back"}, "nothing is overdue yet"
    queue.now = Instant(queue.now + OVERDUE)
    done = keep_busy(LATE_TURNS * (replicas + 4 + 2 * LATE_TURNS + 2))
    assert [each for each in done if each != "read_back"] == list(range(replicas)), "each in its turn, the longest due first"
    assert all("read_back" in done[at : at + 2] for at in range(len(done) - 1)), "and never two of them on end"


def test_whoever_waits_at_a_page_is_served_before_anything_overdue(queue):
    queue.promise("A", 1, times=3)
    queue.now = Instant(NOW + 2 * OVERDUE - NOW % LATE_TURNS)
    queue.promise("B", 1)
    with writing(queue.engine) as session:
        jobs.hasten(session, sha256=sha("B", 1))
    assert [queue.whose()[0] for _ in range(2)] == ["B", "A"]


STEPS = st.lists(
    st.one_of(
        st.none(),  # a claim
        st.tuples(
            st.sampled_from(AGENCIES[:2]), st.sampled_from(STATIONS), st.sampled_from(["rendition", "repair"]), st.integers(1, 6)
        ),
    ),
    max_size=25,
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_the_most_urgent_goes_first_agencies_take_turns_and_nobody_waits_longer_than_a_round_for_each_of_their_own(queue, steps):
    """The whole order, held against a plain account of what waits."""
    queue.clear()
    waiting: dict[int, tuple[int, str, int]] = {}
    bound: dict[int, int] = {}
    served = defaultdict(lambda: -1)
    clock = 0

    def claim() -> None:
        nonlocal clock
        job = queue.claim()
        if not waiting:
            assert job is None
            return
        number = job.payload["n"]
        priority, agency, station = waiting.pop(number)
        urgent = [each for each in (*waiting.values(), (priority, agency, station)) if each[0] >= priority]
        assert all(each[0] == priority for each in urgent), "somebody more urgent was passed over"
        assert all(served[agency] <= served[other] for _, other, _ in urgent), "another agency had waited longer"
        clock += 1
        served[agency] = clock
        assert bound.pop(number) >= 0, "it waited for more than a round for each job of its own source before it"
        for other, (its_priority, its_agency, _) in waiting.items():
            if (its_priority, its_agency) == (priority, agency):
                bound[other] -= 1

    for step in steps:
        if step is None:
            claim()
            continue
        agency, station, kind, times = step
        priority = {"rendition": 50, "repair": 60}[kind]
        for number in queue.promise(agency, station, kind=kind, times=times):
            own = sum(each == (priority, agency, station) for each in waiting.values())
            bound[number] = (own + 1) * len(STATIONS) - 1
            waiting[number] = (priority, agency, station)
    while waiting:
        claim()
    assert queue.claim() is None


MANY = text(
    """
    INSERT INTO jobs (kind, lane, key, sha256, agency, source, turn, payload, priority,
                      state, run_after, attempt, permille, note, created_at)
    SELECT 'rendition', 'heavy', 'many:' || n, 'x', 'A' || (n % 4), 'station:' || (n % 50), n, '{}', 50,
           CASE WHEN n % 5 = 0 THEN 'waiting' ELSE 'done' END, n, 0, 0, '', n
    FROM generate_series(1, 20000) AS n
    """
)


def test_a_claim_reads_some_pages_of_indexes_whatever_waits_and_whatever_was_done(postgres_url):
    engine = open_postgresql(postgres_url)
    queue = Queue(engine)
    with writing(engine) as session:
        session.execute(MANY)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE jobs"))

    def blocks() -> int:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
            return connection.scalar(
                text("SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit) FROM pg_statio_user_tables")
            )

    for _ in range(3):
        assert queue.claim() is not None
    engine.dispose()
    before = blocks()
    engine.dispose()
    for _ in range(10):
        assert queue.claim() is not None
    engine.dispose()  # a session tells its figures when it ends
    assert blocks() - before < 10 * 120  # 20,000 rows fill some seven hundred
    engine.dispose()
