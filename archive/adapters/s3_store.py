"""Objects in an S3 store with versions and Object Lock: the store of the production profile.

Keys go to buckets by their prefix: `originals/` to the locked one, `derived/` and `quarantine/` to the derived one, `incoming/` to its own.

Invariants:

- An original is locked (COMPLIANCE) by the put itself; where a store takes those headers with a multipart or a copy and does not lock,
  the lock is set right afterwards, and `put` returns only when the store says that it is there.
- A put returns the version that the store gave. After a put without an answer the truth is found out: the versions under the name are
  re-read and compared, and only if none is right it is put again. A store that says yes and has nothing is asked once more.
- Bytes are hashed from the very buffer that is sent, and nothing becomes visible under the name before their digest was compared.
- Reads name the version. That a name exists is no proof of anything: a put that finds something there re-reads and compares it.
- No checksum, entity tag or create-only header of the store is believed.

Not guaranteed: that a name has one version. Two hosts that put the same bytes at once make two, both good and both locked; each is told
its own. Within a process they wait for each other. What rots or is overwritten stays as an older version: nothing is set aside.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

from archive.adapters.copies import Copies, Copy
from archive.adapters.reckoning import reckoned
from archive.adapters.s3_client import PART_SIZE, Lock, Part, S3Client, Stat
from archive.adapters.s3_keys import ORIGINALS, Buckets, entry, named, promised
from archive.adapters.s3_reading import PIECE, Reading
from archive.adapters.s3_sending import Sender, Target, filled, opened
from archive.adapters.s3_wire import as_faults, waiting
from archive.core.digest import Digest
from archive.core.errors import DiskFull, Fault, Malformed, Mismatch, NotAllowed, ObjectMissing, StoreRefuses, Unavailable
from archive.core.instant import DAY, Instant
from archive.failpoints import failpoint
from archive.ports import Beat, Kept, Placed, Put, Survey

_COMPARED: Final = 5  # versions of one name that are re-read to learn what became of a put


__all__ = ["Buckets", "S3Store"]


class S3Store:
    """An `ObjectStore` in buckets of any S3; see `archive.ports`. Threads may share it; closed at the end."""

    def __init__(
        self, client: S3Client, buckets: Buckets, *, lock_days: int, copies: Copies | None, clock: Callable[[], Instant]
    ) -> None:
        """Open the store; nothing is asked yet.

        Args:
            client: How it is reached; closed with the store.
            buckets: Where keys go.
            lock_days: How long an original is locked from its put on.
            copies: This host's scratch copies; None where nobody asks for paths or surveys, as in a web process.
            clock: What the lock's end is counted from.
        """
        self.client, self.buckets = client, buckets
        self._lock_days, self._copies, self._clock = lock_days, copies, clock
        self._sender = Sender(client)
        self._guard, self._busy = threading.Lock(), dict[str, tuple[threading.Lock, int]]()

    def close(self) -> None:
        """Let go of threads and connections."""
        self._sender.close()
        self.client.close()

    def lock_until(self, key: str) -> Instant | None:
        """Return until when something put now under this key is to be locked, to the millisecond that a store keeps; None: not at all."""
        if not key.startswith(ORIGINALS):
            return None
        return Instant((self._clock() + self._lock_days * DAY) // 1000 * 1000)

    # Writing

    def put(self, key: str, source: Path, digest: Digest) -> Placed:
        """Make the bytes of `source` durable under the key; see the port."""
        bucket = self.buckets.of(key)
        with self._alone(key):
            found = self._found(bucket, key, digest)
            if isinstance(found, Placed):
                return found
            failpoint("put.began")
            version = self._sent(bucket, key, source, digest)
            failpoint("put.done")
            return Placed(found, version)

    def put_new(self, key: str, source: Path, digest: Digest) -> Placed:
        """Make bytes durable that nobody has put before, as far as is known: as `put`, but without asking the store first.

        If the name was there after all, it has one version more, which is as good.
        """
        bucket = self.buckets.of(key)
        with self._alone(key):
            failpoint("put.began")
            version = self._sent(bucket, key, source, digest)
            failpoint("put.done")
            return Placed(Put.WRITTEN, version)

    def adopt(self, incoming: str, key: str, digest: Digest, *, version: str) -> Placed:
        """Move what lies under an incoming key to its name as an original, within the store, with its lock.

        The incoming object is left where it is: whoever moved it discards it once the accession is on record. That the copy is right is
        for the read-back to say.

        Args:
            incoming: The incoming key.
            key: The original's key.
            digest: What its bytes were found to be.
            version: Which version of the incoming key that was.

        Raises:
            ObjectMissing: the incoming object is not there.
        """
        bucket, origin = self.buckets.of(key), self.buckets.of(incoming)
        with self._alone(key):
            found = self._found(bucket, key, digest)
            if isinstance(found, Placed):
                return found
            size = self.client.stat(origin, incoming, version=version).size
            source = (origin, incoming, version)

            def send() -> str:
                return self.client.copy(bucket, key, source=source, size=size, until=self.lock_until(key))

            return Placed(found, self._made(bucket, key, digest, size, send, looked=True))

    def completed(self, key: str, upload: str, parts: list[Part], *, digest: Digest) -> str:
        """Complete a multipart upload of our own whose bytes have this digest, and return its version: there, of the right size, locked.

        Args:
            key: The object's key.
            upload: The multipart's id.
            parts: All its parts, with their sizes.
            digest: Of the bytes that were sent.

        Raises:
            ObjectMissing: the store no longer knows the upload, and has no such bytes under the name.
        """
        bucket = self.buckets.of(key)
        size = sum(part.size for part in parts)

        def send() -> str:
            return self.client.complete(bucket, key, upload, parts)

        return self._made(bucket, key, digest, size, send, looked=True)

    def _found(self, bucket: str, key: str, digest: Digest) -> Placed | Put:
        """Return where these bytes lie already, re-read and locked; or what a put now would be."""
        try:
            there = self.client.stat(bucket, key)
        except ObjectMissing:
            return Put.WRITTEN
        if not there.version:
            raise StoreRefuses(what="store", key=key, why="the bucket keeps no versions")
        try:
            # What came wrong once is read again: that the store's copy is bad goes on record.
            if self._reads_as(bucket, key, there, digest) or self._reads_as(bucket, key, there, digest):
                self._lock(bucket, key, there.version)
                return Placed(Put.ALREADY, there.version)
        except ObjectMissing:
            return Put.WRITTEN
        return Put.REPAIRED

    def _reads_as(self, bucket: str, key: str, there: Stat, digest: Digest) -> bool:
        """Say whether a version's bytes, all re-read, have this digest; what the store says of its size is not asked."""
        whole = hashlib.sha256()
        for piece in Reading(self.client, bucket, key, version=there.version):
            whole.update(piece)
        return whole.hexdigest() == digest.hex

    def _sent(self, bucket: str, key: str, source: Path, digest: Digest) -> str:
        with opened(source) as file:
            size = os.fstat(file.fileno()).st_size
            if size > PART_SIZE:
                return self._sent_in_parts(bucket, key, file, size, digest)
            with self._sender.buffer(size) as buffer:
                data = filled(file, buffer)
                if (actual := hashlib.sha256(data).hexdigest()) != digest.hex:
                    raise Mismatch(expected=digest.hex, actual=actual)

                def send() -> str:
                    return self.client.put(bucket, key, data, until=self.lock_until(key), sha256=digest.hex)

                return self._made(bucket, key, digest, len(data), send, looked=False)

    def _sent_in_parts(self, bucket: str, key: str, file: FileIO, size: int, digest: Digest) -> str:
        """Send parts while the file is read and hashed; a digest that turns out wrong ends the upload before anything is visible."""
        upload = self.client.begin(bucket, key, until=self.lock_until(key))
        failpoint("put.begun")
        try:
            parts = self._sender.parts(Target(bucket, key, upload, locked=key.startswith(ORIGINALS)), file, size, digest)
            failpoint("put.parts")

            def send() -> str:
                return self.client.complete(bucket, key, upload, parts)

            return self._made(bucket, key, digest, sum(part.size for part in parts), send, looked=True)
        except BaseException:
            with suppress(Fault), waiting(self.client.patience.connect):
                self.client.abort(bucket, key, upload)
            raise

    def _made(self, bucket: str, key: str, digest: Digest, size: int, send: Callable[[], str], *, looked: bool) -> str:
        """Send what makes a version, find out what became of it, and return the version: there, of this size, locked if it must be.

        Args:
            bucket: Where to.
            key: Under which name.
            digest: Of the bytes.
            size: How many they are.
            send: Makes the version, and may be called once more if none is there.
            looked: Whether the lock is to be looked at: for what some stores do not lock whatever the headers say. It is for what is
                found in the place of a lost answer.

        Raises:
            Unavailable: nobody knows what became of it; the same call later finds out.
        """
        for last in (False, True):
            try:
                version = send()
            except (DiskFull, StoreRefuses):
                raise
            except (Unavailable, ObjectMissing):
                found = self._settled(bucket, key, digest, size)
                if found is None:
                    if last:
                        raise
                    continue
                version, looked = found, True  # it may be an older one, whose lock ends soon or ran out
            failpoint("put.sent")
            try:
                there = self.client.stat(bucket, key, version=version)
            except ObjectMissing:
                continue  # it said yes and has nothing
            if there.size != size:
                continue
            if not there.version:
                raise StoreRefuses(what="store", key=key, why="the bucket keeps no versions")
            if looked and key.startswith(ORIGINALS):
                self._lock(bucket, key, there.version)
            return there.version
        raise Unavailable(what="store", key=key, why="the store takes the bytes and does not have them")

    def _settled(self, bucket: str, key: str, digest: Digest, size: int) -> str | None:
        """Return the newest version under this name whose bytes, re-read, have this digest; None if there is none."""
        rows = [row for row in self.client.versions(bucket, key) if row.key == key and not row.marker and row.size == size]
        for row in sorted(rows, key=lambda row: row.changed, reverse=True)[:_COMPARED]:
            with suppress(ObjectMissing):
                if self._reads_as(bucket, key, Stat(row.version, row.size), digest):
                    return row.version
        return None

    def _lock(self, bucket: str, key: str, version: str) -> None:
        """See that an original's version is locked for at least as long as a put now would lock it, less a day."""
        until = self.lock_until(key)
        if until is None:
            return
        enough = until - min(DAY, (until - self._clock()) // 2)
        if _long_enough(self.client.lock(bucket, key, version=version), enough):
            return
        failpoint("put.unlocked")
        self.client.extend(bucket, key, version=version, until=until)
        if not _long_enough(self.client.lock(bucket, key, version=version), enough):
            raise StoreRefuses(what="store", key=key, why="the store takes a lock and does not keep it")

    # Reading

    def size(self, key: str, *, version: str) -> int:
        """Return the size in bytes, by the store's word; see the port."""
        return self.client.stat(self.buckets.of(key), key, version=named(version)).size

    def read(self, key: str, start: int, stop: int, *, version: str) -> Iterator[bytes]:
        """Yield the bytes of a range; see the port. A short one is one request, over before the first piece is handed out."""
        reading = Reading(self.client, self.buckets.of(key), key, version=named(version), start=start, stop=stop)
        return iter(list(reading)) if stop - start <= PIECE else reading

    def reread(self, key: str, *, version: str) -> Iterator[bytes]:
        """Yield all bytes as the store gives them now; see the port."""
        return Reading(self.client, self.buckets.of(key), key, version=named(version))

    def survey(self, key: str, *, version: str, sm3: bool, since: Instant | None, beat: Beat) -> Survey:
        """Read all bytes from the store and return what they are; see the port.

        A read-back (`since`) takes the digests of this host's one fetch, which were taken from the bytes as they came from the store,
        if that fetch began after the accession by this host's clock; and it names a version that nobody knew before the store had
        given it.

        Only good news is taken from there, and bytes that came wrong once are fetched again: what a wire did is not said of the store.
        """
        bucket = self.buckets.of(key)
        doubted = False
        if since is not None and self._copies is not None:
            try:
                known = self._copied(bucket, key, version, self._copies, sm3=sm3, since=since, beat=beat)
            except Mismatch:
                doubted = True
            else:
                if known is not None:
                    return known
        while True:
            reading = Reading(self.client, bucket, key, version=named(version))
            survey = reckoned(reading, sm3=sm3, beat=lambda done, of=reading.size: beat(done, max(done, of)))  # type: ignore[misc]  # mypy infers no type for a lambda with a default
            if doubted or promised(key) in {None, survey.digest}:
                return survey
            doubted = True  # what came is not the original: it is fetched once more before anybody hears of it

    def _copied(
        self, bucket: str, key: str, version: str, copies: Copies, *, sm3: bool, since: Instant, beat: Beat
    ) -> Survey | None:
        """Return the survey of this host's fetch, if that may stand for a read-back; made now if there is none."""
        # A fetch that begins from here on is after the accession whatever the clocks say: the accession led to this call.
        since = min(since, self._clock())
        facts = copies.known(entry(bucket, key, named(version)), beat)
        if facts is not None and facts.began < since:
            return None
        good = promised(key)
        with self._held(bucket, key, version, beat) as copy:
            survey = copy.facts.survey
            if copy.facts.began < since or survey.digest != good:
                return None
            if not sm3 or survey.sm3 is not None:
                return survey
            with opened(copy.path) as file:
                beside = reckoned(
                    iter(lambda: file.read(PIECE), b""), sm3=True, beat=lambda done: beat(done, max(done, survey.size))
                )
            return beside if beside.digest == good else None  # the copy's SM3 is the original's only if the copy is the original

    @contextmanager
    def local(self, key: str, *, version: str, beat: Beat | None = None) -> Iterator[Path]:
        """Give the path of this host's copy, fetched if need be; see the port and `archive.adapters.copies`."""
        with self._held(self.buckets.of(key), key, version, beat or _quietly) as copy:
            yield copy.path

    @contextmanager
    def _held(self, bucket: str, key: str, version: str, beat: Beat) -> Iterator[Copy]:
        if self._copies is None:
            raise NotAllowed(key=key, why="this process keeps no copies")

        def fetch() -> tuple[int, Iterable[bytes]]:
            reading = Reading(self.client, bucket, key, version=named(version))
            return max(0, reading.size), reading

        with self._copies.held(entry(bucket, key, named(version)), fetch, expected=promised(key), beat=beat) as copy:
            yield copy

    def answers(self) -> bool:
        """Ask for the originals' bucket, once; see the port."""
        try:
            with as_faults(self.buckets.originals):
                return self.client.sdk.bucket_exists(self.buckets.originals)
        except Unavailable:
            return False

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix, in order; see the port. A key that only a delete marker hides is there."""
        if not prefix:
            every = (self.buckets.originals, self.buckets.derived, self.buckets.incoming)
            yield from heapq.merge(*(self._keys(bucket, "") for bucket in every))
            return
        with suppress(Malformed):  # nothing lies under a prefix that is none of ours
            bucket = self.buckets.of(f"{prefix}x")
            yield from self._keys(bucket, prefix)

    def _keys(self, bucket: str, prefix: str) -> Iterator[str]:
        last = ""
        for row in self.client.versions(bucket, prefix):
            if not row.marker and row.key != last:
                last = row.key
                yield last

    def versions(self, prefix: str) -> Iterator[Kept]:
        """Yield every version of every key under a prefix, a thousand for each request; see the port."""
        for row in self.client.versions(self.buckets.of(f"{prefix}x"), prefix):
            if not row.marker:
                yield Kept(row.key, row.version, row.size)

    def locked(self, key: str, *, version: str) -> Instant | None:
        """Return the end of a version's lock; one under a legal hold is locked for good, which is not asked here; see the port."""
        return self.locked_until(key, version).until

    def discard(self, key: str, *, version: str) -> None:
        """Remove a version of what is derived, quarantined or incoming; no version: all of them; see the port."""
        bucket = self.buckets.of(key)
        if key.startswith(ORIGINALS):
            raise NotAllowed(key=key)
        if version:
            self.client.remove(bucket, key, version=version)
            return
        for row in list(self.client.versions(bucket, key)):
            if row.key == key:
                self.client.remove(bucket, key, version=row.version)

    # Locks

    def locked_until(self, key: str, version: str) -> Lock:
        """Return until when a version is locked, and whether a legal hold lies on it."""
        return self.client.lock(self.buckets.of(key), key, version=named(version))

    def extend(self, key: str, version: str, until: Instant) -> None:
        """Lock a version for longer; the store refuses to shorten."""
        self.client.extend(self.buckets.of(key), key, version=named(version), until=until)

    def relock(self, key: str, version: str) -> None:
        """See that an original's version is locked for as long as a put now would lock it, less a day.

        Raises:
            ObjectMissing: there is no such version.
            StoreRefuses: the store does not lock it.
        """
        self._lock(self.buckets.of(key), key, named(version))

    def hold(self, key: str, version: str, *, on: bool) -> None:
        """Lay a legal hold on a version, or lift it."""
        self.client.hold(self.buckets.of(key), key, version=named(version), on=on)

    # Plumbing

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Let no two threads of this process put the same key at once: the second would make a second version."""
        with self._guard:
            lock, waiting = self._busy.get(key, (threading.Lock(), 0))
            self._busy[key] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, waiting = self._busy.pop(key)
                if waiting > 1:
                    self._busy[key] = lock, waiting - 1


def _long_enough(lock: Lock, until: int) -> bool:
    return lock.until is not None and lock.until >= until


def _quietly(done: int, of: int) -> None:
    """Tell nobody."""
