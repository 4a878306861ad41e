"""Claims about what the dock tells at the end, in which language, and of what it knew before."""

import json
import string
import subprocess
import sys

import pytest

from archive.core.digest import Digest
from archive.core.errors import Malformed, Unavailable
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


def command_line(tmp_path, url, *arguments):
    return [sys.executable, "-m", "archive.dock", *arguments, "--server", url, "--credential", str(tmp_path / "dock.json")]


def run(command, tongue="zh_CN.UTF-8"):
    done = subprocess.run(command, capture_output=True, check=False, env={"LANG": tongue, "PYTHONUTF8": "1"})
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


def test_what_has_its_receipt_is_not_in_trouble_when_the_archive_is_away(tmp_path):
    card = tmp_path / "card"
    card.mkdir()
    for number in range(3):
        (card / f"{number}.bin").write_bytes(bytes([number]))
    credential(tmp_path)
    with SmallArchive() as archive:
        command = command_line(tmp_path, archive.url, str(card), "--patience", "0", "--json")
        assert run(command)[0] == 0
        (card / "new.bin").write_bytes(b"new")
        archive.away = True
        code, out, said = run(command)
    assert code == 3
    assert {row["path"]: (row["state"], row["trouble"]) for row in json.loads(out)["files"]} == {
        **{f"{number}.bin": ("verified", None) for number in range(3)},
        "new.bin": ("waiting", "not begun"),
    }
    assert "4 个文件，上传 0 bytes；此前已入档 3，已有回执 3，待续 1\n" in said


def test_refusals_that_stations_meet_are_sentences_in_both_languages():
    for key, (zh, en) in words._TROUBLE.items():
        fields = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (zh, en)]
        assert fields[0] == fields[1] <= {"of", "reason"}, key


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        (
            "malformed: what=credential, path=nope.json, reason=No such file or directory",
            "凭据文件不存在：nope.json [malformed: credential]",
        ),
        (
            "malformed: what=credential, path=x.json, reason=readable_by_others, wanted=0600",
            "凭据文件其他用户可读，须设为 0600：x.json [malformed: credential, readable_by_others]",
        ),
        (
            "malformed: what=credential, path=x.json, reason=Is a directory",
            "凭据文件无法读取：x.json：是文件夹 [malformed: credential]",
        ),
        (
            "server_refused: server_code=station_revoked, status=403",
            "本采集站已被注销：请在服务器上重新登记 [server_refused: station_revoked]",
        ),
        ("not_found: what=station, name={of}", "没有名为 {of} 的采集站 [not_found: station]"),
        ("unreadable: Input/output error", "无法读取：读写错误，介质可能损坏 [unreadable]"),
        ("symlink", "符号链接，不跟随 [symlink]"),
        ("not begun", "尚未开始 [not begun]"),
        ("131102-LX-2026-00000001", "131102-LX-2026-00000001"),
        ("malformed: what=rate, value=junk", "malformed: what=rate, value=junk"),
    ],
)
def test_a_refusal_is_a_sentence_with_its_code_and_a_rare_one_is_said_as_it_is(text, chinese):
    assert words.trouble(text, "zh") == chinese


def test_a_server_address_without_its_scheme_is_told_so(tmp_path):
    credential(tmp_path)
    code, _, said = run(command_line(tmp_path, "127.0.0.1:8080", str(tmp_path)))
    assert (
        code,
        said.startswith("拒绝：档案库地址须以 http:// 或 https:// 开头"),
        "127.0.0.1:8080 [malformed: server]" in said,
    ) == (
        1,
        True,
        True,
    )
    assert run(command_line(tmp_path, "127.0.0.1:8080", str(tmp_path)), "en_US.UTF-8")[2].startswith(
        "refused: the archive's address begins with http://"
    )


def test_a_source_that_is_not_there_is_told_in_the_stations_language(tmp_path):
    code, _, said = run(command_line(tmp_path, "http://127.0.0.1:1", str(tmp_path / "nope")))
    assert (code, f"来源不存在：{tmp_path / 'nope'}" in said) == (2, True)


def test_a_name_that_no_station_can_have_is_refused_with_the_rule_for_names():
    said = words.ending(Malformed(what="station", value="采集站二"), "zh")
    assert said.startswith("拒绝：采集站名称只能用字母、数字和 . _ -，最多 64 个字符")
    assert said.endswith("采集站二 [malformed: station]")


def test_what_no_sentence_is_known_for_ends_as_ever():
    assert words.ending(Malformed(what="rate", value="x"), "zh") == "refused: malformed: what=rate, value=x"
    assert words.ending(Unavailable(what="server", reason="ConnectError: no"), "en") == (
        "fault: the archive does not answer: ConnectError: no [unavailable: server] (try again)"
    )
