"""Claims about what a docking outlives: a full disk, media that cannot be written, names of any kind, many files, a card that is pulled."""

import errno
import json
import os
import resource
import subprocess
import sys
import time

import pytest
from rich.console import Console

from archive.dock import session
from archive.dock.board import Board
from archive.dock.carrier import identify
from archive.dock.journal import Journal
from archive.dock.pace import Stop
from archive.dock.patterns import shipped
from archive.dock.places import RECORDER
from archive.dock.scan import scan
from archive.dock.session import Wishes, opened, settled
from tests.dock.watching import SmallArchive, credential

MANY = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 400
"""Files in the large card; 10,000 in `make soak`."""


@pytest.fixture
def archive():
    with SmallArchive() as running:
        yield running


@pytest.fixture
def card(tmp_path):
    folder = (tmp_path / "card").resolve()
    folder.mkdir()
    return folder


def wishes(tmp_path, archive, **changes):
    values = {
        "server": archive.url, "credential": credential(tmp_path), "journal": tmp_path / "journal", "jobs": 4, "limit": None,
        "patterns": None, "zone": None, "clock_offsets": {}, "clock_of": None, "carrier": None, "ca": None, "patience_s": 5,
        "wait_s": 10, "retry_refused": False, "release": False,
    }  # fmt: skip
    return Wishes(**{**values, **changes})


class Quiet:
    """Standard error of a run that nobody looks at."""

    encoding = "utf-8"

    def write(self, text):
        return len(text)

    def flush(self):
        pass


def run(tmp_path, archive, card, *, doctor=None, **changes):
    """Dock a card in this process; `doctor` may make its files and journal sick before the run."""
    with opened(wishes(tmp_path, archive, **changes), board=Board(Console(file=Quiet())), stop=Stop()) as station:
        found = settled(station, card, RECORDER)
        if doctor is not None:
            doctor(station)
        return station.dock([found], wait_s=10, release=False)


def dock(tmp_path, archive, card, *arguments, **how):
    command = [
        sys.executable,
        "-m",
        "archive.dock",
        card,
        "--server",
        archive.url,
        "--credential",
        credential(tmp_path),
        "--json",
    ]
    return subprocess.run(list(map(str, [*command, *arguments])), capture_output=True, text=True, check=False, timeout=120, **how)


def test_a_full_disk_is_a_clear_fault_and_nothing_goes_that_is_not_journaled(tmp_path, archive, card):
    for number in range(60):
        (card / f"{number:02d}.bin").write_bytes(bytes([number]) * 1000)

    def full(station):
        # what a full disk does to SQLite: no page more than the journal has
        station.journal._writer.execute("PRAGMA max_page_count = 1")

    report = run(tmp_path, archive, card, doctor=full)
    assert report.exit_code == 3
    assert "full" in report.ended_by
    with Journal.reading(tmp_path / "journal") as journal:
        journaled = {row.shown for row in journal.entries()}
    assert set(archive.names()) <= journaled
    assert len(journaled) < 30
    report = run(tmp_path, archive, card)
    assert (report.exit_code, archive.names()) == (0, [f"{number:02d}.bin" for number in range(60)])


def test_a_disk_that_is_really_full_ends_the_run_before_anything_is_sent(tmp_path, archive, card):
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    (card / "a.bin").write_bytes(b"footage")
    (tmp_path / "disk").mkdir()
    command = f"{sys.executable} -m archive.dock {card} --server {archive.url} --credential {credential(tmp_path)}"
    command += f" --journal {tmp_path}/disk/j"
    script = f"mount -t tmpfs -o size=256k tmpfs {tmp_path}/disk; dd if=/dev/zero of={tmp_path}/disk/filler bs=1k 2>/dev/null; "
    script += f"{command}; echo full $?; rm {tmp_path}/disk/filler; {command}; echo free $?"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["full 3", "free 0"], done.stderr
    assert "Traceback" not in done.stderr
    assert archive.names() == ["a.bin"]


