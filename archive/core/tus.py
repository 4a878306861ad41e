"""tus 1.0.0 as pure functions: what the headers say, where an upload stands, and whether a body may be added to it.

Source: tus resumable upload protocol 1.0.0 (2016-03-25), core and the extensions creation, creation-with-upload,
creation-defer-length, checksum, termination, expiration and concatenation. Nothing here reads a body, a clock or a disk.

Invariants: the offset shown never passes the length, and never equals it before the upload was taken in, so that a standard
client always has one more byte to send, and the request which carries it ends with the accession. Only a partial upload, which is
never taken in by itself, shows all of its bytes. A length is said once: at creation or, deferred, by a later PATCH; said again it is
the same or refused. A body is admitted only if it begins exactly at the offset shown and, where its size is known, ends within the
length, or within the archive's maximum as long as the length is not known.

Not guaranteed: that a body of unknown size ends within the length; the receiver counts as it receives (`room`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from archive.core.errors import (
    ChecksumUnsupported,
    LengthFixed,
    Malformed,
    OffsetConflict,
    PartsUnfinished,
    PastLength,
    TusVersionUnsupported,
    UploadTooLarge,
    WrongContentType,
)

VERSION: Final = "1.0.0"
EXTENSIONS: Final = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "checksum",
    "termination",
    "expiration",
    "concatenation",
)
CHECKSUM_ALGORITHMS: Final = ("sha1", "sha256")
CONTENT_TYPE: Final = "application/offset+octet-stream"
UPLOADS: Final = "/api/v1/uploads"
"""The path of all uploads; stable from the first release on."""

#: tus says nothing of a limit; this is what a signed 64-bit file offset can hold.
MAX_INTEGER: Final = 2**63 - 1

_DIGITS: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_KEY: Final = re.compile(r"[!-+\--~]+", re.ASCII)  # printable ASCII without space and comma
_UPLOAD_ID: Final = re.compile(r"(?:(?P<host>[a-z0-9]{1,20})-)?[0-9a-f]{32}", re.ASCII)
# RFC 3986, appendix B, for what an address of ours may be: scheme and host or neither, and a path; nothing after it.
_ADDRESS: Final = re.compile(r"(?:(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#\s]*)?(?P<path>/[^?#\s]*)", re.ASCII)
_PERCENT: Final = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What an Upload-Checksum header promises of one body.

    Attributes:
        algorithm: One of `CHECKSUM_ALGORITHMS`.
        expected: The raw digest.
    """

    algorithm: str
    expected: bytes


