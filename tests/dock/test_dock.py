"""Docking a recorder into a real archive: one server for the file, a card and a journal for each test.

Runs that nothing ends before their end are made in this process; those that die or are told to stop are `python -m archive.dock`.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import pytest

from archive.core import note
from archive.core.digest import Digest
from archive.core.receipt import Receipt
from archive.dock.command import main
from archive.dock.credential import verify
from archive.dock.journal import Journal, State
from tests.server import RunningServer

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    # no worker's media tools are waited for here; the read-back that makes receipts comes before them
    with RunningServer(tmp_path_factory.mktemp("archive") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def reader(server):
    with server.sign_in() as client:
        yield client


@pytest.fixture(scope="module")
def enrolled(server):
    return server.enrol_station("dock-shared")


@dataclass(frozen=True)
class Station:
    """A docking station under test: its credential, its journal, and the archive it sends to."""

    server: RunningServer
    credential: Path
    journal: Path

    def command(self, *arguments):
        to_here = ["--server", self.server.base_url, "--credential", str(self.credential), "--journal", str(self.journal)]
        return [sys.executable, "-m", "archive.dock", *map(str, arguments), *to_here, "--json"]

    def start(self, *arguments, failpoint=None):
        environment = {
            **self.server.environment,
            "LC_ALL": "en_US.UTF-8",
            **({"LIUHEN_FAILPOINT": failpoint} if failpoint else {}),
        }
        return subprocess.Popen(
            self.command(*arguments), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def dock(self, *arguments):
        """Run the dock to its end and return its exit code, its report and its words."""
        out, words, code = io.StringIO(), io.StringIO(), 0
        with (
            patch.dict(os.environ, LC_ALL="en_US.UTF-8"),
            patch.object(sys, "argv", self.command(*arguments)[2:]),
            redirect_stdout(out),
            redirect_stderr(words),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code
        return code, json.loads(out.getvalue() or "{}"), words.getvalue()

    def die(self, *arguments, failpoint):
        """Run the dock until it dies there, as by a power cut."""
        with self.start(*arguments, failpoint=failpoint) as process:
            code, _, words = ended(process)
        assert code == 137, words

    def files(self):
        """Return the journal's rows."""
        if not self.journal.exists():
            return []
        with Journal.reading(self.journal) as journal:
            return journal.entries()

    @property
    def name(self):
        return json.loads(self.credential.read_text("utf-8"))["station"]

    def forge(self, **changes):
        """Change fields of the credential."""
        value = json.loads(self.credential.read_text("utf-8"))
        self.credential.write_text(json.dumps({**value, **changes}), "utf-8")


def ended(process, timeout=120):
    out, words = process.communicate(timeout=timeout)
    return process.returncode, json.loads(out) if out.strip() else {}, words


@pytest.fixture
def card(tmp_path):
    folder = tmp_path / "card"
    (folder / "DCIM").mkdir(parents=True)
    return folder


@pytest.fixture
def station(server, enrolled, tmp_path):
    """The shared station with a journal and a copy of its credential that the test may spoil."""
    credential = tmp_path / "credential.json"
    credential.write_bytes(enrolled.read_bytes())
    credential.chmod(0o600)
    return Station(server, credential, tmp_path / "journal")


def put(card, name, data):
    path = card / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def fresh(size):
    """Bytes that no other test has, of this size, most of them zero so that they cost nothing."""
    return os.urandom(min(size, 64)).ljust(size, b"\x00")


def until(condition, *, within_s=60.0):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about in time")


def items(reader, data):
    """Return the archive's items with these bytes."""
    answer = reader.get("/api/v1/items", params={"limit": 200})
    answer.raise_for_status()
    return [row for row in answer.json()["items"] if row["sha256"] == Digest.of(data).hex]