def test_a_disk_that_fills_up_under_way_doubles_nothing(tmp_path, archive, card):
    for number in range(8):
        (card / f"{number}.bin").write_bytes(bytes([number]) * 1000)
    broken = []

    def fills_up(station):
        def fill():
            if len(archive.items) == 3 and not broken:
                pages = station.journal._reader.execute("PRAGMA page_count").fetchone()[0]
                broken.append(station.journal._writer.execute(f"PRAGMA max_page_count = {pages}"))

        archive.hold = fill

    report = run(tmp_path, archive, card, doctor=fills_up, jobs=1)
    archive.hold = None
    # a row that is there is changed in place, so what was acknowledged may still be kept; a new one cannot be
    assert report.exit_code in {0, 3}
    report = run(tmp_path, archive, card)
    assert report.exit_code == 0
    assert sorted(archive.names()) == [f"{number}.bin" for number in range(8)]


@pytest.mark.parametrize("place", ["missing/folder/journal", "journal"])
def test_a_journal_that_cannot_be_made_is_told_and_nothing_goes(tmp_path, archive, card, place):
    (card / "a.bin").write_bytes(b"x")
    (tmp_path / "missing").write_bytes(b"a file where a folder should be")
    journal = tmp_path / place if "/" in place else "/proc/liuhen.journal"
    done = dock(tmp_path, archive, card, "--journal", journal)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert archive.items == {}


def test_media_that_cannot_be_written_are_docked_and_left_as_they_were(tmp_path, archive, card):
    (card / "a.bin").write_bytes(b"footage")
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no mount namespace can be made here")
    before = (card / "a.bin").stat()
    script = f"mount --bind {card} {card} && mount -o remount,bind,ro {card} && ! touch {card}/new 2>/dev/null && "
    script += f"exec {sys.executable} -m archive.dock {card} --server {archive.url} --credential {credential(tmp_path)}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, archive.names()) == (0, ["a.bin"]), done.stderr
    assert (card / "a.bin").stat() == before or (card / "a.bin").stat().st_mtime_ns == before.st_mtime_ns


def test_names_of_any_kind_arrive(tmp_path, archive, card):
    names = [
        "视频.mp4".encode("gbk"),
        "🎥📼.mp4".encode(),
        ("长" * 83 + ".mp4").encode(),
        b"x" * 255,
        b"two\nlines.mp4",
        "\u202egpj.exe".encode(),
        b"\xff\xfe\x80",
        b"[red]markup[-red]%41.mp4",
        "e\u0301.mp4".encode(),
        "é.mp4".encode(),
        b" spaces ",
        b"-rf",
    ]
    for index, name in enumerate(names):
        with open(os.fsencode(card) + b"/" + name, "wb") as file:  # noqa: PTH123 - a bytes path
            file.write(bytes([index]) * 10)
    done = dock(tmp_path, archive, card)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert len(set(archive.names())) == len(names)
    assert "%0A" in "".join(archive.names())
    assert "\u202e" not in done.stderr
    again = dock(tmp_path, archive, card)
    assert (again.returncode, json.loads(again.stdout)["sent"]) == (0, 0)


def test_a_system_that_cannot_write_a_name_docks_it_all_the_same(tmp_path, archive, card):
    (card / "🎥.mp4").write_bytes(b"x")
    gbk = {**os.environ, "PYTHONIOENCODING": "gbk", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "archive.dock", card, "--server", archive.url, "--credential", credential(tmp_path)]
    done = subprocess.run(list(map(str, [*command, "--json"])), capture_output=True, check=False, env=gbk)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert json.loads(done.stdout.decode("utf-8"))["files"][0]["path"] == "🎥.mp4"
    status = subprocess.run(list(map(str, [*command, "--status"])), capture_output=True, check=False, env=gbk)
    assert (status.returncode, rb"\U0001f3a5.mp4" in status.stdout) == (0, True)


def test_what_a_file_costs_does_not_grow_with_the_card(tmp_path, archive, card):
    for number in range(MANY):
        path = card / f"{number // 100:03d}" / f"IMG_20260312_{number:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff" + number.to_bytes(4, "big"))
    times = []
    archive.hold = lambda: times.append(time.monotonic())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = run(tmp_path, archive, card)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (report.exit_code, len(archive.items)) == (0, MANY)
    assert grown < 64 * 1024, f"{grown} KiB more"
    part = MANY // 4
    first, last = times[part] - times[0], times[-1] - times[-part - 1]
    assert last < 3 * first + 0.5, (first, last)
    requests = len(archive.asked)
    assert requests < MANY * 1.1 + 20, f"{requests} requests for {MANY} files"
    archive.hold = None
    began = time.monotonic()
    report = run(tmp_path, archive, card)
    assert (report.exit_code, sum(row.sent for row in report.outcomes)) == (0, 0)
    assert time.monotonic() - began < 1 + MANY * 0.005


