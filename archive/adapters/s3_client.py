"""What we ask of an S3 store, one request a function: puts, multiparts, reads, copies, locks.

Invariants: nothing here believes a checksum or an entity tag of the store; every write returns the version that the store gave it; what
may be repeated without making a second version is repeated (`Patience.tries`), and what may not is not: whoever put and got no answer
finds out what became of it (`S3Store`). A 200 that carries an error in its body, which copies and completions may, is an error.

Ceph 16 is one reason for the distrust: it takes a lock's headers with a multipart's begin and with a copy and does not lock, and it answers
a copy, and a completion that is sent twice, without a version. So `complete` and `copy` may return an empty version, and a lock is asked
for afterwards (`S3Store`).

Not guaranteed: that an answer is true. The bytes are read back and hashed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar, cast
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from minio import Minio
from minio.commonconfig import COMPLIANCE, GOVERNANCE
from minio.datatypes import Object
from minio.error import S3Error
from minio.retention import Retention
from minio.xml import findall, findtext, marshal
from urllib3 import BaseHTTPResponse

from archive.adapters.s3_form import at_version, copy_source, lock_headers, md5_of, moment, parsed, tag_of, version_of
from archive.adapters.s3_wire import Buffer, Patience, as_faults, connected, waiting
from archive.core.errors import DiskFull, Fault, ObjectMissing, StoreRefuses, Unavailable
from archive.core.instant import Instant, parse

PART_SIZE: Final = 16 * 1024 * 1024
"""Bytes of a part, and of a leaf: a part's digest is its leaf."""

MOST_PARTS: Final = 10_000
MOST_COPIED: Final = 5 * 1024**3
"""Bytes that one copy request may move (S3's own limit); larger ones go part by part."""

