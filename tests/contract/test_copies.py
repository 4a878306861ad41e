"""This host's copies: one fetch for all, and never a verdict about the store that rests on this host's disk."""

import os
import subprocess
import sys
import threading
import time

import pytest

from archive.adapters.copies import Copies
from archive.core.digest import Digest, original_key
from archive.core.errors import Mismatch, Unavailable
from archive.core.instant import HOUR, SECOND, Instant
from tests.contract.stores import clock, s3_store
from tests.lying import Lie, Lying

DATA = bytes(range(256)) * 4000
DIGEST = Digest.of(DATA)


class Far:
    """A store that is far away: counts what is fetched from it."""

    def __init__(self, data=DATA):
        self.data, self.fetched, self.pause = data, 0, 0.0

    def fetch(self):
        self.fetched += 1
        return len(self.data), self._pieces()

    def _pieces(self):
        for at in range(0, len(self.data), 100_000):
            time.sleep(self.pause)
            yield self.data[at : at + 100_000]


def quiet(done, of):
    pass


def opened(base, *, most=2**30, now=clock):
    return Copies(base / "copies", most=most, sm3=False, clock=now)


def names(base):
    return sorted(path.name for path in (base / "copies").iterdir() if path.name != "room")


@pytest.fixture
def far():
    return Far()


def held(copies, far, name="one", expected=DIGEST, beat=quiet):
    return copies.held(name, far.fetch, expected=expected, beat=beat)


def test_who_needs_a_copy_finds_the_one_that_is_here(tmp_path, far):
    copies = opened(tmp_path)
    for _ in range(3):
        with held(copies, far) as copy:
            assert copy.path.read_bytes() == DATA
            assert copy.path.stat().st_mode & 0o777 == 0o444
            assert copy.facts.survey.digest == DIGEST
    with held(opened(tmp_path), far) as copy:  # another process of the host
        assert copy.path.read_bytes() == DATA
    assert far.fetched == 1


def test_workers_that_need_the_same_copy_at_once_wait_for_one_fetch(tmp_path, far):
    far.pause = 0.02
    seen, beats = [], []

    def work():
        with held(opened(tmp_path), far, beat=lambda done, of: beats.append(done)) as copy:
            seen.append(Digest.of(copy.path.read_bytes()))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [DIGEST] * 6
    assert far.fetched == 1
    assert 0 in beats, "who waits says that it lives"


def test_a_copy_that_was_altered_on_this_disk_is_fetched_anew(tmp_path, far):
    copies = opened(tmp_path)
    with held(copies, far) as copy:
        path, was = copy.path, copy.path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"x")
    path.chmod(0o444)
    os.utime(
        path, ns=(was.st_atime_ns, was.st_mtime_ns)
    )  # whoever does this hides the time of change, but not that of the inode's
    with held(copies, far) as copy:
        assert copy.path.read_bytes() == DATA
    assert far.fetched == 2


def test_a_copy_that_rotted_without_a_trace_is_found_when_it_is_looked_at_again_and_its_facts_stay_true(
    tmp_path, far, monkeypatch
):
    now = [clock()]
    copies = opened(tmp_path, now=lambda: now[0])
    with held(copies, far) as copy:
        path = copy.path
    _rot(monkeypatch, path)
    with held(copies, far) as copy:
        assert copy.path.read_bytes() != DATA, "nothing shows it yet"
        assert copy.facts.survey.digest == DIGEST, "what is said of the store is what came from the store"
    now[0] = Instant(now[0] + HOUR)
    with held(copies, far) as copy:
        assert copy.path.read_bytes() == DATA
    now[0] = Instant(now[0] - 2 * HOUR)  # a clock that was set back says nothing about age either
    with held(copies, far) as copy:
        assert copy.path.read_bytes() == DATA
    assert far.fetched == 2


