"""`liuhen serve`: web and worker begin together, end together, and neither's violent death loses anything.

Two journeys are the embedded profile's alone, because only there the worker is the web process's child, which the one brings back and which
goes with the other; production has its supervisor for that, and kills of every process of it are in tests/soak. So is the third: only an
embedded archive is a folder.

One archive of each profile lives through them all; each journey has a film of its own, and at the end the archive is looked over.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archive import cli
from tests.media_files import made
from tests.server import RunningServer, wait_for_jobs
from tests.station import Station


@pytest.fixture(scope="module")
def archive(tmp_path_factory, profile):
    """An archive that is stopped, killed and started again, in which everything is in order when all is over."""
    with RunningServer(tmp_path_factory.mktemp("serve") / "data", profile=profile) as running:
        yield running
        assert "clean" in running.run("fsck", "--deep")


@pytest.fixture(scope="module")
def station(archive) -> Path:
    return archive.enrol_station("dock-1")


@pytest.fixture
def server(archive) -> RunningServer:
    """The archive, running, whatever the test before left of it."""
    archive.start()
    return archive


only_embedded = pytest.mark.parametrize("profile", ["embedded"], indirect=True)


def film(name: str) -> Path:
    """Return footage of its own whose transcode takes a while, so that there is something to kill."""
    picture = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25", "-t", "6"]
    long = made("long.avi", *picture, "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")
    return made(f"{name}.avi", "-i", str(long), "-c", "copy", "-metadata", f"title={name}")


def worker_of(server: RunningServer) -> int:
    """Return the worker child's process id."""
    threads = Path(f"/proc/{server.process.pid}/task").iterdir()
    children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
    named = [int(pid) for pid in children if b"work" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    assert len(named) <= 1
    return named[0] if named else 0


def wait_for(condition, *, within_s: float = 60):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def tools_of(server: RunningServer) -> list[str]:
    """Return the command lines of the tools that run for a server: each is given a scratch folder of the server's to write to."""
    found = subprocess.run(
        ["pgrep", "-a", "-f", f"ffmpeg.*{server.data_dir}|{server.data_dir}.*ffmpeg"], capture_output=True, text=True, check=False
    )
    return found.stdout.splitlines()


def transcoding(server: RunningServer) -> bool:
    return any("libx264" in tool for tool in tools_of(server))


def upload(server: RunningServer, station: Path, name: str) -> str:
    """Send a film and return its number when its transcode is under way."""
    with Station(server.base_url, station) as sender:
        number = sender.upload(film(name)).number
    wait_for(lambda: transcoding(server))
    return number


@only_embedded
def test_a_worker_killed_at_its_work_is_replaced_and_the_work_is_done_once(server, station):
    number = upload(server, station, "worker-killed")
    first = worker_of(server)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: worker_of(server) not in {0, first})
    with server.sign_in() as client:
        jobs = wait_for_jobs(client, number)
        assert {job["state"] for job in jobs} == {"done"}
        recipes = [one["recipe"] for one in client.get(f"/api/v1/items/{number}").json()["renditions"]]
        assert recipes.count("transcode") == 1
        events = client.get(f"/api/v1/items/{number}/events").json()
        assert sum(event["facts"].get("recipe") == "transcode" for event in events) == 1


@only_embedded
def test_a_web_process_that_is_killed_takes_its_worker_along_and_the_next_goes_on(server, station):
    number = upload(server, station, "web-killed")
    worker = worker_of(server)
    server.kill_server()
    wait_for(lambda: not alive(worker), within_s=30)
    assert tools_of(server) == []
    server.kill()
    server.start()
    with server.sign_in() as client:
        assert {job["state"] for job in wait_for_jobs(client, number)} == {"done"}


def test_a_server_told_to_stop_hands_its_work_back_leaves_nobody_behind_and_prints_its_password_no_second_time(
    server, station, profile
):
    number = upload(server, station, "told-to-stop")
    worker = worker_of(server) if profile == "embedded" else server.beside[0].process.pid
    said = {program.log: program.log.stat().st_size for program in server.programs}
    for program in server.programs:
        os.kill(program.process.pid, signal.SIGTERM)
    for program in server.programs:
        assert program.ended(wait_s=30)
    assert not alive(worker)
    assert tools_of(server) == []
    for log, size in said.items():
        assert b"Traceback" not in log.read_bytes()[size:]
    server.stop()
    server.start()
    with server.sign_in() as client:
        jobs = {job["kind"]: job for job in wait_for_jobs(client, number)}
        assert jobs["rendition"]["state"] == "done"
        assert jobs["rendition"]["attempt"] == 1, "handing back is no failed attempt"
    assert len(re.findall(r"^password: ", server.log.read_text("utf-8"), re.MULTILINE)) == 1


def test_settings_of_another_archive_enrol_no_station_in_this_one(server, tmp_path):
    other = RunningServer(server.data_dir, settings={**server.settings, "LIUHEN_AGENCY": "000000"})
    with pytest.raises(subprocess.CalledProcessError) as failed:
        other.run("station", "enrol", "dock-2", "--out", str(tmp_path / "credential"))
    assert failed.value.returncode == 2
    assert "signs as liuhen/131102" in failed.value.stderr.decode()
    assert not (tmp_path / "credential").exists()
    assert server.enrol_station("dock-2").exists()


@pytest.fixture
def refused(monkeypatch, capsys):
    """Return what runs a command that must be refused as misuse, in this process, and gives its words."""

    def run(server: RunningServer, *arguments: str) -> str:
        for name in [name for name in os.environ if name.startswith("LIUHEN_")]:
            monkeypatch.delenv(name)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["liuhen", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize("variable", [{"LIUHEN_PRT": "1"}, {"LIUHEN_AGENCY": "x y"}, {"LIUHEN_ZONE": "Mars/Olympus"}])
def test_a_setting_that_is_none_refuses_to_start(refused, tmp_path, variable):
    assert next(iter(variable)) in refused(RunningServer(tmp_path / "data", settings=variable), "fsck")


@pytest.mark.parametrize("command", [["fsck"], ["station", "enrol", "dock-1"], ["station", "list"], ["admin", "password"]])
def test_a_command_over_a_folder_without_an_archive_says_so_and_makes_none(refused, tmp_path, command):
    server = RunningServer(tmp_path / "nowhere")
    assert "holds no archive" in refused(server, *command)
    assert not server.data_dir.exists()