def test_a_recorder_is_docked_whole_and_a_second_run_sends_nothing(reader, station, card):
    footage = fresh(300_000)
    put(card, "DCIM/DSJ-A1_012345_20260312090120_0001.MP4", footage)
    put(card, "DCIM/会议 照片.JPG", fresh(2_000))
    put(card, "empty.wav", b"")
    put(card, ".Trashes/old.MP4", b"junk")
    with open(os.fsencode(card) + b"/\xca\xd3.bin", "wb") as file:  # noqa: PTH123 - a bytes path
        file.write(fresh(10))
    code, report, words = station.dock(card, "--clock-offset", "DSJ-A1=-1.5")
    assert code == 0, words
    assert {row["state"] for row in report["files"]} == {"verified"}
    assert report["sent"] == 4
    assert [row["reason"] for row in report["passed_over"]] == ["junk"]
    (row,) = items(reader, footage)
    found = reader.get(f"/api/v1/items/{row['number']}").json()
    assert (found["recorder"], found["officer"], found["sequence"]) == ("DSJ-A1", "012345", 1)
    assert (found["clock_started_at"], found["clock_offset_us"]) == ("2026-03-12T01:01:20.000000Z", -1_500_000)

    code, report, words = station.dock(card)
    assert code == 0, words
    assert report["sent"] == 0
    assert {row["state"] for row in report["files"]} == {"verified"}
    assert len(items(reader, footage)) == 1


def test_what_the_station_keeps_is_a_receipt_it_can_check_alone(station, card):
    data = fresh(5_000)
    put(card, "a.bin", data)
    assert station.dock(card)[0] == 0
    (row,) = station.files()
    keys = [note.VerifierKey.parse(text) for text in json.loads(station.credential.read_text("utf-8"))["server_keys"]]
    receipt = Receipt.parse(note.read(row.receipt, keys=keys, verify=verify))
    assert (receipt.sha256, receipt.size, str(receipt.number)) == (Digest.of(data), 5_000, row.number)


def test_a_source_that_is_named_twice_is_docked_once(reader, station, card):
    data = fresh(2_000)
    put(card, "DCIM/a.bin", data)
    code, report, words = station.dock(card, card, card / "DCIM", "--no-wait")
    assert code == 0, words
    assert report["sent"] == 1
    assert len(items(reader, data)) == 1


def test_bytes_that_another_station_docked_are_taken_again_and_told_apart(server, reader, station, card, tmp_path):
    data = fresh(3_000)
    put(card, "a.bin", data)
    assert station.dock(card, "--no-wait")[0] == 0
    other = Station(server, server.enrol_station("dock-other"), tmp_path / "other-journal")
    code, report, words = other.dock(card, "--no-wait")
    assert code == 0, words
    (row,) = station.files()
    assert report["files"][0]["same_bytes_as"] == row.number
    assert len(items(reader, data)) == 2


def test_the_same_bytes_go_once_whatever_they_are_called(reader, station, card, tmp_path):
    data = fresh(400_000)
    for number in range(4):
        put(card, f"DCIM/{number}.MP4", data)
    code, report, words = station.dock(card)
    assert code == 0, words
    assert report["sent"] == 1
    assert len({row["number"] for row in report["files"]}) == 1
    assert len(items(reader, data)) == 1
    put(tmp_path / "other", "moved.MP4", data)
    code, report, _ = station.dock(tmp_path / "other")
    assert (code, report["sent"], report["files"][0]["again"]) == (0, 0, True)
    assert report["files"][0]["state"] == "verified"


@pytest.mark.parametrize(
    ("failpoint", "size", "sent"),
    [
        ("dock.scanned", 1000, 1),
        ("dock.hashed", 1000, 1),
        ("dock.signature_kept", 1000, 1),
        ("dock.created", 5 * MIB, 1),
        ("dock.created", 1000, 1),
        ("dock.address_kept", 5 * MIB, 1),
        ("dock.piece_sent", 40 * MIB, 1),
        ("dock.offset_kept", 40 * MIB, 1),
        ("dock.piece_sent:2", 40 * MIB, 1),
        ("dock.accepted", 1000, 1),
        ("dock.number_kept", 1000, 0),
        ("dock.receipt_checked", 1000, 0),
        ("dock.receipt_kept", 1000, 0),
    ],
)
def test_a_station_that_dies_anywhere_loses_nothing_and_doubles_nothing(reader, station, card, failpoint, size, sent):
    data = fresh(size)
    put(card, "DCIM/REC_0001.MP4", data)
    station.die(card, failpoint=failpoint)
    code, report, words = station.dock(card)
    assert code == 0, words
    assert ([row["state"] for row in report["files"]], report["sent"]) == (["verified"], sent)
    assert len(items(reader, data)) == 1


