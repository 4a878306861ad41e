"""Trying a store out: what it enforces, found by doing to objects of our own everything that must be refused.

Requests are made by hand and signed by the SDK's signer, because the SDK sends neither a wrong checksum nor a bypass on request, and
because what matters is the store's bare answer. What it means is `archive.core.worm`'s to say.

Invariants: nothing is deleted, changed or written outside `canary/`; each deletion names a version that this trial made or that an
earlier one left. Objects have 64 bytes and are locked for a day; a trial leaves about ten versions, and the one after their lock has run
out removes them. Settings of the bucket are read and never tried: a store that let its versioning be suspended would have it suspended.

Not guaranteed: that a store which refuses today refuses tomorrow, which is why the trial is repeated; that it refuses whoever is not a
client of its interface.
"""

from __future__ import annotations

import base64
import hashlib
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3
from minio.time import to_amz_date
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from archive.adapters.s3_wire import Patience, connected
from archive.core import worm
from archive.core.canonical import Json
from archive.core.errors import Unavailable
from archive.core.instant import SECOND, Instant, from_datetime, iso

PREFIX: Final = "canary/"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OK: Final = 300
_SERVER: Final = 500
_NOT_IMPLEMENTED: Final = 501
_TRIES: Final = 3
_VERSION: Final = re.compile(r"<(?:Version|DeleteMarker)>(.*?)</(?:Version|DeleteMarker)>", re.DOTALL)
_BYPASS: Final = {"x-amz-bypass-governance-retention": "true"}


@dataclass(frozen=True, slots=True)
class Target:
    """The bucket that is tried, and as whom."""

    endpoint: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    bucket: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def taken(self) -> bool:
        return self.status < _OK

    @property
    def version(self) -> str:
        return self.headers.get("x-amz-version-id", "")

    def field(self, name: str) -> str:
        """The text of the first XML element of this name, or nothing."""
        found = re.search(rf"<{name}>([^<]*)</{name}>", self.text)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class _Held:
    """A version that the trial made, and the bytes it has."""

    key: str
    version: str
    body: bytes


def directory() -> dict[str, Json]:
    """Return the facts of a store that is a directory: there is nothing to try."""
    return {"kind": worm.DIRECTORY}


def try_out(
    target: Target, *, token: str, clock: Callable[[], Instant], lock: int = worm.LOCK, patience: Patience | None = None
) -> dict[str, Json]:
    """Try a bucket and return the facts that `worm.judge` reads.

    `token` names this trial's objects, `clock` is read for each request, `lock` is how long the objects are locked, in microseconds.

    Raises:
        Unavailable: the store did not answer, or not in a way that says anything.
    """
    _sdk, pool = connected(
        target.endpoint,
        access_key=target.access_key,
        secret_key=target.secret_key,
        region=target.region,
        patience=patience or Patience(),
    )
    try:
        return _Trial(target, pool, f"{PREFIX}{token}/", clock, lock).run()
    finally:
        pool.clear()


