"""Kinds and containers are told from bytes alone, and no bytes make the sniffing fail."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archive.core.accession import Kind
from archive.core.media.sniff import HEAD_SIZE, UNKNOWN, sniff


def box(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def ftyp(brand: bytes) -> bytes:
    return box(b"ftyp", brand + b"\0\0\0\0" + brand)


def packets(stride: int, lead: int, count: int) -> bytes:
    return b"".join(b"\x01" * lead + b"\x47" + b"\x02" * (stride - lead - 1) for _ in range(count))


ADTS = bytes([0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC]) + b"\0" * 9  # a frame of 16 bytes
MP3 = bytes([0xFF, 0xFB, 0x90, 0x00]) + b"\0" * 413  # 128 kbit/s at 44.1 kHz: 417 bytes

CASES = [
    ("MP4", ftyp(b"isom") + box(b"moov"), "recording", "mov", "video/mp4"),
    (
        "MP4 without moov, cut off",
        ftyp(b"isom") + struct.pack(">I", 900_000) + b"mdat" + b"\xff" * 64,
        "recording",
        "mov",
        "video/mp4",
    ),
    ("QuickTime", ftyp(b"qt  "), "recording", "mov", "video/quicktime"),
    ("old QuickTime that begins with its index", box(b"moov", b"\0" * 8), "recording", "mov", "video/quicktime"),
    ("QuickTime with a 64-bit mdat first", b"\0\0\0\x01mdat" + b"\0" * 16, "recording", "mov", "video/quicktime"),
    ("fragments", box(b"styp", b"msdh"), "recording", "mov", "video/mp4"),
    ("3GP", ftyp(b"3gp5"), "recording", "mov", "video/3gpp"),
    ("M4A", ftyp(b"M4A "), "audio", "mov", "audio/mp4"),
    ("M4B", ftyp(b"M4B "), "audio", "mov", "audio/mp4"),
    ("HEIC", ftyp(b"heic"), "photo", "heif", "image/heic"),
    ("AVI", b"RIFF\x10\0\0\0AVI LIST", "recording", "avi", "video/x-msvideo"),
    ("WAVE", b"RIFF\x10\0\0\0WAVEfmt ", "audio", "wav", "audio/wav"),
    ("RF64 wave", b"RF64\xff\xff\xff\xffWAVEds64", "audio", "wav", "audio/wav"),
    ("WebP", b"RIFF\x10\0\0\0WEBPVP8 ", "photo", "webp", "image/webp"),
    ("TS of 188", packets(188, 0, 5), "recording", "mpegts", "video/mp2t"),
    ("TS of 192", packets(192, 4, 5), "recording", "mpegts", "video/mp2t"),
    ("TS of 204", packets(204, 0, 5), "recording", "mpegts", "video/mp2t"),
    ("TS that begins within a packet", packets(188, 0, 40)[100:], "recording", "mpegts", "video/mp2t"),
    ("Matroska", b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska", "recording", "matroska", "video/x-matroska"),
    ("WebM", b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm", "recording", "matroska", "video/webm"),
    ("program stream", b"\0\0\x01\xba\x44", "recording", "mpegps", "video/mpeg"),
    ("bare H.264", b"\0\0\0\x01\x67\x42", "recording", "h264", "video/h264"),
    ("FLV", b"FLV\x01\x05", "recording", "flv", "video/x-flv"),
    ("a maker's own wrapping", b"DHAV\xfd\0", "recording", "private", "application/octet-stream"),
    ("MP3 with ID3", b"ID3\x04\0\0\0\0\0\x0a" + b"\0" * 10 + MP3, "audio", "mp3", "audio/mpeg"),
    ("MP3 whose ID3 fills the head", b"ID3\x04\0\0\0\x7f\x7f\x7f" + b"\0" * 99, "audio", "mp3", "audio/mpeg"),
    ("MP3 without ID3", MP3 * 3, "audio", "mp3", "audio/mpeg"),
    ("ADTS", ADTS * 4, "audio", "adts", "audio/aac"),
    ("ADTS after ID3", b"ID3\x04\0\0\0\0\0\x02xx" + ADTS * 4, "audio", "adts", "audio/aac"),
    ("AMR", b"#!AMR\n\x3c", "audio", "amr", "audio/amr"),
    ("AMR-WB", b"#!AMR-WB\n\x3c", "audio", "amr", "audio/amr-wb"),
    ("Ogg", b"OggS\0\x02" + b"\0" * 20 + b"\x01\x13OpusHead", "audio", "ogg", "audio/ogg"),
    ("Ogg with pictures", b"OggS\0\x02" + b"\0" * 20 + b"\x01\x2a\x80theora", "recording", "ogg", "video/ogg"),
    ("FLAC", b"fLaC\0\0\0\x22", "audio", "flac", "audio/flac"),
    ("JPEG", b"\xff\xd8\xff\xe1", "photo", "jpeg", "image/jpeg"),
    ("PNG", b"\x89PNG\r\n\x1a\n", "photo", "png", "image/png"),
    ("TIFF, little end first", b"II*\0", "document", "tiff", "image/tiff"),
    ("TIFF, big end first", b"MM\0*", "document", "tiff", "image/tiff"),
    ("PDF", b"%PDF-1.7\n", "document", "pdf", "application/pdf"),
    ("PDF after a scanner's junk", b"\r\n\0\0junk%PDF-1.4", "document", "pdf", "application/pdf"),
    ("ZIP", b"PK\x03\x04\x14\0\0\0mimetype", "document", "zip", "application/zip"),
    ("OFD", b"PK\x03\x04" + bytes(26) + b"OFD.xml", "document", "ofd", "application/ofd"),
    ("playlist", b"#EXTM3U\n#EXTINF:1,\nother.ts\n", "document", "text", "application/vnd.apple.mpegurl"),
    ("playlist behind a byte order mark", b"\xef\xbb\xbf \n#EXTM3U\n", "document", "text", "application/vnd.apple.mpegurl"),
    ("HTML", b"  <!DOCTYPE html><title>x</title>", "document", "text", "text/html"),
    ("concat script", b"ffconcat version 1.0\nfile other.mp4\n", "document", "text", "text/plain"),
    ("Chinese in UTF-8", "现场检查笔录".encode(), "document", "text", "text/plain"),
    ("Chinese in GB 18030", "现场检查笔录".encode("gb18030"), "document", "text", "text/plain"),
    ("nothing at all", b"", "document", "unknown", "application/octet-stream"),
    ("zeros", b"\0" * 4096, "document", "unknown", "application/octet-stream"),
    ("two sync bytes do not make a TS", packets(188, 0, 2), "document", "unknown", "application/octet-stream"),
]


@pytest.mark.parametrize(
    ("head", "kind", "container", "media_type"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_files_bytes_tell_what_it_is(head: bytes, kind: str, container: str, media_type: str):
    found = sniff(head)
    assert (found.kind, found.container, found.media_type) == (Kind(kind), container, media_type)


def test_an_ofd_is_known_by_the_directory_at_its_end():
    listed = b"PK\x01\x02" + bytes(42) + b"OFD.xml" + b"PK\x05\x06"
    assert sniff(b"PK\x03\x04" + b"\0" * 40, listed).container == "ofd"


def test_a_zip_that_only_speaks_of_an_ofd_is_a_zip():
    assert (
        sniff(b"PK\x03\x04" + bytes(26) + b"readme.txt see OFD.xml", b"PK\x01\x02" + bytes(42) + b"old/OFD.xml").container
        == "zip"
    )


@given(st.binary(max_size=2048), st.binary(max_size=64))
@example(b"ID3", b"")
@example(b"\xff\xf1", b"")
def test_no_bytes_make_it_fail(head: bytes, tail: bytes):
    assert sniff(head, tail).container


@given(st.sampled_from([case[1] for case in CASES]), st.binary(max_size=256))
def test_what_lies_beyond_the_head_changes_nothing(head: bytes, more: bytes):
    padded = head.ljust(HEAD_SIZE, b"\0")
    assert sniff(padded + more) == sniff(padded)


def test_unknown_is_a_document():
    assert UNKNOWN.kind is Kind.DOCUMENT