def test_an_upload_goes_on_where_it_was_cut_off(station, card):
    put(card, "DCIM/REC_0001.MP4", fresh(33 * MIB))
    station.die(card, failpoint="dock.offset_kept")
    (row,) = station.files()
    assert (row.state, row.offset) == (State.SIGNED, 32 * MIB)
    began = time.monotonic()
    # at this pace the whole file would take 33 s, what is left of it one
    assert station.dock(card, "--limit", "1Mi", "--no-wait")[1]["sent_bytes"] == MIB
    assert time.monotonic() - began < 30


def test_a_file_that_changed_after_it_was_signed_is_hashed_anew(reader, station, card):
    before, after = fresh(1000), fresh(1000)
    path = put(card, "a.bin", before)
    station.die(card, failpoint="dock.signature_kept")
    path.write_bytes(after)
    code, report, words = station.dock(card, "--no-wait")
    assert code == 0, words
    assert report["files"][0]["sha256"] == Digest.of(after).hex
    assert (len(items(reader, before)), len(items(reader, after))) == (0, 1)


def test_a_file_that_changes_while_it_is_sent_is_noticed_and_hashed_anew(reader, station, card):
    before, after = fresh(2 * MIB), fresh(2 * MIB)
    path = put(card, "a.bin", before)
    with station.start(card, "--no-wait", "--limit", "1Mi") as process:
        until(lambda: [row for row in station.files() if row.upload_url])
        path.write_bytes(after)
        code, report, words = ended(process)
    assert code == 0, words
    assert "hashing it anew" in words
    assert report["files"][0]["sha256"] == Digest.of(after).hex
    assert (len(items(reader, before)), len(items(reader, after))) == (0, 1)


def test_bytes_that_changed_behind_the_same_size_and_time_are_refused_kept_and_told(reader, station, card):
    signed, rotten = fresh(1000), fresh(1000)
    path = put(card, "a.bin", signed)
    times = path.stat().st_mtime_ns
    station.die(card, failpoint="dock.signature_kept")
    path.write_bytes(rotten)
    os.utime(path, ns=(times, times))
    code, report, words = station.dock(card, "--no-wait")
    assert code == 1, words
    assert report["files"][0]["state"] == "refused"
    assert "other bytes each time" in report["files"][0]["trouble"]
    assert (len(items(reader, signed)), len(items(reader, rotten))) == (0, 0)

    code, report, words = station.dock(card, "--no-wait")
    assert (code, report["sent"]) == (1, 0), "what was refused is told again and not sent again"
    code, report, words = station.dock(card, "--no-wait", "--retry-refused")
    assert (code, report["sent"], len(items(reader, rotten))) == (0, 1, 1), words


def test_a_receipt_by_a_key_we_do_not_know_is_not_kept(station, card):
    put(card, "a.bin", fresh(1000))
    station.forge(server_keys=[str(note.VerifierKey("another.example", b"\x05" * 32))])
    code, report, words = station.dock(card)
    assert code == 1, words
    assert len(report["flawed_receipts"]) == 1
    (row,) = station.files()
    assert (row.state, row.receipt) == (State.STORED, None)


def test_without_waiting_the_receipt_comes_with_the_next_run(station, card):
    put(card, "a.bin", fresh(1000))
    code, report, words = station.dock(card, "--no-wait")
    assert (code, report["files"][0]["state"]) == (0, "stored"), words
    code, report, words = station.dock(card)
    assert (code, report["files"][0]["state"], report["sent"]) == (0, "verified", 0), words


def test_a_station_that_was_revoked_in_the_middle_sends_nothing_more(server, reader, station, card):
    own = replace(station, credential=server.enrol_station("dock-revoked"))
    data = fresh(33 * MIB)
    put(card, "a.bin", data)
    own.die(card, "--no-wait", failpoint="dock.offset_kept")
    server.run("station", "revoke", own.name)
    code, report, words = own.dock(card, "--no-wait")
    assert (code, report["sent"]) == (1, 0)
    assert "station_revoked" in words
    assert items(reader, data) == []
    (row,) = own.files()
    assert (row.state, row.offset) == (State.SIGNED, 32 * MIB)