def _rot(monkeypatch, path):
    """Change a byte as a failing disk does: no time of the file changes."""
    identity = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"x")
    import archive.adapters.copies as module  # noqa: PLC0415 - the operating system's word is what is made to lie here

    real, known = module._identity, (identity.st_ino, identity.st_size, identity.st_mtime_ns, identity.st_ctime_ns)
    inode = identity.st_ino
    monkeypatch.setattr(module, "_identity", lambda p: known if p.stat().st_ino == inode and p == path else real(p))


def test_a_copy_of_before_this_machine_was_started_is_fetched_anew(tmp_path, far):
    copies = opened(tmp_path)
    with held(copies, far):
        pass
    copies._boot = "another-boot"
    with held(copies, far):
        pass
    assert far.fetched == 2


def test_facts_that_are_not_as_they_were_written_count_as_none(tmp_path, far):
    copies = opened(tmp_path)
    with held(copies, far):
        pass
    path = tmp_path / "copies" / "one.facts"
    for spoil in (lambda text: text.replace(b'"size":1', b'"size":2'), lambda text: text[:-1], lambda _: b""):
        path.write_bytes(spoil(path.read_bytes()))
        assert copies.known("one", quiet) is None
        with held(copies, far):
            pass
    assert far.fetched == 4


def test_what_is_not_the_original_is_fetched_once_more_and_then_not_kept(tmp_path):
    far = Far(b"something else")
    with pytest.raises(Mismatch), held(opened(tmp_path), far):
        pass
    assert far.fetched == 2
    assert names(tmp_path) == ["one.lock"]
    once = Far(b"something else")
    fetch = once.fetch

    def second():
        size = fetch()
        once.data = DATA
        return size

    once.fetch = second
    with held(opened(tmp_path), once) as copy:
        assert copy.path.read_bytes() == DATA


def test_a_fetch_that_is_broken_off_leaves_nothing_and_the_next_begins_anew(tmp_path, far):
    class Lost(Exception):
        pass

    def beat(done, of):
        if done > 300_000:
            raise Lost

    copies = opened(tmp_path)
    with pytest.raises(Lost), held(copies, far, beat=beat):
        pass
    assert names(tmp_path) == ["one.lock"]
    with held(copies, far) as copy:
        assert copy.path.read_bytes() == DATA


CRASH = """
import os, resource, sys
from pathlib import Path
from archive.adapters.copies import Copies
from archive.core.errors import DiskFull
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
def pieces():
    yield b"x" * 1000
    if not limit:
        os._exit(137)
    yield b"x" * 100_000
copies = Copies(Path(sys.argv[1]), most=2**30, sm3=False, clock=lambda: 0)
try:
    with copies.held("one", lambda: (101_000, pieces()), expected=None, beat=lambda done, of: None):
        pass
except DiskFull:
    sys.exit(28)
"""


@pytest.mark.parametrize(("limit", "ends"), [(0, 137), (50_000, 28)])
def test_a_worker_that_dies_in_a_fetch_or_finds_the_disk_full_leaves_room_and_lock_to_the_next(tmp_path, far, limit, ends):
    root = tmp_path / "copies"
    done = subprocess.run([sys.executable, "-c", CRASH, str(root), str(limit)], check=False, timeout=60)
    assert done.returncode == ends
    with held(opened(tmp_path), far) as copy:
        assert copy.path.read_bytes() == DATA
    assert [name for name in names(tmp_path) if name.endswith(".part")] == []


def test_copies_give_way_to_newer_ones_least_recently_used_first_and_those_in_use_do_not(tmp_path):
    copies = opened(tmp_path, most=3_000_000)
    shops = {name: Far(os.urandom(1_000_000)) for name in "abcd"}
    for order, name in enumerate("ab"):
        with held(copies, shops[name], name, None):
            os.utime(tmp_path / "copies" / f"{name}.lock", (order, order))
    with held(copies, shops["a"], "a", None):  # used again, and in use from here on
        for name in "cd":
            with held(copies, shops[name], name, None):
                pass
        kept = [name for name in "abcd" if (tmp_path / "copies" / f"{name}.copy").exists()]
        assert "a" in kept
        assert "b" not in kept
    total = sum(path.stat().st_size for path in (tmp_path / "copies").glob("*.copy"))
    assert total <= 3_000_000


