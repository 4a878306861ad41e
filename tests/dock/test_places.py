"""Claims about scanners and rooms against a real archive: what they bring ends as documents and as items with their facts."""

import json
import subprocess
import sys
import time

import pytest

from archive.core.digest import Digest
from tests.dock.watching import events
from tests.server import RunningServer

MINIMAL_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c6360f8cf00000301010018dd8db00000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RunningServer(tmp_path_factory.mktemp("archive") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def credential(server):
    return server.enrol_station("dock-1")


def dock(server, credential, tmp_path, *arguments):
    done = server.dock(credential, *arguments, "--journal", tmp_path / "journal", "--json", timeout_s=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def page(number):
    """A PNG of one pixel that differs from the others in what comes after its end."""
    return MINIMAL_PNG + b"page %d" % number


def test_a_scanners_folder_becomes_a_document_with_its_pages_in_order(server, credential, tmp_path):
    folder = tmp_path / "scans" / "询问笔录"
    folder.mkdir(parents=True)
    for number in (10, 2, 1):
        (folder / f"第{number}页.png").write_bytes(page(number))
    report = dock(server, credential, tmp_path, "--scanner", tmp_path / "scans", "--settle", "0.2")
    assert (report["sent"], report["exit_code"]) == (3, 0)
    sent = {row["number"] for row in report["files"]}
    with server.sign_in() as client:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            rows = client.get("/api/v1/items", params={"limit": 50}).json()["items"]
            papers = [row for row in rows if row["number"] not in sent]
            if papers:
                break
            time.sleep(0.2)
        (paper,) = papers
        listed = json.loads(client.get(f"/api/v1/items/{paper['number']}/download").content)
    assert listed["title"] == "询问笔录"
    assert [each["sha256"] for each in listed["pages"]] == [Digest.of(page(number)).hex for number in (1, 2, 10)]
    assert sent == {each["number"] for each in listed["pages"]}
    again = dock(server, credential, tmp_path, "--scanner", tmp_path / "scans", "--settle", "0.2")
    assert again["sent"] == 0


def test_a_watch_frees_a_recorder_once_its_receipts_are_there(server, credential, tmp_path):
    recorder = tmp_path / "watched" / "K7"
    recorder.mkdir(parents=True)
    (recorder / "a.bin").write_bytes(tmp_path.name.encode())
    places = tmp_path / "places.toml"
    places.write_text("[[place]]\nfolder = '*'\nkind = 'recorder'\nsettle_s = 0.2\n", "utf-8")
    command = [
        sys.executable,
        "-m",
        "archive.dock",
        "--watch",
        recorder.parent,
        "--places",
        places,
        "--poll",
        "0.2",
        "--release",
        "--json",
    ]
    command += ["--server", server.base_url, "--credential", credential, "--journal", tmp_path / "journal"]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        deadline = time.monotonic() + 60
        while (recorder / "a.bin").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        told = [row["event"] for row in events(process.communicate(timeout=30)[0])]
    assert process.returncode == 0
    assert not (recorder / "a.bin").exists()
    assert told.index("receipt") < told.index("release")


def test_a_rooms_export_arrives_with_its_sidecars(server, credential, tmp_path):
    folder = tmp_path / "export" / "询问室一"
    folder.mkdir(parents=True)
    (folder / "REC_20260312_090120_0001.MP4").write_bytes(b"not really a film")
    (folder / "REC_20260312_090120_0001.log").write_text("键=值", "gbk")
    report = dock(server, credential, tmp_path, "--rooms", tmp_path / "export", "--settle", "0.2")
    assert (report["sent"], report["exit_code"]) == (2, 0)