COPY_PART: Final = 512 * 1024 * 1024

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the store has: its number from 1, the tag by which a completion names it, its size in bytes (0: not told)."""

    number: int
    etag: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store says of one version. `size` is its word, not a measurement."""

    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One version of a list; a delete marker is one too."""

    key: str
    version: str
    size: int
    latest: bool
    marker: bool
    changed: Instant


@dataclass(frozen=True, slots=True)
class Lock:
    """What keeps a version: COMPLIANCE until then (None: not at all), and whether a legal hold lies on it.

    A lock of another mode is none: GOVERNANCE gives way to whoever has the right to lift it.
    """

    until: Instant | None
    hold: bool


def part_size(size: int, *, least: int = PART_SIZE) -> int:
    """Return how large the parts of an object of this size are: 16 MiB, or as many times that as make no more than 10,000."""
    return least * max(1, -(-size // (least * MOST_PARTS)))


class S3Client:
    """Requests to one endpoint; threads may share it. Closed at the end, which closes its idle connections."""

    def __init__(
        self, endpoint: str, *, access_key: str, secret_key: str, region: str = "us-east-1", patience: Patience | None = None
    ) -> None:
        """Make a client; nothing is asked yet."""
        self.patience = patience or Patience()
        self._sdk, self._pool = connected(
            endpoint, access_key=access_key, secret_key=secret_key, region=region, patience=self.patience
        )
        self._md5 = False

    @property
    def sdk(self) -> Minio:
        """The SDK itself, with our timeouts and without retries: for presigning, and for a probe's odd requests."""
        return self._sdk

    def close(self) -> None:
        """Close idle connections; one in use closes when its answer is read or dropped."""
        self._pool.clear()

    def again(self, ask: Callable[[], Result], *, key: str) -> Result:
        """Return what a request gives that may be repeated, repeating it while the store does not answer and there is time."""
        began = time.monotonic()
        for attempt in range(1, self.patience.tries + 1):
            try:
                with as_faults(key):
                    return ask()
            except Unavailable as fault:
                late = time.monotonic() - began > self.patience.too_late
                if late or attempt == self.patience.tries or isinstance(fault, StoreRefuses | DiskFull):
                    raise
                time.sleep(self.patience.pause * 4 ** (attempt - 1))
        raise AssertionError

    # Writing

    def put(self, bucket: str, key: str, data: Buffer, *, until: Instant | None = None, sha256: str = "") -> str:
        """Put these bytes and return their version, locked (COMPLIANCE) until then by this very request. Never repeated.

        Args:
            bucket: Where to.
            key: Under which name.
            data: At most 5 GiB; they are sent as they are, not copied.
            until: The lock's end; None: no lock.
            sha256: Their digest in hexadecimal, if the caller has it.

        Raises:
            DiskFull, StoreRefuses: nothing was stored.
            Unavailable: nobody knows whether they were.
        """

        def send() -> BaseHTTPResponse:
            headers = {
                "Content-Type": "application/octet-stream",
                **lock_headers(until),
                **self._sums(data, sha256, locked=until),
            }
            return self._execute("PUT", bucket, key, body=data, headers=headers)

        with as_faults(key):
            return version_of(self._with_md5(send))

    def begin(self, bucket: str, key: str, *, until: Instant | None = None) -> str:
        """Begin a multipart upload, whose object will be locked until then, and return its id."""
        headers = {"Content-Type": "application/octet-stream", **lock_headers(until)}
        answer = self.again(lambda: self._execute("POST", bucket, key, headers=dict(headers), query={"uploads": ""}), key=key)
        with as_faults(key):
            return cast(str, findtext(parsed(answer), "UploadId", strict=True))

    def part(
        self, bucket: str, key: str, upload: str, number: int, data: Buffer, *, sha256: str = "", locked: bool = False
    ) -> Part:
        """Send one part and return what names it; sent again under its number, it replaces what was there.

        Args:
            bucket: Where to.
            key: Under which name.
            upload: The upload's id.
            number: From 1 to 10,000.
            data: At least 5 MiB unless it is the last; sent as they are, not copied.
            sha256: Their digest in hexadecimal, if the caller has it.
            locked: Whether the object will be locked, for which some stores want an MD5 with every part.
        """

        def send() -> BaseHTTPResponse:
            headers = self._sums(data, sha256, locked=Instant(1) if locked else None)
            query = {"partNumber": str(number), "uploadId": upload}
            return self._execute("PUT", bucket, key, body=data, headers=headers, query=query)

        answer = self.again(lambda: self._with_md5(send), key=key)
        return Part(number, tag_of(answer.headers.get("etag")), len(data))

    def parts(self, bucket: str, key: str, upload: str) -> list[Part]:
        """Return the parts that the store says it has, by number.

        Raises:
            ObjectMissing: there is no such upload.
        """
        found: list[Part] = []
        marker = "0"
        while marker:
            query = {"uploadId": upload, "max-parts": "1000", "part-number-marker": marker}
            answer = self.again(lambda query=query: self._execute("GET", bucket, key, query=dict(query)), key=key)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
            with as_faults(key):
                page = parsed(answer)
                for part in findall(page, "Part"):
                    number, size = findtext(part, "PartNumber", strict=True), findtext(part, "Size") or "0"
                    found.append(Part(int(cast(str, number)), tag_of(findtext(part, "ETag")), int(size)))
                more = (findtext(page, "IsTruncated") or "").lower() == "true"
                marker = (findtext(page, "NextPartNumberMarker") or "") if more else ""
        return sorted(found, key=lambda part: part.number)

    def complete(self, bucket: str, key: str, upload: str, parts: list[Part]) -> str:
        """Make the object of these parts and return its version, empty where the store does not tell it. Not repeated.

        Raises:
            ObjectMissing: there is no such upload; perhaps because it was completed before.
            Unavailable: nobody knows whether it was.
        """
        rows = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{escape(part.etag)}&quot;</ETag></Part>" for part in parts
        )
        body = (
            f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}</CompleteMultipartUpload>'.encode()
        )
        headers = {"Content-Type": "application/xml", "Content-MD5": md5_of(body)}
        with as_faults(key), waiting(self.patience.long_answer):
            answer = self._execute("POST", bucket, key, body=body, headers=headers, query={"uploadId": upload})
            parsed(answer)
            return version_of(answer)

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """Drop a multipart upload and its parts; it is no error if it is not there."""
        with suppress(ObjectMissing):
            self.again(lambda: self._execute("DELETE", bucket, key, query={"uploadId": upload}), key=key)

    def uploads(self, bucket: str, prefix: str) -> Iterator[tuple[str, str, Instant]]:
        """Yield (key, upload id, begun) of every multipart upload that was begun and neither completed nor aborted."""
        marks = {"key-marker": "", "upload-id-marker": ""}
        while True:
            query = {"uploads": "", "max-uploads": "1000", "prefix": prefix, **{k: v for k, v in marks.items() if v}}
            answer = self.again(lambda query=query: self._execute("GET", bucket, query=dict(query)), key=prefix)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
            with as_faults(prefix):
                page = parsed(answer)
                for row in findall(page, "Upload"):
                    key, upload = findtext(row, "Key", strict=True), findtext(row, "UploadId", strict=True)
                    begun = parse(findtext(row, "Initiated") or "1970-01-01T00:00:00Z")
                    yield cast(str, key), cast(str, upload), begun
                if (findtext(page, "IsTruncated") or "").lower() != "true":
                    return
                marks = {
                    "key-marker": findtext(page, "NextKeyMarker") or "",
                    "upload-id-marker": findtext(page, "NextUploadIdMarker") or "",
                }

    # Moving within the store

    def copy(self, bucket: str, key: str, *, source: tuple[str, str, str], size: int, until: Instant | None = None) -> str:
        """Let the store copy (bucket, key, version) to another name, locked until then, and return the copy's version. Never repeated.

        The version is empty where the store does not tell it.

        More than 5 GiB go part by part.

        Raises:
            ObjectMissing: the source is not there.
            Unavailable: nobody knows whether the copy was made.
        """
        origin = {"x-amz-copy-source": copy_source(*source)}
        if size > MOST_COPIED:
            return self._copy_in_parts(bucket, key, origin, size=size, until=until)
        headers = {**origin, "x-amz-metadata-directive": "REPLACE", "Content-Type": "application/octet-stream"}
        with as_faults(key), waiting(self.patience.long_answer + size / 20e6):
            answer = self._execute("PUT", bucket, key, headers={**headers, **lock_headers(until)})
            parsed(answer)
            return version_of(answer)

    def _copy_in_parts(self, bucket: str, key: str, origin: dict[str, str], *, size: int, until: Instant | None) -> str:
        upload = self.begin(bucket, key, until=until)
        try:
            made: list[Part] = []
            for number, start in enumerate(range(0, size, COPY_PART), 1):
                span = f"bytes={start}-{min(start + COPY_PART, size) - 1}"
                query = {"partNumber": str(number), "uploadId": upload}

                def send(span: str = span, query: dict[str, str] = query) -> ET.Element:
                    headers = {**origin, "x-amz-copy-source-range": span}
                    return parsed(self._execute("PUT", bucket, key, headers=headers, query=dict(query)))

                with waiting(self.patience.long_answer + COPY_PART / 20e6):
                    made.append(Part(number, tag_of(findtext(self.again(send, key=key), "ETag"))))
            return self.complete(bucket, key, upload, made)
        except BaseException:
            with suppress(Fault):
                self.abort(bucket, key, upload)
            raise

    # Reading

    def stat(self, bucket: str, key: str, *, version: str = "") -> Stat:
        """Return what the store says of a version, or of the latest one.

        Raises:
            ObjectMissing: there is none, or it is a delete marker.
        """
        answer = self.again(lambda: self._execute("HEAD", bucket, key, query=at_version(version)), key=key)
        return Stat(answer.headers.get("x-amz-version-id") or version, int(answer.headers.get("content-length", "0")))

    def get(self, bucket: str, key: str, *, version: str, start: int = 0, stop: int | None = None) -> BaseHTTPResponse:
        """Return the answer to one read of a range, unread. The caller reads it to its end, or closes it. Not repeated.

        Raises:
            ObjectMissing: there is no such version, or it is a delete marker.
        """
        # Asked for as a range even where it is all: the answer then names the size twice.
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        with as_faults(key):
            return self._execute("GET", bucket, key, headers=headers, query=at_version(version), preload=False)

    def versions(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """Yield every version of every key under a prefix, keys in order, the versions of one newest first.

        The delete markers of a page come after its versions: that is how the SDK lists them.
        """
        rows = self._sdk.list_objects(bucket, prefix=prefix, recursive=True, include_version=True)
        while (row := self._next(rows, prefix)) is not None:
            changed = Instant(0) if row.last_modified is None else Instant(int(row.last_modified.timestamp() * 1_000_000))
            yield Listed(
                key=row.object_name or "",
                version=row.version_id or "",
                size=row.size or 0,
                latest=row.is_latest == "true",
                marker=row.is_delete_marker,
                changed=changed,
            )

    @staticmethod
    def _next(rows: Iterator[Object], prefix: str) -> Object | None:
        with as_faults(prefix):
            return next(rows, None)

    def remove(self, bucket: str, key: str, *, version: str) -> None:
        """Remove a version; it is no error if it is not there.

        Raises:
            StoreRefuses: the version is locked, or we may not.
        """
        with suppress(ObjectMissing):
            self.again(lambda: self._execute("DELETE", bucket, key, query=at_version(version)), key=key)

    # Locks

    def lock(self, bucket: str, key: str, *, version: str) -> Lock:
        """Return what keeps a version.

        Raises:
            ObjectMissing: there is no such version.
        """
        mode, until = self._lock_part(bucket, key, version, "retention", "Mode", "RetainUntilDate")
        (hold,) = self._lock_part(bucket, key, version, "legal-hold", "Status")
        # Ceph tells nine digits of a second, which the SDK's own reading refuses.
        return Lock(None if until is None or mode != COMPLIANCE else parse(until), hold == "ON")

    def _lock_part(self, bucket: str, key: str, version: str, what: str, *elements: str) -> list[str | None]:
        def ask() -> list[str | None]:
            try:
                answer = self._execute("GET", bucket, key, query={what: "", **at_version(version)})
            except S3Error as error:
                if error.code in {"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"}:
                    return [None] * len(elements)
                raise
            body = parsed(answer)
            return [findtext(body, element) for element in elements]

        return self.again(ask, key=key)

    def extend(self, bucket: str, key: str, *, version: str, until: Instant) -> None:
        """Lock a version until then; the store refuses to shorten. A lock that can be lifted is made one that cannot, never a shorter one.

        Raises:
            StoreRefuses: it is locked for longer, this store does not lock, or we may not lift what can be lifted.
        """
        retention = Retention(COMPLIANCE, moment(until))
        try:
            self.again(lambda: self._sdk.set_object_retention(bucket, key, retention, version_id=version), key=key)
        except StoreRefuses:
            mode, ends = self._lock_part(bucket, key, version, "retention", "Mode", "RetainUntilDate")
            if mode != GOVERNANCE or ends is None:
                raise
            body = marshal(Retention(COMPLIANCE, moment(max(until, parse(ends)))))
            headers = {"Content-MD5": md5_of(body), "x-amz-bypass-governance-retention": "true"}
            query = {"retention": "", **at_version(version)}
            self.again(lambda: self._execute("PUT", bucket, key, body=body, headers=dict(headers), query=dict(query)), key=key)

    def hold(self, bucket: str, key: str, *, version: str, on: bool) -> None:
        """Lay a legal hold on a version, or lift it."""
        change = self._sdk.enable_object_legal_hold if on else self._sdk.disable_object_legal_hold
        self.again(lambda: change(bucket, key, version_id=version), key=key)

    # Plumbing

    def _execute(
        self,
        method: str,
        bucket: str,
        key: str | None = None,
        *,
        body: Buffer | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        preload: bool = True,
    ) -> BaseHTTPResponse:
        """Send one signed request. The SDK has no public way to give headers to a put that gives a version, or to a multipart's begin."""
        return self._sdk._execute(  # noqa: SLF001 - see above; the SDK's version is pinned below 8 for it
            method,
            bucket_name=bucket,
            object_name=key,
            body=cast(bytes, body),
            headers=cast("dict[str, str | list[str] | tuple[str]]", headers or {}),
            query_params=cast("dict[str, str | list[str] | tuple[str]]", query or {}),
            preload_content=preload,
        )

    def _sums(self, data: Buffer, sha256: str, *, locked: Instant | None) -> dict[str, str]:
        sums = {"x-amz-content-sha256": sha256} if sha256 else {}
        if self._md5 and locked is not None:
            sums["Content-MD5"] = md5_of(data)
        return sums

    def _with_md5(self, send: Callable[[], BaseHTTPResponse]) -> BaseHTTPResponse:
        """Send; where the store wants an MD5 with what is locked, as Amazon does, send again with it, and so from then on."""
        try:
            return send()
        except S3Error as error:
            if self._md5 or "content-md5" not in (error.message or "").lower():
                raise
        self._md5 = True
        return send()
