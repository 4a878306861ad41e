"""Claims about what a station remembers."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archive.core.digest import Digest
from archive.core.errors import JournalBusy, Malformed
from archive.core.instant import Instant
from archive.core.manifest import Carrier
from archive.dock.journal import Journal, State
from archive.dock.scan import Source

CARD = Carrier(label="card", identity="uuid:1A2B-3C4D", kind="volume")
NOW = Instant(1_773_300_000_000_000)


def a_source(name="REC_0001.MP4", *, size=5, mtime_ns=7, carrier=CARD):
    return Source(carrier, Path("/media/card") / name, (name,), size, mtime_ns)


def signed(journal, source, data=b"bytes", archive="a"):
    return journal.signed(archive, source, digest=Digest.of(data), manifest=b"{}", signature=b"s" * 64, now=NOW)


@pytest.fixture
def journal(tmp_path):
    with Journal.locked(tmp_path / "dock.journal") as opened:
        yield opened


def test_a_file_is_remembered_as_it_was(journal):
    entry = signed(journal, a_source())
    journal.sending(entry, upload_url="http://a/api/v1/uploads/1", offset=3, now=NOW)
    found = journal.entry("a", a_source())
    assert (found.state, found.offset, found.upload_url) == (State.SIGNED, 3, "http://a/api/v1/uploads/1")
    assert (found.manifest, found.signature, found.sha256) == (b"{}", b"s" * 64, Digest.of(b"bytes"))


@pytest.mark.parametrize(
    "other",
    [
        a_source(size=6),
        a_source(mtime_ns=8),
        a_source("REC_0002.MP4"),
        a_source(carrier=Carrier(label="card", identity="uuid:FFFF-0000", kind="volume")),
    ],
)
def test_a_file_that_differs_in_anything_is_another(journal, other):
    signed(journal, a_source())
    assert journal.entry("a", other) is None
    assert journal.entry("b", a_source()) is None


def test_a_card_that_got_another_label_is_the_same_card(journal):
    signed(journal, a_source())
    assert journal.entry("a", a_source(carrier=Carrier(label="other", identity=CARD.identity, kind="volume"))) is not None


def test_what_was_docked_is_known_by_its_bytes(journal):
    first = signed(journal, a_source("one"))
    assert journal.docked("a", first.sha256, 5) is None
    journal.stored(first, number="131102-LX-2026-00000001", same_bytes_as=None, now=NOW)
    earlier = journal.docked("a", first.sha256, 5)
    second = signed(journal, a_source("two"))
    journal.known(second, earlier, now=NOW)
    found = journal.entry("a", a_source("two"))
    assert (found.state, found.number, found.again) == (State.STORED, "131102-LX-2026-00000001", True)
    assert journal.docked("b", first.sha256, 5) is None
    assert [row.shown for row in journal.waiting("a")] == ["one"]


def test_one_receipt_serves_every_file_with_these_bytes(journal):
    first, second = signed(journal, a_source("one")), signed(journal, a_source("two"))
    journal.stored(first, number="131102-LX-2026-00000001", same_bytes_as=None, now=NOW)
    journal.known(second, journal.docked("a", first.sha256, 5), now=NOW)
    journal.verified("a", "131102-LX-2026-00000001", receipt="note", now=NOW)
    assert {row.state for row in journal.entries()} == {State.VERIFIED}
    assert journal.waiting("a") == []


def test_signing_anew_forgets_what_was_under_way(journal):
    entry = signed(journal, a_source())
    journal.sending(entry, upload_url="http://a/api/v1/uploads/1", offset=3, now=NOW)
    journal.refused(entry, "digest_mismatch", now=NOW)
    found = signed(journal, a_source(), b"other")
    assert (found.state, found.upload_url, found.offset, found.trouble) == (State.SIGNED, None, 0, None)


def test_a_number_that_is_not_kept_cannot_be_stored(journal):
    entry = signed(journal, a_source())
    with pytest.raises(sqlite3.IntegrityError):
        journal.stored(entry, number=None, same_bytes_as=None, now=NOW)
    assert journal.entry("a", a_source()).state is State.SIGNED


def test_two_runs_never_share_a_journal(tmp_path):
    with Journal.locked(tmp_path / "j"), pytest.raises(JournalBusy), Journal.locked(tmp_path / "j"):
        pass
    with Journal.locked(tmp_path / "j"):
        pass


def test_a_killed_run_leaves_its_journal_free_and_whole(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, os.getcwd())\n"
        "from archive.dock.journal import Journal\n"
        "from tests.dock.test_journal import a_source, signed\n"
        f"with Journal.locked(Path({str(tmp_path / 'j')!r})) as journal:\n"
        "    signed(journal, a_source())\n"
        "    os._exit(137)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 137
    with Journal.locked(tmp_path / "j") as journal:
        assert journal.entry("a", a_source()).state is State.SIGNED


def test_a_journal_can_be_looked_at_while_a_run_holds_it(tmp_path):
    with Journal.locked(tmp_path / "j") as journal, Journal.reading(tmp_path / "j") as other:
        signed(journal, a_source())
        assert len(other.entries()) == 1


def test_a_journal_is_for_its_owners_eyes(tmp_path):
    old = os.umask(0)
    try:
        with Journal.locked(tmp_path / "j") as journal:
            signed(journal, a_source())
            for path in tmp_path.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    finally:
        os.umask(old)


def test_something_else_is_not_taken_for_a_journal(tmp_path):
    (tmp_path / "j").write_bytes(b"this is no database at all, and long enough to be looked at" * 100)
    with pytest.raises(Malformed), Journal.locked(tmp_path / "j"):
        pass
    with pytest.raises(Malformed), Journal.reading(tmp_path / "none"):
        pass


def test_a_newer_programs_journal_is_left_alone(tmp_path):
    with Journal.locked(tmp_path / "j"):
        pass
    connection = sqlite3.connect(tmp_path / "j")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(Malformed, match="newer_version"), Journal.locked(tmp_path / "j"):
        pass


def docked(journal, source, data=b"bytes", number="131102-LX-2026-00000001"):
    """Return the row of a file with its receipt."""
    entry = signed(journal, source, data)
    journal.stored(entry, number=number, same_bytes_as=None, now=NOW)
    journal.verified("a", number, receipt="note", now=NOW)
    return journal.entry("a", source)


def test_a_release_is_remembered_at_every_step(journal):
    entry = docked(journal, a_source())
    journal.releasing(entry, now=NOW)
    assert [row.id for row in journal.unfinished("a", CARD.identity)] == [entry.id]
    assert journal.unfinished("a", "another card") == journal.unfinished("b", CARD.identity) == []
    journal.released(entry, now=NOW)
    assert journal.unfinished("a", CARD.identity) == []
    found = journal.entry("a", a_source())
    assert (found.state, found.state.done, found.receipt) == (State.RELEASED, True, "note")


def test_what_was_released_or_kept_is_still_known_by_its_bytes(journal):
    journal.kept(docked(journal, a_source("one")), "key_mark", now=NOW)
    second = signed(journal, a_source("two"))
    journal.known(second, journal.docked("a", second.sha256, 5), now=NOW)
    found = journal.entry("a", a_source("two"))
    assert (found.state, found.receipt, found.again, found.trouble) == (State.VERIFIED, "note", True, None)


def test_a_late_receipt_does_not_bring_back_what_was_released(journal):
    journal.released(docked(journal, a_source()), now=NOW)
    journal.verified("a", "131102-LX-2026-00000001", receipt="another", now=NOW)
    assert journal.entry("a", a_source()).state is State.RELEASED


@pytest.mark.parametrize("step", ["releasing", "released"])
def test_nothing_is_released_without_a_receipt(journal, step):
    entry = signed(journal, a_source())
    journal.stored(entry, number="131102-LX-2026-00000001", same_bytes_as=None, now=NOW)
    with pytest.raises(sqlite3.IntegrityError):
        getattr(journal, step)(entry, now=NOW)
    assert journal.entry("a", a_source()).state is State.STORED


def test_a_change_that_is_refused_takes_no_other_with_it(journal):
    entries = [signed(journal, a_source(f"{n}")) for n in range(40)]

    def keep(entry):
        number = None if entry.id % 2 else f"131102-LX-2026-{entry.id:08d}"
        try:
            journal.stored(entry, number=number, same_bytes_as=None, now=NOW)
        except sqlite3.IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(keep, entries))
    assert kept == [row.state is State.STORED for row in journal.entries()]
    assert sum(kept) == 20


def test_changes_that_wait_for_the_disk_become_durable_together(tmp_path):
    with Journal.locked(tmp_path / "j") as journal:
        other = sqlite3.connect(tmp_path / "j", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # the disk is busy
        commits = []
        journal._writer.set_trace_callback(lambda said: commits.append(said) if said.startswith("COMMIT") else None)
        threads = [threading.Thread(target=signed, args=(journal, a_source(f"{n}"))) for n in range(12)]
        for thread in threads:
            thread.start()
        while len(journal._queue) < 11:  # one has the pen and waits, the others stand behind it
            time.sleep(0.01)
        other.execute("ROLLBACK")
        other.close()
        for thread in threads:
            thread.join()
        assert len(journal.entries()) == 12
        assert len(commits) == 2


FIRST_VERSION = Path(__file__).with_name("journal-1.json")
"""The schema and two rows of a journal as the first release wrote it."""


def a_first_journal(path):
    made = json.loads(FIRST_VERSION.read_text("utf-8"))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(made["schema"])
    connection.executemany(
        "INSERT INTO file (archive, carrier, path, size, mtime_ns, state, sha256, manifest, signature, offset, number, receipt, changed_at)"
        " VALUES ('a', ?, ?, ?, ?, ?, ?, x'7b7d', zeroblob(64), ?, ?, ?, 5)",
        [(CARD.identity, row["path"].encode(), 5, 7, *(row[name] for name in ("state", "sha256", "offset", "number", "receipt")))
         for row in made["rows"]],
    )  # fmt: skip
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def test_a_journal_of_the_first_release_goes_on_with_all_its_rows(tmp_path):
    a_first_journal(tmp_path / "j")
    with Journal.reading(tmp_path / "j") as journal:
        assert [row.sm3 for row in journal.entries()] == [None, None]
    with Journal.locked(tmp_path / "j") as journal:
        first, second = journal.entries()
        assert (first.shown, first.state, first.offset, first.sm3) == ("REC_0001.MP4", State.SIGNED, 4096, None)
        assert (second.state, second.number, second.receipt) == (State.VERIFIED, "131102-LX-2026-00000001", "note")
        journal.releasing(second, now=NOW)
    with Journal.locked(tmp_path / "j") as journal:
        assert journal.entry("a", a_source("REC_0002.MP4")).state is State.RELEASING
