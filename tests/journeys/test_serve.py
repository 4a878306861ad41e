"""`liuhen serve`: web and worker begin together, end together, and neither's violent death loses anything.

Two journeys are the embedded profile's alone, because only there the worker is the web process's child, which the one brings back and which
goes with the other; production has its supervisor for that, and kills of every process of it are in tests/soak. So is the third: only an
embedded archive is a folder.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.media_files import made
from tests.server import RunningServer, wait_for_jobs
from tests.station import Station


@pytest.fixture(scope="module")
def long_film() -> Path:
    """Footage whose transcode takes some seconds, so that there is something to kill."""
    picture = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25", "-t", "10"]
    return made("long.avi", *picture, "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")


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


def transcoding(client, number: str) -> bool:
    jobs = client.get(f"/api/v1/items/{number}/jobs").json()
    return any(job["kind"] == "rendition" and job["state"] == "running" and job["permille"] > 0 for job in jobs)


def tools_of(sessions: list[int]) -> list[str]:
    of = ",".join(map(str, sessions))
    found = subprocess.run(["pgrep", "-a", "-s", of], capture_output=True, text=True, check=False).stdout
    return [line for line in found.splitlines() if "ffmpeg" in line]


def upload(server: RunningServer, film: Path) -> str:
    with Station(server.base_url, server.enrol_station("dock-1")) as station:
        return station.upload(film).number


def test_a_worker_killed_at_its_work_is_replaced_and_the_work_is_done_once(tmp_path, long_film):
    with RunningServer(tmp_path / "data") as server:
        number = upload(server, long_film)
        with server.sign_in() as client:
            wait_for(lambda: transcoding(client, number))
            first = worker_of(server)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: worker_of(server) not in {0, first})
            jobs = wait_for_jobs(client, number)
            assert {job["state"] for job in jobs} == {"done"}
            recipes = [one["recipe"] for one in client.get(f"/api/v1/items/{number}").json()["renditions"]]
            assert recipes.count("transcode") == 1
            events = client.get(f"/api/v1/items/{number}/events").json()
            assert sum(event["facts"].get("recipe") == "transcode" for event in events) == 1
        assert "clean" in server.run("fsck", "--deep")


def test_a_web_process_that_is_killed_takes_its_worker_along_and_the_next_goes_on(tmp_path, long_film):
    with RunningServer(tmp_path / "data") as server:
        number = upload(server, long_film)
        with server.sign_in() as client:
            wait_for(lambda: transcoding(client, number))
        worker = worker_of(server)
        server.kill_server()
        wait_for(lambda: not alive(worker), within_s=30)
        assert tools_of([server.process.pid]) == []
        server.kill()
        server.start()
        with server.sign_in() as client:
            assert {job["state"] for job in wait_for_jobs(client, number)} == {"done"}
        assert "clean" in server.run("fsck", "--deep")


def test_a_server_told_to_stop_hands_its_work_back_and_leaves_nobody_behind(tmp_path, long_film, profile):
    with RunningServer(tmp_path / "data", profile=profile) as server:
        number = upload(server, long_film)
        with server.sign_in() as client:
            wait_for(lambda: transcoding(client, number))
        worker = worker_of(server) if profile == "embedded" else server.beside[0].process.pid
        for program in server.programs:
            os.kill(program.process.pid, signal.SIGTERM)
        for program in server.programs:
            assert program.ended(wait_s=30)
        assert not alive(worker)
        assert tools_of([program.process.pid for program in server.programs]) == []
        for program in server.programs:
            assert "Traceback" not in program.log.read_text("utf-8")
        server.stop()
        server.start()
        with server.sign_in() as client:
            jobs = {job["kind"]: job for job in wait_for_jobs(client, number)}
            assert jobs["rendition"]["state"] == "done"
            assert jobs["rendition"]["attempt"] == 1, "handing back is no failed attempt"


def test_the_first_start_prints_a_password_once(tmp_path, profile):
    with RunningServer(tmp_path / "data", profile=profile) as server:
        server.stop()
        server.start()
        assert len(re.findall(r"^password: ", server.log.read_text("utf-8"), re.MULTILINE)) == 1


@pytest.mark.parametrize("variable", [{"LIUHEN_PRT": "1"}, {"LIUHEN_AGENCY": "x y"}, {"LIUHEN_ZONE": "Mars/Olympus"}])
def test_a_setting_that_is_none_refuses_to_start(tmp_path, variable):
    server = RunningServer(tmp_path / "data", settings=variable)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        server.run("fsck")
    assert failed.value.returncode == 2
    assert next(iter(variable)).encode() in failed.value.stderr


def refused(server: RunningServer, *arguments: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        server.run(*arguments)
    assert failed.value.returncode == 2
    return failed.value.stderr.decode()


@pytest.mark.parametrize("command", [["fsck"], ["station", "enrol", "dock-1"], ["station", "list"], ["admin", "password"]])
def test_a_command_over_a_folder_without_an_archive_says_so_and_makes_none(tmp_path, command):
    server = RunningServer(tmp_path / "nowhere")
    assert "holds no archive" in refused(server, *command)
    assert not server.data_dir.exists()


def test_settings_of_another_archive_enrol_no_station_in_this_one(tmp_path, profile):
    with RunningServer(tmp_path / "data", profile=profile) as server:
        other = RunningServer(server.data_dir, settings={**server.settings, "LIUHEN_AGENCY": "000000"})
        said = refused(other, "station", "enrol", "dock-1", "--out", str(tmp_path / "credential"))
        assert "signs as liuhen/131102" in said
        assert not (tmp_path / "credential").exists()
        assert server.enrol_station("dock-1").exists()
