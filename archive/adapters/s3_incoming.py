"""What stations send straight to the store: multipart uploads in a bucket of their own, and signed addresses of their parts.

Invariants: an address is bound to one multipart upload, one part of it, that part's size and its SHA-256, and runs out; a completed upload
is read by the version that its completion made. Nothing here is evidence: what came is read and hashed before it is taken in.

Not guaranteed: that a store refuses a part that is not what its address says. The whole file's digest decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archive.adapters.s3_presign import Keys, presigned
from archive.core.errors import ObjectMissing

if TYPE_CHECKING:
    from archive.adapters.s3_client import Part, S3Client
    from archive.adapters.s3_store import S3Store
    from archive.core.digest import Digest
    from archive.core.instant import Instant
    from archive.ports import Placed

PREFIX: Final = "incoming/"
ADDRESS_SECONDS: Final = 900
"""How long an address is good: a part of 32 MiB begins long before that even behind others at 1 MiB a second, and one that leaked is of
little use for little time. A part that has begun is not cut off when its address runs out."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a part goes, and the headers that must go with it."""

    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Incoming:
    """The bucket that stations send to; `public` is the store's endpoint as they reach it."""

    store: S3Store
    public: str
    keys: Keys

    @property
    def client(self) -> S3Client:
        """The store's requests."""
        return self.store.client

    @property
    def bucket(self) -> str:
        """Where all of this lies."""
        return self.store.buckets.incoming

    def begin(self, key: str) -> str:
        """Begin a multipart upload and return its id.

        Raises:
            Unavailable, StoreRefuses: it could not be.
        """
        return self.client.begin(self.bucket, key)

    def address(self, key: str, upload: str, number: int, *, size: int, sha256: Digest, now: Instant) -> Address:
        """Return where this part goes, for a while from now on."""
        headers = {"content-length": str(size), "x-amz-content-sha256": sha256.hex}
        url = presigned(
            self.keys,
            endpoint=self.public,
            method="PUT",
            path=f"/{self.bucket}/{key}",
            query={"partNumber": str(number), "uploadId": upload},
            headers=headers,
            payload=sha256.hex,
            seconds=ADDRESS_SECONDS,
            now=now,
        )
        return Address(url, headers)

    def parts(self, key: str, upload: str) -> list[Part]:
        """Return the parts that the store says it has.

        Raises:
            ObjectMissing: there is no such upload: it was completed, or dropped.
            Unavailable, StoreRefuses: the store does not say.
        """
        return self.client.parts(self.bucket, key, upload)

    def complete(self, key: str, upload: str, parts: list[Part]) -> str:
        """Make the object of exactly these parts and return its version; one that was made already is found.

        Raises:
            ObjectMissing: there is neither the upload nor an object.
            StoreRefuses: a part is not what it was when it was listed.
            Unavailable: nobody knows whether it was made; ask again.
        """
        try:
            version = self.client.complete(self.bucket, key, upload, parts)
        except ObjectMissing:
            version = ""
        return version or self.made(key)

    def made(self, key: str) -> str:
        """Return the version of the object that a completion made.

        Raises:
            ObjectMissing: there is none.
            Unavailable, StoreRefuses: the store does not say.
        """
        return self.client.stat(self.bucket, key).version

    def read(self, key: str, version: str) -> Iterator[bytes]:
        """Yield all bytes of what a completion made, as the store gives them now.

        Raises:
            ObjectMissing: the store has no such version.
            Unavailable, StoreRefuses: it cannot be read.
        """
        return self.store.reread(key, version=version)

    def adopt(self, key: str, target: str, digest: Digest, *, version: str) -> Placed:
        """Let the store copy what came to its place among originals, locked, or in quarantine; what came stays where it is.

        Raises:
            ObjectMissing: the store has no such version.
            Unavailable, StoreRefuses: it did not, or nobody knows; the same call later finds out.
        """
        return self.store.adopt(key, target, digest, version=version)

    def abort(self, key: str, upload: str) -> None:
        """Drop a multipart upload and its parts; it is no error if it is not there.

        Raises:
            Unavailable, StoreRefuses: it may still be there.
        """
        self.client.abort(self.bucket, key, upload)

    def clear(self, key: str, upload: str | None) -> None:
        """Drop an upload, and every version of what was made of it; it is no error if nothing is there.

        Raises:
            Unavailable, StoreRefuses: something is left.
        """
        if upload is not None:
            self.abort(key, upload)
        for row in list(self.client.versions(self.bucket, key)):
            if row.key == key:
                self.client.remove(self.bucket, key, version=row.version)

    def begun(self) -> Iterator[tuple[str, str, Instant]]:
        """Yield key, id and time of every multipart upload that was neither completed nor dropped."""
        return self.client.uploads(self.bucket, PREFIX)

    def objects(self) -> Iterator[tuple[str, Instant]]:
        """Yield key and time of whatever was made and not cleared."""
        return ((row.key, row.changed) for row in self.client.versions(self.bucket, PREFIX))


def incoming_key(upload_id: str) -> str:
    """Return the key under which an upload's bytes come in."""
    return PREFIX + upload_id
