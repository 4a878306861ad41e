"""The S3 store's own promises, on a real gateway: versions, locks, parts, and the truth after an answer that lies or never comes."""

import hashlib
import io
import os
import threading
import time

import pytest

from archive.adapters import s3_buckets
from archive.adapters.s3_client import PART_SIZE, S3Client, part_size
from archive.adapters.s3_sending import AHEAD, BUFFERS
from archive.adapters.s3_wire import SLICE, Patience
from archive.core.digest import Digest, derived_key, original_key
from archive.core.errors import DiskFull, Malformed, Mismatch, NotAllowed, ObjectMissing, StoreRefuses, Unavailable
from archive.core.instant import DAY, SECOND
from archive.ports import Placed, Put
from tests.contract.stores import QUICK, clock, s3_store
from tests.lying import Lie

SMALL = b"a photograph" * 1000
HASTE = Patience(connect=1.0, answer=0.5, long_answer=0.5, tries=9, pause=0.01)


@pytest.fixture(scope="module")
def large():
    """A part and a little: two parts."""
    return os.urandom(PART_SIZE + 5)


def put(store, path, data):
    path.write_bytes(data)
    digest = Digest.of(data)
    return store.put(original_key(digest), path, digest), original_key(digest)


def read(store, key, version):
    return b"".join(store.reread(key, version=version))


def versions(store, key):
    return [row for row in store.client.versions(store.buckets.of(key), key) if not row.marker]


def multiparts(store):
    return list(store.client.uploads(store.buckets.originals, ""))


# Versions and locks


@pytest.mark.parametrize("size", [0, 1, SLICE + 1, PART_SIZE, PART_SIZE + 1])
def test_what_is_put_is_read_by_its_version_and_locked_whatever_its_size(store, tmp_path, size):
    data = os.urandom(size)
    placed, key = put(store, tmp_path / "source", data)
    assert read(store, key, placed.version) == data
    until = store.locked_until(key, placed.version).until
    assert abs(until - (clock() + DAY)) < 60 * SECOND
    assert multiparts(store) == []


def test_the_store_refuses_to_remove_an_original_or_to_shorten_its_lock(store, tmp_path, large):
    for data in (SMALL, large):
        placed, key = put(store, tmp_path / "source", data)
        bucket, until = store.buckets.originals, store.locked_until(key, placed.version).until
        with pytest.raises(StoreRefuses):
            store.client.remove(bucket, key, version=placed.version)
        with pytest.raises(StoreRefuses):
            store.extend(key, placed.version, until - 3600 * SECOND)
        store.extend(key, placed.version, until + 3600 * SECOND)
        assert store.locked_until(key, placed.version).until == until + 3600 * SECOND
        assert read(store, key, placed.version) == data


def test_a_legal_hold_is_laid_and_lifted(store, tmp_path):
    placed, key = put(store, tmp_path / "source", SMALL)
    assert not store.locked_until(key, placed.version).hold
    store.hold(key, placed.version, on=True)
    assert store.locked_until(key, placed.version).hold
    store.hold(key, placed.version, on=False)
    assert not store.locked_until(key, placed.version).hold


def test_what_somebody_puts_over_an_original_or_deletes_in_front_of_it_does_not_change_what_is_read(store, tmp_path):
    placed, key = put(store, tmp_path / "source", SMALL)
    bucket = store.buckets.originals
    store.client.put(bucket, key, b"forged")
    store.client.remove(bucket, key, version="")  # a marker: the name is gone for whoever does not name the version
    with pytest.raises(ObjectMissing):
        store.client.stat(bucket, key)
    assert read(store, key, placed.version) == SMALL
    assert list(store.keys("originals/")) == [key]
    (marker,) = [row for row in store.client.versions(bucket, key) if row.marker]
    with pytest.raises(ObjectMissing):
        store.size(key, version=marker.version)
    again, _ = put(store, tmp_path / "source", SMALL)
    assert read(store, key, again.version) == SMALL


def test_a_read_without_a_version_is_refused(store):
    key = original_key(Digest.of(SMALL))
    for ask in (
        lambda: store.size(key, version=""),
        lambda: store.read(key, 0, 1, version=""),
        lambda: store.reread(key, version=""),
        lambda: store.locked_until(key, ""),
    ):
        with pytest.raises(Malformed):
            ask()


def test_an_original_is_never_discarded_and_all_versions_of_what_is_derived_are(store, tmp_path):
    placed, key = put(store, tmp_path / "source", SMALL)
    for version in (placed.version, ""):
        with pytest.raises(NotAllowed):
            store.discard(key, version=version)
    other = derived_key(Digest.of(SMALL), "poster", 1, "poster.jpg")
    bucket = store.buckets.derived
    kept = [store.client.put(bucket, other, bytes([number])) for number in range(3)]
    store.discard(other, version=kept[1])
    assert sorted(row.version for row in versions(store, other)) == sorted([kept[0], kept[2]])
    store.discard(other, version="")
    assert list(store.keys("derived/")) == []


