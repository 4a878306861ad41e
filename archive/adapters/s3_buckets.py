"""The buckets that an archive needs: making them, and seeing that they are what it needs.

Invariants: nothing that is there is changed but versioning, which is turned on; a bucket without Object Lock stays one (S3 gives it only at
the making), and is a flaw. No default retention is set: originals carry theirs, and a default would lock what must be discarded.
"""

from __future__ import annotations

from minio.commonconfig import COMPLIANCE, ENABLED
from minio.error import S3Error
from minio.versioningconfig import VersioningConfig

from archive.adapters.s3_client import S3Client
from archive.adapters.s3_keys import Buckets

_TAKEN = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_NO_LOCK = frozenset(
    {"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NotImplemented", "MethodNotAllowed"}
)


def make(client: S3Client, buckets: Buckets) -> list[str]:
    """Make those of the three buckets that are not there, versioned, the originals' one with Object Lock; return which were made.

    Raises:
        StoreRefuses: this key may not make buckets, or the name is another's.
        Unavailable: the store does not answer.
    """
    made: list[str] = []
    for name, locked in _wanted(buckets):

        def ensure(name: str = name, *, locked: bool = locked) -> None:
            if client.sdk.bucket_exists(name):
                return
            try:
                client.sdk.make_bucket(name, object_lock=locked)
            except S3Error as error:
                if error.code not in _TAKEN:
                    raise
            else:
                made.append(name)

        client.again(ensure, key=name)
        client.again(lambda name=name: client.sdk.set_bucket_versioning(name, VersioningConfig(ENABLED)), key=name)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
    return made


def flaws(client: S3Client, buckets: Buckets) -> list[str]:
    """Return everything that is wrong with the buckets, in words; nothing: the archive can start.

    Raises:
        StoreRefuses: this key may not look.
        Unavailable: the store does not answer.
    """
    found: list[str] = []
    for name, locked in _wanted(buckets):
        if not client.again(lambda name=name: client.sdk.bucket_exists(name), key=name):  # type: ignore[misc]  # mypy infers no type for a lambda with a default
            found.append(f"bucket {name} is not there")
            continue
        versioning = client.again(lambda name=name: client.sdk.get_bucket_versioning(name), key=name)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
        if versioning.status != ENABLED:
            found.append(f"bucket {name} keeps no versions")
        if locked:
            mode = client.again(lambda name=name: _mode(client, name), key=name)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
            if mode is None:
                found.append(f"bucket {name} was made without Object Lock")
            elif mode not in {"", COMPLIANCE}:
                found.append(f"bucket {name} locks by default as {mode}, which can be lifted: set {COMPLIANCE} or no default")
    return found


def _wanted(buckets: Buckets) -> list[tuple[str, bool]]:
    """Return each bucket's name and whether it must lock; a second store has one for all."""
    wanted = {buckets.originals: True}
    for name in (buckets.derived, buckets.incoming):
        wanted.setdefault(name, False)
    return list(wanted.items())


def _mode(client: S3Client, name: str) -> str | None:
    """Return the mode in which a bucket locks by default, empty where it has no default; None: it cannot lock."""
    try:
        return client.sdk.get_object_lock_config(name).mode or ""
    except S3Error as error:
        if error.code in _NO_LOCK:
            return None
        raise
