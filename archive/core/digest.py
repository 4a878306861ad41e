"""SHA-256 digests and the names that originals and renditions have in a store.

The digest is what binds a name to bytes; nothing here reads a file.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from archive.core.errors import Malformed

LEAF_SIZE = 16 * 1024 * 1024
"""Bytes of one leaf of the leaf list: small enough to prove a range, large enough that a day's footage has few."""

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A SHA-256 digest as 64 lower-case hexadecimal digits."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise Malformed(what="sha256", value=self.hex[:80])

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """Return the digest of these bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @property
    def raw(self) -> bytes:
        """The 32 bytes."""
        return bytes.fromhex(self.hex)

    @property
    def short(self) -> str:
        """The digest shortened in the middle, for people."""
        return f"{self.hex[:8]}…{self.hex[-8:]}"

    def __str__(self) -> str:
        return self.hex


def original_key(digest: Digest) -> str:
    """Return the store key of an original: its name is its content."""
    return f"originals/sha256/{digest.hex[:2]}/{digest.hex[2:4]}/{digest.hex}"


def derived_key(original: Digest, recipe: str, version: int, name: str) -> str:
    """Return the store key of a rendition: it lives under its original's digest and its recipe."""
    return f"derived/sha256/{original.hex[:2]}/{original.hex[2:4]}/{original.hex}/{recipe}-v{version}/{name}"


def quarantine_key(upload_id: str) -> str:
    """Return the store key of bytes that were not what was declared."""
    return f"quarantine/{upload_id}"
