"""What a station did with every file it ever saw: the reason why nothing goes twice and nothing is forgotten.

One row for each (archive, carrier, path, size, time of change). Invariants: a row is durable before the step it allows is taken
(SQLite, WAL, `synchronous=FULL`; what several threads write at the same moment becomes durable together); a manifest is signed once and
sent as it was signed; one process writes a journal at a time, and the lock goes with the process however it ends. The archive is told
apart by whom it signs as, so that it may change address and keys. A journal of an earlier version is taken over whole, or not at all.

Not guaranteed: that the archive still has what it acknowledged. That is what its receipts and its own checks are for.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from archive.core.digest import Digest
from archive.core.errors import JournalBusy, Malformed, Unavailable
from archive.core.instant import Instant
from archive.core.manifest import portable_name

if TYPE_CHECKING:
    from pathlib import Path

    from archive.dock.scan import Source

VERSION = 2
_BUSY_S = 10.0
_SCHEMA = """
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    archive TEXT NOT NULL,
    carrier TEXT NOT NULL,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('signed', 'stored', 'verified', 'releasing', 'released', 'kept', 'refused', 'flawed')),
    sha256 TEXT NOT NULL,
    sm3 TEXT,
    manifest BLOB NOT NULL,
    signature BLOB NOT NULL,
    upload_url TEXT,
    offset INTEGER NOT NULL DEFAULT 0,
    number TEXT,
    again INTEGER NOT NULL DEFAULT 0,
    same_bytes_as TEXT,
    receipt TEXT,
    trouble TEXT,
    changed_at INTEGER NOT NULL,
    UNIQUE (archive, carrier, path, size, mtime_ns),
    CHECK (state IN ('signed', 'refused', 'flawed') OR number IS NOT NULL),
    CHECK (state NOT IN ('verified', 'releasing', 'released', 'kept') OR receipt IS NOT NULL)
) STRICT;
CREATE INDEX file_by_digest ON file (archive, sha256, state);
CREATE INDEX file_by_number ON file (archive, number);
CREATE INDEX file_by_state ON file (archive, state, id);
"""
_ASIDE = "ALTER TABLE file RENAME TO file_1; DROP INDEX file_by_digest; DROP INDEX file_by_number;"
_TAKEN_OVER = """
INSERT INTO file (id, archive, carrier, path, size, mtime_ns, state, sha256, manifest, signature, upload_url, offset, number, again,
                  same_bytes_as, receipt, trouble, changed_at)
    SELECT id, archive, carrier, path, size, mtime_ns, state, sha256, manifest, signature, upload_url, offset, number, again,
           same_bytes_as, receipt, trouble, changed_at FROM file_1;
DROP TABLE file_1;
"""


class State(StrEnum):
    """How far a file got.

    `stored` is acknowledged, `verified` has a checked receipt; `releasing` is about to be removed from its carrier, or was and the archive
    has not heard of it yet, `released` was removed, `kept` stays there for the reason in `trouble`. The last two want a person.
    """

    SIGNED = "signed"
    STORED = "stored"
    VERIFIED = "verified"
    RELEASING = "releasing"
    RELEASED = "released"
    KEPT = "kept"
    REFUSED = "refused"
    FLAWED = "flawed"

    @property
    def done(self) -> bool:
        """Whether the archive has acknowledged these bytes."""
        return self is State.STORED or self.has_receipt

    @property
    def has_receipt(self) -> bool:
        """Whether a receipt for these bytes was checked and kept."""
        return self in {State.VERIFIED, State.RELEASING, State.RELEASED, State.KEPT}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row; `again`: these bytes had been docked already, under `number`; `offset` is a hint, the server's word counts."""

    id: int
    archive: str
    carrier: str
    path: bytes
    size: int
    mtime_ns: int
    state: State
    sha256: Digest
    sm3: str | None
    manifest: bytes
    signature: bytes
    upload_url: str | None
    offset: int
    number: str | None
    again: bool
    same_bytes_as: str | None
    receipt: str | None
    trouble: str | None
    changed_at: Instant

    @property
    def shown(self) -> str:
        """The path for people, as the manifest has it."""
        return portable_name(os.fsdecode(self.path).split("/"))


_COLUMNS = (
    "id, archive, carrier, path, size, mtime_ns, state, sha256, sm3, manifest, signature, upload_url, offset, number, again, "
    "same_bytes_as, receipt, trouble, changed_at"
)


_DOCKED = "('stored', 'verified', 'releasing', 'released', 'kept')"


@dataclass(slots=True)
class _Write:
    """One change on its way to the disk."""

    statement: str
    values: tuple[object, ...]
    done: bool = False
    trouble: Exception | None = None


