"""Parts of an upload sent to the store while the rest of it still comes in.

The bytes of an upload are in its spool file. Of one whose digest was declared, each full part is read back from there by a thread of its
own and sent to a multipart upload under the final name, so that at the last byte little is left to send. The sender is never held up: what
the store is too slow for stays in the spool and goes later.

Invariants: nothing is visible under the name before the whole file's digest was compared; bytes that may still be cut off (whose checksum
is not known to hold) are never sent. What names a multipart is durable in the database before its first part goes. Beside the spool file a
list says what was sent: number, size, our own digest of it and the store's tag; after a restart a part counts as sent only if that list,
the store's list and the file itself agree. Memory is a part for each thread, whatever is sent by however many.

Not guaranteed: that what the store made of the parts is right. The store checks what is signed or does not; the read-back decides.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from archive.adapters.s3_client import PART_SIZE, Part, part_size
from archive.adapters.s3_keys import ORIGINALS
from archive.adapters.s3_store import S3Store
from archive.core.digest import Digest, original_key
from archive.core.errors import LiuhenError, ObjectMissing, Unavailable
from archive.core.instant import Instant
from archive.failpoints import failpoint
from archive.ports import Placed, Put

AT_ONCE: Final = 4
"""Parts on their way at once, over all uploads: four times 16 MiB."""

EACH: Final = 2
"""Parts of one upload on their way at once, as long as others wait."""

WORTH: Final = 2 * PART_SIZE
"""Bytes below which an upload is put as a whole, with parts of the usual size."""

_PAUSE: Final = 5.0
"""Seconds after which a store that did not answer is tried again."""

_LOOK_EVERY: Final = 6 * 3600.0

_OURS: Final = (ORIGINALS, "derived/", "quarantine/")
"""Under which names a put may leave a multipart unfinished."""

_log = logging.getLogger(__name__)

Note = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An upload that may go to the store in parts.

    Attributes:
        upload_id: Its name.
        path: Its spool file.
        length: All its bytes.
        digest: What they were declared to be.
        identity: What names the multipart that was begun for it, if one was.
        begin: Says whether to begin one: not if the store has these bytes, and they were found intact.
        note: Makes its name durable; raises if the upload has ended.
    """

    upload_id: str
    path: Path
    length: int
    digest: Digest
    identity: Mapping[str, str] | None
    begin: Callable[[], bool]
    note: Note