def test_a_put_does_not_return_before_the_store_says_that_what_parts_made_is_locked(store, lying, tmp_path, large):
    lying.tell(Lie.UNLOCKED, times=2)
    with pytest.raises(StoreRefuses):
        put(store, tmp_path / "source", large)
    placed, key = put(store, tmp_path / "source", large)
    assert placed.put is Put.ALREADY
    assert store.locked_until(key, placed.version).until is not None


def test_what_is_there_without_a_lock_is_locked_by_who_finds_it_there(store, tmp_path):
    digest = Digest.of(SMALL)
    version = store.client.put(store.buckets.originals, original_key(digest), SMALL)  # a crash between completion and lock
    assert store.locked_until(original_key(digest), version).until is None
    placed, key = put(store, tmp_path / "source", SMALL)
    assert placed == Placed(Put.ALREADY, version)
    assert store.locked_until(key, version).until is not None


def test_an_incoming_object_is_moved_within_the_store_with_its_lock(store, monkeypatch):
    for limit in (10**12, 2**20):  # one copy, and copies of parts
        monkeypatch.setattr("archive.adapters.s3_client.MOST_COPIED", limit)
        monkeypatch.setattr("archive.adapters.s3_client.COPY_PART", 5 * 2**20)
        data = os.urandom(6 * 2**20) + str(limit).encode()
        digest = Digest.of(data)
        incoming = f"incoming/{digest}"
        version = store.client.put(store.buckets.incoming, incoming, data)
        placed = store.adopt(incoming, original_key(digest), digest, version=version)
        assert placed.put is Put.WRITTEN
        assert read(store, original_key(digest), placed.version) == data
        assert store.locked_until(original_key(digest), placed.version).until is not None
        assert store.adopt(incoming, original_key(digest), digest, version=version) == Placed(Put.ALREADY, placed.version)
        store.discard(incoming, version=version)
        with pytest.raises(ObjectMissing):
            store.adopt(incoming, original_key(Digest.of(b"other")), Digest.of(b"other"), version=version)


def test_buckets_are_made_once_and_what_they_lack_is_said(s3):
    with s3_store(s3, None) as store:
        assert len(s3_buckets.flaws(store.client, store.buckets)) == 3
        store.client.sdk.make_bucket(s3.originals)  # somebody made it by hand, without Object Lock
        store.client.sdk.make_bucket(s3.derived)
        assert len(s3_buckets.flaws(store.client, store.buckets)) == 4
        assert s3_buckets.make(store.client, store.buckets) == [s3.incoming]
        assert s3_buckets.flaws(store.client, store.buckets) == [f"bucket {s3.originals} was made without Object Lock"]


# Parts


def test_parts_are_of_16_mib_until_there_would_be_more_than_10_000():
    most = 10_000 * PART_SIZE
    assert [part_size(size) for size in (0, 1, most)] == [PART_SIZE] * 3
    assert part_size(most + 1) == 2 * PART_SIZE
    assert part_size(2**40) == 7 * PART_SIZE


def test_no_more_of_a_file_is_in_memory_than_its_parts_on_their_way(store, tmp_path):
    path = tmp_path / "source"
    with path.open("wb") as file:
        for number in range(5):
            file.write(bytes([number]) * PART_SIZE)
    digest = _digest(path)
    store.put(original_key(digest), path, digest)
    assert len(store._sender._spare) <= AHEAD + 1 <= BUFFERS


def test_bytes_that_are_not_what_was_said_are_not_completed(store, tmp_path, large):
    (tmp_path / "source").write_bytes(large[:-1] + b"x")
    with pytest.raises(Mismatch):
        store.put(original_key(Digest.of(large)), tmp_path / "source", Digest.of(large))
    assert list(store.keys("originals/")) == []
    assert multiparts(store) == [], "the upload was ended"


def test_a_multipart_of_ones_own_is_completed_locked_and_found_again(store, large):
    digest, key, bucket = Digest.of(large), original_key(Digest.of(large)), store.buckets.originals
    upload = store.client.begin(bucket, key, until=store.lock_until(key))
    halves = [large[: 1 * PART_SIZE], large[PART_SIZE:]]
    for number, half in enumerate(halves, 1):
        store.client.part(bucket, key, upload, number, half, locked=True)
    parts = store.client.parts(bucket, key, upload)
    assert [(part.number, part.size) for part in parts] == [(1, len(halves[0])), (2, len(halves[1]))]
    assert [row[:2] for row in multiparts(store)] == [(key, upload)]
    version = store.completed(key, upload, parts, digest=digest)
    assert store.locked_until(key, version).until is not None
    assert store.completed(key, upload, parts, digest=digest) == version, "asked again, the same is found"
    store.client.abort(bucket, key, upload)
    with pytest.raises(ObjectMissing):
        store.client.parts(bucket, key, upload)
    assert read(store, key, version) == large


