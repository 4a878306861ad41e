"""tus 1.0.0 as pure functions: what the headers say, where an upload stands, and whether a body may be added to it.

Source: tus resumable upload protocol 1.0.0 (2016-03-25), core and the extensions creation, creation-with-upload, checksum,
termination and expiration. Nothing here reads a body, a clock or a disk.

Invariants: the offset shown never passes the length, and never equals it before the upload was taken in, so that a standard
client always has one more byte to send, and the request which carries it ends with the accession. A body is admitted only if
it begins exactly at the offset shown and, where its size is known, ends within the length.

Not guaranteed: that a body of unknown size ends within the length; the receiver counts as it receives (`room`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from archive.core.errors import (
    ChecksumUnsupported,
    Malformed,
    OffsetConflict,
    PastLength,
    TusVersionUnsupported,
    UploadTooLarge,
    WrongContentType,
)

VERSION: Final = "1.0.0"
EXTENSIONS: Final = ("creation", "creation-with-upload", "checksum", "termination", "expiration")
CHECKSUM_ALGORITHMS: Final = ("sha1", "sha256")
CONTENT_TYPE: Final = "application/offset+octet-stream"

#: tus says nothing of a limit; this is what a signed 64-bit file offset can hold.
MAX_INTEGER: Final = 2**63 - 1

_DIGITS: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_KEY: Final = re.compile(r"[!-+\--~]+", re.ASCII)  # printable ASCII without space and comma
_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What an Upload-Checksum header promises of one body.

    Attributes:
        algorithm: One of `CHECKSUM_ALGORITHMS`.
        expected: The raw digest.
    """

    algorithm: str
    expected: bytes


def check_version(header: str | None) -> None:
    """Refuse a request that does not speak this version of tus.

    Args:
        header: The value of Tus-Resumable, if there is one.

    Raises:
        TusVersionUnsupported: It is missing or another version (tus 1.0.0, «Tus-Resumable»: 412).
    """
    if header is None or header.strip() != VERSION:
        raise TusVersionUnsupported(asked="" if header is None else header[:40], spoken=VERSION)


def check_content_type(header: str | None) -> None:
    """Refuse a body that is not declared as upload bytes.

    Raises:
        WrongContentType: tus 1.0.0, PATCH: 415.
    """
    given = "" if header is None else header.partition(";")[0].strip().lower()
    if given != CONTENT_TYPE:
        raise WrongContentType(given=given[:80], wanted=CONTENT_TYPE)


def is_upload_id(text: str) -> bool:
    """Say whether `text` has the form of an upload's name: 32 lower-case hexadecimal digits."""
    return _UPLOAD_ID.fullmatch(text) is not None


def check_upload_id(text: str) -> str:
    """Return `text` if it has the form of an upload's name.

    Raises:
        Malformed: It has not, so that no such name ever reaches a path.
    """
    if not is_upload_id(text):
        raise Malformed(what="upload id")
    return text


def parse_integer(header: str | None, *, name: str) -> int:
    """Return the non-negative integer of Upload-Offset, Upload-Length or Content-Length, at most 2**63 - 1.

    Raises:
        Malformed: It is missing or anything but ASCII digits; a sign, a space within or an underscore is none.
    """
    text = "" if header is None else header.strip(" \t")
    if _DIGITS.fullmatch(text) is None or int(text) > MAX_INTEGER:
        raise Malformed(what=name)
    return int(text)


def parse_length(header: str | None, *, maximum: int) -> int:
    """Return the declared length in bytes.

    Args:
        header: The value of Upload-Length.
        maximum: The most this archive takes, in bytes, inclusive.

    Raises:
        Malformed: There is no length; deferring it is an extension that is not offered.
        UploadTooLarge: tus 1.0.0, «Tus-Max-Size»: 413.
    """
    length = parse_integer(header, name="Upload-Length")
    if length > maximum:
        raise UploadTooLarge(length=length, maximum=maximum)
    return length


def parse_metadata(header: str | None) -> dict[str, bytes]:
    """Return the pairs of an Upload-Metadata header, in their order.

    A key without a value, with or without the space after it, has the empty value.

    Raises:
        Malformed: A key is empty, twice there or not printable ASCII, or a value is not canonical base64.
    """
    pairs: dict[str, bytes] = {}
    if header is None or not header.strip(" \t"):
        return pairs
    for pair in header.split(","):
        key, _, value = pair.strip(" \t").partition(" ")
        if _KEY.fullmatch(key) is None:
            raise Malformed(what="Upload-Metadata", why="key")
        if key in pairs:
            raise Malformed(what="Upload-Metadata", why="duplicate", key=key[:80])
        pairs[key] = _unbase64(value.strip(" \t"), what="Upload-Metadata")
    return pairs


def format_metadata(pairs: Mapping[str, bytes]) -> str:
    """Return the Upload-Metadata header for `pairs`; `parse_metadata` reads it back.

    Raises:
        Malformed: A key is empty or not printable ASCII without space and comma.
    """
    for key in pairs:
        if _KEY.fullmatch(key) is None:
            raise Malformed(what="Upload-Metadata", why="key")
    return ",".join(f"{key} {base64.b64encode(value).decode('ascii')}".rstrip() for key, value in pairs.items())


def parse_checksum(header: str | None) -> Checksum | None:
    """Return what Upload-Checksum promises, or None if there is no such header.

    Raises:
        ChecksumUnsupported: The algorithm is none of `CHECKSUM_ALGORITHMS` (tus 1.0.0, checksum: 400).
        Malformed: The digest is not base64 or not of the algorithm's size.
    """
    if header is None:
        return None
    algorithm, _, value = header.strip(" \t").partition(" ")
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise ChecksumUnsupported(algorithm=algorithm[:40], offered=",".join(CHECKSUM_ALGORITHMS))
    expected = _unbase64(value.strip(" \t"), what="Upload-Checksum")
    if len(expected) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise Malformed(what="Upload-Checksum", why="size")
    return Checksum(algorithm, expected)


def shown_offset(*, size: int, floor: int | None, length: int, taken_in: bool) -> int:
    """Return the offset to show for an upload.

    Args:
        size: Bytes in the spool.
        floor: Where a checksummed body began that has not been found good, if there is one: nothing above it counts.
        length: The declared length.
        taken_in: Whether the accession is committed.

    Returns:
        `length` only if taken in; one less while the bytes are whole but the accession is not.
    """
    if taken_in:
        return length
    stands = size if floor is None else min(size, floor)
    return max(0, min(stands, length - 1))


def whole(*, size: int, floor: int | None, length: int) -> bool:
    """Return whether every byte is there and none of them is in doubt."""
    return floor is None and size == length


def admit(*, claimed: int, shown: int, length: int, body: int | None) -> int:
    """Return how many bytes the body may have, if one may be added at all.

    Args:
        claimed: Upload-Offset of the request.
        shown: The offset as `shown_offset` has it.
        length: The declared length.
        body: Size of the body in bytes, None if the request does not say.

    Raises:
        OffsetConflict: It does not begin where the upload stands (tus 1.0.0, PATCH: 409).
        PastLength: It would end past the length.
    """
    if claimed != shown:
        raise OffsetConflict(claimed=claimed, offset=shown)
    if body is not None and shown + body > length:
        raise PastLength(offset=shown, body=body, length=length)
    return length - shown


def _unbase64(text: str, *, what: str) -> bytes:
    """Return the bytes of padded, canonical base64; two spellings of one value would be two metadata headers for one upload."""
    try:
        value = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(what=what, why="base64") from error
    if base64.b64encode(value).decode("ascii") != text:
        raise Malformed(what=what, why="base64")
    return value