def test_the_journal_answers_by_its_indexes(tmp_path):
    with Journal.locked(tmp_path / "journal") as journal:
        for question in (
            "archive = 'a' AND carrier = 'c' AND path = x'00' AND size = 1 AND mtime_ns = 1",
            "archive = 'a' AND sha256 = 's' AND size = 1 AND state IN ('stored') AND again = 0 ORDER BY id LIMIT 1",
            "archive = 'a' AND number = 'n'",
        ):
            plan = journal._reader.execute(f"EXPLAIN QUERY PLAN SELECT * FROM file WHERE {question}").fetchall()
            assert all("USING INDEX" in row[3] or "TEMP B-TREE" in row[3] for row in plan), (question, plan)


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENXIO])
def test_a_card_pulled_while_it_is_read_is_told_once_and_taken_up_when_it_is_back(tmp_path, archive, card, monkeypatch, number):
    for index in range(40):
        (card / f"{index:02d}.bin").write_bytes(bytes([index]) * 1000)
    read = os.readv
    pulled = []

    def reading(descriptor, buffers):
        if len(archive.items) >= 5:
            pulled.append(descriptor)
            raise OSError(number, os.strerror(number))
        return read(descriptor, buffers)

    monkeypatch.setattr("archive.dock.reading.os.readv", reading)
    report = run(tmp_path, archive, card)
    monkeypatch.undo()
    assert (report.exit_code, report.gone) == (3, ("card",))
    assert not [row for row in report.outcomes if row.state == "unreadable"]
    assert len(pulled) <= 8, "it goes on reading a card that is gone"
    report = run(tmp_path, archive, card)
    assert (report.exit_code, len(archive.items), len(set(archive.names()))) == (0, 40, 40)


def test_a_bad_sector_is_one_files_trouble_and_no_pulled_card(tmp_path, archive, card, monkeypatch):
    for index in range(5):
        (card / f"{index}.bin").write_bytes(bytes([index]) * 1000)
    bad = (card / "2.bin").stat().st_ino
    read = os.readv

    def reading(descriptor, buffers):
        if os.fstat(descriptor).st_ino == bad:
            raise OSError(errno.EIO, "Input/output error")
        return read(descriptor, buffers)

    monkeypatch.setattr("archive.dock.reading.os.readv", reading)
    report = run(tmp_path, archive, card)
    assert (report.exit_code, report.gone) == (1, ())
    assert {row.path: row.state for row in report.outcomes if row.trouble} == {"2.bin": "unreadable"}
    assert len(archive.items) == 4


def test_a_folder_that_vanishes_under_the_run_is_a_pulled_card(tmp_path, archive, card):
    for index in range(20):
        (card / f"{index:02d}.bin").write_bytes(bytes([index]) * 1000)

    def pull():
        if len(archive.items) == 4 and card.exists():
            card.rename(tmp_path / "pulled")

    archive.hold = pull
    report = run(tmp_path, archive, card, jobs=1)
    archive.hold = None
    assert (report.exit_code, report.gone) == (3, ("card",))
    assert len(archive.items) == 5
    (tmp_path / "pulled").rename(card)
    assert run(tmp_path, archive, card).exit_code == 0
    assert len(set(archive.names())) == 20


def test_a_volume_is_there_as_long_as_its_file_system_and_its_device_are(tmp_path):
    volume = identify(tmp_path)
    assert volume.present()
    node = tmp_path / "sdz1"
    node.touch()
    with_node = type(volume)(volume.carrier, volume.root, volume.device, node)
    assert with_node.present()
    node.unlink()
    assert not with_node.present()
    assert not type(volume)(volume.carrier, volume.root, (volume.device or 0) + 1, None).present()
    assert scan(tmp_path, volume=volume, patterns=shipped()).files == ()
    assert session.now() > 0
