"""Every input of the corpus goes the real road (store, accession, queue, jailed tools) and must come to what the table says of it.

Each lane works in threads of its own, as the embedded worker has them. A job that failed is tried again at once and not after its pause.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select, update

from archive.core.digest import Digest, original_key
from archive.records.jobs import Job
from archive.web.pages import words
from tests.corpus.inputs import input_file
from tests.corpus.table import ROWS, SAMPLES, Row, codes
from tests.corpus.watching import MIB, Watch
from tests.media_files import Workshop, workshop
from workers.handlers import HANDLERS
from workers.runner import run_next

LANES = ("quick", "media", "media", "heavy", "verify")
BOUND = 1024 * MIB


@dataclass
class Run:
    """The archive with the corpus in it, and what it took."""

    shop: Workshop
    numbers: dict[str, str] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Run]:
    """Take in what the collected tests ask for, and work until nothing is left to do."""
    wanted = [item.callspec.params["row"] for item in request.session.items if "row" in getattr(item, "callspec", _NONE).params]
    with workshop(tmp_path_factory.mktemp("corpus") / "data") as shop, Watch() as watch:
        done = Run(shop, peaks=watch.peaks)
        for row in wanted:
            if row.name in done.numbers:
                continue
            path = SAMPLES / row.name if row.real else input_file(row.name)
            if path.is_file():
                done.numbers[row.name] = shop.take_in(path)
        _work(shop)
        yield done


class _NONE:
    params: tuple[str, ...] = ()


def _work(shop: Workshop) -> None:
    def lane(name: str, owner: str) -> None:
        while run_next(shop.resources, HANDLERS, lane=name, owner=owner, stopping=lambda: False):
            pass

    while True:
        hands = [threading.Thread(target=lane, args=(name, f"corpus:{at}")) for at, name in enumerate(LANES)]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()
        with shop.resources.transaction() as session:
            if session.scalar(select(Job.id).where(Job.state.in_(("waiting", "running"))).limit(1)) is None:
                return
            session.execute(update(Job).where(Job.state == "waiting").values(run_after=shop.resources.now()))


def _marked(row: Row) -> object:
    return pytest.param(row, id=row.name, marks=[pytest.mark.soak] if row.slow else [])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("row", [_marked(row) for row in ROWS])
def test_an_input_comes_to_what_is_written_of_it(run: Run, row: Row):
    if row.name not in run.numbers:
        pytest.skip("TEST_SAMPLES has no such file")
    number = run.numbers[row.name]
    found, plan = run.shop.item(number), run.shop.item(number).technical.get("plan", {})
    jobs = run.shop.jobs(number)
    assert {name for name, job in jobs.items() if job.state != "done"} == set(row.fails), [
        (name, job.state, job.error, job.error_tail) for name, job in jobs.items() if job.state != "done"
    ]
    assert (found.kind.value, found.container, found.condition) == (row.kind, row.container, row.condition), found.findings
    assert list(dict.fromkeys(finding["code"] for finding in found.findings)) == list(row.findings)
    assert (plan.get("action"), plan.get("reason")) == (row.action, row.reason)
    assert set(run.shop.renditions(number)) == row.makes
    assert all(finding["code"] in words.FINDING for finding in found.findings), "a finding without words"
    assert all(jobs[name].error in words.JOB_ERROR and jobs[name].error_tail for name in row.fails), "a failure without words"
    key = original_key(found.sha256)
    size = run.shop.resources.store.size(key)
    kept = b"".join(run.shop.resources.store.read(key, 0, size))
    assert Digest.of(kept) == found.sha256
    assert found.verdict == "intact"


@pytest.mark.timeout(900)
def test_no_input_makes_the_worker_or_a_tool_of_its_larger_than_a_gigabyte(run: Run):
    told = ", ".join(f"{name} {peak // MIB} MiB" for name, peak in sorted(run.peaks.items(), key=lambda pair: -pair[1]))
    print(f"\npeak memory over {len(run.numbers)} inputs: {told}")
    assert run.peaks, "nothing was seen running"
    assert max(run.peaks.values()) < BOUND, told


def test_the_corpus_holds_at_least_forty_differing_inputs_and_each_has_its_reason():
    made = [row for row in ROWS if not row.real and not row.slow]
    assert len({input_file(row.name).read_bytes() for row in made}) == len(made) >= 40
    assert all(row.why for row in ROWS)
    assert codes() <= set(words.FINDING)
