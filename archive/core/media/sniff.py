"""What a file is, told from its bytes and never from its name.

Invariants: a pure function of the first 64 KiB (and, where given, the last bytes); it never raises, whatever the bytes are; what it
does not know is a document of type application/octet-stream. The container named here is the demuxer the media tools are *made* to
use, so that no file can talk a tool into another parser (a playlist named .mp4 is text here, and text is never handed to a tool).

Not guaranteed: that the rest of the file is whole, or that it holds what its head promises. An MP4 with sound only is called a
recording unless its brand says audio; the probe decides later. A file made to satisfy two formats at once gets the first match below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.core.accession import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_SIZE = 64 * 1024
"""How much of a file's beginning `sniff` wants, in bytes."""

TAIL_SIZE = 64 * 1024
"""How much of its end helps to tell an OFD from another ZIP, in bytes."""

_AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "})
_IMAGE_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"avif": "image/avif",
}
_MOV_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof"})
_MIN_TS_PACKETS = 3
_TS_SYNC = 0x47
_TEXT_CONTROL = frozenset(range(0x20)) - {0x09, 0x0A, 0x0C, 0x0D, 0x1B}
_ID3_HEADER = 10
_MPEG_FRAMES_TO_AGREE = 2


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the bytes are: the archive's kind, the media type, and the container that names the demuxer."""

    kind: Kind
    media_type: str
    container: str


UNKNOWN = Sniffed(Kind.DOCUMENT, "application/octet-stream", "unknown")


def sniff(head: bytes, tail: bytes = b"") -> Sniffed:
    """Tell what a file is.

    Args:
        head: the first bytes, up to `HEAD_SIZE`; more is not looked at.
        tail: the last bytes, up to `TAIL_SIZE`; only used to find an OFD's entry in a ZIP's directory.

    Returns:
        The first format below whose mark is there, or `UNKNOWN`. Marks at offset 0 come before those that are searched for.
    """
    head = head[:HEAD_SIZE]
    for look in (_by_magic, _iso_media, _riff, _transport_stream, _mpeg_audio, _pdf):
        found = look(head)
        if found is not None:
            return found
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(head, tail)
    return _text(head) or UNKNOWN


_MAGIC: tuple[tuple[bytes, Sniffed], ...] = (
    (b"\xff\xd8\xff", Sniffed(Kind.PHOTO, "image/jpeg", "jpeg")),
    (b"\x89PNG\r\n\x1a\n", Sniffed(Kind.PHOTO, "image/png", "png")),
    (
        b"II*\x00",
        Sniffed(Kind.DOCUMENT, "image/tiff", "tiff"),
    ),  # what scanners and fax machines write; no recorder takes photos in it
    (b"MM\x00*", Sniffed(Kind.DOCUMENT, "image/tiff", "tiff")),
    (b"GIF87a", Sniffed(Kind.PHOTO, "image/gif", "gif")),
    (b"GIF89a", Sniffed(Kind.PHOTO, "image/gif", "gif")),
    (b"#!AMR-WB\n", Sniffed(Kind.AUDIO, "audio/amr-wb", "amr")),
    (b"#!AMR\n", Sniffed(Kind.AUDIO, "audio/amr", "amr")),
    (b"fLaC", Sniffed(Kind.AUDIO, "audio/flac", "flac")),
    (b"FLV\x01", Sniffed(Kind.RECORDING, "video/x-flv", "flv")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Sniffed(Kind.RECORDING, "video/x-ms-asf", "asf")),
    (b"\x00\x00\x01\xba", Sniffed(Kind.RECORDING, "video/mpeg", "mpegps")),
    (b"\x00\x00\x01\xb3", Sniffed(Kind.RECORDING, "video/mpeg", "mpegvideo")),
    (b"\x00\x00\x00\x01\x67", Sniffed(Kind.RECORDING, "video/h264", "h264")),
    (b"\x00\x00\x00\x01\x27", Sniffed(Kind.RECORDING, "video/h264", "h264")),
    (b"\x00\x00\x01\x67", Sniffed(Kind.RECORDING, "video/h264", "h264")),
    # Makers' own wrappings: kept as recordings, not opened (their parsers are no part of the allow-list).
    (b"DHAV", Sniffed(Kind.RECORDING, "application/octet-stream", "private")),
    (b"IMKH", Sniffed(Kind.RECORDING, "application/octet-stream", "private")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Sniffed(Kind.DOCUMENT, "application/x-ole-storage", "ole")),
)


