"""Reading a range of one version of an object, whatever happens to connections meanwhile.

Invariants: what is yielded are bytes of the version that was named, in order and without a gap; an answer that ends early is noticed by
its count and gone on with where it ended; one that never brings the rest is `Unavailable`, never a shorter file.

Not guaranteed: that the bytes are right. Whoever must know hashes them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final

from urllib3 import BaseHTTPResponse

from archive.adapters.s3_client import S3Client
from archive.adapters.s3_wire import as_faults
from archive.core.errors import DiskFull, StoreRefuses, Unavailable

PIECE: Final = 1024 * 1024
"""Bytes yielded at a time."""

_MOST_BREAKS: Final = 100  # of one reading that gets a little further each time
_SPAN: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_PARTIAL: Final = 206


class Reading(Iterator[bytes]):
    """The pieces of a range. That the version is there is asked at once; the rest as pieces are taken."""

    def __init__(self, client: S3Client, bucket: str, key: str, *, version: str, start: int = 0, stop: int | None = None) -> None:
        """Ask for the half-open range; `stop` None is the end.

        Raises:
            ObjectMissing: there is no such version.
            Unavailable: the store does not answer.
        """
        self._client, self._bucket, self._key, self._version = client, bucket, key, version
        self._at, self._stop, self._total = start, stop, -1
        self._breaks = 0
        self._answer: BaseHTTPResponse | None = None
        if stop is not None and stop <= start:
            client.stat(bucket, key, version=version)
            self._stop = start
            return
        try:
            self._answer = client.again(self._ask, key=key)
        except StoreRefuses as refused:
            if refused.facts.get("why") != "InvalidRange":
                raise
            self._stop = start  # it ends before the range begins

    def __next__(self) -> bytes:
        """Return the next piece.

        Raises:
            Unavailable: the rest cannot be had.
        """
        tries, began = 0, time.monotonic()
        while self._stop is None or self._at < self._stop:
            try:
                piece = self._piece()
            except (StoreRefuses, DiskFull):
                raise
            except Unavailable:
                self._drop()
                tries, self._breaks = tries + 1, self._breaks + 1
                late = time.monotonic() - began > self._client.patience.too_late
                if late or tries >= self._client.patience.tries or self._breaks >= _MOST_BREAKS:
                    raise
                time.sleep(self._client.patience.pause * 4 ** (tries - 1))
            else:
                self._at += len(piece)
                return piece
        self._release()
        raise StopIteration

    def close(self) -> None:
        """Let go of the connection, before the end as well."""
        self._drop()
        self._stop = self._at

    @property
    def size(self) -> int:
        """How large the whole object is, by the store's answer; -1 if it was not asked."""
        return self._total

    def _piece(self) -> bytes:
        if self._answer is None:
            self._answer = self._ask()
        assert self._stop is not None
        with as_faults(self._key):
            piece = self._answer.read(min(PIECE, self._stop - self._at))
        if not piece:
            raise Unavailable(what="store", key=self._key, why="the answer ended early", at=self._at)
        return piece

    def _ask(self) -> BaseHTTPResponse:
        """Ask for what is left, and see that it is what will come."""
        answer = self._client.get(self._bucket, self._key, version=self._version, start=self._at, stop=self._stop)
        if (why := self._misfit(answer)) is not None:
            answer.close()
            raise Unavailable(what="store", key=self._key, why=why)
        return answer

    def _misfit(self, answer: BaseHTTPResponse) -> str | None:
        """Say why an answer is not the rest that was asked for; if it is, learn from it how much will come."""
        first, total = 0, int(answer.headers.get("content-length") or "-1")
        if answer.status == _PARTIAL:
            matched = _SPAN.fullmatch(answer.headers.get("content-range") or "")
            if matched is None:
                return "the answer names no range"
            first, total = int(matched[1]), int(matched[3])
        if first != self._at or total < 0:
            return "the answer is another range"
        if self._total not in {-1, total}:
            return "one version has two sizes"
        self._total = total
        self._stop = total if self._stop is None else min(self._stop, total)
        return None

    def _release(self) -> None:
        """Give the connection back for the next request; what is left in it would be taken for that one's answer, so none may be."""
        if self._answer is not None:
            if getattr(self._answer, "length_remaining", 0):
                self._answer.close()
            self._answer.release_conn()
            self._answer = None

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer.release_conn()
            self._answer = None
