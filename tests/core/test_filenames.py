"""Claims about what file names say."""

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.errors import Malformed
from archive.core.filenames import MAX_SUBJECT, UNKNOWN, Pattern, Recognised, Sibling, merged, primary, recognise, unique
from archive.core.instant import Instant, parse

SHANGHAI = ZoneInfo("Asia/Shanghai")
TIMED = r"(?P<device>\w{1,16})_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)\.mp4"


def test_a_name_is_read_in_the_recorders_zone():
    told = recognise("DCIM/A7_20260312090120.MP4", [Pattern("timed", TIMED)], zone=SHANGHAI)
    assert told == Recognised(pattern="timed", device="A7", started_at=parse("2026-03-12T09:01:20+08:00"))


def test_a_pattern_must_match_the_whole_name():
    assert recognise("A7_20260312090120.mp4.part", [Pattern("timed", TIMED)], zone=SHANGHAI) == UNKNOWN


def test_a_name_that_is_no_date_falls_to_the_next_pattern():
    patterns = [Pattern("timed", TIMED), Pattern("any", r"(?P<device>\w{1,9})_.{1,40}")]
    assert recognise("A7_20261312090120.mp4", patterns, zone=SHANGHAI).pattern == "any"
    assert recognise("A7_20260230090120.mp4", patterns, zone=SHANGHAI).pattern == "any"


def test_two_digits_of_a_year_are_of_this_century():
    pattern = Pattern("short", r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)-(?P<hour>\d\d)(?P<minute>\d\d)(?P<fraction>\d{3})?")
    assert recognise("260312-0901", [pattern], zone=SHANGHAI).started_at == parse("2026-03-12T09:01:00+08:00")
    assert recognise("260312-0901250", [pattern], zone=SHANGHAI).started_at == parse("2026-03-12T09:01:00.25+08:00")


def test_folders_can_tell_what_names_do_not():
    pattern = Pattern("by-folder", r"(?P<device>[A-Z]\d{1,8})/(?P<officer>\d{6})/.{1,60}", whole_path=True)
    told = recognise("A7100231/012345/0001.mp4", [pattern], zone=SHANGHAI)
    assert (told.device, told.officer) == ("A7100231", "012345")


def test_a_name_longer_than_the_limit_is_not_looked_at():
    assert recognise("1" * (MAX_SUBJECT + 1), [Pattern("digits", r"(?P<sequence>\d+)")], zone=SHANGHAI) == UNKNOWN


def test_only_plain_digits_make_a_sequence():
    assert recognise("٣٤", [Pattern("digits", r"(?P<sequence>\w{1,9})")], zone=SHANGHAI) == UNKNOWN


@given(st.text(max_size=600))
def test_no_name_breaks_a_pattern(name):
    patterns = [Pattern("timed", TIMED), Pattern("any", r"(?P<device>.{1,30})[_-](?P<sequence>\d{1,6})")]
    assert isinstance(recognise(name, patterns, zone=SHANGHAI), Recognised)


@given(
    device=st.from_regex(r"[A-Z0-9]{1,16}", fullmatch=True),
    moment=st.datetimes(min_value=datetime.fromisoformat("2000-01-01"), max_value=datetime.fromisoformat("2099-01-01")),
)
def test_what_was_written_into_a_name_is_read_from_it(device, moment):
    told = recognise(f"{device}_{moment:%Y%m%d%H%M%S}.mp4", [Pattern("timed", TIMED)], zone=SHANGHAI)
    assert told.device == device
    assert told.started_at == parse(moment.replace(microsecond=0, tzinfo=SHANGHAI).isoformat())


@pytest.mark.parametrize(
    "match",
    [
        "",
        "x" * 401,
        "(?P<device>",
        "no groups",
        "(?P<colour>.)",
        r"(?P<year>\d{4})",
        r"(?P<device>a+)+",
        r"(?P<device>(a+)+)b",
        r"(?P<device>(a|a)*)b",
        r"(?P<device>(a+){9})b",
        r"(?x)(?P<device>(a+) +)b",
        r"(?P<device>a*a*a*a*)b",
        r"(?P<device>.*.*.*)b",
        r"(?P<device>\w{1,500}\w{1,500}\w{1,500})b",
        r"(?P<device>[])]+.+x+y)",
    ],
)
def test_a_pattern_that_is_wrong_or_could_run_away_is_refused(match):
    with pytest.raises(Malformed):
        Pattern("p", match)


@pytest.mark.parametrize("pattern_id", ["", "With Space", "x" * 41, "-a"])
def test_a_pattern_has_a_plain_id(pattern_id):
    with pytest.raises(Malformed):
        Pattern(pattern_id, "(?P<device>.)")


def test_the_slowest_pattern_that_is_allowed_is_still_quick():
    pattern = Pattern("slow", r"(?P<device>.+)_(?P<officer>.+)=(?P<sequence>\d)\.x")
    began = time.process_time()
    assert recognise("_" * MAX_SUBJECT, [pattern], zone=SHANGHAI) == UNKNOWN
    assert time.process_time() - began < 1


def test_an_id_comes_once():
    with pytest.raises(Malformed):
        unique(row.id for row in [Pattern("p", "(?P<device>.)"), Pattern("p", "(?P<device>..)")])


def test_a_companion_is_found_whatever_the_case_of_the_names():
    sibling = Sibling("thumb", r"(?P<stem>.{1,60})\.THM", "{stem}.MP4")
    assert primary("gh010123.thm", [sibling], {"gh010123.mp4": "GH010123.MP4"}) == "GH010123.MP4"
    assert primary("gh010123.thm", [sibling], {"other.mp4": "OTHER.MP4"}) is None
    assert primary("gh010123.jpg", [sibling], {"gh010123.mp4": "GH010123.MP4"}) is None


def test_a_companion_that_names_itself_has_no_primary():
    assert primary("a.mp4", [Sibling("self", r"(?P<stem>.)\.mp4", "{stem}.mp4")], {"a.mp4": "a.mp4"}) is None


def test_a_sibling_rule_cannot_name_a_group_it_has_not():
    with pytest.raises(Malformed):
        Sibling("thumb", r"(?P<stem>.)\.THM", "{rest}.MP4")


def test_a_files_own_name_is_heard_before_its_companions():
    own = Recognised(pattern="own", sequence=4)
    other = Recognised(pattern="other", device="A7", sequence=9, started_at=Instant(5))
    assert merged(own, other) == Recognised(pattern="own", device="A7", sequence=4, started_at=Instant(5))
