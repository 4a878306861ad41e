"""A power cut at every named failpoint of upload, put, accession and job, on both profiles, with `fsck` as the judge.

For each failpoint a process lives until it dies there (as if by kill -9: no handler runs), then another goes on over the same
directory and engines as a restarted server and a returning sender would. Afterwards nothing that was acknowledged may be missing, and
nothing may be there twice.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import shutil
from pathlib import Path

import pytest

from archive.actions import document, fsck, item, jobs, upload
from archive.adapters import s3_buckets
from archive.adapters.s3_client import S3Client
from archive.adapters.s3_store import Buckets
from archive.core.digest import Digest, original_key
from tests import services
from tests.journeys import crashing
from tests.journeys.crashing import Engines
from tests.media_files import media_file
from tests.scans import book
from tests.server import PROFILES, production_on

FAILPOINTS = {
    "straight": [
        "upload.begun", "upload.created", "upload.floor_set", "upload.received", "upload.written", "upload.durable",
        "upload.floor_lifted", "upload.whole", "upload.dropped", "accession.before_put", "accession.after_put",
        "accession.before_commit", "accession.committed", "put.began", "put.done",
        "job.claimed", "job.worked", "job.published", "job.committed", "rendition.made", "rendition.put",
        "pages.batch",
    ],
    "repeated": ["accession.after_put", "accession.committed", "job.claimed:4"],
    "false": ["upload.differs", "upload.quarantined", "upload.refused"],
    "deferred": ["upload.declared", "accession.after_put"],
    "joined": [
        "final.created", "join.renamed", "join.adopted", "join.copied", "join.durable", "join.dropped:2", "accession.after_put",
        "accession.committed",
    ],
    "small": ["small.laid_down", "small.put", "small.before_commit", "small.committed"],
    "given_up": ["upload.terminated"],
    "forgotten": ["upload.expired"],
}  # fmt: skip
"""On both profiles."""

OF_ONE = {
    "embedded": {
        "straight": ["upload.synced", "put.directories", "put.linked", "put.synced"],
        "repaired": ["put.set_aside", "put.replaced", "accession.before_commit:2", "accession.committed:2"],
        "small": ["put.linked"],
    },
    "production": {
        "straight": ["put.sent"],
        "small": ["put.sent"],
        "unsaid": ["put.begun", "put.parts", "put.sent", "put.unlocked"],
        "large": ["parts.begun", "parts.noted", "parts.gone", "parts.listed:2", "parts.sent", "parts.completed", "put.unlocked"],
        "direct": [
            "direct.begun", "direct.kept", "direct.completed", "direct.arrived", "direct.expired", "direct.cleared", "take_in.read",
            "take_in.adopted", "put.unlocked",
        ],
        "direct_false": ["take_in.set_aside"],
        "direct_turned": ["direct.superseded"],
    },
}  # fmt: skip
"""Of one store or the other, and of what only one of them does: a directory's steps; parts, and what comes straight to the store."""

PAPER = ["paper.after_put", "paper.before_commit"]
ELSEWHERE = re.compile(r"dock\.|put\.copied|put\.copying")
"""The dock's own are in tests/dock; a put across file systems is in the store's contract."""

SHORT = {
    "accession.before_put", "accession.after_put", "accession.before_commit", "accession.committed", "small.put", "small.committed",
    "job.published", "job.committed", "upload.refused", "final.created",
}  # fmt: skip
"""Of what both profiles do alike, what `make test` tries on production too: where bytes, rows and work change hands. The rest is soaked."""

SEEN = {
    ("repeated", "accession.committed"), ("deferred", "accession.after_put"), ("joined", "accession.after_put"),
    ("joined", "accession.committed"), ("small", "put.sent"), ("unsaid", "put.sent"), ("direct", "put.unlocked"),
}  # fmt: skip
"""Points that another scenario passes on production as well: `make test` tries that one."""

CASES = [
    (profile, scenario, point)
    for profile in PROFILES
    for table in (FAILPOINTS, OF_ONE[profile])
    for scenario, points in table.items()
    for point in points
]


def _left_to_soak(profile: str, scenario: str, point: str) -> bool:
    common = point in FAILPOINTS.get(scenario, ()) and point.partition(":")[0] not in SHORT
    return profile == "production" and (common or (scenario, point) in SEEN)


