"""The demonstration's manners: whose folder it empties, whose port it takes, what it leaves running."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click
import pytest

from archive.demo import run
from tests.server import RunningServer


def test_a_folder_with_other_peoples_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(click.UsageError):
        run.prepare(tmp_path, keep=False)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_our_own_folder_is_made_afresh_and_kept_only_when_asked_and_finished(tmp_path: Path) -> None:
    folder = tmp_path / "demo-data"
    assert not run.prepare(folder, keep=True)
    (folder / "data").mkdir()
    assert not run.prepare(folder, keep=True), "an unfinished demonstration is nothing to keep"
    assert not (folder / "data").exists()
    (folder / "data").mkdir()
    (folder / run.MARKER).write_text(run.FINISHED, "utf-8")
    assert run.prepare(folder, keep=True)
    assert (folder / "data").exists()
    assert not run.prepare(folder, keep=False)
    assert not (folder / "data").exists()


def test_a_taken_port_is_not_fought_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run.usual_port(taken.getsockname()[1]) != taken.getsockname()[1]


def session_members(leader: int) -> set[int]:
    members = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == leader:
                members.add(int(entry.name))
        except ProcessLookupError:
            continue
    return members


def test_nothing_of_a_server_is_left_when_it_was_ended_but_its_sign_in(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.start()
    leader = server.process.pid
    assert leader in session_members(leader)
    first = server.account()
    server.kill()
    assert session_members(leader) == set()

    again = RunningServer(tmp_path / "data")
    again.log.unlink()
    again.start()
    leader = again.process.pid
    with again.sign_in() as client:
        assert again.account() == first
        assert client.get("/api/v1/items").status_code == 200
    again.stop()
    assert session_members(leader) == set()
