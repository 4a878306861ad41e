"""Claims about measuring a recorder's clock, and about when nothing is claimed."""

import subprocess
import sys
from zoneinfo import ZoneInfo

import pytest

from archive.core.errors import Malformed, Unavailable
from archive.core.instant import SECOND, Instant
from archive.dock import clock
from archive.dock.carrier import identify
from archive.dock.clock import Shown, between, by_command, by_file, parse
from archive.dock.patterns import ClockFile, load, shipped
from archive.dock.scan import scan
from tests.dock.watching import SmallArchive, credential

SHANGHAI = ZoneInfo("Asia/Shanghai")
NINE = Instant(1_773_277_280_000_000)  # 2026-03-12 09:01:20 in Shanghai
TIME = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d) (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-03-12 09:01:20\n", Shown(NINE, SECOND)),
        ("2026-03-12T01:01:20Z", Shown(NINE, SECOND)),
        ("2026-03-12T09:01:20.250+08:00", Shown(Instant(NINE + 250_000), 1000)),
        ("1773277280", Shown(NINE, SECOND)),
        ("1773277280.5", Shown(Instant(NINE + 500_000), 100_000)),
    ],
)
def test_a_devices_answer_is_read_in_its_own_zone(text, shown):
    assert parse(text, zone=SHANGHAI) == shown


@pytest.mark.parametrize("text", ["", "now", "2026-13-12 09:01:20", "12:00", "-5", "9" * 40])
def test_an_answer_that_is_no_time_is_none(text):
    with pytest.raises(Malformed):
        parse(text, zone=SHANGHAI)


def test_the_answer_is_held_against_the_middle_and_what_is_uncertain_is_said():
    measured = between(Shown(NINE, SECOND), before=Instant(NINE + 90 * SECOND), after=Instant(NINE + 92 * SECOND), how="command")
    assert measured.offset_us == 91 * SECOND - SECOND // 2
    assert measured.uncertainty_us == SECOND + SECOND // 2


@pytest.mark.parametrize("after", [-1, 90 * SECOND])
def test_a_measurement_across_a_set_clock_or_too_long_a_wait_is_none(after):
    with pytest.raises(Malformed):
        between(Shown(NINE, 1), before=NINE, after=Instant(NINE + after), how="command")


def ask(tmp_path, code, **how):
    found = scan(tmp_path.resolve(), volume=identify(tmp_path.resolve()), patterns=shipped())
    program = tmp_path / "ask.py"
    program.write_text(code, "utf-8")
    return by_command(
        f"'{sys.executable}' '{program}' {{mount}}", found, zone=SHANGHAI, now=lambda: Instant(NINE + 5 * SECOND), **how
    )


def test_a_command_is_asked_without_a_shell_and_told_where_the_recorder_is(tmp_path):
    code = "import os, sys; assert sys.argv[1] == os.environ['LIUHEN_MOUNT']; print('2026-03-12 09:01:20.000000')"
    measured = ask(tmp_path, code)
    assert (measured.offset_us, measured.uncertainty_us, measured.how) == (5 * SECOND, 0, "command")


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import time; time.sleep(30)"])
def test_a_command_that_fails_or_hangs_measures_nothing(tmp_path, code):
    with pytest.raises(Unavailable):
        ask(tmp_path, code, within_s=0.5)


def test_a_clock_file_written_at_the_connection_counts_only_where_the_station_saw_it_come(tmp_path):
    (tmp_path / "SYS").mkdir()
    (tmp_path / "SYS" / "TIME.TXT").write_text("clock 2026-03-12 09:01:20", "gbk")
    known = [ClockFile("k", "SYS/TIME.TXT", TIME, within_s=4)]

    def measured(seen_at):
        return by_file(known, tmp_path, zone=SHANGHAI, seen_at=seen_at, now=lambda: NINE, wait=lambda _: None)

    assert measured(None) is None
    found = measured(Instant(NINE + 60 * SECOND))
    assert (found.offset_us, found.uncertainty_us, found.how) == (60 * SECOND - SECOND // 2, 4 * SECOND + SECOND // 2, "file")


def live(tmp_path, texts, monkeypatch):
    """Measure by a live file that says one text after the other, 1.5 s apart."""
    path = tmp_path / "now"
    path.write_text(texts[0], "utf-8")
    moment = [NINE]

    def wait(seconds):
        moment[0] = Instant(moment[0] + int(seconds * SECOND))
        path.write_text(texts[1], "utf-8")

    return by_file(
        [ClockFile("k", "now", TIME, live=True)], tmp_path, zone=SHANGHAI, seen_at=None, now=lambda: moment[0], wait=wait
    )


def test_a_live_clock_is_believed_only_if_it_goes(tmp_path, monkeypatch):
    found = live(tmp_path, ["2026-03-12 09:01:10", "2026-03-12 09:01:11"], monkeypatch)
    assert (found.offset_us, found.uncertainty_us) == (int(10.5 * SECOND) - SECOND // 2, SECOND // 2)
    for stands in (["2026-03-12 09:01:10"] * 2, ["2026-03-12 09:01:10", "2026-03-12 09:05:10"], ["x", "y"]):
        assert live(tmp_path, stands, monkeypatch) is None


def test_a_clock_file_that_leads_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "card").mkdir()
    (tmp_path / "elsewhere").write_text("2026-03-12 09:01:20", "utf-8")
    (tmp_path / "card" / "TIME").symlink_to(tmp_path / "elsewhere")
    known = [ClockFile("k", "TIME", TIME, within_s=4)]
    assert by_file(known, tmp_path / "card", zone=SHANGHAI, seen_at=NINE, now=lambda: NINE, wait=lambda _: None) is None


@pytest.mark.parametrize(
    "table",
    [
        "file = '../x'\nwithin_s = 5",
        "file = 'x'",
        "file = 'x'\nlive = true\nwithin_s = 5",
        "file = 'x'\nwithin_s = 0",
        "file = 'x'\nwithin_s = 'soon'",
    ],
)
def test_a_clock_file_that_could_not_be_honest_is_refused(tmp_path, table):
    path = tmp_path / "mine.toml"
    path.write_text(f"[[clock_file]]\nid = 'k'\nmatch = '''{TIME}'''\n{table}\n", "utf-8")
    with pytest.raises(Malformed):
        load(path)


def test_what_was_measured_stands_in_the_manifest(tmp_path):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "a.bin").write_bytes(b"x")
    with SmallArchive() as archive:
        command = [
            sys.executable,
            "-m",
            "archive.dock",
            tmp_path / "card",
            "--server",
            archive.url,
            "--credential",
            credential(tmp_path),
        ]
        command += ["--clock-of", "date -u +%Y-%m-%dT%H:%M:%S.%6NZ"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (said,) = archive.items.values()
    assert said.clock_offset_from == "measured"
    assert abs(said.clock_offset_us) < 20 * SECOND


def test_nothing_is_measured_from_times_of_change():
    assert "st_mtime" not in clock.__loader__.get_source(clock.__name__)