def test_a_stranger_with_a_stations_name_gets_nowhere(station, card):
    put(card, "a.bin", fresh(1000))
    station.forge(private_key="AAAA" * 10 + "AAA=")
    code, report, words = station.dock(card)
    assert (code, report["sent"]) == (1, 0)
    assert "wrong_credentials" in words
    assert station.files() == []


def test_an_archive_that_is_away_is_a_fault_and_everything_is_kept(station, card, tmp_path):
    put(card, "a.bin", fresh(1000))
    away = replace(station, server=RunningServer(tmp_path / "never-started"))
    code, report, words = away.dock(card, "--patience", "1")
    assert (code, report["sent"]) == (3, 0), words
    assert station.dock(card, "--no-wait")[0] == 0


def test_two_runs_on_one_journal_do_not_collide(station, card):
    put(card, "a.bin", fresh(MIB))
    with station.start(card, "--limit", "512Ki", "--no-wait") as process:
        until(station.files)
        code, _, words = station.dock(card)
        assert (code, "journal_busy" in words) == (1, True)
        assert ended(process)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_stops_cleanly_and_goes_on_next_time(reader, station, card, number):
    data = fresh(3 * MIB)
    put(card, "a.bin", data)
    with station.start(card, "--limit", "512Ki") as process:
        until(lambda: [row for row in station.files() if row.upload_url])
        process.send_signal(number)
        code, report, words = ended(process)
    assert (code, report["stopped"]) == (3, True)
    assert "Traceback" not in words
    code, report, words = station.dock(card, "--no-wait")
    assert (code, report["sent"]) == (0, 1), words
    assert len(items(reader, data)) == 1


def test_the_limit_holds_for_all_files_together(station, card):
    for number in range(4):
        put(card, f"{number}.bin", fresh(MIB // 2))
    began = time.monotonic()
    assert station.dock(card, "--limit", "1Mi", "--no-wait")[0] == 0
    assert time.monotonic() - began > 1.7


def test_a_name_pattern_of_ones_own_is_used(reader, station, card, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("[[pattern]]\nid = 'ours'\nmatch = '(?P<device>K\\d{3})#(?P<officer>\\d{6})\\.bin'\n", "utf-8")
    data = fresh(1000)
    put(card, "K007#012345.bin", data)
    assert station.dock(card, "--no-wait", "--patterns", mine)[0] == 0
    (row,) = items(reader, data)
    assert (row["recorder"], row["officer"]) == ("K007", "012345")


def test_a_real_cameras_file_arrives_as_it_was_signed(reader, station, card, samples):
    data = (samples / "karma.mp4").read_bytes()
    put(card, "DCIM/GH010123.MP4", data)
    code, report, words = station.dock(card, "--no-wait")
    assert code == 0, words
    (row,) = report["files"]
    assert Digest.of(reader.get(f"/api/v1/items/{row['number']}/download").content) == Digest.of(data)
    found = reader.get(f"/api/v1/items/{row['number']}").json()
    assert row["number"].split("-")[1] == "LX"
    assert (found["clock_started_at"], found["started_from"]) == ("2017-04-17T19:27:57.000000Z", "media")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--limit", "fast", "."],
        ["--zone", "Mars/Olympus", "."],
        ["--jobs", "0", "."],
        ["/nowhere/at/all"],
        ["--clock-offset", "x", "."],
    ],
)
def test_misuse_ends_with_two(station, arguments):
    assert station.dock(*arguments)[0] == 2


def test_the_journal_can_be_shown_to_people_and_to_scripts(station, card, server):
    put(card, "a.bin", fresh(1000))
    assert station.dock(card, "--no-wait")[0] == 0
    (row,) = station.files()
    where = ["dock", "--status", "--journal", str(station.journal)]
    assert row.number in server.run(*where)
    (told,) = json.loads(server.run(*where, "--json"))
    assert (told["number"], told["state"], told["sha256"]) == (row.number, "stored", row.sha256.hex)