SOAKED = [pytest.param(*case, marks=pytest.mark.soak) if _left_to_soak(*case) else case for case in CASES]
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
LIVES = {"embedded": 300, "production": 100} if SOAK else {"embedded": 2, "production": 1}
"""Seeds tried; each is a test of its own, so that a failing one is run again by its number."""

SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(
    [
        "tests.journeys.crashing", "anyio._backends._asyncio", "billiard.einfo", "celery.app.amqp", "celery.app.base",
        "celery.app.events", "celery.app.task", "celery.backends.base", "celery.canvas", "celery.events", "celery.fixups.django",
        "celery.loaders.app", "celery.worker.worker", "httpcore", "kombu.mixins", "kombu.transport.pyamqp", "sqlite3",
    ]
)  # fmt: skip
"""What a life would load when it first needs it, for each of two hundred lives anew."""
LIFE = 120

BYTES = bytes(range(256)) * 1200
"""No medium at all: what is tried is the taking in, and nothing is to be made of it."""
PARTS = 2**25 + 2**20
"""Bytes that go to the store in parts while they come: three of them."""


@pytest.fixture(scope="module")
def buckets():
    """One set of buckets and one virtual host for all cases of this file; the bytes of each case are its own."""
    services.start_all()
    found = services.fresh_buckets()
    client = S3Client(found.endpoint, access_key=found.access_key, secret_key=found.secret_key)
    s3_buckets.make(client, Buckets(found.originals, found.derived, found.incoming))
    client.close()
    return found, services.fresh_vhost()


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """A database of the embedded profile that holds nothing: to migrate one costs more than what is tried on it."""
    folder = tmp_path_factory.mktemp("migrated")
    with crashing.resources_of(folder, {}):
        pass
    return folder / "liuhen.db"


@pytest.fixture
def engines(request, tmp_path):
    """The settings of the profile under test, with a database that nobody used before."""
    if request.param == "embedded":
        (tmp_path / "data").mkdir()
        shutil.copyfile(request.getfixturevalue("migrated"), tmp_path / "data" / "liuhen.db")
        yield Engines({}, {})
        return
    found, vhost = request.getfixturevalue("buckets")
    with services.fresh_database() as database:
        more = {"LIUHEN_DIRECT_UPLOADS": "1", "LIUHEN_DIRECT_FROM_BYTES": "1", "LIUHEN_DIRECT_PART_BYTES": str(5 * 2**20)}
        web = {**production_on(database, vhost, found, keys=tmp_path / "keys"), **more}
        yield Engines(web, {**web, "LIUHEN_DATABASE_URL": services.as_role(database, services.ROLES.worker)})


def one_life(data: Path, scenario: str, content: bytes, failpoint: str | None, engines) -> int:
    process = SPAWN.Process(target=crashing.live, args=(data, scenario, content, failpoint, engines))
    process.start()
    process.join(LIFE)
    assert process.exitcode is not None, "this life did not end"
    code = process.exitcode
    process.close()
    return code


def content_of(tmp_path: Path, scenario: str, failpoint: str, *, media: bool) -> bytes:
    """Return bytes that no other case has, unless something is to be made of them, which is enough of its own."""
    if failpoint.startswith(("job.", "rendition.") if media else "rendition."):
        return media_file("h264.avi").read_bytes()
    if failpoint.startswith("pages."):
        return book(tmp_path / "book.pdf", 40, size=(120, 170)).read_bytes()
    own = f"{scenario} {failpoint}".encode()
    if scenario in {"large", "unsaid"}:
        return own + random.Random(own).randbytes(PARTS)
    return own + BYTES * (20 if scenario.startswith("direct") else 1)


@pytest.mark.parametrize(("engines", "scenario", "failpoint"), SOAKED, indirect=["engines"])
def test_a_power_cut_loses_nothing_acknowledged_and_doubles_nothing(tmp_path, engines, scenario, failpoint):
    # A job is a job: those of a recording, with their tools, are tried where one dies at any moment, and soaked on one profile.
    data, content = tmp_path / "data", content_of(tmp_path, scenario, failpoint, media=SOAK and not engines.web)
    assert one_life(data, scenario, content, failpoint, engines) == 137, "the failpoint was not reached"
    assert one_life(data, scenario, content, None, engines) == 0
    judge(data, tmp_path / "told.jsonl", content, engines)


