"""Keys of an S3 store: which bucket they lie in, what they promise, that a read names a version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from archive.core.digest import Digest
from archive.core.errors import Malformed

ORIGINALS: Final = "originals/"
_KEY: Final = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]*(/[0-9A-Za-z_-][0-9A-Za-z._-]*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Where keys go."""

    originals: str
    derived: str
    incoming: str

    def of(self, key: str) -> str:
        """Return the bucket of a key.

        Raises:
            Malformed: it is no key, or none of ours.
        """
        by_prefix = {
            ORIGINALS: self.originals,
            "derived/": self.derived,
            "quarantine/": self.derived,
            "incoming/": self.incoming,
        }
        bucket = by_prefix.get(key[: key.find("/") + 1])
        if bucket is None or _KEY.fullmatch(key) is None:
            raise Malformed(what="key", value=key[:200])
        return bucket


def named(version: str) -> str:
    """Return the version, which a reader must name.

    Raises:
        Malformed: it does not.
    """
    if not version:
        raise Malformed(what="version", value="")
    return version


def promised(key: str) -> Digest | None:
    """Return the digest that a key promises: an original's name is its content."""
    return Digest(key.rpartition("/")[2]) if key.startswith(ORIGINALS) else None


def entry(bucket: str, key: str, version: str) -> str:
    """Return the name of this host's copy of a version."""
    return Digest.of(f"{bucket}/{key}?{version}".encode()).hex[:40]
