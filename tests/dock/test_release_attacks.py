"""What somebody would try to have a recorder freed of what the archive has not, or of something else."""

import json
import os
import shutil
import sqlite3

import pytest

from archive.core.receipt import Receipt
from archive.dock import words
from archive.dock.journal import Journal, State
from tests.dock.liar import DATA, JSON, NUMBER, SOMEBODY, Liar, a_receipt

ASK, DONE = ("POST", f"/api/v1/items/{NUMBER}/release"), ("POST", f"/api/v1/items/{NUMBER}/release/done")
YES = {ASK: (200, JSON, b'{"state": "granted"}'), DONE: (200, JSON, b'{"state": "done"}')}


@pytest.fixture
def liar(serve_liar):
    return serve_liar(Liar(says=dict(YES)))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "card" / "REC_0001.MP4"


def at(monkeypatch, failpoint, act):
    """Do something at the very moment at which a run passes this failpoint."""
    monkeypatch.setattr("archive.dock.release.failpoint", lambda name: act() if name == failpoint else None)


def asked(liar, what):
    return [json.loads(body) for method, path, _headers, body in liar.heard if (method, path) == what]


def forge(tmp_path, receipt):
    with sqlite3.connect(tmp_path / "journal") as journal:
        journal.execute("UPDATE file SET receipt = ?", (receipt.decode(),))
    journal.close()


def test_what_the_archive_gives_leave_for_is_removed(liar, dock_to, file):
    code, row = dock_to(liar, "--release")
    assert (code, row.state, file.exists()) == (0, State.RELEASED, False)
    assert [told["outcome"] for told in asked(liar, DONE)] == ["removed"]


@pytest.mark.parametrize(
    "receipt",
    [
        a_receipt(private=SOMEBODY),
        a_receipt(data=b"something else"),
        a_receipt(station="dock-2"),
        a_receipt(number="131102-LX-2026-00000002"),
        a_receipt().replace(b"131102", b"131103"),
        b"verified",
    ],
)
def test_a_receipt_that_is_not_the_archives_own_for_these_bytes_frees_nothing(liar, dock_to, tmp_path, file, receipt):
    assert dock_to(liar)[0] == 0
    forge(tmp_path, receipt)
    code, row = dock_to(liar, "--release")
    assert (code, row.state, file.read_bytes()) == (1, State.VERIFIED, DATA)
    assert asked(liar, ASK) == []


def test_a_receipt_without_the_sm3_that_was_signed_frees_nothing(liar, dock_to, tmp_path, file):
    assert dock_to(liar)[0] == 0
    with sqlite3.connect(tmp_path / "journal") as journal:
        journal.execute("UPDATE file SET sm3 = ?", ("a" * 64,))
    journal.close()
    assert dock_to(liar, "--release")[0] == 1
    assert file.exists()


@pytest.mark.parametrize("moment", ["dock.release_intended", "dock.release_compared"])
def test_a_link_put_in_the_files_place_is_left_and_so_is_what_it_leads_to(liar, dock_to, tmp_path, file, monkeypatch, moment):
    victim = tmp_path / "victim.mp4"
    victim.write_bytes(DATA)

    def swap():
        file.rename(tmp_path / "aside")
        file.symlink_to(victim)

    at(monkeypatch, moment, swap)
    code, row = dock_to(liar, "--release")
    assert (code, row.state) == (1, State.FLAWED)
    assert file.is_symlink()
    assert victim.read_bytes() == DATA
    assert [(told["outcome"], told["reason"]) for told in asked(liar, DONE)] == [("kept", "changed")]


def test_another_file_put_in_its_place_is_left(liar, dock_to, tmp_path, file, monkeypatch):
    def swap():
        other = tmp_path / "other"
        other.write_bytes(DATA)
        shutil.copystat(file, other)
        other.replace(file)

    at(monkeypatch, "dock.release_compared", swap)
    assert dock_to(liar, "--release")[0] == 1
    assert file.read_bytes() == DATA


def test_bytes_written_after_the_last_reading_are_noticed_though_size_and_time_are_set_back(liar, dock_to, file, monkeypatch):
    def write():
        before = file.stat()
        with file.open("r+b") as stream:
            stream.write(b"new")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    at(monkeypatch, "dock.release_compared", write)
    code, row = dock_to(liar, "--release")
    assert (code, row.state) == (1, State.FLAWED)
    assert file.read_bytes().startswith(b"new")


def test_a_folder_swapped_for_a_link_leads_nowhere(liar, dock_to, tmp_path, file):
    folder, elsewhere = file.parent / "DCIM", tmp_path / "elsewhere"
    folder.mkdir()
    file.rename(folder / file.name)
    shutil.copytree(folder, elsewhere)

    def swap():
        if not folder.is_symlink():
            folder.rename(tmp_path / "aside")
            folder.symlink_to(elsewhere)

    class Swapping(Liar):
        def answer(self, method, path):
            if path.endswith("/receipt") or path.startswith("/api/v1/receipts"):
                swap()
            return super().answer(method, path)

    liar.__class__ = Swapping
    code, row = dock_to(liar, "--release")
    assert (code, row.state) == (1, State.FLAWED)
    assert (elsewhere / file.name).read_bytes() == DATA
    assert asked(liar, ASK) == []


