"""How requests to an S3 store travel: one pool of connections, deliberate timeouts, no hidden retries, and its errors as our faults.

The MinIO SDK signs, builds addresses and reads answers. What it decides for its callers is decided here instead:

- **Retries**: none inside (urllib3's would send a put twice and make two versions); `S3Client` repeats what is safe to repeat.
- **Timeouts**: connecting, and each 256 KiB that is sent, `Patience.connect`; waiting for an answer or for the next bytes of one,
  `Patience.answer`, or `Patience.long_answer` where the store itself has work to do. A frozen store costs a caller two answers' time.
- **Bodies** are sent in slices: `sendall` counts its timeout over all it is given, so 16 MiB at once would need a fast network.
- **Payloads are signed** with their SHA-256 over TLS too (the SDK signs none there and takes an MD5 instead, a third of the speed);
  who knows the digest of a part already gives it, and it is not reckoned again.
- **Redirects** are not followed: another region or host is a matter of settings.

Not guaranteed: that a store verifies what is signed. Nothing rests on it; bytes are read back.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.time import to_amz_date, utcnow
from urllib3.exceptions import HTTPError

from archive.core.errors import DiskFull, Fault, ObjectMissing, StoreRefuses, Unavailable

SLICE: Final = 256 * 1024
"""Bytes handed to the socket at a time."""

CONNECTIONS: Final = 64
"""Idle connections kept; a process that needs more at once makes more and closes them afterwards."""

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store is waited for, in seconds, and how often something that may be repeated is tried."""

    connect: float = 5.0
    answer: float = 15.0
    long_answer: float = 60.0
    tries: int = 3
    pause: float = 0.2

    @property
    def too_late(self) -> float:
        """Seconds after which nothing is tried again: silence is waited for twice, a quick no thrice."""
        return 1.5 * self.answer


_answer: ContextVar[float | None] = ContextVar("answer", default=None)


@contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """Wait this long for each answer within the block."""
    token = _answer.set(seconds)
    try:
        yield
    finally:
        _answer.reset(token)


class _Pool(urllib3.PoolManager):
    """Connections with our timeouts and without anybody's retries."""

    def __init__(self, patience: Patience) -> None:
        super().__init__(
            maxsize=CONNECTIONS,
            blocksize=SLICE,
            cert_reqs="CERT_REQUIRED",
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        )
        self._patience = patience

    def urlopen(  # type: ignore[override]  # the parent's own signature is an override of another
        self,
        method: str,
        url: str,
        redirect: bool = True,  # noqa: FBT001, FBT002, ARG002 - the parent's; none is followed
        **kw: Any,  # noqa: ANN401 - the parent's
    ) -> urllib3.BaseHTTPResponse:
        body = kw.get("body")
        if isinstance(body, bytes | bytearray | memoryview) and len(body) > SLICE:
            kw["body"] = _slices(body)
        read = _answer.get() or self._patience.answer
        kw["timeout"] = urllib3.Timeout(connect=self._patience.connect, read=read)
        kw["retries"] = False
        return super().urlopen(method, url, redirect=False, **kw)


def _slices(body: Buffer) -> Iterator[memoryview]:
    view = memoryview(body)
    for at in range(0, len(view), SLICE):
        yield view[at : at + SLICE]


class Sdk(Minio):
    """The SDK, signing every payload, with headers of our own passed through as they are."""

    def _build_headers(
        self,
        host: str,
        headers: dict[str, Any] | None = None,
        body: Buffer | None = None,  # any buffer, so that a part is not copied
        creds: Credentials | None = None,
    ) -> tuple[dict[str, Any], datetime]:
        built = dict(headers or {})
        built["Host"] = host
        built["User-Agent"] = self._user_agent
        if body:
            built["Content-Length"] = str(len(body))
        if "x-amz-content-sha256" not in built:
            built["x-amz-content-sha256"] = hashlib.sha256(body or b"").hexdigest()
        if creds and creds.session_token:
            built["X-Amz-Security-Token"] = creds.session_token
        date = utcnow()
        built["x-amz-date"] = to_amz_date(date)
        return built, date


def connected(
    endpoint: str, *, access_key: str, secret_key: str, region: str, patience: Patience
) -> tuple[Sdk, urllib3.PoolManager]:
    """Return the SDK for an endpoint (`http(s)://host[:port]`) and its connections, which the caller clears at the end.

    The region is given and never asked for, and buckets are parts of the path unless the host is Amazon's: both spare a store that is
    not Amazon, and one request for each process.
    """
    parts = urlsplit(endpoint)
    pool = _Pool(patience)
    sdk = Sdk(
        parts.netloc,
        access_key=access_key,
        secret_key=secret_key,
        secure=parts.scheme == "https",
        region=region,
        http_client=pool,
    )
    return sdk, pool


_MISSING: Final = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchUpload"})
_FULL: Final = frozenset(
    {"QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
)
_PASSING: Final = frozenset(
    {
        "BadDigest", "IncompleteBody", "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown",
        "TooManyRequests", "XAmzContentSHA256Mismatch", "XMinioServerNotInitialized",
    }
)  # fmt: skip
_INSUFFICIENT_STORAGE: Final = 507
_TOO_MANY: Final = 429
_SERVER: Final = 500
_GONE: Final = 405  # what a delete marker answers when it is asked for by its version


@contextmanager
def as_faults(key: str) -> Iterator[None]:
    """Turn what the SDK and the connection raise into what the port promises.

    Raises:
        ObjectMissing: there is no such object, version or multipart upload, or the version is a delete marker.
        DiskFull: the store is out of room, or the bucket or its owner over quota.
        StoreRefuses: the store understood and will not: key, right, bucket, clock.
        Unavailable: it did not answer, or could not.
    """
    try:
        yield
    except S3Error as error:
        raise _fault(key, error) from error
    except ServerError as error:
        full = error.status_code == _INSUFFICIENT_STORAGE
        raise (DiskFull if full else Unavailable)(what="store", key=key, why=f"HTTP {error.status_code}") from error
    except (InvalidResponseError, MinioException, ParseError) as error:
        raise Unavailable(what="store", key=key, why=f"an answer that is not S3: {error}"[:300]) from error
    except HTTPError as error:
        raise Unavailable(what="store", key=key, why=type(error).__name__) from error
    except OSError as error:
        raise Unavailable(what="store", key=key, why=os.strerror(error.errno) if error.errno else type(error).__name__) from error


def _fault(key: str, error: S3Error) -> Fault:
    code, status = error.code or "", error.response.status
    if code in _MISSING or (status == _GONE and "x-amz-delete-marker" in error.response.headers):
        return ObjectMissing(key=key)
    if code in _FULL or status == _INSUFFICIENT_STORAGE:
        return DiskFull(what="store", key=key, why=code)
    if code in _PASSING or status >= _SERVER or status == _TOO_MANY:
        return Unavailable(what="store", key=key, why=code or f"HTTP {status}")
    return StoreRefuses(what="store", key=key, why=code or f"HTTP {status}", said=(error.message or "")[:300])