def test_a_file_larger_than_the_bound_can_be_worked_on_and_is_gone_afterwards(tmp_path, far):
    copies = opened(tmp_path, most=1000)
    with held(copies, far) as copy:
        assert copy.path.read_bytes() == DATA
    assert list((tmp_path / "copies").glob("*.copy")) == []


# Through the store: what a read-back may take from a copy, and what it may not


@pytest.fixture
def lying(s3):
    with Lying(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def store(s3, lying, tmp_path):
    with s3_store(s3, tmp_path, endpoint=lying.endpoint) as made:
        made.client.sdk.make_bucket(s3.originals, object_lock=True)
        yield made


@pytest.fixture
def placed(store, lying, tmp_path):
    (tmp_path / "source").write_bytes(DATA)
    found = store.put(original_key(DIGEST), tmp_path / "source", DIGEST)
    lying.asked.clear()
    return found


def survey(store, placed, *, since, sm3=False):
    return store.survey(original_key(DIGEST), version=placed.version, sm3=sm3, since=since, beat=quiet)


def test_probe_read_back_and_sm3_are_served_by_one_fetch(store, lying, placed):
    accession = clock()
    with store.local(original_key(DIGEST), version=placed.version) as path:
        assert path.read_bytes() == DATA
    assert survey(store, placed, since=accession).digest == DIGEST
    assert survey(store, placed, since=accession, sm3=True).sm3 is not None
    assert lying.asked["GET"] == 1


def test_a_read_back_whose_accession_came_after_the_fetch_reads_anew(store, lying, placed):
    assert survey(store, placed, since=clock()).digest == DIGEST
    time.sleep(0.01)
    assert survey(store, placed, since=clock()).digest == DIGEST
    assert lying.asked["GET"] == 2


def test_a_clock_of_another_host_that_runs_ahead_costs_no_second_fetch(store, lying, placed):
    assert survey(store, placed, since=Instant(clock() + 600 * SECOND)).digest == DIGEST
    assert lying.asked["GET"] == 1


def test_a_fixity_check_reads_anew_whatever_is_here(store, lying, placed):
    accession = clock()
    for expected in (1, 2):
        assert survey(store, placed, since=None).digest == DIGEST
        assert lying.asked["GET"] == expected
    assert survey(store, placed, since=accession).digest == DIGEST


def test_a_copy_that_was_altered_here_says_nothing_of_the_store(store, lying, placed, tmp_path):
    accession = clock()
    with store.local(original_key(DIGEST), version=placed.version) as path:
        path.chmod(0o644)
        path.write_bytes(b"x" + DATA[1:])
    for sm3 in (False, True):
        assert survey(store, placed, since=accession, sm3=sm3).digest == DIGEST


@pytest.mark.parametrize("times", [1, 2])
def test_bytes_that_came_wrong_once_or_twice_are_fetched_again_before_anything_is_said(store, lying, placed, times):
    lying.tell(Lie.FLIPPED, times=times)
    assert survey(store, placed, since=clock()).digest == DIGEST
    assert lying.told[Lie.FLIPPED] == times


def test_what_always_comes_wrong_is_said_to_be_and_never_handed_out_as_the_original(store, lying, placed):
    lying.tell(Lie.FLIPPED, times=100)
    assert survey(store, placed, since=clock()).digest != DIGEST
    with pytest.raises(Mismatch), store.local(original_key(DIGEST), version=placed.version):
        pass


def test_a_store_that_is_down_is_no_verdict(store, lying, placed):
    lying.down = True
    with pytest.raises(Unavailable) as away:
        survey(store, placed, since=clock())
    assert away.value.facts["what"] == "store"
    assert not store.answers()
    lying.down = False
    assert store.answers()
