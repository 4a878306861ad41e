"""What a station did with every file it ever saw: the reason why nothing goes twice and nothing is forgotten.

One row for each (archive, carrier, path, size, time of change). Invariants: a row is durable before the step it allows is taken
(SQLite, WAL, `synchronous=FULL`); a manifest is signed once and sent as it was signed; one process writes a journal at a time, and
the lock goes with the process however it ends. The archive is told apart by its key, so that it may change its address.

Not guaranteed: that the archive still has what it acknowledged. That is what its receipts and its own checks are for.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
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

VERSION = 1
_BUSY_S = 10.0
_SCHEMA = """
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    archive TEXT NOT NULL,
    carrier TEXT NOT NULL,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('signed', 'stored', 'verified', 'refused', 'flawed')),
    sha256 TEXT NOT NULL,
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
    CHECK (state NOT IN ('stored', 'verified') OR number IS NOT NULL),
    CHECK (state <> 'verified' OR receipt IS NOT NULL)
) STRICT;
CREATE INDEX file_by_digest ON file (archive, sha256, state);
CREATE INDEX file_by_number ON file (archive, number);
"""


class State(StrEnum):
    """How far a file got; `stored` is acknowledged, `verified` has a checked receipt, the last two want a person."""

    SIGNED = "signed"
    STORED = "stored"
    VERIFIED = "verified"
    REFUSED = "refused"
    FLAWED = "flawed"

    @property
    def done(self) -> bool:
        """Whether the archive has acknowledged these bytes."""
        return self in {State.STORED, State.VERIFIED}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row; `again`: these bytes had been docked already, under `number`; `offset` is a hint, the server's word counts."""

    id: int
    archive: str
    carrier: str
    path: bytes
    size: int
    state: State
    sha256: Digest
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
    "id, archive, carrier, path, size, state, sha256, manifest, signature, upload_url, offset, number, again, same_bytes_as, receipt, "
    "trouble, changed_at"
)


class Journal:
    """An open journal; its methods are safe from any thread, and each is one durable transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

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
            with cls._opened(path) as journal:
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
        with cls._opened(path) as journal:
            yield journal

    @classmethod
    @contextmanager
    def _opened(cls, path: Path) -> Iterator[Self]:
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)) as connection:
            try:
                connection.execute("PRAGMA synchronous=FULL")
                version = connection.execute("PRAGMA user_version").fetchone()[0]
            except sqlite3.OperationalError as why:
                raise Unavailable(what="journal", path=str(path), reason=str(why)) from why
            except sqlite3.DatabaseError as why:
                raise Malformed(what="journal", path=str(path), reason=str(why)) from why
            if version != VERSION:
                raise Malformed(what="journal", reason="newer_version" if version > VERSION else "no_version", version=version)
            yield cls(connection)

    def entry(self, archive: str, source: Source) -> Entry | None:
        """Return what is known of this very file, None if it was never seen as it is now."""
        key = (archive, source.carrier.identity, source.key, source.size, source.mtime_ns)
        return self._one("archive = ? AND carrier = ? AND path = ? AND size = ? AND mtime_ns = ?", key)

    def signed(self, archive: str, source: Source, *, digest: Digest, manifest: bytes, signature: bytes, now: Instant) -> Entry:
        """Keep a file's digest and signed manifest; whatever was under way for it before starts anew."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO file (archive, carrier, path, size, mtime_ns, state, sha256, manifest, signature, changed_at)"
                " VALUES (?, ?, ?, ?, ?, 'signed', ?, ?, ?, ?)"
                " ON CONFLICT (archive, carrier, path, size, mtime_ns) DO UPDATE SET state = 'signed', sha256 = excluded.sha256,"
                " manifest = excluded.manifest, signature = excluded.signature, changed_at = excluded.changed_at,"
                " upload_url = NULL, offset = 0, number = NULL, again = 0, same_bytes_as = NULL, receipt = NULL, trouble = NULL",
                (
                    *(archive, source.carrier.identity, source.key, source.size, source.mtime_ns),
                    *(digest.hex, manifest, signature, now),
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
            (earlier.state.value, earlier.number, earlier.receipt),
            now=now,
        )

    def verified(self, archive: str, number: str, *, receipt: str, now: Instant) -> None:
        """Keep a checked receipt with every file it covers."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE file SET state = 'verified', receipt = ?, trouble = NULL, changed_at = ? WHERE archive = ? AND number = ?",
                (receipt, now, archive, number),
            )

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
            "archive = ? AND sha256 = ? AND size = ? AND state IN ('stored', 'verified') AND again = 0 ORDER BY id LIMIT 1",
            (archive, digest.hex, size),
        )

    def waiting(self, archive: str) -> list[Entry]:
        """Return the files that were acknowledged and have no receipt yet, one for each number."""
        return self._many("archive = ? AND state = 'stored' AND again = 0 ORDER BY id", (archive,))

    def entries(self) -> list[Entry]:
        """Return every file, oldest first."""
        return self._many("1 ORDER BY id", ())

    def _set(self, entry: Entry, assignments: str, values: tuple[object, ...], *, now: Instant) -> None:
        with self._writing() as connection:
            connection.execute(f"UPDATE file SET {assignments}, changed_at = ? WHERE id = ?", (*values, now, entry.id))  # noqa: S608 - our own column names

    def _one(self, condition: str, values: tuple[object, ...]) -> Entry | None:
        found = self._many(condition, values)
        return found[0] if found else None

    def _many(self, condition: str, values: tuple[object, ...]) -> list[Entry]:
        with self._lock, _faults():
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM file WHERE {condition}", values).fetchall()  # noqa: S608 - our own conditions
        return [_entry(row) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


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
        connection.execute("BEGIN")
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
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
