"""Freeing a recorder: a file is removed from it only when the archive provably has it, and nothing else ever is.

A file goes only if its receipt, checked anew from the journaled note, is signed by a key of the credential and for these bytes; if the
archive gives leave; and if the file, read again at that moment through the descriptor that is kept open, still has the digest that was
signed. The name is then looked at once more, in a folder that was reached without following a link, and must still lead to that file.

Order: journal (releasing) → leave asked → read and compared → removed, folder synced → archive told → journal (released). A run that dies
anywhere is finished by the next one: a file that is there is checked anew from the beginning, one that is gone is told of. A file counts
as gone only if its carrier is there and known again; a card that was pulled takes nothing with it.

Not guaranteed: against somebody who writes to the recorder in the instant between the last look and the removal. Whatever he puts
under that very name goes, a link itself and not what it leads to; nothing outside that folder can.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.core.digest import Digest
from archive.core.errors import LiuhenError, Malformed, Mismatch, ServerRefused, SourceChanged, Unavailable
from archive.core.release import Reason
from archive.dock import carrier as carriers
from archive.dock import receipts
from archive.dock.journal import State
from archive.dock.pace import Stopped
from archive.dock.reading import CHUNK
from archive.failpoints import failpoint

if TYPE_CHECKING:
    from archive.dock.carrier import Volume
    from archive.dock.credential import Credential
    from archive.dock.journal import Entry
    from archive.dock.scan import Scan, Source
    from archive.dock.sending import Means

_TOO_EARLY = "too_early"
_EXAMINED_WITHIN_S = 60.0
_FORBIDDEN = frozenset({401, 403})
_BY_RULE = frozenset({"release_barred", "not_verified"})
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS})
"""Some file systems know no fsync of a folder."""


@dataclass(frozen=True, slots=True)
class Freed:
    """What became of one file on its carrier: released, kept with the reason, or waiting for a next run.

    `flaw`: something is wrong that a person should look at; a file kept by the agency's rule is none. `fault`: another run may get on.
    """

    path: str
    number: str | None
    state: str
    reason: str | None = None
    flaw: bool = False
    fault: bool = False


@dataclass(slots=True)
class Release:
    """One run's release of whatever the scanned carriers hold and the archive has; `told` hears of each file."""

    means: Means
    credential: Credential
    told: Callable[[Freed], None]
    _ended: LiuhenError | None = None

    def run(self, scans: Sequence[Scan], *, jobs: int) -> list[Freed]:
        """Release every file of these scans that has its receipt, and finish what an earlier run began.

        Raises:
            ServerRefused: the station itself is no longer accepted.
            Unavailable: the archive does not answer; the next run goes on.
            Stopped: somebody asked.
        """
        known = [(scan.volume, source, self._entry(source)) for scan in scans for source in scan.files]
        work = [(volume, source, entry) for volume, source, entry in known if entry is not None and entry.state.has_receipt]
        here = {entry.id for _, _, entry in work}
        found: list[Freed] = []
        for scan in scans:
            for entry in self.means.journal.unfinished(self.credential.archive, scan.volume.carrier.identity):
                if entry.id not in here:
                    here.add(entry.id)
                    found += self._heard(self._absent(scan.volume, entry))
        with ThreadPoolExecutor(jobs, thread_name_prefix="release") as pool:
            for freed in pool.map(lambda one: self._heard(self._guarded(*one)), work):
                found += freed
        if self._ended is not None:
            raise self._ended
        return found

    def _entry(self, source: Source) -> Entry | None:
        return self.means.journal.entry(self.credential.archive, source)

    def _heard(self, freed: Freed | None) -> list[Freed]:
        if freed is None:
            return []
        self.told(freed)
        return [freed]

    def _guarded(self, volume: Volume, source: Source, entry: Entry) -> Freed | None:
        """Release one file, unless the run has ended; what ends it for one ends it for all."""
        if self._ended is not None or self.means.stop.asked:
            return Freed(source.shown, entry.number, "waiting", "not begun", fault=True)
        try:
            return self._one(volume, source, entry)
        except Stopped:
            return Freed(source.shown, entry.number, "waiting", "stopped", fault=True)
        except LiuhenError as why:
            self._ended = self._ended or why
            return Freed(source.shown, entry.number, "waiting", str(why), fault=True)

    def _one(self, volume: Volume, source: Source, entry: Entry) -> Freed | None:
        try:
            self._check_receipt(entry)
        except (Malformed, Mismatch) as why:
            self.means.journal.troubled(entry, f"receipt: {why}", now=self.means.now())
            return Freed(source.shown, entry.number, "kept", f"receipt: {why}", flaw=True)
        try:
            with _found(source) as held:
                return self._free(source, entry, held)
        except SourceChanged as why:
            return self._changed(entry, str(why))
        except FileNotFoundError:
            return self._absent(volume, entry) if entry.state is State.RELEASING or not _is_there(volume) else None
        except _NotRemoved as why:
            return self._keep(entry, Reason.NOT_REMOVABLE, str(why)) if _is_there(volume) else _pulled(entry)
        except OSError as why:
            return self._keep(entry, Reason.UNREADABLE, why.strerror or str(why)) if _is_there(volume) else _pulled(entry)

    def _free(self, source: Source, entry: Entry, held: _Held) -> Freed:
        journal, now = self.means.journal, self.means.now
        if held.read_only:
            # nothing is asked for and nothing told: such a card is docked like this every day
            journal.kept(entry, "read_only", now=now())
            return Freed(source.shown, entry.number, "kept", "read_only", flaw=True)
        journal.releasing(entry, now=now())
        failpoint("dock.release_intended")
        barred = self._ask(entry)
        if barred is not None:
            return barred
        failpoint("dock.release_granted")
        digest = held.digest(check=self.means.stop.check)
        if digest != entry.sha256:
            return self._changed(entry, f"it hashes to {digest.short} now, {entry.sha256.short} was docked")
        failpoint("dock.release_compared")
        held.remove()
        failpoint("dock.release_removed")
        held.sync()
        failpoint("dock.release_synced")
        return self._gone(entry)

    def _check_receipt(self, entry: Entry) -> None:
        if entry.receipt is None:
            raise Mismatch(what="receipt", reason="missing")
        receipts.check(entry.receipt, entry, credential=self.credential)

    def _ask(self, entry: Entry) -> Freed | None:
        """Ask leave for the file; None: it is given."""
        try:
            answer = self._answered(entry)
        except (ServerRefused, Unavailable) as why:
            code = str(why.facts.get("server_code", ""))
            if code == _TOO_EARLY:
                return Freed(entry.shown, entry.number, "waiting", code, fault=True)
            if code not in _BY_RULE and (isinstance(why, Unavailable) or why.facts.get("status") in _FORBIDDEN):
                raise
            asked = [code or "refused", *(str(why.facts[name]) for name in ("server_reason", "server_case") if name in why.facts)]
            reason = ": ".join(asked[:2]) + (f" {asked[2]}" if len(asked) > 2 else "")  # noqa: PLR2004 - code, reason, case
            return self._barred(entry, reason, flaw=code != "release_barred")
        return None if answer.get("state") == "granted" else self._barred(entry, "no_leave", flaw=True)

    def _answered(self, entry: Entry) -> dict[str, object]:
        """Ask, and ask again for a while where the rule waits for the archive's examination."""
        pause = waited = 0.0
        while True:
            try:
                return self.means.server.post(f"/api/v1/items/{entry.number}/release", _signed(entry))
            except Unavailable as why:
                if why.facts.get("server_code") != _TOO_EARLY or waited >= _EXAMINED_WITHIN_S:
                    raise
            pause = min(0.2 + pause * 1.5, 5.0)
            waited += pause
            self.means.stop.wait(pause)
            self.means.stop.check()

    def _barred(self, entry: Entry, reason: str, *, flaw: bool) -> Freed:
        self.means.journal.kept(entry, reason, now=self.means.now())
        return Freed(entry.shown, entry.number, "kept", reason, flaw=flaw)

    def _gone(self, entry: Entry) -> Freed:
        """Tell the archive that the file is no longer on its carrier; whether leave was given, the archive knows."""
        answer = self._report(entry, outcome="removed", reason=None)
        failpoint("dock.release_told")
        if answer.get("state") != "done":
            reason = f"{Reason.GONE}: removed without leave"
            self.means.journal.kept(entry, reason, now=self.means.now())
            return Freed(entry.shown, entry.number, "kept", reason, flaw=True)
        self.means.journal.released(entry, now=self.means.now())
        failpoint("dock.release_kept")
        return Freed(entry.shown, entry.number, "released")

    def _keep(self, entry: Entry, reason: Reason, words: str) -> Freed:
        self._report(entry, outcome="kept", reason=reason)
        self.means.journal.kept(entry, f"{reason}: {words}", now=self.means.now())
        return Freed(entry.shown, entry.number, "kept", f"{reason}: {words}", flaw=True)

    def _changed(self, entry: Entry, words: str) -> Freed:
        """Keep a file that is no longer what was docked; it wants a person, and `--retry-refused` docks what it is now."""
        self._report(entry, outcome="kept", reason=Reason.CHANGED)
        self.means.journal.flawed(entry, f"{Reason.CHANGED}: {words}", now=self.means.now())
        return Freed(entry.shown, entry.number, "kept", f"{Reason.CHANGED}: {words}", flaw=True)

    def _report(self, entry: Entry, *, outcome: str, reason: Reason | None) -> dict[str, object]:
        told = {**_signed(entry), "outcome": outcome, "reason": None if reason is None else reason.value}
        return self.means.server.post(f"/api/v1/items/{entry.number}/release/done", told)

    def _absent(self, volume: Volume, entry: Entry) -> Freed | None:
        """Finish a release whose file was not found as it was."""
        try:
            self._check_receipt(entry)
            if not _is_there(volume):
                return _pulled(entry)
            status = (volume.root / os.fsdecode(entry.path)).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return self._gone(entry) if _is_there(volume) else _pulled(entry)
        except OSError:
            return None  # the folder cannot be read now; the scan says so
        except (Malformed, Mismatch) as why:
            return Freed(entry.shown, entry.number, "kept", f"receipt: {why}", flaw=True)
        if stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns):
            return None  # it lies outside the folder that was named this time
        return self._changed(entry, "another file has its name")


