"""The judge is judged: one violation of each invariant is planted in an archive that had none, and must be found."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from archive.actions import custody, station
from archive.core.custody import EventKind
from archive.core.digest import Digest, original_key
from archive.core.jobs import LANES
from archive.resources import opened
from archive.settings import read
from archive.web.app import create_app
from tests.serving import served
from tests.soak.books import Book
from tests.soak.invariants import Flaw, judged
from tests.soak.source import Credential, Docking
from workers.handlers import HANDLERS
from workers.runner import run_next

FILES = 7
"""The sixth is a recording, so that there are renditions."""


@contextmanager
def archive_in(folder: Path):
    with opened(read({}, data_dir=folder, agency="131102", free_space_floor=0)) as resources:
        yield resources


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """An archive that took in a station's files and did its jobs, with the station's book beside it."""
    folder = tmp_path_factory.mktemp("sound")
    key = Ed25519PrivateKey.generate()
    with archive_in(folder / "data") as resources:
        with resources.transaction() as session:
            public = key.public_key().public_bytes_raw()
            station.enrol(session, name="dock-1", public_key=public, by="test", now=resources.now())
        with served(create_app(resources)) as url:
            book = Book(folder / "dock-1.jsonl", "dock-1")
            docking = Docking(url, Credential("dock-1", key), book, seed=1, pause_s=0, most=FILES)
            docking.start()
            try:
                while not docking.idle(0.02):
                    work(resources)
                work(resources)
            finally:
                docking.stop()
        assert docking.failed is None
        assert judged(resources, [book]) == []
    return folder


def work(resources):
    while any(run_next(resources, HANDLERS, lane=lane, owner=lane, stopping=lambda: False) for lane in LANES):
        pass


@pytest.fixture
def world(sound, tmp_path):
    """A copy of it to do harm to."""
    shutil.copytree(sound, tmp_path / "world")
    return tmp_path / "world"


def found(world) -> list[Flaw]:
    with archive_in(world / "data") as resources:
        return judged(resources, [Book(world / "dock-1.jsonl", "dock-1")])


def say(world, statement):
    with archive_in(world / "data") as resources, resources.transaction() as session:
        session.execute(text(statement))


def an_original(world) -> Path:
    sha256 = Book(world / "dock-1.jsonl", "dock-1").deposits()[0].sha256
    return world / "data" / "store" / original_key(Digest(sha256))


def test_an_object_dropped_behind_the_archive_s_back_is_found(world):
    path = an_original(world)
    path.unlink()
    assert {"bytes", "fsck"} <= {flaw.invariant for flaw in found(world)}


def test_a_flipped_bit_is_found(world):
    path = an_original(world)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    assert {"bytes", "fsck"} <= {flaw.invariant for flaw in found(world)}


def test_an_acknowledgement_taken_back_is_found(world):
    """A row that is rolled back after its answer was sent: what an early answer would leave."""
    number = Book(world / "dock-1.jsonl", "dock-1").deposits()[-1].number
    say(world, f"UPDATE items SET number = '131102-DC-2020-00000009' WHERE number = '{number}'")
    assert {("acknowledged", number)} <= {(flaw.invariant, flaw.subject) for flaw in found(world)}


def test_other_bytes_on_record_than_were_acknowledged_are_found(world):
    first, second = [deposit.number for deposit in Book(world / "dock-1.jsonl", "dock-1").deposits()[:2]]
    say(world, f"UPDATE items SET sha256 = (SELECT sha256 FROM items WHERE number = '{second}') WHERE number = '{first}'")
    assert ("acknowledged", first) in {(flaw.invariant, flaw.subject) for flaw in found(world)}


def test_a_file_taken_in_twice_is_found(world):
    """What two web hosts would do with one manifest that came to both at once."""
    say(world, "UPDATE items SET manifest = (SELECT manifest FROM items WHERE id = 1) WHERE id = 2")
    assert ("doubled", "item") in {(flaw.invariant, flaw.subject) for flaw in found(world)}


def test_an_item_of_which_no_sender_was_told_is_found(world):
    book = world / "dock-1.jsonl"
    lines = [line for line in book.read_text("utf-8").splitlines() if f"{FILES - 1:06d}" not in line]
    book.write_text("\n".join(lines) + "\n", "utf-8")
    assert "doubled" in {flaw.invariant for flaw in found(world)}


def test_a_step_that_took_effect_twice_is_found(world):
    """What a worker that was frozen past its lease would publish, were it not fenced."""
    with archive_in(world / "data") as resources, resources.transaction() as session:
        again = {"kind": EventKind.READ_BACK, "actor": "archive", "subject": "x", "facts": {"verdict": "intact"}}
        custody.record(session, at=resources.now(), item_id=1, **again)
    assert ("once", "2 events of fixity check") in {(flaw.invariant, flaw.detail) for flaw in found(world)}


def test_a_job_that_was_lost_is_found(world):
    say(world, "UPDATE jobs SET state = 'running', lease_owner = 'gone', lease_until = 0 WHERE id = 1")
    assert "jobs" in {flaw.invariant for flaw in found(world)}


def test_a_rendition_without_its_event_is_found(world):
    say(world, "UPDATE renditions SET recipe = 'another' WHERE rowid = (SELECT min(rowid) FROM renditions)")
    assert "once" in {flaw.invariant for flaw in found(world)}


def test_a_receipt_of_other_bytes_is_found(world):
    path = world / "dock-1.jsonl"
    said = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    first, second = [each for each in said if each["what"] == "receipted"][:2]
    first["receipt"], second["receipt"] = second["receipt"], first["receipt"]
    path.write_text("".join(json.dumps(each) + "\n" for each in said), "utf-8")
    assert "receipt" in {flaw.invariant for flaw in found(world)}


def test_a_receipt_that_somebody_else_signed_is_found(world):
    path = world / "dock-1.jsonl"
    said = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    first = next(each for each in said if each["what"] == "receipted")
    first["receipt"] = first["receipt"].replace("intact", "intact")[:-8] + "AAAAAA=\n"
    path.write_text("".join(json.dumps(each) + "\n" for each in said), "utf-8")
    assert "receipt" in {flaw.invariant for flaw in found(world)}


@pytest.mark.parametrize(
    "line",
    [
        {"what": "acknowledged", "number": "131102-WD-2026-00000999", "sha256": "0" * 64},
        {"what": "refused", "status": 400, "why": "malformed"},
    ],
    ids=["another number", "a refusal"],
)
def test_answers_that_contradict_each_other_are_found(world, line):
    path = world / "dock-1.jsonl"
    name = Book(path, "dock-1").deposits()[0].name
    with path.open("a") as file:
        file.write(json.dumps({"name": name, **line}) + "\n")
    assert "answers" in {flaw.invariant for flaw in found(world)}