class _Trial:
    """One trial: the connection, what it made, and how far the store's clock was from ours at each answer."""

    def __init__(self, target: Target, pool: PoolManager, folder: str, clock: Callable[[], Instant], lock: int) -> None:
        self._target, self._pool, self._folder, self._clock, self._lock = target, pool, folder, clock, lock
        self._credentials = Credentials(target.access_key, target.secret_key)
        self._clocks: list[int] = []
        self._digits: list[int] = []
        self._loose: list[_Held] = []
        self._server = ""
        self._extension = lock // 24  # an hour of a day

    def run(self) -> dict[str, Json]:
        """Do everything in order."""
        versioning, locking = self._ask("GET", query="versioning="), self._ask("GET", query="object-lock=")
        removed, left = self._sweep()
        steps: dict[str, Json] = {}
        try:
            steps["control"] = self._control()
            steps.update(self._locked())
            steps["locked_multipart"] = self._locked_multipart()
            steps.update(self._held())
            steps.update(self._contradictions())
        finally:
            for held in self._loose:
                with suppress(Unavailable):
                    self._delete(held)
        return {
            "kind": worm.S3,
            "endpoint": self._target.endpoint,
            "bucket": self._target.bucket,
            "server": self._server[:100],
            "versioning": (versioning.field("Status") or "Off") if versioning.taken else None,
            "object_lock": _lock_of(locking),
            "default_lock": f"{locking.field('Mode')} {locking.field('Days') or locking.field('Years')}".strip(),
            "clock_us": round(statistics.median(self._clocks)) if self._clocks else None,
            "fraction_digits": max(self._digits) if self._digits else None,
            "removed": removed,
            "left": left,
            "steps": steps,
        }

    # What is done, in the order of `run`.

    def _sweep(self) -> tuple[int, int]:
        """Remove what earlier trials left and whose lock has run out; return how many went, and how many are still there."""
        listed = self._ask("GET", query=f"max-keys=1000&prefix={quote(PREFIX, safe='')}&versions=")
        removed = left = 0
        for found in _VERSION.finditer(listed.text):
            version = _Answer(200, {}, found[1])
            key, name, modified = version.field("Key"), version.field("VersionId"), version.field("LastModified")
            old = modified < _stamp(Instant(self._clock() - self._lock - 2 * self._extension))
            if key.startswith(PREFIX) and old and name and self._delete(_Held(key, name, b"")).taken:
                removed += 1
            else:
                left += 1
        return removed, left

    def _control(self) -> dict[str, Json]:
        """Delete a version that is not locked: only who may do that shows something when a locked one is refused."""
        held = self._put("control")
        return {} if held is None else self._after(held, self._delete(held))

    def _locked(self) -> Iterator[tuple[str, Json]]:
        until = Instant(self._clock() + self._lock)
        held, put = self._put_locked(until)
        mode, ends = ("", None) if held is None else self._retention(held)
        yield "locked_put", {"status": put.status, "mode": mode, "until": ends, "asked": until, "said": _said(put)}
        for name, attempt in (
            ("delete_version", self._delete),
            ("delete_bypass", self._delete_bypassing),
            ("delete_batch", self._delete_in_batch),
        ):
            if held is None:
                return
            after = self._after(held, attempt(held))
            yield name, after
            if after["survived"] is False:
                held, _put = self._put_locked(until)
        if held is None:
            return
        yield from self._retentions(held)
        newer = self._ask("PUT", held.key, body=_body("newer"))
        yield "overwrite", self._after(held, newer)
        marker = self._ask("DELETE", held.key)
        yield "marker", {**self._after(held, marker), "marker": marker.headers.get("x-amz-delete-marker") == "true"}
        for version in (newer.version, marker.version):
            if version:
                self._loose.append(_Held(held.key, version, b""))

    def _locked_multipart(self) -> dict[str, Json]:
        """Send an object in parts whose beginning brings its lock; some stores take the lock's headers there and do not lock."""
        key, until = self._folder + "parts", Instant(self._clock() + self._lock)
        begun = self._ask("POST", key, query="uploads=", headers=_lock(until))
        if not (upload := quote(begun.field("UploadId"), safe="")):
            return {"status": begun.status, "said": _said(begun)}
        part = self._ask("PUT", key, query=f"partNumber=1&uploadId={upload}", body=_body("parts"))
        tag = part.headers.get("etag", "").strip('"')
        listed = f"<Part><PartNumber>1</PartNumber><ETag>&quot;{escape(tag)}&quot;</ETag></Part>"
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        done = self._ask("POST", key, query=f"uploadId={upload}", body=body)
        if not done.taken or "<Error>" in done.text:
            self._ask("DELETE", key, query=f"uploadId={upload}")
            return {"status": done.status if not done.taken else _SERVER, "said": _said(done) or done.field("Code")}
        held = _Held(key, done.version or self._ask("HEAD", key).version, _body("parts"))
        mode, ends = self._retention(held)
        if ends is None:
            self._loose.append(held)
        return {"status": done.status, "mode": mode, "until": ends, "asked": until, "said": ""}

    def _retentions(self, held: _Held) -> Iterator[tuple[str, Json]]:
        """Try to shorten the lock and to weaken it, then to extend it, by which a refusal is seen to be meant."""
        before = self._retention(held)[1]
        sooner = Instant(self._clock() + self._extension)
        for name, mode, until, headers in (
            ("shorten", "COMPLIANCE", sooner, {}),
            ("shorten_bypass", "COMPLIANCE", sooner, _BYPASS),
            ("weaken", "GOVERNANCE", before or sooner, _BYPASS),
        ):
            answer = self._retain(held, mode, until, headers)
            mode_now, until_now = self._retention(held)
            yield (
                name,
                {"status": answer.status, "before": before, "until": until_now, "mode": mode_now, "said": _said(answer)},
            )
        asked = Instant((before or sooner) + self._extension)
        answer = self._retain(held, "COMPLIANCE", asked, {})
        yield "extend", {"status": answer.status, "asked": asked, "until": self._retention(held)[1], "said": _said(answer)}

    def _held(self) -> Iterator[tuple[str, Json]]:
        """Try to delete a version under a legal hold, then lift the hold and delete it."""
        held = self._put("hold", {"x-amz-object-lock-legal-hold": "ON"})
        if held is None:
            return
        after = self._after(held, self._delete_bypassing(held))
        yield "hold", after
        if after["survived"] is False:
            return
        self._ask("PUT", held.key, query=_query("legal-hold", held.version), body=b"<LegalHold><Status>OFF</Status></LegalHold>")
        yield "hold_lifted", self._after(held, self._delete(held))

    def _contradictions(self) -> Iterator[tuple[str, Json]]:
        """Send puts that contradict themselves: bytes that are not those of their checksum, and the creation of what is there."""
        wrong = base64.b64encode(hashlib.sha256(b"other bytes").digest()).decode()
        wrong_md5 = base64.b64encode(hashlib.md5(b"other bytes", usedforsecurity=False).digest()).decode()
        first = self._put("twice")
        for name, key, headers in (
            ("checksum", "checksum", {"x-amz-checksum-sha256": wrong, "x-amz-sdk-checksum-algorithm": "SHA256"}),
            ("content_md5", "md5", {"Content-MD5": wrong_md5}),
            ("create_only", "twice", {"If-None-Match": "*"}),
        ):
            key = self._folder + key  # noqa: PLW2901 - the same thing, written out
            answer = self._ask("PUT", key, headers=headers, body=_body(name))
            if answer.taken:
                self._loose.append(_Held(key, answer.version, b""))
            if name != "create_only" or first is not None:
                yield name, {"status": answer.status, "said": _said(answer)}
        if first is not None:
            self._loose.append(first)

    # What is asked of the store.

    def _put(self, name: str, headers: Mapping[str, str] | None = None) -> _Held | None:
        body = _body(name)
        key = self._folder + name
        answer = self._ask("PUT", key, headers=headers, body=body)
        if answer.taken and not answer.version:
            self._loose.append(_Held(key, "", body))  # a bucket without versions: nothing can be tried, and nothing is left
            return None
        return _Held(key, answer.version, body) if answer.taken else None

    def _put_locked(self, until: Instant) -> tuple[_Held | None, _Answer]:
        body, key = _body("locked"), self._folder + "locked"
        answer = self._ask("PUT", key, headers=_lock(until), body=body)
        return (_Held(key, answer.version, body) if answer.taken and answer.version else None), answer

    def _delete(self, held: _Held) -> _Answer:
        return self._ask("DELETE", held.key, query=_query("", held.version))

    def _delete_bypassing(self, held: _Held) -> _Answer:
        return self._ask("DELETE", held.key, query=_query("", held.version), headers=_BYPASS)

    def _delete_in_batch(self, held: _Held) -> _Answer:
        """Delete by the other road, the one for many at once, where stores have forgotten their locks before."""
        named = f"<Object><Key>{held.key}</Key><VersionId>{held.version}</VersionId></Object>"
        answer = self._ask("POST", query="delete=", headers=_BYPASS, body=f"<Delete>{named}</Delete>".encode())
        refused = answer.taken and "<Error>" in answer.text and "<Deleted>" not in answer.text
        return _Answer(403, answer.headers, answer.text) if refused else answer

    def _retain(self, held: _Held, mode: str, until: Instant, headers: Mapping[str, str]) -> _Answer:
        asked = f"<Retention><Mode>{mode}</Mode><RetainUntilDate>{_stamp(until)}</RetainUntilDate></Retention>"
        return self._ask("PUT", held.key, query=_query("retention", held.version), headers=headers, body=asked.encode())

    def _retention(self, held: _Held) -> tuple[str, Instant | None]:
        answer = self._ask("GET", held.key, query=_query("retention", held.version))
        date = answer.field("RetainUntilDate")
        if fraction := re.search(r"\.(\d+)", date):
            self._digits.append(len(fraction[1]))
        elif date:
            self._digits.append(0)
        return answer.field("Mode"), _instant(date)

    def _after(self, held: _Held, answer: _Answer) -> dict[str, Json]:
        """Return what an attempt on a version answered, and whether the version is still there with the same bytes."""
        read = self._ask("GET", held.key, query=_query("", held.version))
        survived = read.text == held.body.decode() if read.taken else False if read.status in (404, 405) else None
        return {"status": answer.status, "survived": survived, "said": _said(answer)}

    def _ask(
        self,
        method: str,
        key: str = "",
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> _Answer:
        """Send one signed request and return its answer, whatever it says; a store that is busy is asked again."""
        url = urlsplit(f"{self._target.endpoint}/{self._target.bucket}/{key}" + (f"?{query}" if query else ""))
        for attempt in range(_TRIES):
            began = self._clock()
            date, digest = _EPOCH + timedelta(microseconds=began), hashlib.sha256(body).hexdigest()
            given: dict[str, str | list[str] | tuple[str]] = {
                "Host": url.netloc,
                "x-amz-content-sha256": digest,
                "x-amz-date": to_amz_date(date),
                **(headers or {}),
            }
            if body and "Content-MD5" not in given and "x-amz-checksum-sha256" not in given:
                given["Content-MD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
            signed = sign_v4_s3(
                method=method,
                url=url,
                region=self._target.region,
                headers=given,
                credentials=self._credentials,
                content_sha256=digest,
                date=date,
            )
            try:
                got = self._pool.urlopen(method, url.geturl(), headers=signed, body=body or None)
            except (HTTPError, OSError) as why:
                if attempt + 1 == _TRIES:
                    raise Unavailable(what="store", store=self._target.endpoint, why=type(why).__name__) from why
                continue
            self._note(got.headers, began)
            if got.status < _SERVER or got.status == _NOT_IMPLEMENTED:
                return _Answer(
                    got.status, {k.lower(): v for k, v in got.headers.items()}, got.data.decode("utf-8", errors="replace")
                )
        raise Unavailable(what="store", store=self._target.endpoint, why="busy")

    def _note(self, headers: Mapping[str, str], began: Instant) -> None:
        """Note how far the store's clock is from ours; its header has whole seconds, so half a second is added."""
        self._server = headers.get("Server", "") or self._server
        with suppress(TypeError, ValueError):
            theirs = from_datetime(parsedate_to_datetime(headers.get("Date", ""))) + SECOND // 2
            self._clocks.append(theirs - (began + self._clock()) // 2)


def _lock_of(answer: _Answer) -> str | None:
    """Return what a bucket says of Object Lock; that it has none, or does not know what that is, is «Off», a refusal to say nothing."""
    if answer.taken:
        return answer.field("ObjectLockEnabled") or "Off"
    none = answer.status == _NOT_IMPLEMENTED or "ObjectLockConfigurationNotFound" in answer.text
    return "Off" if none else None


def _query(what: str, version: str) -> str:
    return "&".join([f"{what}="] * bool(what) + [f"versionId={quote(version, safe='')}"] * bool(version))


def _lock(until: Instant) -> dict[str, str]:
    return {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": _stamp(until)}


def _body(name: str) -> bytes:
    return f"liuhen canary: {name}".ljust(63).encode() + b"\n"


def _said(answer: _Answer) -> str:
    return "" if answer.taken else answer.field("Code")[:100]


def _stamp(instant: Instant) -> str:
    return iso(instant)[:19] + ".000Z"


def _instant(text: str) -> Instant | None:
    """Return the instant of a store's date, which may have nine digits of a second's fraction, or none."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|\+00:00)", text)
    if found is None:
        return None
    moment = datetime.fromisoformat(found[1]).replace(tzinfo=UTC, microsecond=int((found[2] or "")[:6].ljust(6, "0")))
    return from_datetime(moment)