class Journal:
    """An open journal; its methods are safe from any thread, and what a method writes is durable when it returns."""

    def __init__(self, writer: sqlite3.Connection, reader: sqlite3.Connection, *, columns: str) -> None:
        self._writer = writer
        self._writer_lock = threading.Lock()
        self._reader = reader
        self._reader_lock = threading.Lock()
        self._columns = columns
        self._queue: list[_Write] = []
        self._queue_lock = threading.Lock()

    @classmethod
    @contextmanager
    def locked(cls, path: Path) -> Iterator[Self]:
        """Open the journal for a run; it is made, for its owner's eyes only, where there is none.

        Raises:
            JournalBusy: another run holds it.
            Malformed: a newer version of this program wrote it, or it is no journal.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as why:
                raise JournalBusy(journal=str(path)) from why
            if not path.exists():
                _make(path)
            with cls._opened(path, take_over=True) as journal:
                yield journal
        finally:
            os.close(lock)

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Iterator[Self]:
        """Open the journal to look at it, also while a run holds it.

        Raises:
            Malformed: there is none, or it is no journal of this version.
        """
        if not path.is_file():
            raise Malformed(what="journal", reason="not_there", path=str(path))
        with cls._opened(path, take_over=False) as journal:
            yield journal

    @classmethod
    @contextmanager
    def _opened(cls, path: Path, *, take_over: bool) -> Iterator[Self]:
        with closing(_connected(path)) as writer, closing(_connected(path)) as reader:
            try:
                writer.execute("PRAGMA synchronous=FULL")
                version = writer.execute("PRAGMA user_version").fetchone()[0]
                if version == 1 and take_over:
                    _run(writer, _ASIDE, _SCHEMA, _TAKEN_OVER)
                    version = VERSION
            except sqlite3.OperationalError as why:
                raise Unavailable(what="journal", path=str(path), reason=str(why)) from why
            except sqlite3.DatabaseError as why:
                raise Malformed(what="journal", path=str(path), reason=str(why)) from why
            if version not in {1, VERSION}:
                raise Malformed(what="journal", reason="newer_version" if version > VERSION else "no_version", version=version)
            yield cls(writer, reader, columns=_COLUMNS if version == VERSION else _COLUMNS.replace(" sm3,", " NULL AS sm3,"))

    def entry(self, archive: str, source: Source) -> Entry | None:
        """Return what is known of this very file, None if it was never seen as it is now."""
        key = (archive, source.carrier.identity, source.key, source.size, source.mtime_ns)
        return self._one("archive = ? AND carrier = ? AND path = ? AND size = ? AND mtime_ns = ?", key)

    def signed(
        self,
        archive: str,
        source: Source,
        *,
        digest: Digest,
        manifest: bytes,
        signature: bytes,
        now: Instant,
        sm3: str | None = None,
    ) -> Entry:
        """Keep a file's digests and signed manifest; whatever was under way for it before starts anew."""
        self._write(
            "INSERT INTO file (archive, carrier, path, size, mtime_ns, state, sha256, sm3, manifest, signature, changed_at)"
            " VALUES (?, ?, ?, ?, ?, 'signed', ?, ?, ?, ?, ?)"
            " ON CONFLICT (archive, carrier, path, size, mtime_ns) DO UPDATE SET state = 'signed', sha256 = excluded.sha256,"
            " sm3 = excluded.sm3, manifest = excluded.manifest, signature = excluded.signature, changed_at = excluded.changed_at,"
            " upload_url = NULL, offset = 0, number = NULL, again = 0, same_bytes_as = NULL, receipt = NULL, trouble = NULL",
            (
                *(archive, source.carrier.identity, source.key, source.size, source.mtime_ns),
                *(digest.hex, sm3, manifest, signature, now),
            ),
        )
        found = self.entry(archive, source)
        assert found is not None
        return found

    def sending(self, entry: Entry, *, upload_url: str | None, offset: int, now: Instant) -> None:
        """Keep where the upload is and how far it came; no address: it has to begin anew."""
        self._set(entry, "upload_url = ?, offset = ?", (upload_url, offset), now=now)

    def stored(self, entry: Entry, *, number: str, same_bytes_as: str | None, now: Instant) -> None:
        """Keep the number under which the archive acknowledged the file."""
        self._set(entry, "state = 'stored', number = ?, same_bytes_as = ?, trouble = NULL", (number, same_bytes_as), now=now)

    def known(self, entry: Entry, earlier: Entry, *, now: Instant) -> None:
        """Keep that these bytes had been docked already, and under which number."""
        self._set(
            entry,
            "state = ?, number = ?, receipt = ?, again = 1, upload_url = NULL, trouble = NULL",
            # what became of the other file on its carrier is not this one's
            ((State.VERIFIED if earlier.state.has_receipt else State.STORED).value, earlier.number, earlier.receipt),
            now=now,
        )

    def verified(self, archive: str, number: str, *, receipt: str, now: Instant) -> None:
        """Keep a checked receipt with every file it covers."""
        self._write(
            "UPDATE file SET state = 'verified', receipt = ?, trouble = NULL, changed_at = ?"
            " WHERE archive = ? AND number = ? AND state = 'stored'",
            (receipt, now, archive, number),
        )

    def releasing(self, entry: Entry, *, now: Instant) -> None:
        """Keep that this file is about to be removed from its carrier; from here on it is finished, however the run ends."""
        self._set(entry, "state = 'releasing', trouble = NULL", (), now=now)

    def released(self, entry: Entry, *, now: Instant) -> None:
        """Keep that the file is gone from its carrier and that the archive knows."""
        self._set(entry, "state = 'released', trouble = NULL", (), now=now)

    def kept(self, entry: Entry, reason: str, *, now: Instant) -> None:
        """Keep why the file stays on its carrier; it may be asked for again."""
        self._set(entry, "state = 'kept', trouble = ?", (reason,), now=now)

    def refused(self, entry: Entry, trouble: str, *, now: Instant) -> None:
        """Keep that the archive said no, and its code; the file stays where it is."""
        self._set(entry, "state = 'refused', upload_url = NULL, trouble = ?", (trouble,), now=now)

    def flawed(self, entry: Entry, trouble: str, *, now: Instant) -> None:
        """Keep that the archive's answer does not fit what was signed."""
        self._set(entry, "state = 'flawed', trouble = ?", (trouble,), now=now)

    def troubled(self, entry: Entry, trouble: str, *, now: Instant) -> None:
        """Keep why a file did not get on, without giving it up."""
        self._set(entry, "trouble = ?", (trouble,), now=now)

    def docked(self, archive: str, digest: Digest, size: int) -> Entry | None:
        """Return the file under which these bytes were first acknowledged, None if they never were."""
        return self._one(
            f"archive = ? AND sha256 = ? AND size = ? AND state IN {_DOCKED} AND again = 0 ORDER BY id LIMIT 1",
            (archive, digest.hex, size),
        )

    def waiting(self, archive: str) -> list[Entry]:
        """Return the files that were acknowledged and have no receipt yet, one for each number."""
        return self._many("archive = ? AND state = 'stored' AND again = 0 ORDER BY id", (archive,))

    def unfinished(self, archive: str, carrier: str) -> list[Entry]:
        """Return the files of a carrier whose release was begun and not finished."""
        return self._many("archive = ? AND state = 'releasing' AND carrier = ? ORDER BY id", (archive, carrier))

    def rename_archive(self, earlier: Iterable[str], archive: str) -> None:
        """Take over what was kept under an earlier identity of this archive; a file known under both stays as it is."""
        for each in earlier:
            self._write("UPDATE OR IGNORE file SET archive = ? WHERE archive = ?", (archive, each))

    def entries(self) -> list[Entry]:
        """Return every file, oldest first."""
        return self._many("1 ORDER BY id", ())

    def _set(self, entry: Entry, assignments: str, values: tuple[object, ...], *, now: Instant) -> None:
        self._write(f"UPDATE file SET {assignments}, changed_at = ? WHERE id = ?", (*values, now, entry.id))  # noqa: S608 - our own column names

    def _one(self, condition: str, values: tuple[object, ...]) -> Entry | None:
        found = self._many(condition, values)
        return found[0] if found else None

    def _many(self, condition: str, values: tuple[object, ...]) -> list[Entry]:
        with self._reader_lock, _faults():
            rows = self._reader.execute(f"SELECT {self._columns} FROM file WHERE {condition}", values).fetchall()  # noqa: S608 - our own conditions
        return [_entry(row) for row in rows]

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        """Make one change durable; changes that wait while another is being written share the next write."""
        mine = _Write(statement, values)
        with self._queue_lock:
            self._queue.append(mine)
        with self._writer_lock:
            if not mine.done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit(batch)
        if mine.trouble is not None:
            with _faults():
                raise mine.trouble

    def _commit(self, batch: list[_Write]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for each in batch:
                self._apply(each)
            self._writer.execute("COMMIT")
        except BaseException as why:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for each in batch:
                each.trouble = why if isinstance(why, Exception) else Unavailable(what="journal", reason=type(why).__name__)
            if not isinstance(why, Exception):
                raise
        finally:
            for each in batch:
                each.done = True

    def _apply(self, each: _Write) -> None:
        """Make one change of a batch; one that the table's own rules refuse takes no other with it."""
        self._writer.execute("SAVEPOINT one")
        try:
            self._writer.execute(each.statement, each.values)
        except sqlite3.IntegrityError as why:
            self._writer.execute("ROLLBACK TO one")
            each.trouble = why
        self._writer.execute("RELEASE one")


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


def _run(connection: sqlite3.Connection, *scripts: str) -> None:
    """Run the scripts' statements and set the version, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in filter(str.strip, ";".join(scripts).split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _faults() -> Iterator[None]:
    """Tell a full disk or a lock held too long as what it is: a fault, not the end of the program."""
    try:
        yield
    except sqlite3.OperationalError as why:
        raise Unavailable(what="journal", reason=str(why)) from why


def _make(path: Path) -> None:
    """Make an empty journal beside its place and put it there whole, so that nobody ever opens half of one."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with _faults(), closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        _run(connection, _SCHEMA)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _entry(row: tuple[object, ...]) -> Entry:
    values = dict(zip(_COLUMNS.replace(" ", "").split(","), row, strict=True))
    values |= {"state": State(str(values["state"])), "sha256": Digest(str(values["sha256"])), "again": bool(values["again"])}
    return Entry(**values)  # type: ignore[arg-type] # a row's columns
