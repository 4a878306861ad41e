import hashlib
import json
import os
import resource
import subprocess
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.adapters.local_store import LocalStore
from archive.adapters.spool import Spool
from archive.core.digest import Digest, original_key
from archive.core.errors import DiskFull, Malformed, NotFound, Unavailable, UploadBusy, UploadGone

ID = "0123456789abcdef" * 2


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", floor=0)


def add(spool, data, *, start=None, upload_id=ID):
    with spool.append(upload_id, start=spool.size(upload_id) if start is None else start) as appender:
        appender.write([data])
        appender.finish()


def digest(spool, upload_id=ID):
    with spool.seal(upload_id) as (_, found):
        return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.lists(st.binary(max_size=300), max_size=5), st.sampled_from(["keep", "drop", "restart"]))))
def test_however_the_bytes_come_the_file_and_its_digest_are_theirs(tmp_path, requests):
    spool = Spool(tmp_path / "spool", floor=0)
    spool.discard(ID)
    kept = b""
    for buffers, fate in requests:
        with spool.append(ID, start=spool.size(ID)) as appender:
            appender.write(buffers)
            if fate == "drop":
                appender.back_to_start()
            else:
                kept += b"".join(buffers)
            appender.finish()
        if fate == "restart":
            spool = Spool(tmp_path / "spool", floor=0)
        assert spool.size(ID) == len(kept)
    add(spool, b"end")
    with spool.seal(ID) as (path, found):
        assert path.read_bytes() == kept + b"end"
        assert found == Digest.of(kept + b"end")


def test_many_small_buffers_are_written_in_order(spool):
    buffers = [bytes([number % 251]) * (number % 7) for number in range(3000)]
    with spool.append(ID, start=0) as appender:
        appender.write(buffers)
        appender.finish()
    assert digest(spool) == Digest.of(b"".join(buffers))


def test_a_digest_is_not_taken_again_while_the_process_lives(spool, monkeypatch):
    add(spool, b"x" * 100)
    monkeypatch.setattr(os, "pread", lambda *_: pytest.fail("the file was read again"))
    add(spool, b"y" * 100)
    assert digest(spool) == Digest.of(b"x" * 100 + b"y" * 100)


def test_what_lies_beyond_the_start_is_cut_off(spool):
    add(spool, b"good" + b"doubtful")
    add(spool, b"next", start=4)
    assert digest(spool) == Digest.of(b"goodnext")


def test_a_start_past_the_end_would_leave_a_hole_and_is_refused(spool):
    add(spool, b"1234")
    with pytest.raises(Unavailable), spool.append(ID, start=5):
        pass


def test_a_second_digest_is_of_the_one_request_only(spool):
    add(spool, b"before")
    with spool.append(ID, start=6) as appender:
        appender.check_with("sha1")
        appender.write([b"this ", b"body"])
        assert appender.checked() == hashlib.sha1(b"this body").digest()
        appender.finish()


def test_an_upload_has_one_writer_and_the_next_may_come_after(spool, tmp_path):
    other = Spool(tmp_path / "spool", floor=0)
    with spool.append(ID, start=0), pytest.raises(UploadBusy), other.append(ID, start=0):
        pass
    add(other, b"now")
    assert other.size(ID) == 3


def test_sealing_waits_for_the_writer(spool):
    with spool.append(ID, start=0) as appender:
        sealed = []
        waiting = threading.Thread(target=lambda: sealed.append(digest(spool)))
        waiting.start()
        appender.write([b"all of it"])
        appender.finish()
        assert sealed == []
    waiting.join()
    assert sealed == [Digest.of(b"all of it")]


def test_a_file_that_a_store_has_taken_is_never_written_to_again(spool, tmp_path):
    add(spool, b"evidence")
    store = LocalStore(tmp_path / "store")
    with spool.seal(ID) as (path, found):
        store.put(original_key(found), path, found)
    for start in (7, 8, 0):
        with pytest.raises(UploadGone), spool.append(ID, start=start):
            pass
    assert spool.ends_with(ID, b"ce")
    assert not spool.ends_with(ID, b"cf")
    assert digest(spool) == Digest.of(b"evidence")
    spool.discard(ID)
    assert b"".join(store.read(original_key(found), 0, 8)) == b"evidence"


def test_what_was_dropped_is_gone_and_dropping_twice_is_no_error(spool):
    add(spool, b"x")
    assert spool.ids() == [ID]
    spool.discard(ID)
    spool.discard(ID)
    assert spool.ids() == []
    assert spool.size(ID) == 0
    with pytest.raises(NotFound), spool.seal(ID):
        pass


def test_a_name_that_is_no_upload_never_becomes_a_path(spool):
    for name in ("../x", "", "a/b", ID.upper()):
        with pytest.raises(Malformed):
            spool.path(name)


def test_the_last_of_the_disk_is_left_free_and_what_came_is_kept(spool, tmp_path):
    add(spool, b"kept")
    poor = Spool(tmp_path / "spool", floor=2**62)
    with poor.append(ID, start=4) as appender:
        with pytest.raises(DiskFull):
            appender.write([b"no room"])
        appender.finish()
    assert poor.size(ID) == 4
    add(spool, b" and more")
    assert digest(spool) == Digest.of(b"kept and more")


