"""Cases in their first form: the six stages of 行政处罚法 Art. 47 in their order."""

from __future__ import annotations

import unicodedata
from enum import StrEnum

from archive.core.errors import Malformed

MAX_TEXT = 200
_BRACKETS = str.maketrans(dict.fromkeys("〔[【", "(") | dict.fromkeys("〕]】", ")"))


class Stage(StrEnum):
    """A part of the procedure (环节)."""

    OPENING = "opening"
    INVESTIGATION = "investigation"
    REVIEW = "review"
    DECISION = "decision"
    SERVICE = "service"
    ENFORCEMENT = "enforcement"

    @property
    def chinese(self) -> str:
        """The stage's name in the law."""
        return _CHINESE[self.value]

    @classmethod
    def named(cls, text: str) -> Stage:
        """Return the stage that a code or the law's name spells.

        Raises:
            Malformed: no stage is called so.
        """
        for stage in cls:
            if text in (stage.value, stage.chinese):
                return stage
        raise Malformed(what="stage", value=text[:32])


_CHINESE = {
    "opening": "启动",
    "investigation": "调查取证",
    "review": "审核",
    "decision": "决定",
    "service": "送达",
    "enforcement": "执行",
}


def required_text(what: str, text: str) -> str:
    """Return the text without surrounding space.

    Raises:
        Malformed: it is empty, too long, or holds control characters.
    """
    clean = text.strip()
    if not clean or len(clean) > MAX_TEXT or any(ord(c) < 0x20 or ord(c) == 0x7F for c in clean):  # noqa: PLR2004 - control characters
        raise Malformed(what=what, value=clean[:40])
    return clean


def comparable(number: str) -> str:
    """Return a case number as it is compared, never as it is shown: people type 〔〕 as [], （） or 【】, and spaces as they please.

    Two numbers are the same if they differ only in white space, full and half width (NFKC), the style of brackets, or case.
    """
    return "".join(unicodedata.normalize("NFKC", number).translate(_BRACKETS).upper().split())
