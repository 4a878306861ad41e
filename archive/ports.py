"""What the rules and actions ask of tools: every Protocol, on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from archive.core.digest import Digest
from archive.core.instant import Instant


class Put(StrEnum):
    """What a put found under the name."""

    WRITTEN = "written"
    ALREADY = "already"
    REPAIRED = "repaired"
    """The bytes under this name had rotted; they were set aside and good ones are in place."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a put left the bytes.

    Attributes:
        put: What it found under the name.
        version: The version that holds them, by which they are read from then on; empty in a store without versions.
    """

    put: Put
    version: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What all bytes of one version were when they were read from the medium: digest, size, digests of its 16 MiB leaves, SM3 if asked."""

    digest: Digest
    size: int
    leaves: tuple[Digest, ...]
    sm3: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """One version under a name, as the store lists it. `size` is the store's word, not a measurement."""

    key: str
    version: str
    size: int


Beat = Callable[[int, int], None]
"""(bytes read, of how many): called often while bytes are fetched; what it raises ends the fetch."""


class Bell(Protocol):
    """Tells workers that work was promised. It never blocks and never fails: what it does not tell, they find by themselves, later."""

    def ring(self, lanes: Sequence[str]) -> None:
        """Ring once for each of these lanes."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class ObjectStore(Protocol):
    """Bytes under names, written once.

    Keys are relative paths of `[0-9a-zA-Z._-]` parts. Nothing under `originals/` is ever changed or removed through this interface.
    A read always names the version that a put gave: whatever is written later under the same name is not what a row tells of.
    """

    def put(self, key: str, source: Path, digest: Digest) -> Placed:
        """Make the bytes of `source`, whose digest is `digest`, durable under the key; when it returns, a power cut loses nothing.

        A repeated put re-reads what is there and compares: that the name exists does not mean that the bytes are right. `source` is
        left where it is, and the store may keep a hard link to it: the caller never writes to it again.

        Raises:
            Mismatch: the source's bytes turned out not to have this digest.
            DiskFull: there is no room; nothing is visible under the key.
            Unavailable: the store did not answer.
        """
        ...

    def size(self, key: str, *, version: str) -> int:
        """Return the size in bytes.

        Raises:
            ObjectMissing: nothing is stored under this key.
        """
        ...

    def read(self, key: str, start: int, stop: int, *, version: str) -> Iterator[bytes]:
        """Yield the bytes of the half-open range in pieces of about 1 MiB, less if the object is shorter.

        Raises:
            ObjectMissing: nothing is stored under this key.
            Unavailable: the bytes cannot be read.
        """
        ...

    def reread(self, key: str, *, version: str) -> Iterator[bytes]:
        """Yield all bytes as the medium has them, past what this host still holds in memory of them where it allows that.

        For fixity checks: bytes that were just written would otherwise be compared with themselves.

        Raises:
            ObjectMissing: nothing is stored under this key.
            Unavailable: the bytes cannot be read.
        """
        ...

    def survey(self, key: str, *, version: str, sm3: bool, since: Instant | None, beat: Beat) -> Survey:
        """Read all bytes from the medium and return what they are; a store that is far away keeps the copy for `local`.

        Args:
            key: Which object.
            version: Which version of it.
            sm3: Whether SM3 is asked for.
            since: The accession that this is the read-back of. A fetch of this version that began since then is that read-back, whoever
                made it: it came from the store after the store had the bytes. None: read anew, whatever was read before.
            beat: Told of progress.

        Raises:
            ObjectMissing: nothing is stored under this key.
            Unavailable: the bytes cannot be read.
        """
        ...

    def local(self, key: str, *, version: str, beat: Beat | None = None) -> AbstractContextManager[Path]:
        """Give a path on this host at which the bytes can be read, for as long as the context lasts; fetching them may take long.

        Raises:
            ObjectMissing: nothing is stored under this key.
            Mismatch: the store has other bytes under an original's name, and they are not handed out as it.
        """
        ...

    def answers(self) -> bool:
        """Say whether the store answers at all just now: whether a fault was one object's, or has nothing to do with any."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix that ends in `/`, in order."""
        ...

    def versions(self, prefix: str) -> Iterator[Kept]:
        """Yield every version of every key under a prefix that ends in `/`, keys in order; nothing is read. Markers are no versions."""
        ...

    def locked(self, key: str, *, version: str) -> Instant | None:
        """Return until when the store itself refuses to remove a version; None: it would not refuse.

        Raises:
            ObjectMissing: there is no such version.
        """
        ...

    def discard(self, key: str, *, version: str) -> None:
        """Remove a derived or quarantined object; it is no error if it is not there.

        Raises:
            NotAllowed: the key names an original.
        """
        ...
