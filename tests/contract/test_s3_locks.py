"""What counts as a lock in a real gateway, and as the version that was sent: neither is taken on its word alone."""

from datetime import UTC, datetime, timedelta

import pytest
from minio.commonconfig import COMPLIANCE, GOVERNANCE
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.retention import Retention

from archive.adapters import s3_buckets
from archive.core.digest import Digest, original_key
from archive.core.errors import Unavailable
from archive.core.instant import DAY
from archive.ports import Placed, Put
from tests.contract.stores import clock, s3_store
from tests.lying import Lie

SMALL = b"a photograph" * 1000


def test_a_lock_that_can_be_lifted_is_none_and_becomes_one_that_cannot(store, tmp_path):
    digest, bucket = Digest.of(SMALL), store.buckets.originals
    key = original_key(digest)
    version = store.client.put(bucket, key, SMALL)
    lifted = Retention(GOVERNANCE, datetime.now(UTC) + timedelta(days=30))
    store.client.sdk.set_object_retention(bucket, key, lifted, version_id=version)
    assert store.locked_until(key, version).until is None
    (tmp_path / "source").write_bytes(SMALL)
    assert store.put(key, tmp_path / "source", digest) == Placed(Put.ALREADY, version)
    assert store.locked_until(key, version).until > clock() + 29 * DAY, "it keeps it for no shorter time than the one before"


def test_a_bucket_that_locks_by_default_in_a_mode_that_can_be_lifted_is_flawed(s3):
    with s3_store(s3, None) as store:
        s3_buckets.make(store.client, store.buckets)
        assert s3_buckets.flaws(store.client, store.buckets) == []
        for mode, flaws in ((COMPLIANCE, 0), (GOVERNANCE, 1)):
            store.client.sdk.set_object_lock_config(s3.originals, ObjectLockConfig(mode, 1, DAYS))
            assert len(s3_buckets.flaws(store.client, store.buckets)) == flaws


def test_an_older_version_that_stands_in_for_a_put_without_an_answer_is_locked_first(store, lying, tmp_path):
    digest = Digest.of(SMALL)
    older = store.client.put(store.buckets.originals, original_key(digest), SMALL)  # its lock ran out long ago
    (tmp_path / "source").write_bytes(SMALL)
    lying.tell(Lie.REFUSED)
    placed = store.put_new(original_key(digest), tmp_path / "source", digest)
    assert placed.version == older
    assert store.locked_until(original_key(digest), older).until is not None


def test_a_version_that_is_not_as_large_as_what_was_sent_is_not_what_was_sent(store, lying, tmp_path):
    (tmp_path / "source").write_bytes(SMALL)
    lying.tell(Lie.VOUCHED, times=9)  # of one byte
    with pytest.raises(Unavailable):
        store.put(original_key(Digest.of(SMALL)), tmp_path / "source", Digest.of(SMALL))
