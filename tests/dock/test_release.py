"""Freeing a recorder against a real archive: what is removed, what stays and why, and a power cut at every step."""

import contextlib
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from archive.core.release import CarrierRule
from archive.dock.command import dock
from archive.dock.journal import Journal, State
from tests.server import RunningServer

FAILPOINTS = [
    "dock.release_intended", "dock.release_granted", "dock.release_compared", "dock.release_removed", "dock.release_synced",
    "dock.release_told", "dock.release_kept",
]  # fmt: skip


@dataclass(frozen=True)
class Docking:
    """A station, its card and its journal, beside the archive it sends to."""

    server: RunningServer
    credential: Path
    journal: Path
    card: Path

    def command(self, *arguments):
        to_here = [
            "--server",
            self.server.base_url,
            "--credential",
            str(self.credential),
            "--journal",
            str(self.journal),
            "--json",
        ]
        return [str(self.card), *arguments, *to_here]

    def dock(self, *arguments):
        """Run the dock over the card, in this process, and return its exit code and its report."""
        said, code = io.StringIO(), 0
        with contextlib.redirect_stdout(said):
            try:
                dock.main(self.command(*arguments), standalone_mode=False)
            except SystemExit as end:
                code = end.code
        return code, json.loads(said.getvalue() or "{}")

    def die(self, failpoint):
        """Run the dock until it dies there, as by a power cut."""
        program = [sys.executable, "-m", "archive.dock", *self.command("--release")]
        environment = {**self.server.environment, "LIUHEN_FAILPOINT": failpoint}
        assert subprocess.run(program, env=environment, capture_output=True, check=False, timeout=120).returncode == 137

    def put(self, name, data):
        path = self.card / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def files(self):
        with Journal.reading(self.journal) as journal:
            return journal.entries()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RunningServer(tmp_path_factory.mktemp("archive") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def reader(server):
    with server.sign_in() as client:
        yield client


@pytest.fixture(scope="module")
def enrolled(server):
    return server.enrol_station("dock-release")


@pytest.fixture
def docking(server, enrolled, tmp_path):
    card = tmp_path / "card"
    (card / "DCIM").mkdir(parents=True)
    credential = tmp_path / "credential.json"
    credential.write_bytes(enrolled.read_bytes())
    credential.chmod(0o600)
    return Docking(server, credential, tmp_path / "journal", card)


def events(reader, number, *kinds):
    seen = reader.get(f"/api/v1/items/{number}/events").json()
    return [event for event in seen if event["kind"] in (kinds or ("release", "release barred"))]


def test_a_recorder_is_freed_of_what_the_archive_has_and_the_archive_knows(reader, docking):
    path, other = docking.put("DCIM/A.MP4", os.urandom(5000)), docking.put("DCIM/B.JPG", os.urandom(300))
    code, report = docking.dock("--release")
    assert (code, report["released"]) == (0, 2)
    assert not path.exists()
    assert not other.exists()
    assert path.parent.is_dir()
    for entry in docking.files():
        assert entry.state is State.RELEASED
        told = events(reader, entry.number)
        assert [event["kind"] for event in told] == ["release"]
        assert told[0]["actor"] == "station:dock-release"
        assert told[0]["facts"]["name"] == entry.shown
        assert told[0]["facts"]["sha256"] == entry.sha256.hex
        assert told[0]["facts"]["verified_at"] == json.loads(entry.receipt.partition("\n")[0])["verified_at"]


def test_nothing_is_removed_unless_it_is_asked_for_and_a_later_run_may_do_it_alone(docking):
    path = docking.put("A.MP4", os.urandom(100))
    assert docking.dock()[0] == 0
    assert path.exists()
    code, report = docking.dock("--release", "--no-wait")
    assert (code, report["sent"], report["released"]) == (0, 0, 1)
    assert not path.exists()


def test_the_same_bytes_twice_are_released_twice_and_both_are_events(reader, docking):
    data = os.urandom(100)
    docking.put("ONE.MP4", data)
    docking.put("COPY/TWO.MP4", data)
    assert docking.dock("--release")[0] == 0
    first, second = docking.files()
    assert first.number == second.number
    assert {event["facts"]["name"] for event in events(reader, first.number)} == {"ONE.MP4", "COPY/TWO.MP4"}


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_a_power_cut_anywhere_is_finished_by_the_next_run_with_one_event(reader, docking, failpoint):
    path = docking.put("DCIM/A.MP4", os.urandom(100))
    docking.die(failpoint)
    before = docking.files()[0]
    assert before.state is (State.RELEASED if failpoint == "dock.release_kept" else State.RELEASING)
    assert docking.dock("--release")[0] == 0
    assert not path.exists()
    assert docking.files()[0].state is State.RELEASED
    assert [event["kind"] for event in events(reader, before.number)] == ["release"]


def test_every_failpoint_of_a_release_is_tried():
    named = re.findall(r'failpoint\("(dock\.release_[a-z_]+)"\)', Path("archive/dock/release.py").read_text("utf-8"))
    assert sorted(named) == sorted(FAILPOINTS)


def test_a_file_that_vanished_before_leave_was_given_is_not_called_released(reader, docking):
    path = docking.put("A.MP4", os.urandom(100))
    docking.die("dock.release_intended")
    path.unlink()
    code, report = docking.dock("--release")
    assert code == 1
    assert [row["reason"] for row in report["releases"]] == ["gone: removed without leave"]
    number = docking.files()[0].number
    assert [(event["kind"], event["facts"]["reason"]) for event in events(reader, number)] == [("release barred", "gone")]


def test_other_bytes_behind_the_same_size_and_time_are_kept_reported_and_can_be_docked_anew(reader, docking):
    path = docking.put("A.MP4", os.urandom(100))
    assert docking.dock()[0] == 0
    when, other = path.stat(), os.urandom(100)
    path.write_bytes(other)
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    code, report = docking.dock("--release")
    assert code == 1
    assert report["releases"][0]["reason"].startswith("changed: it hashes to")
    assert path.read_bytes() == other
    number = docking.files()[0].number
    assert [(event["kind"], event["facts"]["reason"]) for event in events(reader, number)] == [("release barred", "changed")]
    assert docking.dock("--release", "--retry-refused")[0] == 0
    assert not path.exists()
    assert docking.files()[0].number != number


def test_a_file_that_was_written_to_since_is_another_file_and_stays_until_it_is_docked(docking):
    path = docking.put("A.MP4", os.urandom(100))
    docking.die("dock.release_granted")
    path.write_bytes(b"grown" + os.urandom(100))
    code, report = docking.dock("--release")
    assert code == 1
    assert [row["reason"] for row in report["releases"] if row["state"] == "kept"] == ["changed: another file has its name"]
    assert [row["state"] for row in report["releases"] if row["state"] != "kept"] == ["released"]  # the new one, which was docked
    assert not path.exists()


def test_a_key_marked_file_stays_by_the_shipped_rule_and_goes_when_the_rule_changes(reader, docking):
    path = docking.put("A.MP4", os.urandom(100))
    assert docking.dock()[0] == 0
    entry = docking.files()[0]
    mark(docking.server, entry.number)
    for _ in range(2):  # asked again, it is barred again, and that is no second event
        code, report = docking.dock("--release")
        assert code == 0
        assert [(row["state"], row["reason"]) for row in report["releases"]] == [("kept", "release_barred: key_mark")]
    assert path.exists()
    assert docking.files()[0].state is State.KEPT
    assert [event["facts"]["bars"][0]["reason"] for event in events(reader, entry.number)] == ["key_mark"]
    rule = CarrierRule(key_mark=False, damaged=False, matters=(), days=None, basis="试行办法第三条").facts()
    shipped = reader.get("/api/v1/rules/carrier").json()["rule"]
    assert reader.put("/api/v1/rules/carrier", json=rule).json()["version"] == 1
    try:
        assert docking.dock("--release")[1]["released"] == 1
    finally:
        reader.put("/api/v1/rules/carrier", json=shipped)
    assert not path.exists()
    assert [event["kind"] for event in events(reader, entry.number)] == ["release barred", "release"]


def test_a_verdict_that_turned_after_the_receipt_keeps_the_recorder_as_it_is(server, docking):
    path = docking.put("A.MP4", os.urandom(100))
    assert docking.dock()[0] == 0
    sqlite(server, "UPDATE objects SET verdict = 'altered' WHERE sha256 = ?", docking.files()[0].sha256.hex)
    code, report = docking.dock("--release")
    assert code == 1
    assert [row["reason"] for row in report["releases"]] == ["not_verified"]
    assert path.exists()


def test_a_card_that_can_only_be_read_keeps_everything_and_says_so(reader, docking, tmp_path):
    path = docking.put("A.MP4", os.urandom(100))
    assert docking.dock()[0] == 0
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"',
         str(docking.card), sys.executable, "-m", "archive.dock", *docking.command("--release")],
        env=docking.server.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount" in done.stderr.partition("\n")[0]:
        pytest.skip(f"no mounts of one's own here: {done.stderr[:200]}")
    assert done.returncode == 1, done.stderr
    assert [row["reason"] for row in json.loads(done.stdout)["releases"]] == ["read_only"]
    assert path.exists()
    assert events(reader, docking.files()[0].number) == []


def test_status_shows_what_was_released(docking):
    docking.put("A.MP4", os.urandom(100))
    assert docking.dock("--release")[0] == 0
    assert [row["state"] for row in docking.dock("--status")[1]] == ["released"]


def mark(server, number):
    sqlite(server, "UPDATE items SET key_mark = 1 WHERE number = ?", number)


def sqlite(server, statement, *values):
    """Do what no interface lets anybody do."""
    connection = sqlite3.connect(server.data_dir / "liuhen.db", timeout=30)
    with connection:
        connection.execute(statement, values)
    connection.close()
