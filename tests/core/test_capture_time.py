"""Claims about what files themselves say of their making."""

import struct
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.instant import parse
from archive.core.media.capture_time import MOVIE_HEADER_SIZE, Box, Moment, box, head_created, movie_created

SHANGHAI = ZoneInfo("Asia/Shanghai")
MOMENT = datetime.fromisoformat("2026-03-12T09:01:20")


def a_box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def a_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\x00" * (len(content) % 2)


def an_avi(*header: bytes) -> bytes:
    hdrl = b"hdrl" + a_chunk(b"avih", b"\x00" * 56) + b"".join(header)
    return b"RIFF" + struct.pack("<I", 4000) + b"AVI " + a_chunk(b"LIST", hdrl) + a_chunk(b"LIST", b"movi" + b"\x00" * 64)


def a_jpeg(
    *, order: str = "<", original: bytes = b"2026:03:12 09:01:20\x00", offset: bytes | None = None, fraction: bytes | None = None
):
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    entries = [(0x9003, original)]
    if offset is not None:
        entries.append((0x9011, offset))
    if fraction is not None:
        entries.append((0x9291, fraction))
    ifd0 = struct.pack(order + "HHHII", 1, 0x8769, 4, 1, 26) + struct.pack(order + "I", 0)
    at = 26 + 2 + 12 * len(entries) + 4
    rows, data = b"", b""
    for tag, value in entries:
        inline = value.ljust(4, b"\x00") if len(value) <= 4 else struct.pack(order + "I", at + len(data))
        rows += struct.pack(order + "HHI4s", tag, 2, len(value), inline)
        data += value if len(value) > 4 else b""
    tiff = mark + struct.pack(order + "I", 8) + ifd0 + struct.pack(order + "H", len(entries)) + rows + b"\x00" * 4 + data
    exif = b"Exif\x00\x00" + tiff
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\x00".ljust(14, b"\x00")
    return b"\xff\xd8" + app0 + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + b"\xff\xda\x00\x08"


@pytest.mark.parametrize("wide", [False, True])
def test_a_movie_header_counts_from_1904_in_utc(wide):
    seconds = int((MOMENT - datetime.fromisoformat("1904-01-01")).total_seconds())
    times = struct.pack(">B3xQQ", 1, seconds, seconds) if wide else struct.pack(">B3xII", 0, seconds, seconds)
    moov = a_box(b"mvhd", times + b"\x00" * 80)
    assert movie_created(moov) == Moment(MOMENT, in_utc=True)
    assert movie_created(a_box(b"udta", b"abc") + moov) == Moment(MOMENT, in_utc=True)


def test_a_movie_header_of_zero_says_nothing():
    assert movie_created(a_box(b"mvhd", b"\x00" * 100)) is None


def test_a_real_cameras_file_says_when_it_was_made(samples):
    data = (samples / "karma.mp4").read_bytes()
    at, found = 0, None
    while (found := box(data[at : at + 16], at=at, file_size=len(data))) and found.kind != b"moov":
        at = found.end
    assert found is not None
    moment = movie_created(data[found.content : found.content + MOVIE_HEADER_SIZE])
    assert moment is not None
    assert moment.instant(SHANGHAI) == parse("2017-04-17T19:27:57Z")


def test_boxes_may_have_wide_sizes_or_run_to_the_end():
    assert box(a_box(b"ftyp", b"x" * 20), at=0, file_size=99) == Box(b"ftyp", 8, 28)
    assert box(struct.pack(">I4sQ", 1, b"mdat", 2**33), at=28, file_size=2**34) == Box(b"mdat", 44, 28 + 2**33)
    assert box(struct.pack(">I4s8x", 0, b"mdat"), at=40, file_size=1000) == Box(b"mdat", 48, 1000)
    assert box(struct.pack(">I4s", 7, b"free"), at=0, file_size=99) is None
    assert box(b"\x00\x00", at=0, file_size=99) is None


@pytest.mark.parametrize(
    "text",
    [
        b"Thu Mar 12 09:01:20 2026\n\x00",
        b"THU MAR 12 09:01:20 2026",
        b"2026-03-12 09:01:20",
        b"2026/03/12 09:01:20\x00",
        b"Mar 12 09:01:20 2026",
    ],
)
def test_an_avi_names_a_wall_clock_without_a_zone(text):
    moment = head_created(an_avi(a_chunk(b"IDIT", text)))
    assert moment == Moment(MOMENT, in_utc=False)
    assert moment.instant(SHANGHAI) == parse("2026-03-12T09:01:20+08:00")


def test_an_avi_may_keep_its_date_in_an_info_list():
    assert head_created(an_avi(a_chunk(b"LIST", b"INFO" + a_chunk(b"ICRD", b"2026-03-12 09:01:20\x00")))) == Moment(
        MOMENT, in_utc=False
    )


def test_an_avi_without_a_date_says_nothing():
    assert head_created(an_avi()) is None
    assert head_created(an_avi(a_chunk(b"IDIT", b"Thu Foo 12 09:01:20 2026"))) is None
    assert head_created(an_avi(a_chunk(b"IDIT", b"2026-13-12 09:01:20"))) is None


def test_a_broadcast_wave_says_when_it_began():
    bext = a_chunk(b"bext", b"\x00" * 320 + b"2026-03-12" + b"09-01-20" + b"\x00" * 270)
    assert head_created(b"RIFF" + struct.pack("<I", 900) + b"WAVE" + bext) == Moment(MOMENT, in_utc=False)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_photo_says_when_it_was_taken(order):
    assert head_created(a_jpeg(order=order)) == Moment(MOMENT, in_utc=False)


def test_a_photos_offset_makes_its_time_exact():
    moment = head_created(a_jpeg(offset=b"+08:00\x00", fraction=b"25\x00"))
    assert moment is not None
    assert moment.instant(ZoneInfo("Europe/Lisbon")) == parse("2026-03-12T09:01:20.25+08:00")


def test_a_photo_with_an_empty_date_says_nothing():
    assert head_created(a_jpeg(original=b"0000:00:00 00:00:00\x00")) is None
    assert head_created(a_jpeg(original=b"    :  :     :  :  \x00")) is None


def test_a_moment_before_1970_is_none():
    assert Moment(datetime.fromisoformat("1904-01-01"), in_utc=True).instant(SHANGHAI) is None


@given(st.binary(max_size=400))
def test_no_bytes_break_the_readers(data):
    for head in (data, b"RIFF\x00\x00\x00\x00AVI " + data, b"RIFF\x00\x00\x00\x00WAVE" + data, b"\xff\xd8\xff\xe1" + data):
        assert head_created(head) is None or isinstance(head_created(head), Moment)
    assert movie_created(data) is None or isinstance(movie_created(data), Moment)
    assert box(data, at=0, file_size=len(data)) is None or box(data, at=0, file_size=len(data)).content <= len(data) + 2**64


@given(st.binary(max_size=60), st.integers(0, 400))
def test_a_damaged_photo_breaks_nothing(patch, at):
    head = bytearray(a_jpeg(offset=b"+08:00\x00", fraction=b"25\x00"))
    head[at : at + len(patch)] = patch
    found = head_created(bytes(head))
    assert found is None or found.instant(SHANGHAI) is None or found.instant(SHANGHAI) >= 0