class _NotRemoved(Exception):
    """The system does not let the file be removed, and says why."""


def _is_there(volume: Volume) -> bool:
    """Whether this very carrier is in its place now: another card may have been put there, under the same number."""
    try:
        found = carriers.identify(volume.root, label=volume.carrier.label, kind=volume.carrier.kind)
    except OSError:
        return False
    return volume.present() and found.carrier.identity == volume.carrier.identity


def _pulled(entry: Entry) -> Freed:
    return Freed(entry.shown, entry.number, "waiting", "carrier gone", fault=True)


class _Held:
    """A file kept open, with the folder that it lies in."""

    def __init__(self, source: Source, *, folder: int, file: int) -> None:
        self._source = source
        self._name = source.path.name
        self._folder = folder
        self._file = file
        self._status = os.fstat(file)

    @property
    def read_only(self) -> bool:
        """Whether the medium lets nothing be removed."""
        return bool(os.fstatvfs(self._folder).f_flag & os.ST_RDONLY)

    def digest(self, *, check: Callable[[], None]) -> Digest:
        """Return the SHA-256 of all bytes as the medium gives them now, past what this machine remembers of them."""
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        hasher, buffer, at = hashlib.sha256(), memoryview(bytearray(CHUNK)), 0
        while got := os.preadv(self._file, [buffer], at):
            check()
            hasher.update(buffer[:got])
            at += got
            if at > self._source.size:
                break
        return Digest(hasher.hexdigest())

    def remove(self) -> None:
        """Remove the name, if it still leads to this very file and nothing was written to it.

        Raises:
            SourceChanged: another file, a link, or other bytes are there.
            FileNotFoundError: it is gone already.
            OSError: its folder cannot be read any more.
            _NotRemoved: the system does not let it be removed.
        """
        named = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        for status in (named, os.fstat(self._file)):
            if _identity(status) != _identity(self._status):
                raise SourceChanged(path=self._source.shown)
        try:
            os.unlink(self._name, dir_fd=self._folder)
        except FileNotFoundError:
            raise
        except OSError as why:
            raise _NotRemoved(why.strerror or str(why)) from why

    def sync(self) -> None:
        """Make the removal durable.

        Raises:
            Unavailable: the medium did not say that it is.
        """
        try:
            os.fsync(self._folder)
        except OSError as why:
            if why.errno not in _NO_SYNC:
                raise Unavailable(what="carrier", reason=why.strerror or str(why)) from why


@contextmanager
def _found(source: Source) -> Iterator[_Held]:
    """Open the file the scan saw, reached folder by folder without following a link.

    Raises:
        SourceChanged: it, or a folder on the way, is not what the scan saw.
        FileNotFoundError: it is gone.
        OSError: it cannot be opened.
    """
    root = source.path.parents[len(source.parts) - 1]
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for part in source.parts[:-1]:
            opened.append(_open(source, part, os.O_DIRECTORY, opened[-1]))
        opened.append(_open(source, source.parts[-1], os.O_NONBLOCK, opened[-1]))
        status = os.fstat(opened[-1])
        if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (source.size, source.mtime_ns):
            raise SourceChanged(path=source.shown)
        yield _Held(source, folder=opened[-2], file=opened[-1])
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _open(source: Source, name: str, flags: int, folder: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags, dir_fd=folder)
    except OSError as why:
        if why.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise SourceChanged(path=source.shown) from why
        raise


def _identity(status: os.stat_result) -> tuple[int, ...]:
    # the time of change of the inode itself is what nobody can set back
    return (status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _signed(entry: Entry) -> dict[str, str | None]:
    return {"manifest": base64.b64encode(entry.manifest).decode(), "signature": base64.b64encode(entry.signature).decode()}