@dataclass
class _Stream:
    """One upload's parts."""

    wanted: Wanted
    size: int
    identity: Mapping[str, str] | None
    there: int = 0
    sent: dict[int, Part] = field(default_factory=dict)
    under_way: set[int] = field(default_factory=set)
    taken: int = 0
    again: deque[int] = field(default_factory=deque)
    ready: bool = False
    over: bool = False
    fault: LiuhenError | None = None
    not_before: float = 0.0

    @property
    def key(self) -> str:
        return original_key(self.wanted.digest)

    @property
    def parts(self) -> int:
        return -(-self.wanted.length // self.size)

    def span(self, number: int) -> tuple[int, int]:
        return (number - 1) * self.size, min(number * self.size, self.wanted.length)

    def take(self) -> int | None:
        """Take a part that can go now: 0 to begin, None if there is none."""
        if self.over or self.fault is not None:
            return None
        if not self.ready:
            return 0 if not self.under_way and self.there >= self.size else None
        if self.again:
            return self.again.popleft()
        full = self.parts if self.there >= self.wanted.length else self.there // self.size
        while self.taken < full:
            self.taken += 1
            if self.taken not in self.sent:
                return self.taken
        return None


class Streams:
    """The uploads of one process whose parts go to the store.

    Attributes:
        worth: Bytes below which an upload is put as a whole: it would be one part or two.
    """

    def __init__(self, store: S3Store, *, at_once: int = AT_ONCE, part: int = PART_SIZE) -> None:
        self._store, self._client = store, store.client
        self._part = part
        self.worth = WORTH * part // PART_SIZE
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="parts")
        self._at_once = at_once
        self._busy = 0
        self._changed = threading.Condition()
        self._streams: dict[str, _Stream] = {}
        self._turns: deque[str] = deque()
        self._local = threading.local()
        self._look_at = 0.0

    def close(self) -> None:
        """Send no further part; what is not sent goes after the next start."""
        with self._changed:
            for stream in self._streams.values():
                stream.over = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def advance(self, wanted: Wanted, there: int) -> None:
        """Say that so many bytes of the upload's file are there to stay. Never blocks for long, and never fails."""
        with self._changed:
            stream = self._streams.get(wanted.upload_id)
            if stream is None:
                if wanted.length < self.worth or (wanted.identity is None and there < self._part):
                    return
                size = part_size(wanted.length, least=self._part)
                stream = self._streams[wanted.upload_id] = _Stream(wanted, size, wanted.identity)
                self._turns.append(wanted.upload_id)
            stream.there = max(stream.there, there)
            if stream.fault is not None and time.monotonic() >= stream.not_before:
                stream.fault = None
            self._pump()

    def finish(self, wanted: Wanted) -> Placed | None:
        """Send what is left of an upload whose bytes are all there and were found to be those declared, and make the object of its parts.

        Returns:
            None if nothing was begun, or what was begun is gone: then all of it has to be put.

        Raises:
            Unavailable: the store did not answer; what was sent is known, and the next call goes on from there.
        """
        with self._changed:
            stream = self._streams.get(wanted.upload_id)
            if stream is None and wanted.identity is None:
                return None
            if stream is not None and stream.fault is not None:
                stream.fault = None
        self.advance(wanted, wanted.length)
        stream = self._streams.get(wanted.upload_id)
        if stream is None:
            return None
        with self._changed:
            self._changed.wait_for(lambda: stream.over or stream.fault is not None or len(stream.sent) == stream.parts)
            if stream.fault is not None:
                raise stream.fault
            if stream.over or stream.identity is None:
                return None
            parts = [stream.sent[number] for number in sorted(stream.sent)]
            upload = stream.identity["upload"]
        failpoint("parts.sent")
        try:
            version = self._store.completed(stream.key, upload, parts, digest=wanted.digest)
        except ObjectMissing:
            # Aborted by somebody, and nothing right lies under the name.
            self.forget(wanted.upload_id)
            return None
        failpoint("parts.completed")
        return Placed(Put.WRITTEN, version)

    def put_new(self, path: Path, digest: Digest) -> Placed:
        """Put a small file whose bytes nobody has put before, as far as is known.

        Raises:
            DiskFull, Unavailable: as `put` of a store does.
        """
        return self._store.put_new(original_key(digest), path, digest)

    def forget(self, upload_id: str) -> None:
        """Let go of an upload: it is in, or is given up. Waits for its parts that are on their way."""
        with self._changed:
            stream = self._streams.get(upload_id)
            if stream is not None:
                stream.over = True
                self._changed.wait_for(lambda: not stream.under_way)
                self._streams.pop(upload_id, None)
                with suppress(ValueError):
                    self._turns.remove(upload_id)

    def abort(self, upload_id: str, identity: Mapping[str, str] | None) -> None:
        """Give up an upload's parts; it is no error if there are none.

        Raises:
            Unavailable: the store did not answer; whoever knows its name aborts it later.
        """
        with self._changed:
            stream = self._streams.get(upload_id)
            known = identity or (None if stream is None else stream.identity)
        self.forget(upload_id)
        if known is not None:
            self._client.abort(known["bucket"], known["key"], known["upload"])

    def end_strays(self, *, before: Instant, known: Callable[[], set[str]], also: Sequence[S3Store] = ()) -> int:
        """Abort what was begun in this store and others before then and nothing refers to: whoever began it, web host or worker, is gone.

        Looks once in a quarter of a day and returns how many it ended; a store that does not answer is left for the next look. What
        stations send straight is not looked at.
        """
        if time.monotonic() < self._look_at:
            return 0
        self._look_at = time.monotonic() + _LOOK_EVERY
        ended = 0
        for store in (self._store, *also):
            try:
                ended += _end_strays(store, before=before, known=known)
            except LiuhenError as why:
                bucket = store.buckets.originals
                _log.warning("what was left unfinished beside %s could not be ended: %s; a later look ends it", bucket, why)
        return ended

    # What the threads do

    def _pump(self) -> None:
        """Set as many threads to work as there are parts to send; called with the lock held."""
        while self._busy < self._at_once and (turn := self._take()) is not None:
            self._busy += 1
            stream, number = turn
            stream.under_way.add(number)
            try:
                self._pool.submit(self._work, stream, number)
            except RuntimeError:  # closing
                stream.under_way.discard(number)
                stream.over = True
                self._busy -= 1
                return

    def _take(self) -> tuple[_Stream, int] | None:
        """Return the next part of the upload whose turn it is: each has one after the other, so that no large one keeps others out."""
        for most in (EACH, self._at_once):
            for _ in range(len(self._turns)):
                upload_id = self._turns[0]
                self._turns.rotate(-1)
                stream = self._streams[upload_id]
                if len(stream.under_way) < most and (number := stream.take()) is not None:
                    return stream, number
        return None

    def _work(self, stream: _Stream, number: int) -> None:
        fault: LiuhenError | None = None
        part: Part | None = None
        try:
            if number:
                part = self._send(stream, number)
            else:
                self._begin(stream)
        except LiuhenError as why:
            fault = why
        except FileNotFoundError:
            stream.over = True  # dropped: it is in by another way, or given up
        except Exception as why:  # noqa: BLE001 - a thread that ends without a word would leave its upload waiting for ever
            _log.exception("a part of upload %s was not sent", stream.wanted.upload_id)
            fault = Unavailable(id=stream.wanted.upload_id, why=type(why).__name__)
        with self._changed:
            if part is not None:
                stream.sent[number] = part
            elif number:
                stream.again.append(number)
            if isinstance(fault, ObjectMissing):
                stream.over = True  # the multipart is gone: all of it will be put
            elif fault is not None:
                _log.warning("upload %s: %s; its bytes are in the spool and go later", stream.wanted.upload_id, fault)
                stream.fault = (
                    fault if isinstance(fault, Unavailable) else Unavailable(id=stream.wanted.upload_id, why=fault.code)
                )
                stream.not_before = time.monotonic() + _PAUSE
            stream.under_way.discard(number)
            self._busy -= 1
            self._pump()
            self._changed.notify_all()

    def _begin(self, stream: _Stream) -> None:
        """Begin the multipart, or find out what is left of one that was begun before."""
        wanted = stream.wanted
        if stream.identity is not None:
            stream.sent = self._known(stream)
            stream.ready = True
            return
        if not wanted.begin():
            stream.over = True
            return
        bucket = self._store.buckets.of(stream.key)
        upload = self._client.begin(bucket, stream.key, until=self._store.lock_until(stream.key))
        failpoint("parts.begun")
        identity = {"bucket": bucket, "key": stream.key, "upload": upload}
        try:
            wanted.note(identity)
        except LiuhenError:
            with suppress(LiuhenError):
                self._client.abort(bucket, stream.key, upload)
            raise
        failpoint("parts.noted")
        stream.identity = identity
        stream.ready = True

    def _send(self, stream: _Stream, number: int) -> Part:
        start, stop = stream.span(number)
        data = self._buffer(stop - start)
        _fill(stream.wanted.path, data, start)
        sha256 = hashlib.sha256(data).hexdigest()
        assert stream.identity is not None
        where = stream.identity
        part = self._client.part(where["bucket"], where["key"], where["upload"], number, data, sha256=sha256, locked=True)
        failpoint("parts.gone")
        row = {"upload": where["upload"], "number": number, "size": len(data), "sha256": sha256, "tag": part.etag}
        with notes_of(stream.wanted.path).open("a", encoding="ascii") as file:
            file.write(json.dumps(row) + "\n")
        failpoint("parts.listed")
        return Part(number, part.etag, len(data))

    def _buffer(self, size: int) -> memoryview:
        """Return room for a part: this thread's own, used again and again, unless the part is larger than most."""
        if size > self._part:
            return memoryview(bytearray(size))
        if not hasattr(self._local, "buffer"):
            self._local.buffer = bytearray(self._part)
        return memoryview(self._local.buffer)[:size]

    def _known(self, stream: _Stream) -> dict[int, Part]:
        """Return the parts that were sent before this process began: by our list, by the store's, and by the file."""
        assert stream.identity is not None
        where = stream.identity
        theirs = {part.number: part for part in self._client.parts(where["bucket"], where["key"], where["upload"])}
        known: dict[int, Part] = {}
        for row in _rows(notes_of(stream.wanted.path)):
            number = row.get("number", 0)
            part = theirs.get(number)
            if row.get("upload") != where["upload"] or part is None or not 1 <= number <= stream.parts:
                continue
            start, stop = stream.span(number)
            if (part.size, part.etag, row.get("size")) != (stop - start, row.get("tag"), stop - start):
                known.pop(number, None)  # sent once more, and that we do not know
                continue
            view = self._buffer(stop - start)
            with suppress(Unavailable):
                _fill(stream.wanted.path, view, start)
                if hashlib.sha256(view).hexdigest() == row.get("sha256"):
                    known[number] = Part(number, part.etag, part.size)
        return known


