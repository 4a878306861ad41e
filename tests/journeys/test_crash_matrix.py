"""A power cut at every named failpoint of upload, put, accession and job, with `fsck` as the judge.

For each failpoint a process lives until it dies there (as if by kill -9: no handler runs), then another goes on over the same
directory as a restarted server and a returning sender would. Afterwards nothing that was acknowledged may be missing, and nothing
may be there twice.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
from pathlib import Path

import pytest

from archive.actions import document, fsck, item, jobs, upload
from archive.core.digest import Digest, original_key
from archive.resources import opened
from archive.settings import read
from tests.journeys import crashing
from tests.media_files import media_file
from tests.scans import book

FAILPOINTS = {
    "straight": [
        "upload.begun", "upload.created", "upload.floor_set", "upload.received", "upload.written", "upload.synced", "upload.durable",
        "upload.floor_lifted", "upload.whole", "upload.dropped", "accession.before_put", "accession.after_put",
        "accession.before_commit", "accession.committed", "put.began", "put.directories", "put.linked", "put.synced", "put.done",
        "job.claimed", "job.worked", "job.published", "job.committed", "rendition.made", "rendition.put",
        "pages.batch",
    ],
    "repeated": ["accession.after_put", "accession.committed", "job.claimed:4"],
    "repaired": ["put.set_aside", "put.replaced", "accession.before_commit:2", "accession.committed:2"],
    "false": ["upload.differs", "upload.quarantined", "upload.refused"],
    "deferred": ["upload.declared", "accession.after_put"],
    "joined": [
        "final.created", "join.renamed", "join.adopted", "join.copied", "join.durable", "join.dropped:2", "accession.after_put",
        "accession.committed",
    ],
    "small": ["small.laid_down", "put.linked", "small.put", "small.before_commit", "small.committed"],
    "given_up": ["upload.terminated"],
    "forgotten": ["upload.expired"],
}  # fmt: skip
PAPER = ["paper.after_put", "paper.before_commit"]
ELSEWHERE = re.compile(r"dock\.|put\.copied|put\.copying")
"""The dock's own are in tests/dock; a put across file systems is in the store's contract."""

CASES = [(scenario, point) for scenario, points in FAILPOINTS.items() for point in points]
LIVES = 300 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 3
"""Seeds tried; each is a test of its own, so that a failing one is run again by its number."""

SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["tests.journeys.crashing"])
LIFE = 120


BYTES = bytes(range(256)) * 1200
"""No medium at all: what is tried is the taking in, and nothing is to be made of it."""


def one_life(data: Path, scenario: str, content: bytes, failpoint: str | None) -> int:
    process = SPAWN.Process(target=crashing.live, args=(data, scenario, content, failpoint))
    process.start()
    process.join(LIFE)
    assert process.exitcode is not None, "this life did not end"
    code = process.exitcode
    process.close()
    return code


@pytest.mark.parametrize(("scenario", "failpoint"), CASES)
def test_a_power_cut_loses_nothing_acknowledged_and_doubles_nothing(tmp_path, scenario, failpoint):
    data = tmp_path / "data"
    content = BYTES
    if failpoint.startswith(("job.", "rendition.")):
        content = media_file("h264.avi").read_bytes()
    elif failpoint.startswith("pages."):
        content = book(tmp_path / "book.pdf", 40, size=(120, 170)).read_bytes()
    assert one_life(data, scenario, content, failpoint) == 137, "the failpoint was not reached"
    assert one_life(data, scenario, content, None) == 0
    judge(data, tmp_path / "told.jsonl", content)


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_kill_at_any_moment_loses_nothing_acknowledged_and_doubles_nothing(tmp_path, seed):
    chance = random.Random(seed)
    data, content = tmp_path / "data", media_file("h264.avi").read_bytes()
    scenario = chance.choice(["straight", "repeated", "false"])
    for _ in range(chance.randint(1, 4)):
        process = SPAWN.Process(target=crashing.live, args=(data, scenario, content, None))
        process.start()
        process.join(chance.uniform(0.2, 3.0))
        process.kill()
        process.join(LIFE)
        process.close()
    assert one_life(data, scenario, content, None) == 0
    judge(data, tmp_path / "told.jsonl", content)


@pytest.mark.parametrize("failpoint", PAPER)
def test_a_power_cut_while_a_document_is_put_together_leaves_one_document_of_its_pages(tmp_path, failpoint):
    data = tmp_path / "data"
    assert one_life(data, "paper", BYTES, failpoint) == 137, "the failpoint was not reached"
    assert one_life(data, "paper", BYTES, None) == 0
    said = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    numbers = [each["number"] for each in said if "number" in each]
    with opened(read({}, data_dir=data, agency="131102")) as resources, resources.reading() as session:
        found = list(fsck.check(session, resources.store, deep=True, now=resources.now(), progress=lambda *_: None))
        assert [finding for finding in found if finding.flaw] == []
        every = [item.find(session, row.number) for row in item.page(session, item.Filter()).rows]
        assert len(every) == 3
        (made,) = [each for each in every if each.container == "paper"]
        assert [leaf.number for leaf in document.leaves(session, made.id)] == numbers
        assert made.verified_at is not None


def judge(data: Path, told: Path, content: bytes) -> None:
    said = [json.loads(line) for line in told.read_text().splitlines()]
    numbers = [each["number"] for each in said if "number" in each]
    with opened(read({}, data_dir=data, agency="131102")) as resources, resources.reading() as session:
        found = list(fsck.check(session, resources.store, deep=True, now=resources.now(), progress=lambda *_: None))
        assert [finding for finding in found if finding.flaw] == []
        assert item.page(session, item.Filter()).total == len(numbers) == len(set(numbers))
        for number in numbers:
            kept = item.find(session, number)
            assert kept.sha256 == Digest.of(content)
            assert b"".join(resources.store.read(original_key(kept.sha256), 0, kept.size)) == content
            assert kept.verified_at is not None
        states = jobs.counts(session)
        assert (states["waiting"], states["running"], states["dead"]) == (0, 0, 0)
        # An upload whose creation was never answered is nobody's: it holds no byte, and expires.
        left = {view.id for view in upload.receiving(session)}
        assert not left & {str(each["where"]).rpartition("/")[2] for each in said if "where" in each}
        assert set(resources.spool.ids()) <= left


def test_every_failpoint_is_in_the_matrix():
    named = set()
    for path in [*Path("archive").rglob("*.py"), *Path("workers").rglob("*.py")]:
        named |= set(re.findall(r"failpoint\(\"([a-z_.]+)\"\)", path.read_text("utf-8")))
    tried = {point.partition(":")[0] for _scenario, point in CASES} | set(PAPER)
    assert {point for point in named if not ELSEWHERE.match(point)} == tried