# Answers that lie, or never come


@pytest.mark.parametrize(
    ("lie", "size"),
    [
        (Lie.AFTER, 1000), (Lie.LOST, 1000), (Lie.REFUSED, 1000), (Lie.DROPPED, 1000), (Lie.SWALLOWED, 1000),
        (Lie.LOST, PART_SIZE + 5), (Lie.DROPPED, PART_SIZE + 5),
    ],
)  # fmt: skip
def test_a_put_whose_answer_lies_or_is_lost_ends_with_one_good_locked_version(store, lying, tmp_path, lie, size):
    data = os.urandom(size)
    lying.tell(lie)
    placed, key = put(store, tmp_path / "source", data)
    assert lying.told[lie] == 1
    assert read(store, key, placed.version) == data
    assert [row.version for row in versions(store, key)] == [placed.version]
    assert store.locked_until(key, placed.version).until is not None
    assert multiparts(store) == []


def test_a_completion_that_says_yes_with_an_error_in_its_body_is_found_out(store, lying, tmp_path, large):
    lying.tell(Lie.COMPLETED)
    placed, key = put(store, tmp_path / "source", large)
    assert [row.version for row in versions(store, key)] == [placed.version]
    assert read(store, key, placed.version) == large


def test_a_put_that_is_stored_and_never_answered_fails_and_the_next_finds_it(store, lying, tmp_path):
    lying.tell(Lie.LOST)
    lying.tell(Lie.STALE, times=2)
    lying.tell(Lie.CUT, times=100)  # nor can what became of it be read
    with pytest.raises(Unavailable):
        put(store, tmp_path / "source", SMALL)
    lying.honest()
    placed, key = put(store, tmp_path / "source", SMALL)
    assert placed.put is Put.ALREADY
    assert [row.version for row in versions(store, key)] == [placed.version]


def test_a_stale_head_costs_a_second_version_and_no_bytes(store, lying, tmp_path):
    first, key = put(store, tmp_path / "source", SMALL)
    lying.tell(Lie.STALE)
    second, _ = put(store, tmp_path / "source", SMALL)
    assert second.put is Put.WRITTEN
    for placed in (first, second):
        assert read(store, key, placed.version) == SMALL


def test_a_store_that_never_has_what_it_takes_is_unavailable(store, lying, tmp_path):
    lying.tell(Lie.SWALLOWED, times=10)
    with pytest.raises(Unavailable):
        put(store, tmp_path / "source", SMALL)
    assert lying.told[Lie.SWALLOWED] == 2


def test_a_flipped_bit_of_what_is_there_is_looked_at_again_and_not_taken_for_the_same_bytes(store, lying, tmp_path):
    first, key = put(store, tmp_path / "source", SMALL)
    lying.tell(Lie.FLIPPED)
    assert put(store, tmp_path / "source", SMALL)[0] == Placed(Put.ALREADY, first.version), "it was the wire"
    lying.tell(Lie.FLIPPED, times=2)
    second, _ = put(store, tmp_path / "source", SMALL)
    assert second.put is Put.REPAIRED
    assert second.version != first.version
    assert read(store, key, second.version) == SMALL


@pytest.mark.parametrize("lie", [Lie.TRUNCATED, Lie.CUT])
def test_a_read_that_ends_early_goes_on_where_it_ended(store, lying, tmp_path, large, lie):
    placed, key = put(store, tmp_path / "source", large)
    lying.asked.clear()
    lying.tell(lie, times=3)
    assert read(store, key, placed.version) == large
    assert lying.asked["GET"] == 4
    lying.tell(lie)
    assert b"".join(store.read(key, 5, 1000, version=placed.version)) == large[5:1000]


def test_a_read_that_never_goes_on_is_unavailable_and_not_a_shorter_file(store, lying, tmp_path, large):
    placed, key = put(store, tmp_path / "source", large)
    pieces = store.reread(key, version=placed.version)
    next(pieces)
    lying.tell(Lie.TRUNCATED, times=1000)
    lying.down = True
    with pytest.raises(Unavailable):
        for _ in store.read(key, 0, 10, version=placed.version):
            pass
    pieces.close()


