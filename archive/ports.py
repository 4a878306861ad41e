"""What the rules and actions ask of tools: every Protocol, on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from archive.core.digest import Digest


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

    def local(self, key: str, *, version: str) -> AbstractContextManager[Path]:
        """Give a path on this host at which the bytes can be read, for as long as the context lasts.

        Raises:
            ObjectMissing: nothing is stored under this key.
        """
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix that ends in `/`, in order."""
        ...

    def discard(self, key: str, *, version: str) -> None:
        """Remove a derived or quarantined object; it is no error if it is not there.

        Raises:
            NotAllowed: the key names an original.
        """
        ...
