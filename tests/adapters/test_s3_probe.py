"""A real store is tried out: Ceph's gateway refuses what it must, and a bucket or an account that shows nothing is told from it."""

from __future__ import annotations

import json
import time

import pytest

from archive.adapters import s3_probe
from archive.adapters.s3_client import S3Client
from archive.adapters.s3_wire import Patience
from archive.core import worm
from archive.core.errors import Unavailable
from archive.core.instant import HOUR, SECOND
from archive.core.worm import Outcome, Standing, Trial


@pytest.fixture
def client(s3):
    made = S3Client(s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key)
    yield made
    made.close()


def tried(s3, bucket: str, token: str = "one", **how):
    target = s3_probe.Target(s3.endpoint, "us-east-1", s3.access_key, s3.secret_key, bucket)
    return s3_probe.try_out(target, token=token, clock=lambda: time.time_ns() // 1000, **how)


def outcomes(facts):
    return {each.trial: each.outcome for each in worm.judge(facts)}


def test_ceph_refuses_what_it_must_and_what_it_does_not_check_is_told(s3, client):
    client.sdk.make_bucket(s3.originals, object_lock=True)
    original = client.put(s3.originals, "originals/x", b"an original")
    facts = tried(s3, s3.originals)
    assert worm.standing(facts) is Standing.HOLDS
    limits = {trial for trial, outcome in outcomes(facts).items() if outcome is not Outcome.ENFORCED}
    assert limits == {Trial.CHECKSUM, Trial.CREATE_ONLY, Trial.DATES, Trial.LOCKED_MULTIPART}
    assert facts["steps"]["delete_bypass"]["status"] == 403
    assert facts["fraction_digits"] == 9
    # Nothing but its own was touched, and what it leaves is locked or marks what is.
    (kept,) = client.versions(s3.originals, "originals/")
    assert (kept.version, kept.size) == (original, 11)
    left = [row for row in client.versions(s3.originals, "") if row.key != "originals/x"]
    assert {row.key for row in left} == {"canary/one/locked"}
    assert [client.lock(s3.originals, row.key, version=row.version).until is not None for row in left] == [True]


def test_a_bucket_without_locks_is_alarming_and_nothing_is_left_in_it(s3, client):
    client.sdk.make_bucket(s3.derived)
    facts = tried(s3, s3.derived)
    assert worm.standing(facts) is Standing.BROKEN
    assert {each.trial for each in worm.judge(facts) if each.alarming} >= {Trial.VERSIONING, Trial.BUCKET_LOCK, Trial.LOCKED_PUT}
    assert list(client.versions(s3.derived, "")) == []


def test_a_refusal_that_comes_of_a_policy_is_not_taken_for_a_lock(s3, client):
    client.sdk.make_bucket(s3.originals, object_lock=True)
    deny = {"Effect": "Deny", "Principal": {"AWS": ["*"]}, "Action": ["s3:DeleteObjectVersion"]}
    policy = {"Version": "2012-10-17", "Statement": [{**deny, "Resource": [f"arn:aws:s3:::{s3.originals}/*"]}]}
    client.sdk.set_bucket_policy(s3.originals, json.dumps(policy))
    facts = tried(s3, s3.originals)
    assert facts["steps"]["delete_version"] == {"status": 403, "survived": True, "said": "AccessDenied"}
    assert outcomes(facts)[Trial.DELETE_VERSION] is Outcome.UNKNOWN
    assert worm.standing(facts) is Standing.UNPROVED


def test_what_an_earlier_trial_left_is_removed_when_its_lock_has_run_out(s3, client):
    client.sdk.make_bucket(s3.originals, object_lock=True)
    now = time.time_ns() // 1000
    for name, until in (("over", now + SECOND), ("locked", now + HOUR)):
        client.put(s3.originals, f"canary/one/{name}", b"left", until=until)
    while time.time_ns() // 1000 < now + 2 * SECOND:  # its lock and a twelfth of it
        time.sleep(0.05)
    assert tried(s3, s3.originals, token="two", lock=SECOND)["removed"] == 1
    assert [row.key for row in client.versions(s3.originals, "canary/one/")] == ["canary/one/locked"]


def test_a_store_that_does_not_answer_is_a_fault_and_no_finding(s3):
    target = s3_probe.Target("http://127.0.0.1:9", "us-east-1", "key", "secret", "bucket")
    with pytest.raises(Unavailable):
        s3_probe.try_out(target, token="x", clock=lambda: time.time_ns() // 1000, patience=Patience(connect=0.2, answer=0.2))
