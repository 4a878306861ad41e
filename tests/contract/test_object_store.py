"""What every `ObjectStore` must do. Each implementation is one entry of `STORES`; the tests below it know only the port."""

import hashlib
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.core.digest import LEAF_SIZE, Digest, derived_key, original_key, quarantine_key
from archive.core.errors import Malformed, Mismatch, NotAllowed, ObjectMissing
from archive.ports import Put
from tests.contract.stores import DIGEST, GOOD, KEY, STORES, clock

NOWHERE = "a-version-that-nobody-gave"


@pytest.fixture(params=STORES)
def shelf(request, tmp_path):
    with STORES[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def store(shelf):
    return shelf.store


def everything(store, version, key=KEY):
    return b"".join(store.read(key, 0, store.size(key, version=version), version=version))


def quiet(done, of):
    pass


def test_what_is_put_is_read_back_and_the_source_stays(store, source):
    placed = store.put(KEY, source, DIGEST)
    assert placed.put is Put.WRITTEN
    assert store.size(KEY, version=placed.version) == len(GOOD)
    assert everything(store, placed.version) == GOOD
    assert source.read_bytes() == GOOD


def test_a_source_on_another_file_system_is_copied(store, elsewhere):
    placed = store.put(KEY, elsewhere, DIGEST)
    assert placed.put is Put.WRITTEN
    assert everything(store, placed.version) == GOOD


def test_a_source_that_changed_since_it_was_hashed_is_not_taken(store, elsewhere):
    elsewhere.write_bytes(GOOD[:-1])
    with pytest.raises(Mismatch):
        store.put(KEY, elsewhere, DIGEST)
    assert list(store.keys("originals/")) == []


def test_the_same_bytes_again_are_found_to_be_there(store, source):
    first = store.put(KEY, source, DIGEST)
    again = source.with_name("again")
    again.write_bytes(GOOD)
    second = store.put(KEY, again, DIGEST)
    assert (second.put, second.version) == (Put.ALREADY, first.version)
    assert list(store.keys("originals/")) == [KEY]


def test_nothing_at_all_can_be_stored(store, source):
    source.write_bytes(b"")
    digest = Digest.of(b"")
    placed = store.put(original_key(digest), source, digest)
    assert store.size(original_key(digest), version=placed.version) == 0
    assert list(store.read(original_key(digest), 0, 10, version=placed.version)) == []
    assert list(store.reread(original_key(digest), version=placed.version)) == []
    survey = store.survey(original_key(digest), version=placed.version, sm3=False, since=clock(), beat=quiet)
    assert (survey.digest, survey.size, survey.leaves) == (digest, 0, (digest,))


def test_wrong_bytes_are_noticed_on_a_repeated_put_and_good_ones_take_their_place(shelf, store, source):
    placed = store.put(KEY, source, DIGEST)
    shelf.spoil(KEY, placed.version)
    again = store.put(KEY, source, DIGEST)
    assert again.put is Put.REPAIRED
    assert everything(store, again.version) == GOOD
    third = store.put(KEY, source, DIGEST)
    assert (third.put, third.version) == (Put.ALREADY, again.version)


def test_wrong_bytes_are_not_replaced_by_others_that_are_no_better(shelf, store, source):
    placed = store.put(KEY, source, DIGEST)
    shelf.spoil(KEY, placed.version)
    before = everything(store, placed.version)
    worse = source.with_name("worse")
    worse.write_bytes(b"worse")
    with pytest.raises(Mismatch):
        store.put(KEY, worse, DIGEST)
    assert everything(store, placed.version) == before


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, len(GOOD) + 5))
def test_a_range_is_half_open_and_ends_with_the_object(store, source, start, length):
    placed = _once(store, source)
    pieces = list(store.read(KEY, start, start + length, version=placed.version))
    assert b"".join(pieces) == GOOD[start : start + length]
    assert all(0 < len(piece) <= 1024 * 1024 for piece in pieces)