def _end_strays(store: S3Store, *, before: Instant, known: Callable[[], set[str]]) -> int:
    """Abort what was begun for originals, renditions and what is kept aside."""
    left = [
        (bucket, key, upload)
        for prefix in _OURS
        for bucket in [store.buckets.of(f"{prefix}x")]
        for key, upload, begun in store.client.uploads(bucket, prefix)
        if begun < before
    ]
    if not left:
        return 0
    referred = known()
    strays = [each for each in left if each[2] not in referred]
    for each in strays:
        store.client.abort(*each)
    return len(strays)


def notes_of(path: Path) -> Path:
    """Return where the list of an upload's parts lies: beside its file, under a name that is no upload's."""
    return path.with_name(f"{path.name}.parts")


def _rows(path: Path) -> list[dict[str, Any]]:
    """Read a list of parts; a line that a crash cut short is none."""
    rows = []
    with suppress(FileNotFoundError):
        for line in path.read_text("ascii", "replace").splitlines():
            with suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict):
                    rows.append(row)
    return rows


def _fill(path: Path, data: memoryview, start: int) -> None:
    """Read exactly these bytes of a file.

    Raises:
        FileNotFoundError: it was dropped.
        Unavailable: it is shorter, or cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            at = 0
            while at < len(data):
                count = os.preadv(file.fileno(), [data[at:]], start + at)
                if not count:
                    raise Unavailable(id=path.name, size=start + at, expected=start + len(data))
                at += count
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(id=path.name, why=os.strerror(error.errno or 0)) from error
