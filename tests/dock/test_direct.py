"""Claims about the real dock sending straight to a real store, with an archive and a worker beside it."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from archive.adapters.s3_incoming import Incoming
from archive.core.digest import Digest
from archive.dock import command, direct
from archive.dock.journal import Journal
from archive.records.items import Item
from archive.records.uploads import Upload
from archive.web.app import create_app
from tests.direct_house import MIB, PART, credential, house, working
from tests.services import fresh_buckets
from tests.serving import served

LARGE = 4 * MIB + 5
"""More than a station sends in one request, and one part."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with house(tmp_path_factory.mktemp("direct") / "data", fresh_buckets()) as resources:
        yield resources


@pytest.fixture(scope="module")
def enrolled(archive, tmp_path_factory):
    return credential(archive, tmp_path_factory.mktemp("station") / "dock.json")


@pytest.fixture
def card(tmp_path):
    folder = tmp_path / "card"
    folder.mkdir()
    return folder


def put(card, name, size=PART + 1000):
    data = secrets.token_bytes(size)
    (card / name).write_bytes(data)
    return data


def arguments(url, enrolled, card, *more):
    return [str(card), "--server", url, "--credential", str(enrolled), "--journal", str(card.parent / "journal"), "--json", *more]


def started(url, enrolled, card, *more, failpoint=None):
    """Start the real dock in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "archive.dock", *arguments(url, enrolled, card, *more)],
        env={**os.environ, "LC_ALL": "en_US.UTF-8", **({"LIUHEN_FAILPOINT": failpoint} if failpoint else {})},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip


def ended(process):
    with process:
        out, words = process.communicate(timeout=120)
    return process.returncode, json.loads(out) if out.strip() else {}, words


@pytest.fixture
def docked(capsys, monkeypatch, enrolled, card):
    """Return what runs the real dock to its end, in this process, and gives its exit code, its report and its words."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")

    def run(url, *more):
        code = 0
        capsys.readouterr()
        try:
            command.dock.main(arguments(url, enrolled, card, *more), standalone_mode=False)
        except SystemExit as end:
            code = end.code
        out, words = capsys.readouterr()
        return code, json.loads(out), words

    return run


def uploads(resources, data):
    with resources.reading() as session:
        return session.query(Upload).filter_by(declared_sha256=Digest.of(data).hex).order_by(Upload.created_at).all()


def items(resources, data):
    with resources.reading() as session:
        return session.query(Item).filter_by(sha256=Digest.of(data).hex).count()


def journal(card):
    with Journal.reading(card.parent / "journal") as opened:
        return opened.entries()


def test_a_card_is_docked_straight_to_the_store_and_has_its_receipts(archive, card, docked):
    large, small = put(card, "a.bin", 2 * PART + 7), put(card, "b.bin", 5000)
    (card / "c.bin").write_bytes(large)
    with served(create_app(archive)) as url, working(archive):
        code, report, words = docked(url)
    assert code == 0, words
    assert [row["state"] for row in report["files"]] == ["verified"] * 3
    assert report["sent_bytes"] == len(large) + len(small), "the same bytes go once"
    assert [upload.direct for data in (large, small) for upload in uploads(archive, data)] == [True, False]
    assert [items(archive, data) for data in (large, small)] == [1, 1]
    assert all(row.receipt for row in journal(card))
    assert "for 2 files to be taken in" in words


def test_a_dock_that_was_killed_goes_on_with_the_parts_that_are_missing(archive, enrolled, card, docked):
    data = put(card, "a.bin", 3 * PART + 9)
    with served(create_app(archive)) as url:  # at a limited pace one part goes at a time
        code, _, words = ended(started(url, enrolled, card, "--limit", "100M", failpoint="dock.part_sent:2"))
        assert code == 137, words
    (upload,) = uploads(archive, data)
    assert (upload.state, upload.direct) == ("receiving", True)
    with served(create_app(archive)) as url, working(archive):  # the archive was started anew as well, elsewhere
        code, report, words = docked(url)
    assert code == 0, words
    assert report["sent_bytes"] == len(data) - 2 * PART
    assert ([row.state for row in uploads(archive, data)], items(archive, data)) == (["stored"], 1)


