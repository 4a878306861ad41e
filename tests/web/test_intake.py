"""Taking in what is whole: at every step the process may die, and doing it again ends the same."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from archive.actions import concatenation, person, upload
from archive.core.access import PersonCaller
from archive.core.digest import Digest, original_key, quarantine_key
from archive.core.errors import DigestMismatch, UploadBusy, UploadGone
from archive.core.instant import Instant
from archive.core.tus import UPLOADS, Concat
from archive.resources import opened
from archive.settings import Settings
from archive.web import intake, opening

ID = "0123456789abcdef" * 2
DATA = b"a recording" * 50_000
NOW = Instant(1_790_000_000_000_000)
LATER = Instant(NOW + 60_000_000)
EXPIRY = Instant(NOW + 3_600_000_000)

FINISH = """
import sys
from pathlib import Path
from archive import failpoints
from archive.core.instant import Instant
from archive.core.tus import UPLOADS, Concat
from archive.resources import opened
from archive.settings import Settings
from archive.web import intake
data, upload_id, now, point = sys.argv[1:]
with opened(Settings(data_dir=Path(data), agency="131102", free_space_floor=0)) as resources:
    failpoints.arm(point)
    intake.finish(resources, upload_id, Instant(int(now)))
"""

TAKING_IN = ["upload.synced", "put.linked", "accession.before_commit", "accession.committed"]
PUTTING_ASIDE = ["put.linked", "upload.refused"]
"""The telling ones; tests/journeys goes through every failpoint."""


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data", agency="131102", free_space_floor=0)


@pytest.fixture
def resources(settings):
    with opened(settings) as resources:
        with resources.transaction() as session:
            person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=NOW)
        yield resources


def begin(resources, data=DATA, *, length=None, declared=None, upload_id=ID, deferred=False, concat=None):
    values = {} if declared is None else {"sha256": declared.hex.encode()}
    with resources.transaction() as session:
        upload.create(
            session,
            upload_id=upload_id,
            caller=PersonCaller(1, "admin", "管理员"),
            length=None if deferred else len(data) if length is None else length,
            concat=concat,
            metadata={"filename": b"a.bin", **values},
            verify=lambda *_: True,
            now=NOW,
            expires_at=EXPIRY,
        )
    with resources.spool.append(upload_id, start=0) as appender:
        appender.write([data])
        appender.finish()


def join(resources, parts, *, upload_id=ID, expires_at=EXPIRY):
    """Make a final upload of these parts, as far as its row and the parts' rows go."""
    with resources.transaction() as session:
        return concatenation.create(
            session,
            upload_id=upload_id,
            caller=PersonCaller(1, "admin", "管理员"),
            parts=[f"{UPLOADS}/{part}" for part in parts],
            sizes={part: resources.spool.size(part) for part in parts},
            metadata={"filename": b"a.bin"},
            verify=lambda *_: True,
            maximum=2**40,
            now=NOW,
            expires_at=expires_at,
        )


def found(resources, upload_id=ID):
    with resources.reading() as session:
        return upload.find(session, upload_id)


def count(settings, table):
    with closing(sqlite3.connect(settings.data_dir / "liuhen.db")) as database:
        return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def finish_and_die(settings, point):
    arguments = [str(settings.data_dir), ID, str(LATER), point]
    return subprocess.run([sys.executable, "-c", FINISH, *arguments], check=False, timeout=120).returncode


@pytest.mark.parametrize("point", TAKING_IN)
def test_a_crash_while_taking_in_loses_nothing_and_doubles_nothing(settings, resources, point):
    begin(resources)
    assert finish_and_die(settings, point) == 137
    intake.sweep(resources, LATER)
    assert found(resources).state == "stored"
    accepted = intake.finish(resources, ID, LATER)
    assert accepted.digest == Digest.of(DATA)
    assert count(settings, "items") == 1
    assert b"".join(resources.store.read(original_key(Digest.of(DATA)), 0, len(DATA))) == DATA
    assert list(resources.store.keys("")) == [original_key(Digest.of(DATA))]
    assert resources.spool.ids() == []


@pytest.mark.parametrize("point", PUTTING_ASIDE)
def test_a_crash_while_putting_aside_what_was_not_declared_keeps_it_aside(settings, resources, point):
    begin(resources, declared=Digest.of(b"something else"))
    assert finish_and_die(settings, point) == 137
    intake.sweep(resources, LATER)
    assert found(resources).state == "refused"
    with pytest.raises(DigestMismatch):
        intake.finish(resources, ID, LATER)
    assert count(settings, "items") == 0
    assert count(settings, "quarantine") == 1
    assert list(resources.store.keys("")) == [quarantine_key(ID)]
    assert resources.spool.ids() == []


def test_bytes_that_are_not_all_there_are_not_taken_in(resources):
    begin(resources, length=len(DATA) + 1)
    with pytest.raises(UploadBusy):
        intake.finish(resources, ID, LATER)
    assert found(resources).state == "receiving"
    assert intake.sweep(resources, LATER) == intake.Swept((), (), ())
    assert resources.spool.size(ID) == len(DATA)


def test_whole_bytes_in_doubt_are_not_taken_in(resources):
    begin(resources)
    with resources.transaction() as session:
        upload.set_floor(session, ID, 5)
    assert intake.sweep(resources, LATER).taken_in == ()
    with pytest.raises(UploadBusy):
        intake.finish(resources, ID, LATER)


def test_an_upload_of_nothing_that_a_crash_left_without_a_file_is_taken_in(resources):
    begin(resources, b"")
    resources.spool.discard(ID)
    assert intake.sweep(resources, LATER).taken_in == (ID,)
    assert found(resources).sha256 == Digest.of(b"").hex