def _by_magic(head: bytes) -> Sniffed | None:
    for magic, sniffed in _MAGIC:
        if head.startswith(magic):
            return sniffed
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # EBML; the DocType element 42 82 stands in the first bytes (RFC 8794, 11.2.6)
        webm = b"\x42\x82\x84webm" in head[:4096]
        return Sniffed(Kind.RECORDING, "video/webm" if webm else "video/x-matroska", "matroska")
    if head.startswith(b"OggS"):
        moving = b"\x80theora" in head[:4096]
        return Sniffed(Kind.RECORDING if moving else Kind.AUDIO, "video/ogg" if moving else "audio/ogg", "ogg")
    return None


def _iso_media(head: bytes) -> Sniffed | None:  # noqa: PLR0911 - a table of brands
    """ISO/IEC 14496-12 and QuickTime: a `ftyp` first, or (old QuickTime, fragments) another top-level box first."""
    name, brand = head[4:8], head[8:12]
    size = int.from_bytes(head[:4], "big")
    if name == b"ftyp":
        if brand in _AUDIO_BRANDS:
            return Sniffed(Kind.AUDIO, "audio/mp4", "mov")
        if brand in _IMAGE_BRANDS:
            return Sniffed(Kind.PHOTO, _IMAGE_BRANDS[brand], "heif")
        if brand == b"qt  ":
            return Sniffed(Kind.RECORDING, "video/quicktime", "mov")
        if brand.startswith((b"3gp", b"3gr", b"3gs", b"3ge", b"3gg", b"3g2")):
            return Sniffed(Kind.RECORDING, "video/3gpp", "mov")
        return Sniffed(Kind.RECORDING, "video/mp4", "mov")
    if name in _MOV_BOXES and (size >= 8 or size in (0, 1)):  # noqa: PLR2004  a box header is 8 bytes; 0 = to the end, 1 = 64-bit size
        return Sniffed(Kind.RECORDING, "video/quicktime" if name != b"styp" else "video/mp4", "mov")
    return None


def _riff(head: bytes) -> Sniffed | None:
    if head[:4] not in (b"RIFF", b"RF64"):
        return None
    form = head[8:12]
    if form == b"AVI ":
        return Sniffed(Kind.RECORDING, "video/x-msvideo", "avi")
    if form == b"WAVE":
        return Sniffed(Kind.AUDIO, "audio/wav", "wav")
    if form == b"WEBP":
        return Sniffed(Kind.PHOTO, "image/webp", "webp")
    return None


def _transport_stream(head: bytes) -> Sniffed | None:
    """ISO/IEC 13818-1: packets of 188 bytes, with 4 bytes of time code before (192, BDAV) or 16 of parity after (204, DVB).

    A recorder that lost power may start within a packet, so every phase is tried; a longer run is then asked for.
    """
    for stride, lead in ((188, 0), (192, 4), (204, 0)):
        if _in_sync(head, lead, stride, least=_MIN_TS_PACKETS):
            return Sniffed(Kind.RECORDING, "video/mp2t", "mpegts")
    for stride in (188, 192, 204):
        for phase in range(stride):
            if head[phase : phase + 1] == b"\x47" and _in_sync(head, phase, stride, least=16):
                return Sniffed(Kind.RECORDING, "video/mp2t", "mpegts")
    return None


def _in_sync(head: bytes, start: int, stride: int, *, least: int) -> bool:
    marks = head[start::stride][:32]
    return len(marks) >= least and all(mark == _TS_SYNC for mark in marks)


def _mpeg_audio(head: bytes) -> Sniffed | None:
    start = 0
    if head.startswith(b"ID3") and len(head) >= _ID3_HEADER:
        size = 0
        for byte in head[6:10]:  # ID3v2 3.1: four bytes of seven bits
            size = size << 7 | byte & 0x7F
        start = _ID3_HEADER + size
        if start >= len(head):  # a large picture in the tag hides the first frame; nearly all such files are MP3
            return Sniffed(Kind.AUDIO, "audio/mpeg", "mp3")
        if head[start : start + 4] == b"fLaC":
            return Sniffed(Kind.AUDIO, "audio/flac", "flac")
    if _agreeing_frames(head, start, _adts_length):
        return Sniffed(Kind.AUDIO, "audio/aac", "adts")
    if start or _agreeing_frames(head, start, _mp3_length):
        return Sniffed(Kind.AUDIO, "audio/mpeg", "mp3")
    return None