@pytest.mark.parametrize(("status", "code", "reason"), [(403, "release_barred", "matter"), (409, "not_verified", None)])
def test_what_the_archive_bars_stays(liar, dock_to, file, status, code, reason):
    facts = {"reason": reason, "case": "〔2026〕114"} if reason else {}
    problem = json.dumps({"code": code, "facts": facts}).encode()
    liar.says[ASK] = (status, {"Content-Type": "application/problem+json"}, problem)
    ended, row = dock_to(liar, "--release")
    assert (row.state, file.read_bytes()) == (State.KEPT, DATA)
    assert row.trouble == (f"{code}: {reason} 〔2026〕114" if reason else code)
    assert ended == (0 if code == "release_barred" else 1)
    assert asked(liar, DONE) == []


NO_LEAVE = [
    (200, JSON, b'{"state": "kept"}'), (200, JSON, b"{}"), (200, JSON, b"[]"), (200, {}, b"<html>"), (404, {}, b""),
    (302, {"Location": "/x"}, b""), (503, {}, b""),
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_LEAVE)
def test_an_answer_that_is_no_leave_frees_nothing(liar, dock_to, file, answer):
    liar.says[ASK] = answer
    code, _row = dock_to(liar, "--release")
    assert code in {1, 3}
    assert file.read_bytes() == DATA


def test_an_archive_that_goes_away_after_the_removal_hears_of_it_next_time(liar, dock_to, tmp_path, file):
    liar.says[DONE] = (503, {}, b"")
    code, row = dock_to(liar, "--release")
    assert (code, row.state, file.exists()) == (3, State.RELEASING, False)
    liar.says[DONE] = YES[DONE]
    code, row = dock_to(liar, "--release")
    assert (code, row.state) == (0, State.RELEASED)
    with Journal.reading(tmp_path / "journal") as journal:
        assert Receipt.parse(journal.entries()[0].receipt.partition("\n\n")[0] + "\n").number is not None


def test_a_file_of_another_station_is_none_of_ours(liar, dock_to, file):
    liar.says[ASK] = (404, {"Content-Type": "application/problem+json"}, b'{"code": "not_found"}')
    code, row = dock_to(liar, "--release")
    assert (code, row.state, row.trouble, file.exists()) == (1, State.KEPT, "not_found", True)


def test_a_card_that_is_pulled_takes_nothing_with_it(liar, dock_to, tmp_path, file):
    liar.says[ASK] = (503, {}, b"")
    code, row = dock_to(liar, "--release")
    assert (code, row.state) == (3, State.RELEASING)
    liar.says[ASK] = YES[ASK]
    card, pulled = file.parent, tmp_path / "pulled"

    class Pulling(Liar):
        def answer(self, method, path):
            if path.endswith("/nonces") and not pulled.exists():  # after the scan, before anything is released
                card.rename(pulled)
                card.mkdir()
            return super().answer(method, path)

    liar.__class__ = Pulling
    code, row = dock_to(liar, "--release")
    assert (code, row.state, asked(liar, DONE)) == (3, State.RELEASING, [])
    assert (pulled / file.name).read_bytes() == DATA
    card.rmdir()
    pulled.rename(card)
    liar.__class__ = Liar
    code, row = dock_to(liar, "--release")
    assert (code, row.state, file.exists()) == (0, State.RELEASED, False)


def test_what_the_system_does_not_let_go_is_kept_and_reported(liar, dock_to, file, monkeypatch):
    unlink = os.unlink

    def refused(path, *, dir_fd=None):
        if dir_fd is None:
            return unlink(path)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refused)  # as an immutable file answers, which only root could make
    code, row = dock_to(liar, "--release")
    assert (code, row.state, row.trouble) == (1, State.KEPT, "not_removable: Operation not permitted")
    assert [(told["outcome"], told["reason"]) for told in asked(liar, DONE)] == [("kept", "not_removable")]
    assert file.read_bytes() == DATA


@pytest.mark.parametrize(
    ("reason", "chinese", "english"),
    [
        ("release_barred: key_mark", "已作重点标记，按原始载体规则留存", "marked by the recorder; the carrier rule keeps it"),
        (
            "release_barred: matter 〔2026〕114",
            "按原始载体规则留存，案件 〔2026〕114",
            "the carrier rule keeps the matter of case 〔2026〕114",
        ),
        ("release_barred: key_mark, matter 〔2026〕114", "按原始载体规则留存 key_mark, matter 〔2026〕114", None),
        ("changed: another file has its name", "文件已不同于入档时 another file has its name", None),
        ("carrier gone", "载体已拔出", "its carrier was pulled"),
        ("something new", "something new", "something new"),
    ],
)
def test_why_a_file_stays_is_said_in_the_stations_language(reason, chinese, english):
    assert words.why(reason, "zh") == chinese
    assert english is None or words.why(reason, "en") == english
