"""Receipt, version 1: what a depositor holds in hand.

The text of a signed note, one line of canonical JSON: {number, sha256, size, station, stored_at, verified_at}. It says that bytes of this
digest were stored and read back; it exists only once they were.
"""

from __future__ import annotations

from dataclasses import dataclass

from archive.core.accession import AccessionNumber
from archive.core.canonical import decode, encode
from archive.core.digest import Digest
from archive.core.errors import Malformed
from archive.core.instant import Instant, iso, parse

_FIELDS = ("number", "sha256", "size", "station", "stored_at", "verified_at")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The facts of a receipt; `station` is None for what a person uploaded."""

    number: AccessionNumber
    sha256: Digest
    size: int
    station: str | None
    stored_at: Instant
    verified_at: Instant

    def text(self) -> str:
        """Return the note's text."""
        return (
            encode(
                {
                    "number": str(self.number),
                    "sha256": self.sha256.hex,
                    "size": self.size,
                    "station": self.station,
                    "stored_at": iso(self.stored_at),
                    "verified_at": iso(self.verified_at),
                }
            ).decode()
            + "\n"
        )

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """Return the receipt that a note's text spells.

        Raises:
            Malformed: the text is not a receipt of this version.
        """
        facts = decode(text.removesuffix("\n").encode())
        if not isinstance(facts, dict) or tuple(sorted(facts)) != _FIELDS:
            raise Malformed(what="receipt")
        number, sha256, size, station = (facts[name] for name in _FIELDS[:4])
        stored, verified = facts["stored_at"], facts["verified_at"]
        if not (isinstance(number, str) and isinstance(sha256, str) and isinstance(size, int) and not isinstance(size, bool)):
            raise Malformed(what="receipt")
        if not (isinstance(stored, str) and isinstance(verified, str) and (station is None or isinstance(station, str))):
            raise Malformed(what="receipt")
        return cls(AccessionNumber.parse(number), Digest(sha256), size, station, parse(stored), parse(verified))