def _agreeing_frames(head: bytes, start: int, length_at: Callable[[bytes], int]) -> bool:
    """Whether frames follow one another from `start`; one whole frame and nothing after it counts too."""
    for count in range(_MPEG_FRAMES_TO_AGREE + 1):
        if count and start == len(head):
            return True
        length = length_at(head[start : start + 7])
        if not length:
            return False
        start += length
        if count and start > len(head):
            return True
    return True


def _adts_length(header: bytes) -> int:
    """ISO/IEC 13818-7 6.2: sync 0xFFF, layer 00; the frame length in 13 bits includes the header."""
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 0xF > 12:  # noqa: PLR2004 - ADTS
        return 0
    length = (header[3] & 0x3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= 7 else 0  # noqa: PLR2004 - a header's own bytes


_MP3_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_MP3_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_MP3_SAMPLES = (44100, 48000, 32000, 0)


def _mp3_length(header: bytes) -> int:
    """ISO/IEC 11172-3 2.4.2.3, layer III only (versions 1, 2 and 2.5)."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # noqa: PLR2004 - MPEG audio, layer III
        return 0
    version = header[1] >> 3 & 0x3
    if version == 1:  # reserved
        return 0
    rate = (_MP3_RATES_1 if version == 3 else _MP3_RATES_2)[header[2] >> 4] * 1000  # noqa: PLR2004 - MPEG-1
    samples = _MP3_SAMPLES[header[2] >> 2 & 0x3] >> {3: 0, 2: 1, 0: 2}[version]
    if not rate or not samples:
        return 0
    return (144 if version == 3 else 72) * rate // samples + (header[2] >> 1 & 1)  # noqa: PLR2004 - MPEG-1


def _pdf(head: bytes) -> Sniffed | None:
    # ISO 32000-1 7.5.2 puts %PDF- at offset 0; readers accept it within the first 1024 bytes, and scanners rely on that.
    if b"%PDF-" in head[:1024]:
        return Sniffed(Kind.DOCUMENT, "application/pdf", "pdf")
    return None


def _zip(head: bytes, tail: bytes) -> Sniffed:
    """Tell a package by the names of its parts, in the headers before the parts and in the directory at the end."""
    names = {match[1] or match[2] for part in (head, tail[-TAIL_SIZE:]) for match in _ZIP_NAMES.finditer(part)}
    if b"OFD.xml" in names:  # GB/T 33190-2016 7.1: the entry file of the package, at its root
        return Sniffed(Kind.DOCUMENT, "application/ofd", "ofd")
    if b"[Content_Types].xml" in names:  # ISO/IEC 29500-2, 7.2
        for folder, media_type in _OFFICE:
            if any(name.startswith(folder) for name in names):
                return Sniffed(Kind.DOCUMENT, media_type, "office")
    return Sniffed(Kind.DOCUMENT, "application/zip", "zip")


_ZIP_NAMES = re.compile(
    rb"PK\x03\x04.{26}(OFD\.xml|\[Content_Types\]\.xml|(?:word|xl|ppt)/)|PK\x01\x02.{42}(OFD\.xml|\[Content_Types\]\.xml|(?:word|xl|ppt)/)",
    re.DOTALL,
)
_OFFICE = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)


def _text(head: bytes) -> Sniffed | None:
    if not head or any(byte in _TEXT_CONTROL for byte in head[:4096]):
        return None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:256].lower()
    if start.startswith(b"#extm3u"):
        return Sniffed(Kind.DOCUMENT, "application/vnd.apple.mpegurl", "text")
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<script", b"<body")):
        return Sniffed(Kind.DOCUMENT, "text/html", "text")
    for encoding in ("utf-8", "gb18030"):
        try:
            head[: 4096 if len(head) > 4096 else None].decode(encoding)  # noqa: PLR2004 - a page is enough
        except UnicodeDecodeError as error:
            if len(head) > 4096 and error.start > 4096 - 4:  # noqa: PLR2004  a character cut by our own window
                return Sniffed(Kind.DOCUMENT, "text/plain", "text")
            continue
        return Sniffed(Kind.DOCUMENT, "text/plain", "text")
    return None
