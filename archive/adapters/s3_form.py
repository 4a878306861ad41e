"""How requests and answers of S3 are written: headers, times, tags, errors inside a 200."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from xml.etree import ElementTree as ET

from minio.commonconfig import COMPLIANCE
from minio.error import S3Error
from urllib3 import BaseHTTPResponse

from archive.adapters.s3_wire import Buffer
from archive.core.instant import Instant


def md5_of(data: Buffer) -> str:
    """Return the MD5 that a header carries."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def moment(instant: Instant) -> datetime:
    """Return an instant as the SDK takes it."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)


def lock_headers(until: Instant | None) -> dict[str, str]:
    """Return the headers that lock what a request makes, to the millisecond; none where it is not to be locked."""
    if until is None:
        return {}
    date = moment(until).strftime("%Y-%m-%dT%H:%M:%S.") + f"{until // 1000 % 1000:03}Z"
    return {"x-amz-object-lock-mode": COMPLIANCE, "x-amz-object-lock-retain-until-date": date}


def at_version(version: str) -> dict[str, str]:
    """Return the query that names a version."""
    return {"versionId": version} if version else {}


def copy_source(bucket: str, key: str, version: str) -> str:
    """Return the header that names what to copy."""
    path = quote(f"/{bucket}/{key}")
    return f"{path}?versionId={quote(version, safe='')}" if version else path


def tag_of(etag: str | None) -> str:
    """Return an entity tag without its quotes."""
    return (etag or "").replace('"', "")


def version_of(answer: BaseHTTPResponse) -> str:
    """Return the version that an answer names; empty where it names none."""
    return answer.headers.get("x-amz-version-id") or ""


def parsed(answer: BaseHTTPResponse) -> ET.Element:
    """Return an answer's body; an error in it, which a 200 may carry when the store took its time, is raised as one."""
    element = ET.fromstring(answer.data.decode())  # noqa: S314 - our own store's word; Python's expat refuses entities that explode
    if element.tag.rpartition("}")[2] == "Error":
        raise S3Error.fromxml(answer)
    return element
