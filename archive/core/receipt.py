"""Receipt, version 1: what a depositor holds in hand.

The text of a signed note, one line of canonical JSON: {number, sha256, size, station, stored_at, verified_at}, and sm3 where SM3 was
reckoned beside SHA-256. It says that bytes of these digests were stored and read back; it exists only once they were.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from archive.core.accession import AccessionNumber
from archive.core.canonical import Json, decode, encode
from archive.core.digest import Digest
from archive.core.errors import Malformed
from archive.core.instant import Instant, iso, parse

_FIELDS = ("number", "sha256", "size", "station", "stored_at", "verified_at")
_SM3 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The facts of a receipt; `station` is None for what a person uploaded, `sm3` (64 hexadecimal digits) where nobody asked for it."""

    number: AccessionNumber
    sha256: Digest
    size: int
    station: str | None
    stored_at: Instant
    verified_at: Instant
    sm3: str | None = None

    def text(self) -> str:
        """Return the note's text."""
        facts: dict[str, Json] = {
            "number": str(self.number),
            "sha256": self.sha256.hex,
            "size": self.size,
            "station": self.station,
            "stored_at": iso(self.stored_at),
            "verified_at": iso(self.verified_at),
        }
        if self.sm3 is not None:
            facts["sm3"] = self.sm3
        return encode(facts).decode() + "\n"

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """Return the receipt that a note's text spells.

        Raises:
            Malformed: the text is not a receipt of this version.
        """
        facts = decode(text.removesuffix("\n").encode())
        if not isinstance(facts, dict) or tuple(sorted(facts.keys() - {"sm3"})) != _FIELDS:
            raise Malformed(what="receipt")
        sm3 = facts.get("sm3")
        if "sm3" in facts and not (isinstance(sm3, str) and _SM3.fullmatch(sm3)):
            raise Malformed(what="receipt", field="sm3")
        number, sha256, size, station = (facts[name] for name in _FIELDS[:4])
        stored, verified = facts["stored_at"], facts["verified_at"]
        if not (isinstance(number, str) and isinstance(sha256, str) and isinstance(size, int) and not isinstance(size, bool)):
            raise Malformed(what="receipt")
        if not (isinstance(stored, str) and isinstance(verified, str) and (station is None or isinstance(station, str))):
            raise Malformed(what="receipt")
        return cls(
            AccessionNumber.parse(number),
            Digest(sha256),
            size,
            station,
            parse(stored),
            parse(verified),
            sm3 if isinstance(sm3, str) else None,
        )
