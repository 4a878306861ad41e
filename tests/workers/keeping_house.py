"""An archive whose originals lie in a real S3, with a second store beside it; and somebody who has the disks under it."""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive.adapters import s3_buckets
from archive.adapters.copies import Copies
from archive.adapters.s3_client import S3Client
from archive.adapters.s3_store import Buckets, S3Store
from archive.core.digest import Digest, original_key
from archive.settings import Profile
from tests.media_files import Workshop, workshop
from tests.services import S3

POOL = "default.rgw.buckets.data"


@contextmanager
def keeping_house(folder: Path, s3: S3, *, lock_days: int = 2, **settings: object) -> Iterator[Workshop]:
    """Open an empty archive whose stores are two of the gateway's buckets; its database is the embedded one, its settings production's."""
    with workshop(folder) as shop:
        plain = shop.resources
        given = {
            "profile": Profile.PRODUCTION,
            "s3_endpoint": s3.endpoint,
            "s3_access_key": s3.access_key,
            "s3_secret_key": s3.secret_key,
            "s3_originals": s3.originals,
            "s3_derived": s3.derived,
            "s3_incoming": s3.incoming,
            "replica_endpoint": s3.endpoint,
            "replica_access_key": s3.access_key,
            "replica_secret_key": s3.secret_key,
            "replica_bucket": s3.replica,
            "lock_days": lock_days,
            **settings,
        }
        first = opened_store(s3, Buckets(s3.originals, s3.derived, s3.incoming), folder, shop, lock_days=lock_days)
        second = opened_store(s3, Buckets(s3.replica, s3.replica, s3.replica), None, shop, lock_days=lock_days)
        s3_buckets.make(first.client, first.buckets)
        second.client.sdk.make_bucket(s3.replica, object_lock=True)
        shop.resources = dataclasses.replace(plain, settings=plain.settings.model_copy(update=given), store=first, replica=second)
        try:
            yield shop
        finally:
            first.close()
            second.close()


def opened_store(s3: S3, buckets: Buckets, folder: Path | None, shop: Workshop, *, lock_days: int) -> S3Store:
    """Return a store on these buckets, which the caller closes; `folder` is where this host keeps copies, if at all."""
    client = S3Client(s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key)
    clock = shop.resources.now
    copies = None if folder is None else Copies(folder / "copies", most=2**30, sm3=False, clock=clock)
    return S3Store(client, buckets, lock_days=lock_days, copies=copies, clock=clock)


def rot(s3: S3, digest: Digest, version: str) -> bytes:
    """Write other bytes over a version of an original, past the gateway and its locks, as whoever has the disks can; return them.

    The object must be small, so that the store keeps it as one file.
    """
    name = _stored(s3, digest, version)
    with tempfile.NamedTemporaryFile() as file:
        _rados(s3, "get", name, file.name)
        spoiled = bytearray(Path(file.name).read_bytes())
        spoiled[len(spoiled) // 2] ^= 1
        Path(file.name).write_bytes(bytes(spoiled))
        _rados(s3, "put", name, file.name)
    return bytes(spoiled)


def lose(s3: S3, digest: Digest, version: str) -> None:
    """Remove a version's bytes past the gateway and its locks."""
    _rados(s3, "rm", _stored(s3, digest, version))


def _stored(s3: S3, digest: Digest, version: str) -> str:
    """The name under which the disks' own program keeps a version of an original."""
    (name,) = [name for name in _rados(s3, "ls").splitlines() if name.endswith(f"__:{version}_{original_key(digest)}")]
    return name


def _rados(s3: S3, *words: str) -> str:
    command = ["rados", "-c", str(s3.service.directory / "ceph.conf"), "-n", "client.admin", "-p", POOL, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