@pytest.mark.parametrize(
    ("engines", "seed"), [(profile, seed) for profile in PROFILES for seed in range(LIVES[profile])], indirect=["engines"]
)
def test_a_kill_at_any_moment_loses_nothing_acknowledged_and_doubles_nothing(tmp_path, engines, seed):
    chance = random.Random(seed)
    data, content = tmp_path / "data", media_file("h264.avi").read_bytes()
    scenario = chance.choice(["straight", "repeated", "false"])
    for _ in range(chance.randint(1, 4)):
        process = SPAWN.Process(target=crashing.live, args=(data, scenario, content, None, engines))
        process.start()
        process.join(chance.uniform(0.2, 3.0))
        process.kill()
        process.join(LIFE)
        process.close()
    assert one_life(data, scenario, content, None, engines) == 0
    judge(data, tmp_path / "told.jsonl", content, engines)


@pytest.mark.parametrize("engines", PROFILES, indirect=True)
@pytest.mark.parametrize("failpoint", PAPER)
def test_a_power_cut_while_a_document_is_put_together_leaves_one_document_of_its_pages(tmp_path, engines, failpoint):
    data = tmp_path / "data"
    assert one_life(data, "paper", BYTES, failpoint, engines) == 137, "the failpoint was not reached"
    assert one_life(data, "paper", BYTES, None, engines) == 0
    said = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    numbers = [each["number"] for each in said if "number" in each]
    with crashing.resources_of(data, engines.worker) as resources, resources.reading() as session:
        found = list(fsck.check(session, resources.store, deep=True, now=resources.now(), progress=lambda *_: None))
        assert [finding for finding in found if finding.flaw] == []
        every = [item.find(session, row.number) for row in item.page(session, item.Filter()).rows]
        assert len(every) == 3
        (made,) = [each for each in every if each.container == "paper"]
        assert [leaf.number for leaf in document.leaves(session, made.id)] == numbers
        assert made.verified_at is not None


def judge(data: Path, told: Path, content: bytes, engines) -> None:
    said = [json.loads(line) for line in told.read_text().splitlines()]
    numbers = [each["number"] for each in said if "number" in each]
    with crashing.resources_of(data, engines.worker) as resources, resources.reading() as session:
        found = list(fsck.check(session, resources.store, deep=True, now=resources.now(), progress=lambda *_: None))
        assert [finding for finding in found if finding.flaw] == []
        assert item.page(session, item.Filter()).total == len(numbers) == len(set(numbers))
        for number in numbers:
            kept = item.find(session, number)
            assert kept.sha256 == Digest.of(content)
            read = resources.store.read(original_key(kept.sha256), 0, kept.size, version=kept.stored_version)
            assert b"".join(read) == content
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
    tried = {point.partition(":")[0] for _profile, _scenario, point in CASES} | set(PAPER)
    assert {point for point in named if not ELSEWHERE.match(point)} == tried


def test_every_failpoint_is_tried_without_soak_too():
    tried = {case[2].partition(":")[0] for case in CASES if not _left_to_soak(*case)}
    assert tried == {point.partition(":")[0] for _profile, _scenario, point in CASES}
    of_production = {case[2].partition(":")[0] for case in CASES if case[0] == "production" and not _left_to_soak(*case)}
    own = {point.partition(":")[0] for points in OF_ONE["production"].values() for point in points}
    assert SHORT | own == of_production


def test_what_is_of_no_single_store_is_tried_on_both_profiles():
    tried = {profile: {point.partition(":")[0] for each, _scenario, point in CASES if each == profile} for profile in PROFILES}
    for stores in ("local_store", "s3_store"):
        own = re.findall(r"failpoint\(\"([a-z_.]+)\"\)", Path(f"archive/adapters/{stores}.py").read_text("utf-8"))
        profile = "embedded" if stores == "local_store" else "production"
        assert {point for point in own if not ELSEWHERE.match(point)} <= tried[profile]
    only_there = re.compile(r"put\.|parts\.|direct\.|take_in\.|upload\.synced")
    assert {point for point in tried["embedded"] ^ tried["production"] if not only_there.match(point)} == set()
