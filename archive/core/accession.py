"""Kinds of items and their accession numbers.

A number is `<agency>-<LX|ZP|LY|WS>-<year>-<8 digits>`, after the archive naming of the work-safety administration's rule, Art. 12
(`2110-LX-2010-0003`), with room for a city's recorders. The year is that of accession in the agency's zone. A number is never reused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from archive.core.errors import Malformed

_LETTERS = {"recording": "LX", "photo": "ZP", "audio": "LY", "document": "WS"}
_AGENCY = re.compile(r"[0-9A-Z]{2,18}")
_NUMBER = re.compile(r"(?P<agency>[0-9A-Z]{2,18})-(?P<letters>LX|ZP|LY|WS)-(?P<year>\d{4})-(?P<serial>\d{8})")
MAX_SERIAL = 99_999_999


class Kind(StrEnum):
    """What an item is, decided from its bytes."""

    RECORDING = "recording"
    PHOTO = "photo"
    AUDIO = "audio"
    DOCUMENT = "document"

    @property
    def letters(self) -> str:
        """The two letters in the number: 录像 LX, 照片 ZP, 录音 LY, 文书 WS."""
        return _LETTERS[self.value]

    @classmethod
    def of_letters(cls, letters: str) -> Kind:
        """Return the kind that two letters of a number stand for.

        Raises:
            Malformed: no kind has these letters.
        """
        for value, known in _LETTERS.items():
            if known == letters:
                return cls(value)
        raise Malformed(what="kind_letters", value=letters[:8])


@dataclass(frozen=True, slots=True)
class AccessionNumber:
    """An accession number, impossible to build wrong."""

    agency: str
    kind: Kind
    year: int
    serial: int

    def __post_init__(self) -> None:
        if not _AGENCY.fullmatch(self.agency):
            raise Malformed(what="agency", value=self.agency[:32])
        if not (1 <= self.serial <= MAX_SERIAL and 1000 <= self.year <= 9999):  # noqa: PLR2004 - the number's own form
            raise Malformed(what="accession_number", value=f"{self.year}/{self.serial}")

    @classmethod
    def parse(cls, text: str) -> AccessionNumber:
        """Return the number that the text spells.

        Raises:
            Malformed: the text is no accession number.
        """
        found = _NUMBER.fullmatch(text)
        if found is None:
            raise Malformed(what="accession_number", value=text[:64])
        return cls(found["agency"], Kind.of_letters(found["letters"]), int(found["year"]), int(found["serial"]))

    def __str__(self) -> str:
        return f"{self.agency}-{self.kind.letters}-{self.year}-{self.serial:08d}"
