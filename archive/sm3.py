"""SM3 (GB/T 32905-2016): 256 bits, reckoned beside SHA-256 where an agency or a station asks for it.

Python's own is used where its OpenSSL has it, else that of the package cryptography; both give the standard's own example. It binds
nothing by itself: objects are named by SHA-256, and SM3 stands beside it for those whose rules want a domestic algorithm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Sm3:
    """A running hash; `hexdigest` ends it."""

    def __init__(self) -> None:
        self._update: Callable[[bytes | memoryview], object]
        self._finish: Callable[[], bytes]
        try:
            known = hashlib.new("sm3", usedforsecurity=False)
        except ValueError:  # an OpenSSL that was built without it
            from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - most machines never need it

            other = hashes.Hash(hashes.SM3())
            self._update, self._finish = other.update, other.finalize
        else:
            self._update, self._finish = known.update, known.digest

    def update(self, data: bytes | memoryview) -> None:
        """Take in the next bytes."""
        self._update(data)

    def hexdigest(self) -> str:
        """Return the 64 hexadecimal digits, once."""
        return self._finish().hex()
