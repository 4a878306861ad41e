"""What every store must do. Each implementation is one entry of `STORES`; the tests below it know only the port."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.adapters.local_store import LocalStore
from archive.core.digest import Digest, derived_key, original_key, quarantine_key
from archive.core.errors import Malformed, Mismatch, NotAllowed, ObjectMissing
from archive.ports import ObjectStore, Put

STORES: dict[str, Callable[[Path], ObjectStore]] = {"local": lambda base: LocalStore(base / "store")}

GOOD = bytes(range(256)) * 12_000  # 3 MiB: several pieces
DIGEST = Digest.of(GOOD)
KEY = original_key(DIGEST)


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    return STORES[request.param](tmp_path)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "spooled"
    path.write_bytes(GOOD)
    return path


@pytest.fixture
def elsewhere(tmp_path):
    """The same bytes on another file system, so that no hard link can be made."""
    path = Path("/dev/shm") / f"liuhen-test-{os.getpid()}"
    assert path.parent.stat().st_dev != tmp_path.stat().st_dev
    path.write_bytes(GOOD)
    yield path
    path.unlink()


def everything(store, key=KEY):
    return b"".join(store.read(key, 0, store.size(key)))


def spoil(store, key=KEY):
    """Flip one bit of what is stored, as a failing disk does."""
    with store.local(key) as path:
        path.chmod(0o644)
        spoiled = bytearray(path.read_bytes())
        spoiled[len(spoiled) // 2] ^= 1
        # A new inode: a spool file linked to the same bytes has its own copy on a disk that rots.
        path.unlink()
        path.write_bytes(spoiled)
    return bytes(spoiled)


def test_what_is_put_is_read_back_and_the_source_stays(store, source):
    assert store.put(KEY, source, DIGEST).put is Put.WRITTEN
    assert store.size(KEY) == len(GOOD)
    assert everything(store) == GOOD
    assert source.read_bytes() == GOOD


def test_a_source_on_another_file_system_is_copied(store, elsewhere):
    assert store.put(KEY, elsewhere, DIGEST).put is Put.WRITTEN
    assert everything(store) == GOOD


def test_a_source_that_changed_since_it_was_hashed_is_not_taken(store, elsewhere):
    elsewhere.write_bytes(GOOD[:-1])
    with pytest.raises(Mismatch):
        store.put(KEY, elsewhere, DIGEST)
    assert list(store.keys("originals/")) == []


def test_the_same_bytes_again_are_found_to_be_there(store, source):
    store.put(KEY, source, DIGEST)
    again = source.with_name("again")
    again.write_bytes(GOOD)
    assert store.put(KEY, again, DIGEST).put is Put.ALREADY
    assert list(store.keys("originals/")) == [KEY]


def test_rotten_bytes_are_noticed_on_a_repeated_put_and_set_aside(store, source):
    store.put(KEY, source, DIGEST)
    rotten = spoil(store)
    assert store.put(KEY, source, DIGEST).put is Put.REPAIRED
    assert everything(store) == GOOD
    (aside,) = store.keys("rotten/")
    assert everything(store, aside) == rotten
    assert aside.endswith(Digest.of(rotten).hex)


def test_a_truncated_object_is_noticed_too(store, source):
    store.put(KEY, source, DIGEST)
    with store.local(KEY) as path:
        path.unlink()
        path.write_bytes(b"")
    assert store.put(KEY, source, DIGEST).put is Put.REPAIRED
    assert everything(store) == GOOD


def test_rotten_bytes_are_not_replaced_by_others_that_are_no_better(store, source):
    store.put(KEY, source, DIGEST)
    rotten = spoil(store)
    worse = source.with_name("worse")
    worse.write_bytes(b"worse")
    with pytest.raises(Mismatch):
        store.put(KEY, worse, DIGEST)
    assert everything(store) == rotten


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, len(GOOD) + 5))
def test_a_range_is_half_open_and_ends_with_the_object(store, source, start, length):
    store.put(KEY, source, DIGEST)
    pieces = list(store.read(KEY, start, start + length))
    assert b"".join(pieces) == GOOD[start : start + length]
    assert all(0 < len(piece) <= 1024 * 1024 for piece in pieces)


def test_what_is_not_there_is_said_to_be_missing_before_the_first_byte(store):
    with pytest.raises(ObjectMissing):
        store.size(KEY)
    with pytest.raises(ObjectMissing):
        store.read(KEY, 0, 1)
    with pytest.raises(ObjectMissing):
        store.reread(KEY)
    with pytest.raises(ObjectMissing), store.local(KEY):
        pass


def test_bytes_that_are_read_again_are_all_of_those_put(store, source):
    store.put(KEY, source, DIGEST)
    assert b"".join(store.reread(KEY)) == GOOD


def test_all_bytes_can_be_read_again_past_what_memory_holds(store, source):
    store.put(KEY, source, DIGEST)
    assert b"".join(store.reread(KEY)) == GOOD
    with pytest.raises(ObjectMissing):
        store.reread(quarantine_key("c" * 32))


def test_a_local_path_has_the_bytes(store, source):
    store.put(KEY, source, DIGEST)
    with store.local(KEY) as path:
        assert path.read_bytes() == GOOD


def test_keys_come_in_order_and_only_under_their_prefix(store, source):
    keys = [
        derived_key(DIGEST, "poster", 1, "poster.jpg"),
        derived_key(DIGEST, "poster-x", 1, "poster.jpg"),
        derived_key(DIGEST, "poster", 10, "poster.jpg"),
        KEY,
        quarantine_key("a" * 32),
    ]
    for key in keys:
        store.put(key, source, DIGEST)
    assert list(store.keys("derived/")) == sorted(keys[:3])
    assert list(store.keys("")) == sorted(keys)
    assert list(store.keys("nothing/")) == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../out", "originals/../../out", "a//b", "a/", ".temp/x", "a/.hidden", "a\0b", "a\nb", "键", "a b"]
)
def test_a_key_that_could_lead_out_of_the_store_is_refused(store, source, key):
    for ask in (
        lambda: store.put(key, source, DIGEST),
        lambda: store.size(key),
        lambda: store.read(key, 0, 1),
        lambda: store.discard(key),
    ):
        with pytest.raises(Malformed):
            ask()


def test_derived_and_quarantined_objects_can_be_discarded_and_originals_cannot(store, source):
    for key in (derived_key(DIGEST, "poster", 1, "poster.jpg"), quarantine_key("b" * 32)):
        store.put(key, source, DIGEST)
        store.discard(key)
        store.discard(key)
        with pytest.raises(ObjectMissing):
            store.size(key)
    store.put(KEY, source, DIGEST)
    for key in (KEY, f"rotten/{KEY}/{DIGEST}"):
        with pytest.raises(NotAllowed):
            store.discard(key)
    assert everything(store) == GOOD


def test_many_writers_of_one_key_end_with_one_good_object(store, tmp_path):
    outcomes: list[Put] = []
    start = threading.Barrier(8)

    def put(number):
        path = tmp_path / f"spool-{number}"
        path.write_bytes(GOOD)
        start.wait()
        outcomes.append(store.put(KEY, path, DIGEST).put)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == sorted([Put.WRITTEN] + [Put.ALREADY] * 7)
    assert everything(store) == GOOD


# The local store's own promises: its directory at every step.

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
    rotten = spoil(store)
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
