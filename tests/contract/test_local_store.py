"""The local store's own promises: its directory at every step."""

import hashlib
import subprocess
import sys

import pytest

from archive.adapters.local_store import LocalStore
from archive.core.digest import Digest
from archive.core.errors import NotAllowed
from archive.ports import Put
from tests.contract.stores import DIGEST, GOOD, KEY, local


def everything(store, key=KEY):
    return b"".join(store.read(key, 0, store.size(key)))


def spoil(store, base):
    with local(base) as shelf:
        return shelf.spoil(KEY, "")


def test_rotten_bytes_are_set_aside_and_never_discarded(tmp_path, source):
    store = LocalStore(tmp_path / "store")
    store.put(KEY, source, DIGEST)
    rotten = spoil(store, tmp_path)
    assert store.put(KEY, source, DIGEST).put is Put.REPAIRED
    assert everything(store) == GOOD
    (aside,) = store.keys("rotten/")
    assert everything(store, aside) == rotten
    assert aside.endswith(Digest.of(rotten).hex)
    with pytest.raises(NotAllowed):
        store.discard(aside)


def test_a_truncated_object_is_noticed_too(tmp_path, source):
    store = LocalStore(tmp_path / "store")
    store.put(KEY, source, DIGEST)
    with store.local(KEY) as path:
        path.unlink()
        path.write_bytes(b"")
    assert store.put(KEY, source, DIGEST).put is Put.REPAIRED
    assert everything(store) == GOOD


CRASH = """
import resource, sys
from pathlib import Path
from archive import failpoints
from archive.adapters.local_store import LocalStore
from archive.core.digest import Digest, original_key
from archive.core.errors import DiskFull
root, source, digest, point, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
store = LocalStore(Path(root))
failpoints.arm(point or None)
try:
    store.put(original_key(Digest(digest)), Path(source), Digest(digest))
except DiskFull:
    sys.exit(28)
"""

LINK = ["put.began", "put.directories", "put.synced", "put.linked", "put.done"]
COPY = ["put.began", "put.directories", "put.synced", "put.copying", "put.copied", "put.linked", "put.done"]
REPAIR = ["put.began", "put.directories", "put.copying", "put.copied", "put.set_aside", "put.replaced"]


def put_in_a_process(root, source, *, point="", limit=0):
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(root), str(source), DIGEST.hex, point, str(limit)], check=False, timeout=60
    )
    return done.returncode


def files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("point", LINK)
def test_a_crash_between_any_two_steps_of_a_link_leaves_nothing_half_visible(tmp_path, source, point):
    root = tmp_path / "store"
    assert put_in_a_process(root, source, point=point) == 137
    assert all(hashlib.sha256((root / key).read_bytes()).hexdigest() == DIGEST.hex for key in files(root))
    store = LocalStore(root)
    assert store.put(KEY, source, DIGEST).put in {Put.WRITTEN, Put.ALREADY}
    assert everything(store) == GOOD
    assert files(root) == [KEY]


@pytest.mark.parametrize("point", COPY)
def test_a_crash_between_any_two_steps_of_a_copy_leaves_nothing_half_visible(tmp_path, elsewhere, point):
    root = tmp_path / "store"
    assert put_in_a_process(root, elsewhere, point=point) == 137
    assert list(LocalStore(root).keys("")) in ([], [KEY])
    store = LocalStore(root)
    assert store.put(KEY, elsewhere, DIGEST).put in {Put.WRITTEN, Put.ALREADY}
    assert everything(store) == GOOD
    assert files(root) == [KEY], "no temporary file outlives the next opening"


@pytest.mark.parametrize("point", REPAIR)
def test_a_crash_between_any_two_steps_of_a_repair_keeps_the_name_and_the_rotten_bytes(tmp_path, source, point):
    root = tmp_path / "store"
    store = LocalStore(root)
    store.put(KEY, source, DIGEST)
    rotten = spoil(store, tmp_path)
    assert put_in_a_process(root, source, point=point) == 137
    assert everything(store) in (rotten, GOOD)
    store = LocalStore(root)
    assert store.put(KEY, source, DIGEST).put in {Put.REPAIRED, Put.ALREADY}
    assert everything(store) == GOOD
    aside = f"rotten/{KEY}/{Digest.of(rotten)}"
    assert everything(store, aside) == rotten
    assert files(root) == sorted([KEY, aside])


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, elsewhere):
    root = tmp_path / "store"
    assert put_in_a_process(root, elsewhere, limit=len(GOOD) - 1) == 28
    assert files(root) == []


def test_opening_a_store_leaves_the_temporary_files_of_living_writers_alone(tmp_path):
    root = tmp_path / "store"
    store = LocalStore(root)
    with store._temporary() as (_, path):
        LocalStore(root)
        assert path.exists()
    assert not path.exists()


def test_an_object_is_a_link_to_the_spooled_file_and_read_only(tmp_path, source):
    store = LocalStore(tmp_path / "store")
    store.put(KEY, source, DIGEST)
    with store.local(KEY) as path:
        assert path.samefile(source)
        assert path.stat().st_mode & 0o777 == 0o444


def test_a_failed_sync_ends_the_process_at_once():
    script = (
        "import os, sys\n"
        "from archive.adapters.durable import sync_file\n"
        "reading, writing = os.pipe()\n"  # a pipe cannot be synced
        "try:\n    sync_file(writing)\nfinally:\n    print('went on', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert done.returncode == 74
    assert done.stdout == b""
    assert b"did not take" in done.stderr
