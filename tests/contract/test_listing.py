"""What every store lists: its versions with their sizes, keys in order, and until when it refuses to remove one."""

from __future__ import annotations

import pytest

from archive.core.digest import Digest, original_key, quarantine_key
from archive.core.errors import ObjectMissing
from tests.contract.stores import STORES, clock

CONTENT = [b"one", b"other", b"another"]


@pytest.fixture(params=STORES)
def shelf(request, tmp_path):
    with STORES[request.param](tmp_path) as made:
        yield made


def test_versions_are_listed_in_the_order_of_their_keys_with_what_a_put_said_of_them(shelf, tmp_path):
    store, placed = shelf.store, {}
    for content in CONTENT:
        source = tmp_path / content.decode()
        source.write_bytes(content)
        digest = Digest.of(content)
        placed[original_key(digest)] = (store.put(original_key(digest), source, digest).version, len(content))
    aside = tmp_path / "aside"
    aside.write_bytes(b"aside")
    store.put(quarantine_key("a" * 32), aside, Digest.of(b"aside"))
    listed = list(store.versions("originals/"))
    assert [kept.key for kept in listed] == sorted(placed)
    assert {kept.key: (kept.version, kept.size) for kept in listed} == placed
    assert list(store.versions("derived/")) == []


def test_a_store_says_until_when_it_refuses_to_remove_a_version_and_a_directory_that_it_refuses_nothing(shelf, tmp_path):
    source, digest = tmp_path / "source", Digest.of(CONTENT[0])
    source.write_bytes(CONTENT[0])
    version = shelf.store.put(original_key(digest), source, digest).version
    until = shelf.store.locked(original_key(digest), version=version)
    assert (until is not None) is bool(version)
    assert until is None or until > clock()
    with pytest.raises(ObjectMissing):
        shelf.store.locked(original_key(Digest.of(b"never put")), version=version)
