"""Claims about a station that stands by: a real process over a real folder, against a small archive in the test's own process."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from archive.core.manifest import decode
from archive.dock.journal import Journal, State
from tests.dock.watching import SmallArchive, credential, events


@pytest.fixture
def archive():
    with SmallArchive() as running:
        yield running


class Standby:
    """`--watch` in a process of its own; what it tells goes to a file that can be read meanwhile."""

    def __init__(self, tmp_path, archive):
        self.folder = tmp_path / "watched"
        self.folder.mkdir()
        self.places = tmp_path / "places.toml"
        self.places.write_text(
            "[[place]]\nfolder = '扫描'\nkind = 'scanner'\nsettle_s = 0.4\n"
            "[[place]]\nfolder = '办案场所'\nkind = 'rooms'\nsettle_s = 0.4\n"
            "[[place]]\nfolder = 'private'\nkind = 'ignore'\n"
            "[[place]]\nfolder = '*'\nkind = 'recorder'\nsettle_s = 0.4\n",
            "utf-8",
        )
        self.told = tmp_path / "told"
        self.journal = tmp_path / "journal"
        self.credential = credential(tmp_path)
        self.archive = archive
        self.process = None

    def start(self, *arguments):
        command = [
            sys.executable,
            "-m",
            "archive.dock",
            "--watch",
            self.folder,
            "--places",
            self.places,
            "--poll",
            "0.2",
            "--json",
        ]
        command += ["--server", self.archive.url, "--credential", self.credential, "--journal", self.journal, *arguments]
        with self.told.open("ab") as out:
            self.process = subprocess.Popen(
                list(map(str, command)),
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONUTF8": "1", "LC_ALL": "zh_CN.UTF-8"},
            )

    def heard(self, kind=None):
        return events(self.told.read_text("utf-8"), kind) if self.told.exists() else []

    def until(self, condition, within_s=30):
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.05)
        raise AssertionError(self.told.read_text("utf-8"))

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        words = self.process.communicate(timeout=30)[1]
        return self.process.returncode, words

    def files(self):
        with Journal.reading(self.journal) as journal:
            return journal.entries()


@pytest.fixture
def standby(tmp_path, archive):
    made = Standby(tmp_path, archive)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


def put(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_one_watch_serves_recorders_scanners_and_rooms(standby, archive):
    put(standby.folder, "K7/DSJ-A1_012345_20260312090120_0001.MP4", b"footage")
    put(standby.folder, "private/secret", b"secret")
    standby.start()
    standby.until(lambda: archive.names() == ["DSJ-A1_012345_20260312090120_0001.MP4"])
    put(standby.folder, "扫描/笔录/1.jpg", b"\xff\xd8\xff1")
    put(standby.folder, "扫描/笔录/2.jpg", b"\xff\xd8\xff2")
    put(standby.folder, "办案场所/询问室一/REC.mp4", b"room")
    standby.until(lambda: len(archive.items) == 4)
    standby.until(lambda: len(standby.heard("receipt")) == 4)
    put(standby.folder, "K7/DSJ-A1_012345_20260312090620_0002.MP4", b"more footage")
    standby.until(lambda: len(archive.items) == 5)
    standby.until(lambda: len(standby.heard("docked")) == 4)
    code, words = standby.stop()
    assert (code, "Traceback" in words) == (0, False)
    said = {each.name: each for each in archive.items.values()}
    assert [said[f"笔录/{page}.jpg"].document.page for page in (1, 2)] == [1, 2]
    assert said["笔录/1.jpg"].carrier.kind == "scanner"
    assert (said["询问室一/REC.mp4"].room, said["询问室一/REC.mp4"].carrier.kind) == ("询问室一", "room")
    heard = standby.heard()
    assert {row["event"] for row in heard} >= {"watching", "appeared", "docking", "file", "docked", "receipt", "ended"}
    assert [row["place"] for row in heard if row["event"] == "file" and row["path"].startswith("询问")] == ["办案场所"]
    assert all(row["at"].endswith("Z") for row in heard)


def test_a_watch_that_is_stopped_goes_on_where_it_was(standby, archive):
    for number in range(20):
        put(standby.folder, f"K7/{number:02d}.bin", bytes([number]) * 100)
    archive.hold = lambda: time.sleep(0.1)
    standby.start("--jobs", "2")
    standby.until(lambda: len(archive.items) >= 4)
    code, words = standby.stop()
    assert (code, "Traceback" in words) == (0, False)
    assert len(archive.items) < 20
    archive.hold = None
    standby.start()
    standby.until(lambda: len(archive.items) == 20)
    standby.until(lambda: {row.state for row in standby.files()} == {State.VERIFIED})
    standby.stop()
    assert len(archive.names()) == len(set(archive.names())) == 20


def test_a_card_that_is_pulled_in_the_middle_is_told_and_taken_up_again(standby, archive, tmp_path):
    for number in range(30):
        put(standby.folder, f"K7/{number:02d}.bin", bytes([number]) * 100)
    archive.hold = lambda: time.sleep(0.1)
    standby.start("--jobs", "1")
    standby.until(lambda: len(archive.items) >= 3)
    (standby.folder / "K7").rename(tmp_path / "pulled")
    standby.until(lambda: [row for row in standby.heard("left") if row["in_the_middle"]])
    assert not [row for row in standby.heard("file") if row["state"] == "unreadable"]
    put(standby.folder, "K8/1.bin", b"another")
    standby.until(lambda: "1.bin" in archive.names())
    archive.hold = None
    (tmp_path / "pulled").rename(standby.folder / "K7")
    standby.until(lambda: len(archive.items) == 31)
    standby.stop()
    assert len(set(archive.names())) == 31


def test_an_archive_that_is_away_is_waited_for(standby, archive):
    archive.away = True
    put(standby.folder, "K7/1.bin", b"x")
    standby.start()
    standby.until(lambda: standby.heard("archive_away"))
    archive.away = False
    standby.until(lambda: len(archive.items) == 1)
    assert standby.stop(signal.SIGINT)[0] == 0


def test_a_watch_that_waits_for_files_to_hold_still_says_so_at_once_and_once(standby, archive):
    standby.places.write_text("", "utf-8")
    put(standby.folder, "sdb1/1.bin", b"x")
    standby.start("--settle", "2")
    (said,) = standby.until(lambda: standby.heard("settling"))
    assert (said["place"], said["count"], said["settle_s"]) == ("sdb1", 1, 2.0)
    standby.until(lambda: archive.names() == ["1.bin"])
    assert "等待        1 个文件：静止 2 秒后采集" in standby.stop()[1]
    told = [row["event"] for row in standby.heard()]
    assert told.count("settling") == 1
    assert told.index("settling") < told.index("docking")


def test_files_that_belong_to_no_place_are_told_of(standby):
    put(standby.folder, "loose.bin", b"x")
    standby.start()
    standby.until(lambda: standby.heard("loose"))
    standby.stop()
    assert standby.archive.items == {}


def test_mounts_are_noticed_in_a_namespace_of_their_own(standby, archive):
    """The kernel's own mount table, a tmpfs for a card: mounted after the watch began, unmounted while it stands."""
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no mount namespace can be made here")
    inner = (
        f"mount -t tmpfs card {standby.folder}/usb && echo footage > {standby.folder}/usb/REC_0001.MP4 && "
        f"while ! grep -q REC_0001 {standby.told}; do sleep 0.1; done; umount {standby.folder}/usb; sleep 1.5"
    )
    (standby.folder / "usb").mkdir()
    command = [sys.executable, "-m", "archive.dock", "--watch", standby.folder, "--poll", "30", "--json", "--server", archive.url]
    command += ["--credential", standby.credential, "--journal", standby.journal]
    script = f"{' '.join(map(str, command))} >> {standby.told} & dock=$!; sleep 2; {inner}; kill -TERM $dock; wait $dock"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert archive.names() == ["REC_0001.MP4"]
    appeared = [row for row in standby.heard("appeared") if row["mounted"]]
    assert [row["place"] for row in appeared] == ["usb"]
    assert [row["place"] for row in standby.heard("left")].count("usb") >= 1
    assert json.loads(json.dumps(decode(standby.files()[0].manifest).carrier.kind)) == "folder"


@pytest.mark.parametrize("arguments", [["--room", "x"], ["--scanner"], ["."]])
def test_a_watch_is_told_of_its_places_by_the_places_file_only(standby, archive, arguments):
    command = [
        sys.executable,
        "-m",
        "archive.dock",
        "--watch",
        standby.folder,
        "--server",
        archive.url,
        "--credential",
        standby.credential,
    ]
    assert subprocess.run([*map(str, command), *arguments], capture_output=True, check=False).returncode == 2