def test_an_answer_that_arrives_is_one_request_and_a_short_range_too(store, lying, tmp_path):
    placed, key = put(store, tmp_path / "source", bytes(2**21))
    assert dict(lying.asked) == {"HEAD": 2, "PUT": 1}
    lying.asked.clear()
    assert len(b"".join(store.read(key, 2**20, 2**21, version=placed.version))) == 2**20
    assert dict(lying.asked) == {"GET": 1}


def test_a_frozen_store_costs_seconds_and_not_minutes(s3, lying, tmp_path):
    with s3_store(s3, None, endpoint=lying.endpoint, patience=HASTE) as store:
        s3_buckets.make(store.client, store.buckets)
        lying.slow = 60.0
        began = time.monotonic()
        for ask in (
            lambda: put(store, tmp_path / "source", SMALL),
            lambda: store.put(derived_key(Digest.of(SMALL), "poster", 1, "p"), tmp_path / "source", Digest.of(SMALL)),
            lambda: store.size(original_key(Digest.of(SMALL)), version="v"),
            lambda: next(store.reread(original_key(Digest.of(SMALL)), version="v")),
        ):
            with pytest.raises(Unavailable):
                ask()
        assert not store.answers()
        assert time.monotonic() - began < 6 * 2 * HASTE.answer


def test_a_part_that_hangs_is_sent_again(s3, lying, tmp_path, large):
    with s3_store(s3, None, endpoint=lying.endpoint, patience=Patience(answer=2.0, pause=0.01)) as store:
        s3_buckets.make(store.client, store.buckets)
        lying.stall = 20.0
        lying.tell(Lie.STALLED, about="originals/")
        placed, key = put(store, tmp_path / "source", large)
        assert read(store, key, placed.version) == large


def test_over_quota_nothing_is_stored_and_it_is_said(store, lying, tmp_path, large):
    lying.full = True
    for data in (SMALL, large):
        with pytest.raises(DiskFull):
            put(store, tmp_path / "source", data)
    lying.full = False
    assert list(store.keys("originals/")) == []


def test_a_store_that_wants_an_md5_with_what_is_locked_gets_it(store, lying, tmp_path, large):
    lying.tell(Lie.MD5, times=1000)
    placed, key = put(store, tmp_path / "source", SMALL)
    assert lying.told[Lie.MD5] == 1
    assert read(store, key, placed.version) == SMALL
    placed, key = put(store, tmp_path / "source", large)
    assert read(store, key, placed.version) == large
    assert lying.told[Lie.MD5] == 1, "it was learnt once"


def test_a_wrong_key_a_wrong_clock_and_a_bucket_that_is_not_there_are_said_as_what_they_are(s3, store, lying, tmp_path):
    stranger = S3Client(s3.endpoint, access_key=s3.access_key, secret_key="another", patience=QUICK)
    with pytest.raises(StoreRefuses) as refused:
        stranger.put(s3.derived, "derived/x", b"x")
    assert refused.value.facts["why"] == "SignatureDoesNotMatch"
    stranger.close()
    lying.tell(Lie.SKEWED, times=1)
    with pytest.raises(StoreRefuses) as refused:
        store.client.parts(s3.derived, "derived/x", "an-upload")
    assert refused.value.facts["why"] == "RequestTimeTooSkewed"
    with pytest.raises(StoreRefuses) as refused:
        store.client.put("a-bucket-that-nobody-made", "derived/x", b"x")
    assert refused.value.facts["why"] == "NoSuchBucket"
    assert store.answers()


def test_a_bucket_that_keeps_no_versions_is_refused_at_the_first_put(s3, store, tmp_path):
    from minio.versioningconfig import SUSPENDED, VersioningConfig  # noqa: PLC0415 - needed here only

    store.client.sdk.set_bucket_versioning(s3.derived, VersioningConfig(SUSPENDED))
    (tmp_path / "source").write_bytes(SMALL)
    with pytest.raises(StoreRefuses):
        store.put(derived_key(Digest.of(SMALL), "poster", 1, "p.jpg"), tmp_path / "source", Digest.of(SMALL))


def test_threads_share_a_store(store, tmp_path):
    failed = []

    def work(number):
        try:
            data = os.urandom(300_000)
            placed, key = put(store, tmp_path / f"source-{number}", data)
            assert b"".join(store.read(key, 0, len(data), version=placed.version)) == data
        except BaseException as why:  # noqa: BLE001 - told below
            failed.append(why)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_the_sdk_itself_reads_what_was_stored(store, tmp_path):
    placed, key = put(store, tmp_path / "source", SMALL)
    answer = store.client.sdk.get_object(store.buckets.originals, key, version_id=placed.version)
    try:
        assert io.BytesIO(answer.read()).getvalue() == SMALL
    finally:
        answer.close()
        answer.release_conn()


def _digest(path):
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())