class Concat(StrEnum):
    """What Upload-Concat makes of an upload: bytes that stand only as a part, or the whole that is made of parts."""

    PARTIAL = "partial"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Creation:
    """What the headers of a creation ask for.

    Attributes:
        length: Declared length in bytes; None if it is deferred, and for a final upload, whose length is its parts'.
        concat: None for an ordinary upload.
        parts: Addresses of a final upload's parts, as they were sent, in order.
    """

    length: int | None
    concat: Concat | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of an upload that is to become a part of a final one; sizes in bytes."""

    id: str
    partial: bool
    length: int | None
    size: int
    floor: int | None


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


def new_upload_id(host: str, random: str) -> str:
    """Return the name of a new upload: 32 random hexadecimal digits, after the name of the web host whose spool will hold it.

    A proxy finds in it where a request about the upload belongs.

    Raises:
        Malformed: One of them has not the form it must have.
    """
    return check_upload_id(f"{host}-{random}" if host else random)


def is_upload_id(text: str) -> bool:
    """Say whether `text` has the form of an upload's name: 32 lower-case hexadecimal digits, after a web host's name or alone."""
    return _UPLOAD_ID.fullmatch(text) is not None


def host_of(upload_id: str) -> str:
    """Return the web host that an upload's name begins with; empty if it has none, or is no such name."""
    found = _UPLOAD_ID.fullmatch(upload_id)
    return "" if found is None else found["host"] or ""


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
        Malformed: There is no length.
        UploadTooLarge: tus 1.0.0, «Tus-Max-Size»: 413.
    """
    length = parse_integer(header, name="Upload-Length")
    if length > maximum:
        raise UploadTooLarge(length=length, maximum=maximum)
    return length


def parse_creation(*, length: str | None, defer: str | None, concat: str | None, maximum: int) -> Creation:
    """Return what a creation asks for (tus 1.0.0, creation, creation-defer-length, concatenation).

    Args:
        length: The value of Upload-Length.
        defer: The value of Upload-Defer-Length.
        concat: The value of Upload-Concat.
        maximum: The most this archive takes, in bytes, inclusive.

    Raises:
        Malformed: Not exactly one of length and deferral, a deferral other than «1», a final upload that declares its length or
            names no part, or another word than partial and final.
        UploadTooLarge: tus 1.0.0, «Tus-Max-Size»: 413.
    """
    kind, _, listed = ("" if concat is None else concat).strip(" \t").partition(";")
    if concat is not None and (kind not in set(Concat) or (kind == Concat.PARTIAL and listed)):
        raise Malformed(what="Upload-Concat", why="kind")
    if kind == Concat.FINAL:
        if length is not None or defer is not None:
            raise Malformed(what="Upload-Concat", why="length")
        parts = tuple(listed.split())
        if not parts:
            raise Malformed(what="Upload-Concat", why="parts")
        return Creation(None, Concat.FINAL, parts)
    if defer is not None and (defer.strip(" \t") != "1" or length is not None):
        raise Malformed(what="Upload-Defer-Length")
    declared = None if defer is not None else parse_length(length, maximum=maximum)
    return Creation(declared, Concat.PARTIAL if kind else None)


def part_id(address: str) -> str:
    """Return the upload that an address in Upload-Concat names; it may be absolute or relative, and percent-encoded.

    The host is not looked at: behind proxies nobody knows all of our names, and an upload's name is found nowhere else.

    Raises:
        Malformed: It names no upload of this archive.
    """
    split = _ADDRESS.fullmatch(address)
    path = "" if split is None else _PERCENT.sub(lambda octet: chr(int(octet[1], 16)), split["path"])
    before, _, name = path.rpartition("/")
    if not before.endswith(UPLOADS) or not is_upload_id(name):
        raise Malformed(what="Upload-Concat", why="address")
    return name


def format_concat(concat: str, parts: Sequence[str]) -> str:
    """Return the Upload-Concat header for what `parse_creation` read."""
    return f"{concat};{' '.join(parts)}" if concat == Concat.FINAL else concat


def settled_length(header: str | None, *, length: int | None, stands: int, maximum: int) -> int | None:
    """Return the length after a PATCH, which may say a deferred one (tus 1.0.0, creation-defer-length).

    Args:
        header: The value of Upload-Length, None if the PATCH says none.
        length: What is known of it before.
        stands: Bytes that are there.
        maximum: The most this archive takes, in bytes, inclusive.

    Raises:
        Malformed: It is no number.
        LengthFixed: Another one was said before.
        PastLength: More bytes are there.
        UploadTooLarge: tus 1.0.0, «Tus-Max-Size»: 413.
    """
    if header is None:
        return length
    declared = parse_integer(header, name="Upload-Length")
    if length is not None and declared != length:
        raise LengthFixed(length=length, declared=declared)
    if declared < stands:
        raise PastLength(offset=stands, length=declared)
    return parse_length(header, maximum=maximum)


def joined_length(parts: Sequence[Part], *, maximum: int) -> int:
    """Return the length of the final upload that these parts make (tus 1.0.0, concatenation).

    Raises:
        Malformed: One of them is no partial upload, or is named twice: its bytes are given away once.
        PartsUnfinished: One of them has not all of its bytes; «concatenation-unfinished» is not offered.
        UploadTooLarge: Together they are more than the maximum.
    """
    if len({part.id for part in parts}) != len(parts):
        raise Malformed(what="Upload-Concat", why="twice")
    for part in parts:
        if not part.partial:
            raise Malformed(what="Upload-Concat", why="not_partial", id=part.id)
        if not whole(size=part.size, floor=part.floor, length=part.length):
            raise PartsUnfinished(id=part.id)
    length = sum(part.size for part in parts)
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


def shown_offset(*, size: int, floor: int | None, length: int | None, taken_in: bool, partial: bool = False) -> int:
    """Return the offset to show for an upload.

    Args:
        size: Bytes in the spool.
        floor: Where a checksummed body began that has not been found good, if there is one: nothing above it counts.
        length: The declared length, None while it is not known.
        taken_in: Whether the accession is committed.
        partial: Whether it is a part, which has no accession of its own to wait for.

    Returns:
        `length` only if taken in, or for a part; one less while the bytes are whole but the accession is not.
    """
    if taken_in:
        assert length is not None
        return length
    stands = size if floor is None else min(size, floor)
    if length is None:
        return stands
    return max(0, min(stands, length if partial else length - 1))


def whole(*, size: int, floor: int | None, length: int | None) -> bool:
    """Return whether every byte is there and none of them is in doubt; without a length nobody knows."""
    return floor is None and size == length


def admit(*, claimed: int, shown: int, length: int | None, body: int | None, maximum: int) -> int:
    """Return how many bytes the body may have, if one may be added at all.

    Args:
        claimed: Upload-Offset of the request.
        shown: The offset as `shown_offset` has it.
        length: The declared length, None while it is not known.
        body: Size of the body in bytes, None if the request does not say.
        maximum: The most this archive takes, in bytes; the bound while the length is not known.

    Raises:
        OffsetConflict: It does not begin where the upload stands (tus 1.0.0, PATCH: 409).
        PastLength: It would end past the length.
        UploadTooLarge: It would end past the maximum.
    """
    if claimed != shown:
        raise OffsetConflict(claimed=claimed, offset=shown)
    if length is None:
        if shown + (body or 0) > maximum:
            raise UploadTooLarge(length=shown + (body or 0), maximum=maximum)
        return maximum - shown
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
