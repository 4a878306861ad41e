"""The parts of a file that goes straight to the store: how large they are, and whether what is there is what must be.

Sizes are bytes. A store's multipart upload has at most 10,000 parts, numbered from 1, all but the last of at least 5 MiB (S3's own bounds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from archive.core.errors import Malformed

MOST: Final = 10_000
LEAST_SIZE: Final = 5 * 1024 * 1024
MOST_SIZE: Final = 5 * 1024**3
_STEP: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Parts:
    """A file of `length` bytes in parts of `size`, the last one shorter."""

    length: int
    size: int

    def __post_init__(self) -> None:
        if self.length < 1 or not LEAST_SIZE <= self.size <= MOST_SIZE or self.count > MOST:
            raise Malformed(what="parts", length=self.length, size=self.size)

    @classmethod
    def of(cls, length: int, *, wanted: int) -> Parts:
        """Return the parts of a file: of the wanted size, or as many whole MiB as keep them at 10,000.

        Raises:
            Malformed: nothing is to be sent, or more than parts of 5 GiB hold.
        """
        least = -(-length // MOST)
        return cls(length, max(wanted, -(-least // _STEP) * _STEP))

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-self.length // self.size)

    def size_of(self, number: int) -> int:
        """Return the size of a part.

        Raises:
            Malformed: there is no such part.
        """
        if not 1 <= number <= self.count:
            raise Malformed(what="part", number=number, most=self.count)
        return min(self.size, self.length - self.begin(number))

    def begin(self, number: int) -> int:
        """Return where in the file a part begins."""
        return (number - 1) * self.size

    def wrong(self, found: Mapping[int, int]) -> list[int]:
        """Return the numbers at which what is there (sizes by number) is not what must be: missing, of another size, or one too many."""
        all_of_them = sorted({*found, *range(1, self.count + 1)})
        return [number for number in all_of_them if number > self.count or found.get(number) != self.size_of(number)]
