"""Claims about what sidecars tell, and that none of them can stop or fool a docking."""

import codecs
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.errors import Malformed
from archive.core.sidecar import FIELDS, MAX_READ, NOTHING, Form, decoded, read

SHANGHAI = ZoneInfo("Asia/Shanghai")
GPX = """<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">
<metadata><time>2026-03-12T00:00:00Z</time></metadata>
<trk><trkseg><trkpt lat="37.7" lon="115.7"><ele>20</ele><time>2026-03-12T01:01:20.5Z</time></trkpt></trkseg></trk></gpx>"""
NMEA = "$GPGGA,010119.00,3744.1,N,11542.1,E,1,08,1.0,20.0,M,,M,,*47\r\n$GPRMC,010120.00,A,3744.1,N,11542.1,E,0.0,0.0,120326,,,A*53\r\n"
SRT = """1
00:00:00,000 --> 00:00:00,033
<font size="36">FrameCnt : 1, DiffTime : 33ms
2026-03-12 09:01:20,085,332
[iso : 110] [shutter : 1/200.0] </font>
"""
MAKERS = Form(
    "ours",
    r".{1,60}\.xml",
    "xml",
    {
        "recorder": "Rec/Dev/@no",
        "officer": "Rec/Police",
        "started": "Rec/Begin",
        "key_mark": "Rec/Important",
        "sequence": "Rec/Seq",
    },
)
XML = """<?xml version="1.0" encoding="GBK"?><Rec><Dev no="DSJ-A1"/><Police>012345</Police><Seq>7</Seq>
<Begin>2026-03-12 09:01:20</Begin><Important>是</Important></Rec>"""


def checked(body):
    total = 0
    for char in body:
        total ^= ord(char)
    return f"${body}*{total:02X}"


@pytest.mark.parametrize(
    ("name", "text", "form", "wall", "in_utc"),
    [
        ("a.gpx", GPX, "gpx-1.1", "2026-03-12T01:01:20", True),
        ("a.gpx", GPX.replace("<trkpt", "<wpt"), "gpx-1.1", "2026-03-12T00:00:00", True),
        ("a.nmea", checked("GNRMC,010120,A,,,,,,,120326,,,A"), "nmea-0183", "2026-03-12T01:01:20", True),
        ("a.log", checked("GPZDA,010120.00,12,03,2026,00,00"), "nmea-0183", "2026-03-12T01:01:20", True),
        ("a.srt", SRT, "dji-srt", "2026-03-12T09:01:20.085000", False),
        ("a.srt", SRT.replace("2026-03-12 09:01:20,085,332", "2026.03.12 09:01:20"), "dji-srt", "2026-03-12T09:01:20", False),
    ],
)  # fmt: skip
def test_a_published_form_tells_when_a_recording_began(name, text, form, wall, in_utc):
    told = read(name, text.encode())
    assert (told.form, told.started.wall.isoformat(), told.started.in_utc, told.by_maker) == (form, wall, in_utc, False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "utf-16"])
def test_an_agencys_form_is_read_in_any_encoding(encoding):
    told = read("a.xml", XML.encode(encoding), forms=[MAKERS])
    assert (told.form, told.recorder, told.officer, told.sequence, told.key_mark) == ("ours", "DSJ-A1", "012345", 7, True)
    assert told.started.instant(SHANGHAI) == 1_773_277_280_000_000
    assert told.by_maker


def test_pairs_and_json_are_read_by_key_and_path():
    pairs = Form("p", r".{1,60}\.log", "pairs", {"recorder": "DeviceNo", "key_mark": "LOCK"}, marked=("on",))
    told = read("a.log", b"DeviceNo = K7\r\nLOCK: ON\r\nnonsense\r\n", forms=[pairs])
    assert (told.recorder, told.key_mark) == ("K7", True)
    paths = Form(
        "j", r".{1,60}\.json", "json", {"recorder": "dev/no", "key_mark": "marks/on", "started": "at"}, time="%Y-%m-%dT%H:%M:%S%z"
    )
    told = read("a.json", b'{"dev": {"no": 12}, "marks": [{"on": true}], "at": "2026-03-12T09:01:20+0800"}', forms=[paths])
    assert (told.recorder, told.key_mark, told.started.in_utc, told.started.wall.hour) == ("12", True, True, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"A" * (10 * 2**20),
        b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a 'x'><!ENTITY b '&a;&a;&a;&a;'>]><Rec><Police>&b;</Police></Rec>",
        b"<?xml version='1.0'?><!DOCTYPE r SYSTEM 'file:///etc/passwd'><Rec><Police>1</Police></Rec>",
        b"<Rec>" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe\x00\xd8",
        b"\xef\xbb\xbf\xff\xff",
        b"1\n00:00:00,000 --> 00:00:00,033\n9999-99-99 99:99:99\n",
        b"$GPRMC,999999,A,,,,,,,999999,,,A*00\n",
        checked("GPRMC,256199,A,,,,,,,320013,,,A").encode(),
        b"<gpx><trkpt><time>2026-99-99T99:99:99Z</time>",
    ],
)
def test_a_hostile_sidecar_tells_nothing_and_stops_nothing(data):
    forms = [
        MAKERS,
        Form("j", r".{1,60}\.json", "json", dict.fromkeys(FIELDS, "a")),
        Form("p", r".{1,60}\.log", "pairs", {"officer": "x"}),
    ]
    for name in ("a.xml", "a.json", "a.log", "a.srt"):
        assert read(name, data[: MAX_READ + 1], forms=forms) == NOTHING


@given(st.binary(max_size=600), st.sampled_from(["a.xml", "a.json", "a.log", "a.srt", "a.gpx"]))
def test_any_bytes_give_an_answer(data, name):
    forms = [MAKERS, Form("j", r".{1,60}\.json", "json", dict.fromkeys(FIELDS, "a"))]
    read(name, data, forms=forms)


def test_a_character_cut_in_half_does_not_spoil_what_stands_before_it():
    text = "警员=012345\n" + "录" * 10
    assert decoded(text.encode("utf-8")[:-1]).startswith("警员=012345")
    assert decoded(text.encode("gbk")[:-1]).startswith("警员=012345")
    assert decoded(codecs.BOM_UTF16_LE + text.encode("utf-16-le")[:-1]).startswith("警员=012345")


@pytest.mark.parametrize(
    ("kind", "fields", "match"),
    [("yaml", {"officer": "x"}, "a"), ("xml", {}, "a"), ("xml", {"name": "x"}, "a"), ("xml", {"officer": "x"}, "(a+)+")],
)
def test_a_form_that_is_none_is_refused(kind, fields, match):
    with pytest.raises(Malformed):
        Form("x", match, kind, fields)
