"""Signed addresses of an S3 store: whoever holds one may do one thing, for a while (AWS Signature Version 4, in the query).

What is signed is all that can be done with it: method, bucket, key, query, and the headers named here, which must be sent exactly so. A
signed `x-amz-content-sha256` is the body's digest: a store that keeps to the standard refuses other bytes (Ceph RGW and MinIO do).
A signed `content-length` is its size.

Not guaranteed: that a store refuses other bytes. Whoever takes bytes in reads and hashes them. Buckets are parts of the path.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from archive.core.instant import Instant

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_LONGEST: Final = 7 * 24 * 3600  # seconds, the standard's own bound


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs, and for which region; the secret is never shown."""

    access: str
    secret: str
    region: str

    def __repr__(self) -> str:
        return f"Keys({self.access!r}, region={self.region!r})"


def presigned(
    keys: Keys,
    *,
    endpoint: str,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    payload: str = UNSIGNED,
    seconds: int,
    now: Instant,
) -> str:
    """Return an address at `endpoint` that is good for `seconds` from now on.

    Args:
        keys: Who signs.
        endpoint: `http(s)://host[:port]`, as whoever gets the address reaches the store.
        method: The request's.
        path: Bucket and key, each after a slash.
        query: What is asked of the store beyond that.
        headers: Names in lower case; the request must have them with these values.
        payload: SHA-256 of the body in hexadecimal; it must then be in the headers too.
        seconds: At most a week.
        now: The time from which it is good, which the store holds against its own clock.
    """
    assert 0 < seconds <= _LONGEST
    host = urlsplit(endpoint).netloc
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{at[:8]}/{keys.region}/s3/aws4_request"
    signed = {"host": host, **headers}
    names = ";".join(sorted(signed))
    asked = {
        **query,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys.access}/{scope}",
        "X-Amz-Date": at,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": names,
    }
    encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(asked.items()))
    told = [f"{name}:{signed[name].strip()}" for name in sorted(signed)]
    request = "\n".join([method, quote(path, safe="/-_.~"), encoded, *told, "", names, payload])
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for part in (at[:8], keys.region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"{endpoint.rstrip('/')}{quote(path, safe='/-_.~')}?{encoded}&X-Amz-Signature={signature}"