def test_a_sweep_ends_what_has_expired_and_drops_its_bytes(resources):
    begin(resources, length=len(DATA) + 1)
    assert intake.sweep(resources, EXPIRY) == intake.Swept((), (ID,), (ID,))
    assert found(resources).state == "expired"
    with pytest.raises(UploadGone):
        intake.finish(resources, ID, EXPIRY)


def test_what_is_whole_is_taken_in_even_when_its_time_has_run_out(resources):
    begin(resources)
    assert intake.sweep(resources, EXPIRY) == intake.Swept((ID,), (), ())


def test_bytes_without_an_upload_are_dropped(resources):
    stray = "f" * 32
    resources.spool.begin(stray)
    assert intake.sweep(resources, LATER).dropped == (stray,)


def test_one_upload_that_cannot_be_taken_in_does_not_keep_the_others_out(resources, settings):
    other = "e" * 32
    begin(resources)
    begin(resources, b"other", upload_id=other)
    blocked = settings.data_dir / "store" / original_key(Digest.of(DATA))
    blocked.parent.parent.mkdir(parents=True)
    blocked.parent.touch()  # a file where the store needs a directory
    assert intake.sweep(resources, LATER).taken_in == (other,)
    blocked.parent.unlink()
    assert intake.sweep(resources, LATER).taken_in == (ID,)


def test_rotten_bytes_found_on_the_way_are_replaced_and_kept_aside(resources, settings):
    begin(resources)
    intake.finish(resources, ID, LATER)
    kept = settings.data_dir / "store" / original_key(Digest.of(DATA))
    kept.unlink()
    kept.write_bytes(b"rotten")
    again = "d" * 32
    begin(resources, upload_id=again)
    accepted = intake.finish(resources, again, LATER)
    assert accepted.same_bytes_as == found(resources).number
    assert kept.read_bytes() == DATA
    assert len(list(resources.store.keys("rotten/"))) == 1


def test_a_file_in_the_store_is_the_spooled_file_itself_and_not_a_copy(resources, settings):
    begin(resources)
    inode = resources.spool.path(ID).stat().st_ino
    intake.finish(resources, ID, LATER)
    assert (settings.data_dir / "store" / original_key(Digest.of(DATA))).stat().st_ino == inode


# Uploads of unknown length, parts and what is made of them


def test_an_upload_of_unknown_length_is_never_whole_and_expires(resources):
    begin(resources, deferred=True)
    assert intake.sweep(resources, LATER) == intake.Swept((), (), ())
    with pytest.raises(UploadBusy):
        intake.finish(resources, ID, LATER)
    assert intake.sweep(resources, EXPIRY) == intake.Swept((), (ID,), (ID,))
    assert resources.spool.ids() == []


def test_a_part_is_never_taken_in_by_itself_and_expires_with_its_bytes(resources):
    begin(resources, concat=Concat.PARTIAL)
    assert intake.sweep(resources, LATER) == intake.Swept((), (), ())
    with pytest.raises(UploadBusy):
        intake.finish(resources, ID, LATER)
    assert intake.sweep(resources, EXPIRY) == intake.Swept((), (ID,), (ID,))
    assert found(resources).state == "expired"
    assert resources.spool.ids() == []
    with pytest.raises(UploadGone):
        join(resources, [ID], upload_id="c" * 32)


def test_parts_of_an_upload_that_is_under_way_are_kept_whatever_their_time(resources, settings):
    parts = ["a" * 32, "b" * 32]
    for part, data in zip(parts, (b"one ", b"two"), strict=True):
        begin(resources, data, upload_id=part, concat=Concat.PARTIAL)
    assert join(resources, parts) == ID
    blocked = settings.data_dir / "store" / original_key(Digest.of(b"one two"))
    blocked.parent.parent.mkdir(parents=True)
    blocked.parent.touch()  # a file where the store needs a directory
    assert intake.sweep(resources, LATER) == intake.Swept((), (), ())
    assert resources.spool.size(ID) == 7, "joined, and waiting for the store"
    blocked.parent.unlink()
    assert intake.sweep(resources, EXPIRY) == intake.Swept((ID,), (), ())
    assert found(resources).sha256 == Digest.of(b"one two").hex
    assert resources.spool.ids() == []


def test_a_sweep_drops_no_part_whose_whole_is_not_joined_yet(resources):
    part = "a" * 32
    begin(resources, b"part", upload_id=part, concat=Concat.PARTIAL)
    join(resources, [part])
    with resources.reading() as session:
        assert concatenation.wanted(session, part)
    resources.spool.begin("f" * 32)
    assert intake.sweep(resources, LATER) == intake.Swept((ID,), (), ("f" * 32,))
    with resources.reading() as session:
        assert not concatenation.wanted(session, part)


def test_a_final_upload_that_is_ended_takes_its_parts_with_it(resources):
    part = "a" * 32
    begin(resources, b"part", upload_id=part, concat=Concat.PARTIAL)
    join(resources, [part])
    opening.terminate(resources, ID, LATER)
    assert resources.spool.ids() == []
    assert intake.sweep(resources, LATER) == intake.Swept((), (), ())


def test_a_small_file_in_hand_is_no_stray(resources):
    with resources.spool.laid_down(ID, [b"in ", b"hand"]) as (path, digest):
        assert intake.sweep(resources, LATER) == intake.Swept((), (), ())
        assert (path.read_bytes(), digest) == (b"in hand", Digest.of(b"in hand"))
    assert not path.exists()
    path.touch()  # what a power cut leaves
    assert intake.sweep(resources, LATER).dropped == (ID,)