@pytest.mark.parametrize("failpoint", ["dock.parts_sent", "dock.completed"])
def test_a_dock_that_dies_anywhere_is_followed_by_one_item(archive, enrolled, card, docked, failpoint):
    data = put(card, "a.bin", LARGE)
    with served(create_app(archive)) as url, working(archive):
        assert ended(started(url, enrolled, card, failpoint=failpoint))[0] == 137
        code, report, words = docked(url)
    assert code == 0, words
    assert report["files"][0]["state"] == "verified"
    assert (len(uploads(archive, data)), items(archive, data)) == (1, 1)


def test_what_arrived_is_not_acknowledged_and_the_next_run_hears_of_it(archive, card, docked):
    data = put(card, "a.bin", LARGE)
    with served(create_app(archive)) as url:
        code, report, _ = docked(url, "--wait-limit", "0.5", "--release")
        (row,) = report["files"]
        assert (code, row["state"], row["trouble"], row["number"]) == (3, "waiting", "arrived", None)
        assert row["sent_bytes"] == len(data)
        (entry,) = journal(card)
        assert (entry.state.value, entry.number, entry.receipt) == ("signed", None, None)
        assert (card / "a.bin").exists()
        with working(archive):
            code, report, words = docked(url)
    assert code == 0, words
    assert (report["sent_bytes"], report["files"][0]["state"]) == (0, "verified")


def test_a_refusal_of_what_arrived_is_told_and_frees_nothing(archive, card, docked):
    put(card, "a.bin", LARGE)
    with served(create_app(archive)) as url:
        docked(url, "--wait-limit", "0")
        with archive.transaction() as session:  # as if the carrier had given other bytes when they were hashed
            row = session.query(Upload).filter_by(state="arrived").one()
            row.declared_sha256 = "0" * 64
        with working(archive):
            code, report, words = docked(url, "--release")
    assert (code, report["files"][0]["state"]) == (1, "refused"), words
    assert "digest_mismatch" in report["files"][0]["trouble"]
    assert (card / "a.bin").exists()


@contextmanager
def nobody_there():
    """Give the address of a port where nobody listens and nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_store_that_a_station_cannot_reach_is_gone_around(archive, card, docked, monkeypatch):
    monkeypatch.setattr(direct, "NEVER_REACHED_S", 1.0)
    first, second = put(card, "a.bin", LARGE), put(card, "b.bin", LARGE)
    with nobody_there() as away:
        incoming = Incoming(archive.incoming.store, away, archive.incoming.keys)
        with served(create_app(replace(archive, incoming=incoming))) as url, working(archive):
            code, report, words = docked(url, "--jobs", "1")
    assert code == 0, words
    assert [row["state"] for row in report["files"]] == ["verified"] * 2
    assert "a.bin goes through the archive, not straight to its store" in words
    assert "b.bin goes" not in words, "the way is known to be closed"
    assert [row.state for row in uploads(archive, first)] == ["terminated", "stored"]
    assert [row.direct for row in uploads(archive, second)] == [False]
    assert [items(archive, data) for data in (first, second)] == [1, 1]


def test_a_file_that_changes_while_it_goes_is_hashed_anew(archive, enrolled, card):
    first = put(card, "a.bin", 3 * PART)
    with served(create_app(archive)) as url, working(archive):
        process = started(url, enrolled, card, "--limit", "8M")
        while not any(row.multipart and row.multipart.get("id") for row in uploads(archive, first)):
            assert process.poll() is None
            time.sleep(0.05)
        second = put(card, "a.bin", LARGE)
        code, report, words = ended(process)
    assert (code, report["files"][0]["state"]) == (0, "verified"), words
    assert (items(archive, first), items(archive, second)) == (0, 1)
    assert [row.state for row in uploads(archive, first)] == ["terminated"]
