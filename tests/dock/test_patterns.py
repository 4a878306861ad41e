"""Claims about the patterns that are shipped, and about an administrator's own."""

import tomllib
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest

from archive.core.errors import Malformed
from archive.core.filenames import recognise
from archive.core.instant import parse
from archive.dock.patterns import load, shipped

SHANGHAI = ZoneInfo("Asia/Shanghai")
NINE = parse("2026-03-12T09:01:20+08:00")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DSJ-A7100231_012345_20260312090120_0001.MP4", ("dsj-officer-time-sequence", "DSJ-A7100231", "012345", 1, NINE)),
        ("012345@A7100231_20260312090120.mp4", ("officer-at-device-time", "A7100231", "012345", None, NINE)),
        ("A7100231_012345_20260312_090120.MP4", ("device-officer-date-time", "A7100231", "012345", None, NINE)),
        ("2026_0312_090120_001.MP4", ("year-monthday-time-sequence", None, None, 1, NINE)),
        ("2026_0312_090120_001A.MP4", ("year-monthday-time-sequence", None, None, 1, NINE)),
        ("REC_20260312_090120_0001.MP4", ("rec-date-time", None, None, 1, NINE)),
        ("rec20260312090120.avi", ("rec-date-time", None, None, None, NINE)),
        ("IMG_20260312_090120.jpg", ("img-date-time", None, None, None, NINE)),
        ("PXL_20260312_090120000.jpg", ("img-date-time", None, None, None, NINE)),
        ("2026-03-12 09-01-20.mp4", ("dashed-date-time", None, None, None, NINE)),
        ("20260312_090120.mp4", ("date-time", None, None, None, NINE)),
        ("GH010123.MP4", ("gopro-chapter", None, None, 123, None)),
        ("GOPR0123.MP4", ("gopro-first", None, None, 123, None)),
        ("IMG_0123.JPG", ("dcf-number", None, None, 123, None)),
        ("会议记录.mp4", (None, None, None, None, None)),
        ("IMG_20261312_090120.jpg", (None, None, None, None, None)),
    ],
)
def test_the_shipped_patterns_read_these_names(name, expected):
    told = recognise(f"DCIM/100MEDIA/{name}", shipped().patterns, zone=SHANGHAI)
    assert (told.pattern, told.device, told.officer, told.sequence, told.started_at) == expected


def test_every_shipped_pattern_knows_the_name_it_is_described_by():
    told = tomllib.loads(files("archive.dock").joinpath("patterns.toml").read_text("utf-8"))
    for row in told["pattern"]:
        example = row["about"].split(",")[0].split(":")[0].strip()
        assert recognise(example, shipped().patterns, zone=SHANGHAI).pattern == row["id"], example


def test_a_file_adds_in_front_and_replaces_in_place(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        """
        [clocks]
        movie = "local"
        [[pattern]]
        id = "ours"
        match = '(?P<device>GH)\\d{6}\\.MP4'
        [[pattern]]
        id = "date-time"
        match = '(?P<sequence>\\d{8})_\\d{6}\\.mp4'
        [junk]
        folders = ["firmware"]
        """,
        "utf-8",
    )
    found = load(mine)
    assert [row.id for row in found.patterns] == ["ours", *(row.id for row in shipped().patterns)]
    assert recognise("GH010123.MP4", found.patterns, zone=SHANGHAI).device == "GH"
    assert recognise("20260312_090120.mp4", found.patterns, zone=SHANGHAI).sequence == 20260312
    assert found.junk("Firmware", folder=True)
    assert found.junk(".Trashes", folder=True)
    assert not found.movie_in_utc


def test_a_file_may_stand_alone(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("only = true\n[[pattern]]\nid = 'ours'\nmatch = '(?P<device>.{1,9})'\n", "utf-8")
    found = load(mine)
    assert [row.id for row in found.patterns] == ["ours"]
    assert not found.junk(".Trashes", folder=True)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[[patterns]]\n",
        "[[pattern]]\nid = 'x'\n",
        "[[pattern]]\nid = 'x'\nmatch = '(?P<device>(a+)+)'\n",
        "[[pattern]]\nid = 'x'\nmatch = '(?P<device>.)'\ncolour = 1\n",
        "[[pattern]]\nid = 'x'\nmatch = '(?P<device>.)'\n[[pattern]]\nid = 'x'\nmatch = '(?P<device>.)'\n",
        "[clocks]\nmovie = 'mars'\n",
        "[junk]\nfolders = 'x'\n",
        "pattern = 3\n",
        "[[mark]]\nid = 'x'\nmatch = '(a+)+'\n",
        "[[mark]]\nid = 'x'\nmatch = 'a'\n[[mark]]\nid = 'x'\nmatch = 'b'\n",
        "[[sidecar]]\nid = 'x'\nmatch = 'a'\nkind = 'yaml'\nfields = { officer = 'o' }\n",
        "[[sidecar]]\nid = 'x'\nmatch = 'a'\nkind = 'xml'\n",
        "[[sidecar]]\nid = 'x'\nmatch = 'a'\nkind = 'xml'\nfields = { colour = 'o' }\n",
        "[sidecars]\nsuffixes = 'srt'\n",
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path, text):
    mine = tmp_path / "mine.toml"
    mine.write_text(text, "utf-8")
    with pytest.raises(Malformed):
        load(mine)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Malformed):
        load(tmp_path / "none.toml")