def test_a_write_that_ends_short_keeps_and_hashes_exactly_what_was_written(tmp_path):
    # A limit on the size of files makes pwritev end short and then fail, as a disk does that runs full.
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from archive.adapters.spool import Spool\n"
        "from archive.core.errors import DiskFull\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "spool = Spool(Path(sys.argv[1]), floor=0)\n"
        f"with spool.append('{ID}', start=0) as appender:\n"
        "    try:\n"
        "        appender.write([b'a' * 6_000, b'b' * 6_000])\n"
        "    except DiskFull:\n"
        "        appender.finish()\n"
        f"with spool.seal('{ID}') as (path, digest):\n"
        "    print(path.stat().st_size, digest)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "spool")], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"10000 {Digest.of(b'a' * 6_000 + b'b' * 4_000)}\n"


def test_bytes_past_four_gibibytes_are_written_where_they_belong(spool):
    start = 4 * 2**30 + 3
    spool.begin(ID)
    os.truncate(spool.path(ID), start)
    spool.carry(ID, hashlib.sha256(), start)  # hashing four gibibytes of nothing is not the point
    add(spool, b"beyond")
    assert spool.size(ID) == start + 6
    assert spool.ends_with(ID, b"\0\0beyond")
    assert digest(spool) == Digest.of(b"beyond")


def test_memory_does_not_grow_with_the_file(spool):
    batch = [bytes(1024 * 1024)] * 4
    with spool.append(ID, start=0) as appender:
        appender.write(batch)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(40):
            appender.write(batch)
        appender.finish()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


def test_an_upload_can_begin_with_nothing_and_beginning_twice_is_no_error(spool):
    spool.begin(ID)
    spool.begin(ID)
    assert spool.ids() == [ID]
    assert digest(spool) == Digest.of(b"")


def test_a_stray_file_in_the_directory_is_no_upload(spool, tmp_path):
    (tmp_path / "spool" / "lost+found").touch()
    assert spool.ids() == []


# Parts joined into one


PARTS = ("1" * 32, "2" * 32, "3" * 32, "4" * 32)


def begun(spool, contents):
    """Upload each of these as a part and return them with their sizes."""
    named = list(zip(PARTS, contents, strict=False))
    for part, content in named:
        spool.begin(part)
        if content:
            add(spool, content, upload_id=part)
    return [(part, len(content)) for part, content in named]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_parts_are_joined_in_their_order_and_joining_them_again_changes_nothing(tmp_path, contents, restart, again):
    spool = Spool(tmp_path / "spool", floor=0)
    spool.discard(ID)
    parts = begun(spool, contents)
    if restart:
        spool = Spool(tmp_path / "spool", floor=0)
    spool.join(ID, parts)
    if again:
        spool.join(ID, parts)
    with spool.seal(ID) as (path, found):
        assert path.read_bytes() == b"".join(contents)
        assert found == Digest.of(b"".join(contents))
    assert spool.ids() == [ID]


@pytest.mark.parametrize(
    "point", ["join.renamed", "join.adopted", "join.copied", "join.durable", "join.dropped", "upload.written"]
)
@pytest.mark.parametrize("passing", [1, 2, 3])
def test_joining_that_was_cut_off_anywhere_is_begun_again(tmp_path, point, passing):
    contents = [b"first " * 1000, b"", b"second " * 1000, b"third " * 1000]
    spool = Spool(tmp_path / "spool", floor=0)
    parts = begun(spool, contents)
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from archive import failpoints\n"
        "from archive.adapters.spool import Spool\n"
        "failpoints.arm(sys.argv[2])\n"
        f"Spool(Path(sys.argv[1]), floor=0).join('{ID}', [tuple(part) for part in json.loads(sys.argv[3])])\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "spool"), f"{point}:{passing}", json.dumps(parts)], check=False, timeout=60
    ).returncode
    assert died == 137 or passing > (1 if "named" in point or "adopted" in point else 2)
    spool.join(ID, parts)
    with spool.seal(ID) as (path, found):
        assert path.read_bytes() == b"".join(contents)
        assert found == Digest.of(b"".join(contents))
    assert spool.ids() == [ID]


def test_joining_takes_no_room_for_the_first_part_and_stops_where_the_disk_is_full(spool, tmp_path):
    parts = begun(spool, [b"first", b"second"])
    inode = spool.path(PARTS[0]).stat().st_ino
    poor = Spool(tmp_path / "spool", floor=2**62)
    with pytest.raises(DiskFull):
        poor.join(ID, parts)
    assert spool.path(ID).read_bytes() == b"first", "what is joined stays"
    assert spool.path(ID).stat().st_ino == inode
    assert spool.path(PARTS[1]).read_bytes() == b"second"
    spool.join(ID, parts)
    assert digest(spool) == Digest.of(b"firstsecond")


def test_parts_joined_by_several_at_once_are_joined_once(spool):
    contents = [os.urandom(300_000) for _ in PARTS]
    parts = begun(spool, contents)
    joining = [threading.Thread(target=spool.join, args=(ID, parts)) for _ in range(4)]
    for thread in joining:
        thread.start()
    for thread in joining:
        thread.join()
    assert digest(spool) == Digest.of(b"".join(contents))


def test_a_part_that_lost_bytes_is_not_joined(spool):
    parts = begun(spool, [b"first", b"second", b"third"])
    os.truncate(spool.path(PARTS[1]), 2)
    with pytest.raises(Unavailable):
        spool.join(ID, parts)
    assert spool.path(PARTS[2]).read_bytes() == b"third"


def test_what_was_joined_and_dropped_is_not_found(spool):
    parts = begun(spool, [b"first", b"second"])
    spool.join(ID, parts)
    spool.discard(ID)
    with pytest.raises(NotFound):
        spool.join(ID, parts)
