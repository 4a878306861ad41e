"""Claims about what the dock tells at the end, in which language, and of what it knew before."""

import json
import string
import subprocess
import sys

import pytest

from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.core.manifest import Carrier
from archive.dock import words
from archive.dock.credential import load
from archive.dock.journal import Journal
from archive.dock.report import Outcome, Report
from archive.dock.scan import Source
from archive.dock.telling import summary
from tests.dock.liar import KEY
from tests.dock.watching import SmallArchive, credential

NOW = Instant(1_773_300_000_000_000)


@pytest.mark.parametrize(
    ("variables", "tongue"),
    [
        ({}, "zh"),
        ({"LANG": "C.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
    ],
)
def test_a_station_speaks_chinese_unless_its_system_speaks_english(variables, tongue):
    assert words.language(variables) == tongue


def test_both_languages_tell_the_same_facts():
    for key, (zh, en) in words._WORDS.items():
        fields = [{name.split(":")[0] for _, name, _, _ in string.Formatter().parse(text) if name} for text in (zh, en)]
        assert fields[0] == fields[1], key


def report(**changes):
    rows = (
        Outcome("a", 100, "verified", number="1", sent=True, sent_bytes=30),
        Outcome("b", 50, "verified", number="2", again=True),
    )
    values = {"station": "s", "outcomes": rows, "passed": (), "unverified": 0, "flawed_receipts": (), "ended_by": None}
    return Report(**{**values, "refused": False, "stopped": False, **changes})


def test_the_summary_counts_what_this_run_sent_and_no_byte_more():
    assert summary(report(), "en") == "2 files, 30 bytes sent; sent 1, docked before 1, with receipt 2"
    assert summary(report(), "zh") == "2 个文件，上传 30 bytes；上传 1，此前已入档 1，已有回执 2"
    assert report().facts()["sent_bytes"] == 30


def a_journal(tmp_path, archive="a"):
    source = Source(Carrier("card", "uuid:1", "volume"), tmp_path, ("DCIM", "很长的名字" * 20 + ".MP4"), 5, 7)
    with Journal.locked(tmp_path / "journal") as journal:
        entry = journal.signed(archive, source, digest=Digest.of(b"x"), sm3=None, manifest=b"{}", signature=b"s", now=NOW)
        journal.stored(entry, number="131102-LX-2026-00000001", same_bytes_as=None, now=NOW)
    return source


def test_a_pipe_gets_whole_lines(tmp_path):
    source = a_journal(tmp_path)
    command = [sys.executable, "-m", "archive.dock", "--status", "--journal", tmp_path / "journal"]
    told = subprocess.run(
        list(map(str, command)), capture_output=True, check=True, env={"COLUMNS": "40", "PYTHONUTF8": "1"}
    ).stdout
    (line,) = told.decode("utf-8").splitlines()
    assert line.split("\t") == ["stored", "131102-LX-2026-00000001", "", source.shown, "5", Digest.of(b"x").hex, ""]


def test_an_archive_with_a_new_key_is_the_same_archive(tmp_path):
    first = load(credential(tmp_path))
    value = json.loads((tmp_path / "dock.json").read_text("utf-8"))
    newer = f"{KEY.name}+" + str(type(KEY)(KEY.name, b"\x09" * 32)).split("+", 1)[1]
    (tmp_path / "dock.json").write_text(json.dumps({**value, "server_keys": [newer, str(KEY)]}), "utf-8")
    rotated = load(tmp_path / "dock.json")
    assert rotated.archive == first.archive
    other = {**value, "agency": "110000"}
    (tmp_path / "dock.json").write_text(json.dumps(other), "utf-8")
    assert load(tmp_path / "dock.json").archive != first.archive


def test_a_journal_of_the_first_version_knows_its_archive_after_the_key_was_rotated(tmp_path):
    known = load(credential(tmp_path))
    source = a_journal(tmp_path, archive=known.earlier_archives[0])
    with Journal.locked(tmp_path / "journal") as journal:
        assert journal.entry(known.archive, source) is None
        journal.rename_archive(known.earlier_archives, known.archive)
        assert journal.entry(known.archive, source).number == "131102-LX-2026-00000001"
        journal.rename_archive(known.earlier_archives, known.archive)


def test_a_run_speaks_the_language_of_its_station(tmp_path):
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
        for tongue, said in (("zh_CN.UTF-8", "已入档"), ("en_US.UTF-8", "docked before")):
            done = subprocess.run(
                list(map(str, command)), capture_output=True, check=True, env={"LANG": tongue, "PYTHONUTF8": "1"}
            )
            assert said in done.stderr.decode("utf-8")
