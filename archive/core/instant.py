"""Wall time: integer microseconds since 1970-01-01 UTC, never a float.

Not guaranteed: that a recorder's clock was right. An `Instant` says what a clock read, not what time it was.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NewType

from archive.core.errors import Malformed

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Instant = NewType("Instant", int)
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(instant: Instant) -> str:
    """Return the instant as `2026-03-12T04:04:51.000000Z`, always six digits and Z, so that texts sort as times do."""
    return (_EPOCH + timedelta(microseconds=instant)).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def parse(text: str) -> Instant:
    """Return the instant that an ISO 8601 text with an offset names.

    Raises:
        Malformed: the text is no date and time, or has no offset and so names no instant.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as why:
        raise Malformed(what="instant", value=text[:64]) from why
    if moment.tzinfo is None:
        raise Malformed(what="instant", value=text[:64], reason="no_offset")
    return from_datetime(moment)


def from_datetime(moment: datetime) -> Instant:
    """Return the instant of an aware datetime; whole microseconds, no rounding."""
    return Instant((moment - _EPOCH) // timedelta(microseconds=1))


def local(instant: Instant, zone: ZoneInfo) -> datetime:
    """Return the instant as a wall clock in the zone shows it."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(zone)
