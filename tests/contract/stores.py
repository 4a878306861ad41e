"""The stores that the contract is held against: how each is made, and how it goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from archive.adapters import s3_buckets
from archive.adapters.copies import Copies
from archive.adapters.local_store import LocalStore
from archive.adapters.s3_client import S3Client
from archive.adapters.s3_store import Buckets, S3Store
from archive.adapters.s3_wire import Patience
from archive.core.digest import Digest, original_key
from archive.core.instant import Instant
from archive.ports import ObjectStore
from tests.services import S3, fresh_buckets

GOOD = bytes(range(256)) * 12_000  # 3 MiB: several pieces
DIGEST = Digest.of(GOOD)
KEY = original_key(DIGEST)
QUICK = Patience(connect=2.0, answer=2.0, long_answer=5.0, tries=3, pause=0.01)


def clock() -> Instant:
    return Instant(time.time_ns() // 1000)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A store, and `spoil`: (key, version) → what is read there from then on, by name; a store with versions keeps the good one."""

    store: ObjectStore
    spoil: Callable[[str, str], bytes]


@contextmanager
def local(base: Path) -> Iterator[Shelf]:
    """A directory."""
    store = LocalStore(base / "store")

    def spoil(key: str, version: str) -> bytes:
        with store.local(key, version=version) as path:
            path.chmod(0o644)
            spoiled = bytearray(path.read_bytes())
            spoiled[len(spoiled) // 2] ^= 1
            # A new inode: a spool file linked to the same bytes has its own copy on a disk that rots.
            path.unlink()
            path.write_bytes(spoiled)
        return bytes(spoiled)

    yield Shelf(store, spoil)


@contextmanager
def s3_store(
    s3: S3, base: Path | None, *, endpoint: str = "", lock_days: int = 1, most: int = 2**30, patience: Patience = QUICK
) -> Iterator[S3Store]:
    """A store on a real gateway, reached at another endpoint if one is given; `base` is where this host keeps copies, if at all."""
    client = S3Client(
        endpoint or s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region="us-east-1", patience=patience
    )
    copies = None if base is None else Copies(base / "copies", most=most, sm3=False, clock=clock)
    store = S3Store(client, Buckets(s3.originals, s3.derived, s3.incoming), lock_days=lock_days, copies=copies, clock=clock)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def s3(base: Path) -> Iterator[Shelf]:
    """Buckets of their own in a real gateway. An object there does not rot for us; somebody puts other bytes over it."""
    with s3_store(fresh_buckets(), base) as store:
        s3_buckets.make(store.client, store.buckets)

        def spoil(key: str, version: str) -> bytes:
            spoiled = bytearray(b"".join(store.reread(key, version=version)))
            spoiled[len(spoiled) // 2] ^= 1
            store.client.put(store.buckets.of(key), key, bytes(spoiled))
            return bytes(spoiled)

        yield Shelf(store, spoil)


STORES: dict[str, Callable[[Path], object]] = {"local": local, "s3": s3}
