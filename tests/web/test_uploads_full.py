"""A disk that runs full under an upload: 507, what came is kept, and it goes on when there is room again."""

import os
import subprocess
from contextlib import contextmanager

import pytest

from archive.core.digest import Digest, original_key
from tests.server import RunningServer
from tests.web.tus import PATH, Tus, signed_in

MIB = 2**20


@contextmanager
def small_disk(at):
    """Mount a disk of 8 MiB, which takes root."""
    at.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "liuhen-test", at], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", at], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root; the free-space floor is tested without")
def test_a_disk_that_runs_full_answers_507_and_keeps_what_came(tmp_path):
    data = os.urandom(12 * MIB)
    spool = tmp_path / "data" / "spool"
    settings = {"LIUHEN_WORKER": "0", "LIUHEN_FREE_SPACE_FLOOR": "0"}
    with small_disk(spool), RunningServer(tmp_path / "data", settings=settings) as server, signed_in(server) as client:
        tus = Tus(client)
        where = tus.begin(len(data))
        with tus.breaking("PATCH", where, Upload_Offset="0", Content_Length=str(len(data))) as wire:
            wire.send(data)
            answer = wire.answer()
        assert answer.status == 507
        assert answer.headers["Retry-After"]
        came = tus.offset(where)
        assert 7 * MIB < came <= 8 * MIB, "every byte that fitted was kept"
        full = tus.patch(where, came, data[came:])
        assert (full.status_code, full.json()["code"]) == (507, "disk_full")
        checked = tus.create(len(data), content=data)
        assert checked.status_code == 507, "an upload of which nothing could be kept is not made"

        subprocess.run(["mount", "-o", "remount,size=32m", spool], check=True)
        assert tus.patch(where, tus.offset(where), data[tus.offset(where) :]).status_code == 204
        # The store is on another disk here, so this went through a copy that was hashed on the way.
        assert (server.data_dir / "store" / original_key(Digest.of(data))).read_bytes() == data


def test_the_last_of_the_disk_is_left_free(tmp_path):
    data = os.urandom(100_000)
    scarce = {"LIUHEN_WORKER": "0", "LIUHEN_FREE_SPACE_FLOOR": str(2**60)}
    with RunningServer(tmp_path / "data", settings=scarce) as server:
        with signed_in(server) as client:
            tus = Tus(client)
            where = tus.begin(len(data))
            answer = tus.patch(where, 0, data)
            assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
            assert tus.offset(where) == 0
        server.stop()
        server.settings["LIUHEN_FREE_SPACE_FLOOR"] = "0"
        server.start()
        with signed_in(server) as client:
            assert Tus(client).patch(where, 0, data).status_code == 204
    assert where.startswith(PATH)
