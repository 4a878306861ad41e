"""Digest, leaves and SM3 of bytes in one pass, as they go by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from archive.core.digest import LEAF_SIZE, Digest
from archive.ports import Survey
from archive.sm3 import Sm3


class Reckoning:
    """A running survey; `done` ends it."""

    def __init__(self, *, sm3: bool) -> None:
        self.size = 0
        self._whole, self._leaf = hashlib.sha256(), hashlib.sha256()
        self._leaves: list[Digest] = []
        self._sm3 = Sm3() if sm3 else None

    def update(self, piece: bytes | memoryview) -> None:
        """Take in the next bytes."""
        self._whole.update(piece)
        if self._sm3 is not None:
            self._sm3.update(piece)
        view = memoryview(piece)
        while view:
            part, view = view[: (room := LEAF_SIZE - self.size % LEAF_SIZE)], view[room:]
            self._leaf.update(part)
            self.size += len(part)
            if self.size % LEAF_SIZE == 0:
                self._leaves.append(Digest(self._leaf.hexdigest()))
                self._leaf = hashlib.sha256()

    def done(self) -> Survey:
        """Return what they were. No bytes have one leaf, that of nothing."""
        if self.size % LEAF_SIZE or not self._leaves:
            self._leaves.append(Digest(self._leaf.hexdigest()))
        sm3 = None if self._sm3 is None else self._sm3.hexdigest()
        return Survey(Digest(self._whole.hexdigest()), self.size, tuple(self._leaves), sm3)


def reckoned(pieces: Iterable[bytes], *, sm3: bool, beat: Callable[[int], None]) -> Survey:
    """Return the survey of all these pieces; `beat` is told after each how many bytes went by."""
    reckoning = Reckoning(sm3=sm3)
    for piece in pieces:
        reckoning.update(piece)
        beat(reckoning.size)
    return reckoning.done()