def test_what_is_not_there_is_said_to_be_missing_before_the_first_byte(store):
    with pytest.raises(ObjectMissing):
        store.size(KEY, version=NOWHERE)
    with pytest.raises(ObjectMissing):
        store.read(KEY, 0, 1, version=NOWHERE)
    with pytest.raises(ObjectMissing):
        store.reread(KEY, version=NOWHERE)
    with pytest.raises(ObjectMissing), store.local(KEY, version=NOWHERE):
        pass
    with pytest.raises(ObjectMissing):
        store.survey(KEY, version=NOWHERE, sm3=False, since=clock(), beat=quiet)


def test_all_bytes_can_be_read_again_past_what_memory_holds(store, source):
    placed = store.put(KEY, source, DIGEST)
    assert b"".join(store.reread(KEY, version=placed.version)) == GOOD
    with pytest.raises(ObjectMissing):
        store.reread(quarantine_key("c" * 32), version=NOWHERE)


@pytest.mark.parametrize("anew", [False, True])
def test_a_survey_tells_digest_leaves_and_sm3_of_all_bytes_and_how_far_it_is(store, source, anew):
    data = bytes(LEAF_SIZE) + b"a tail"
    source.write_bytes(data)
    digest, seen = Digest.of(data), []
    placed = store.put(original_key(digest), source, digest)
    since = None if anew else clock()
    survey = store.survey(
        original_key(digest), version=placed.version, sm3=True, since=since, beat=lambda done, of: seen.append((done, of))
    )
    assert (survey.digest, survey.size) == (digest, len(data))
    assert survey.leaves == (Digest.of(bytes(LEAF_SIZE)), Digest.of(b"a tail"))
    assert survey.sm3 == hashlib.new("sm3", data).hexdigest()
    assert (len(data), len(data)) in seen


def test_a_local_path_has_the_bytes(store, source):
    placed = store.put(KEY, source, DIGEST)
    with store.local(KEY, version=placed.version) as path:
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


def test_a_key_that_could_lead_out_of_the_store_is_refused(store, source):
    for key in ("", "/etc/passwd", "../out", "originals/../../out", "derived//b", "derived/", ".temp/x", "derived/.hidden"):
        _refused(store, source, key)
    for key in ("derived/a\0b", "derived/a\nb", "derived/键", "derived/a b"):
        _refused(store, source, key)


def _refused(store, source, key):
    for ask in (
        lambda: store.put(key, source, DIGEST),
        lambda: store.size(key, version=NOWHERE),
        lambda: store.read(key, 0, 1, version=NOWHERE),
        lambda: store.discard(key, version=NOWHERE),
    ):
        with pytest.raises(Malformed):
            ask()


def test_derived_and_quarantined_objects_can_be_discarded_and_originals_cannot(store, source):
    for key in (derived_key(DIGEST, "poster", 1, "poster.jpg"), quarantine_key("b" * 32)):
        placed = store.put(key, source, DIGEST)
        store.discard(key, version=placed.version)
        store.discard(key, version=placed.version)
        with pytest.raises(ObjectMissing):
            store.size(key, version=placed.version)
        assert key not in store.keys("")
    placed = store.put(KEY, source, DIGEST)
    with pytest.raises(NotAllowed):
        store.discard(KEY, version=placed.version)
    assert everything(store, placed.version) == GOOD


def test_many_writers_of_one_key_end_with_one_good_object(store, tmp_path):
    outcomes = []
    start = threading.Barrier(8)

    def put(number):
        path = tmp_path / f"spool-{number}"
        path.write_bytes(GOOD)
        start.wait()
        outcomes.append(store.put(KEY, path, DIGEST))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(placed.put for placed in outcomes) == sorted([Put.WRITTEN] + [Put.ALREADY] * 7)
    assert len({placed.version for placed in outcomes}) == 1
    assert everything(store, outcomes[0].version) == GOOD


def test_a_store_that_is_there_answers(store):
    assert store.answers()


def _once(store, source):
    """Put it, and remember where: an example of Hypothesis finds the store as the last one left it."""
    if store not in _PLACED:
        _PLACED.clear()
        _PLACED[store] = store.put(KEY, source, DIGEST)
    return _PLACED[store]


_PLACED = {}
