"""Programs we did not write, uploading to a running server, cut off in the middle: tus-js-client (npm) and tuspy (PyPI)."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from archive.core.digest import Digest, original_key
from tests.server import RunningServer
from tests.web.tus import PATH, Tus, signed_in

MIB = 2**20
SIZE = 16 * MIB + 12_345
KILLED = 40 * MIB + 12_345
"""Of what the server is killed under: enough that it is not all there before the server is dead."""

NODE = Path(sys.executable).with_name("node")
SCRIPT = Path(__file__).with_name("tus_client.mjs")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"LIUHEN_WORKER": "0", "LIUHEN_FREE_SPACE_FLOOR": "0", "LIUHEN_IDLE_BODY_SECONDS": "4"}
    with RunningServer(tmp_path_factory.mktemp("clients") / "data", settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def tus(server):
    with signed_in(server) as client:
        yield Tus(client)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "现场录像.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def large(file):
    with file.open("ab") as more:
        more.write(os.urandom(KILLED - SIZE))
    return file


def taken_in(server, file):
    digest = Digest(hashlib.sha256(file.read_bytes()).hexdigest())
    kept = server.data_dir / "store" / original_key(digest)
    return kept.exists() and kept.read_bytes() == file.read_bytes() and not list((server.data_dir / "spool").iterdir())


def sent_by(client):
    """The headers of a signed-in person, for programs that are not browsers."""
    return {name: client.headers[name] for name in ("Cookie", "Origin")}


@contextmanager
def killed_and_started_again(server, *, after):
    """Kill the server once that many bytes of an upload have come, and start it again; the context's body is the sender."""
    went, over = [], threading.Event()

    def kill():
        while not over.wait(0.002):
            with suppress(FileNotFoundError):  # another's, dropped between being listed and being looked at
                if any(path.stat().st_size >= after for path in (server.data_dir / "spool").iterdir()):
                    server.kill()
                    server.start()
                    went.append(True)
                    return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()
    assert went, "the server was never killed"


# tus-js-client


def run_js(tus, file, *, fails=False, **options):
    given = {"headers": sent_by(tus.client), "metadata": {"filename": file.name, "empty": ""}, **options}
    done = subprocess.run(
        [NODE, SCRIPT, str(tus.client.base_url.join(PATH)), file, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == int(fails), done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines, next(line for line in lines if ("failed" if fails else "url") in line)


@pytest.mark.parametrize(
    "options",
    [{}, {"chunkSize": 5 * MIB}, {"chunkSize": 7 * MIB, "uploadDataDuringCreation": True}, {"overridePatchMethod": True}],
    ids=["one-request", "chunks", "with-creation", "overridden-method"],
)
def test_tus_js_client_uploads(tus, server, file, options):
    _, end = run_js(tus, file, **options)
    assert end["number"].startswith("131102-")
    assert tus.status(end["url"].removeprefix(server.base_url))["number"] == end["number"]
    assert taken_in(server, file)


def test_tus_js_client_uploads_in_parallel_and_the_parts_are_joined(tus, server, file):
    _, end = run_js(tus, file, parallelUploads=2, chunkSize=3 * MIB)
    head = tus.head(end["url"].removeprefix(server.base_url))
    assert head.headers["Upload-Concat"].startswith("final;")
    assert head.headers["Upload-Offset"] == str(SIZE)
    assert end["number"]
    assert taken_in(server, file)


def test_tus_js_client_uploads_a_stream_whose_length_it_learns_at_its_end(tus, server, file):
    _, end = run_js(tus, file, uploadLengthDeferred=True, chunkSize=5 * MIB, piped=True)
    assert end["number"]
    assert taken_in(server, file)


def test_tus_js_client_that_declares_more_than_its_file_has_is_answered_and_loses_nothing(tus, server, file):
    # It says a full chunk for the last, short one (4.3.1, a file's read stream with a deferred length) and would wait for ever.
    _, end = run_js(tus, file, fails=True, uploadLengthDeferred=True, chunkSize=5 * MIB)
    assert end["failed"] == 408
    where = end["left"].removeprefix(server.base_url)
    assert tus.offset(where) == SIZE, "every byte that came is kept"
    answer = tus.patch(where, SIZE, b"", Upload_Length=str(SIZE))
    assert answer.headers["Liuhen-Sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert taken_in(server, file)


def test_tus_js_client_goes_on_after_its_connection_broke(tus, server, file):
    lines, end = run_js(tus, file, abortAt=6 * MIB, chunkSize=10 * MIB)
    assert any("aborted" in line for line in lines)
    assert end["number"]
    assert taken_in(server, file)


def test_tus_js_client_goes_on_after_the_server_was_killed(tus, server, large):
    with killed_and_started_again(server, after=8 * MIB):
        _, end = run_js(tus, large)
    assert end["number"]
    assert taken_in(server, large)


def test_tus_js_client_sends_an_empty_file(tus, server, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.touch()
    _, end = run_js(tus, empty)
    assert tus.status(end["url"].removeprefix(server.base_url))["state"] == "stored"


# tuspy


@contextmanager
def tuspy(tus, file, monkeypatch, **options):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = TusClient(str(tus.client.base_url.join(PATH)), headers=sent_by(tus.client))
    with file.open("rb") as stream:
        yield client.uploader(file_stream=stream, metadata={"filename": file.name}, **options)


@pytest.mark.parametrize("checksums", [False, True])
def test_tuspy_uploads_in_chunks(tus, server, file, monkeypatch, checksums):
    with tuspy(tus, file, monkeypatch, chunk_size=5 * MIB, upload_checksum=checksums) as uploader:
        uploader.upload()
    assert uploader.request.response_headers["liuhen-number"].startswith("131102-")
    assert taken_in(server, file)


@pytest.mark.parametrize("checksums", [False, True])
def test_tuspy_goes_on_after_the_server_was_killed(tus, server, large, monkeypatch, checksums):
    with tuspy(tus, large, monkeypatch, chunk_size=32 * MIB, upload_checksum=checksums) as uploader:
        with killed_and_started_again(server, after=8 * MIB), pytest.raises(TusCommunicationError):
            uploader.upload()
        where = uploader.url
    came = tus.offset(where.removeprefix(server.base_url))
    # A checksummed chunk counts wholly or not at all; of another, what came is kept.
    assert came == 0 if checksums else came >= 8 * MIB
    assert came <= (server.data_dir / "spool" / where.rpartition("/")[2]).stat().st_size
    with tuspy(tus, large, monkeypatch, url=where, chunk_size=32 * MIB, upload_checksum=checksums) as uploader:
        assert uploader.offset == came
        uploader.upload()
    assert taken_in(server, large)
