"""A run of the dock: hash, sign, send, collect receipts, for every file of the carriers that were scanned.

Invariants: nothing is sent before its digest and signed manifest are journaled; bytes this station has docked are not sent again,
and of files with the same bytes that come at the same time one is sent; a file that fails keeps no other from going.

Not guaranteed: the order of the files. A recorder is freed only where that is asked for, after everything else (`release`).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archive.core.errors import Fault, LiuhenError, Malformed, Mismatch, Refusal, ServerRefused, SourceChanged, Unavailable
from archive.core.manifest import signing_bytes
from archive.dock import reading, receipts, scanner, words
from archive.dock.describe import Reading, describe
from archive.dock.direct import Arrived
from archive.dock.journal import State
from archive.dock.pace import Patience, Stopped
from archive.dock.release import Freed, Release
from archive.dock.report import Outcome, Report, of_entry
from archive.dock.sending import Means, send
from archive.failpoints import failpoint

if TYPE_CHECKING:
    import random

    from archive.core.digest import Digest
    from archive.dock.board import Board
    from archive.dock.carrier import Volume
    from archive.dock.credential import Credential
    from archive.dock.journal import Entry
    from archive.dock.reading import Folder
    from archive.dock.scan import Scan, Source

_LOOKS_AT_A_CHANGING_FILE = 3
_FORBIDDEN = frozenset({401, 403})
_DIGEST_MISMATCH = 460
_ARRIVED = "arrived"
"""What is in the archive's store and waits to be taken in."""
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_PULLED = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.ESHUTDOWN})


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes about its work: how recorders are read, files at once, seconds without progress before it gives up.

    `release`: recorders are freed of what the archive has.
    """

    reading: Reading
    jobs: int
    patience_s: float
    retry_refused: bool
    chance: random.Random
    release: bool = False


class Dock:
    """One run's workers and what they share."""

    def __init__(self, *, means: Means, credential: Credential, plan: Plan, board: Board) -> None:
        self._means = means
        self._credential = credential
        self._plan = plan
        self._board = board
        self._volumes: dict[str, Volume] = {}
        self._gone: set[str] = set()
        """Carriers, by identity, that were pulled while they were read."""
        self._ended: LiuhenError | None = None
        """Why no further file is begun: the server is away for good, or does not want this station."""
        self._arrived: set[Digest] = set()
        """Bytes that are in the store and wait to be taken in: another file of the same bytes waits for what becomes of them."""
        self._changed: dict[tuple[str, bytes], Source] = {}
        """Files that changed since the scan, as they were last looked at, by carrier and path."""

    def run(self, scans: Sequence[Scan], *, wait_s: float | None) -> Report:
        """Dock every file of these scans and collect receipts for `wait_s` seconds, None for not at all."""
        # a source named twice, or a folder beside its own parent, gives the same files again
        found = {(source.carrier.identity, source.key): source for scan in scans for source in scan.files}
        sources = list(found.values())
        folders = reading.Folder.all_of(sources, self._plan.reading.patterns)
        self._volumes = {scan.volume.carrier.identity: scan.volume for scan in scans}
        outcomes: list[Outcome] = []
        flawed: list[str] = []
        freed: list[Freed] = []
        unverified = 0
        try:
            self._sign_in()
            self._expect(sources)
            with self._board.shown(), ThreadPoolExecutor(self._plan.jobs, thread_name_prefix="dock") as pool:
                outcomes = list(pool.map(lambda source: self._one(source, folders), sources))
                self._see_taken_in(outcomes, sources, folders, within_s=self._plan.patience_s if wait_s is None else wait_s)
            if self._ended is None:
                self._means.stop.check()
                if wait_s is not None:
                    unverified = self._collect(wait_s, flawed)
                if self._plan.release:
                    self._free(scans, freed)
                if wait_s is not None or self._plan.release:
                    outcomes = [self._with_receipt(*pair) for pair in zip(outcomes, sources, strict=True)]
        except Stopped:
            pass
        except LiuhenError as why:
            self._ended = why
        return Report(
            station=self._credential.station,
            outcomes=tuple(outcomes) or tuple(self._untouched(source, "not begun") for source in sources),
            passed=tuple(row for scan in scans for row in scan.passed),
            unverified=unverified,
            flawed_receipts=tuple(flawed),
            ended_by=None if self._ended is None else str(self._ended),
            refused=isinstance(self._ended, ServerRefused),
            stopped=self._means.stop.asked,
            releases=tuple(freed),
            gone=tuple(sorted(self._volumes[identity].carrier.label for identity in self._gone)),
        )

    def _sign_in(self) -> None:
        """Get a token before anything is hashed; a server that is just starting is waited for."""
        patience = Patience(self._plan.patience_s, stop=self._means.stop, chance=self._plan.chance)
        while True:
            try:
                self._means.server.sign_in()
            except Unavailable as why:
                self._board.tell("archive_away", trouble=str(why), style="yellow")
                patience.wait(why)
            else:
                return

    def _expect(self, sources: Sequence[Source]) -> None:
        """Tell the board how much there is to do."""
        known = {source: self._means.journal.entry(self._credential.archive, source) for source in sources}
        self._board.expect("hashing", sum(source.size for source, entry in known.items() if entry is None))
        self._board.expect(
            "sending", sum(source.size for source, entry in known.items() if entry is None or not entry.state.done)
        )

    def _one(self, source: Source, folders: Mapping[tuple[object, ...], Folder]) -> Outcome:
        """Dock one file; whatever happens to it is an outcome, not an exception."""
        folder = folders[reading.Folder.key(source)]
        try:
            for _ in range(_LOOKS_AT_A_CHANGING_FILE):
                if self._means.stop.asked or self._ended is not None:
                    return self._untouched(source, "not begun")
                if source.carrier.identity in self._gone:
                    return self._untouched(source, "carrier gone")
                try:
                    return self._docked(source, folder)
                except SourceChanged:
                    self._board.tell("changed", path=source.shown, style="yellow")
                    source = self._changed[source.carrier.identity, source.key] = source.as_now()
            outcome = Outcome(source.shown, source.size, "changing", trouble="the file keeps changing", fault=True)
        except Stopped:
            return Outcome(source.shown, source.size, "waiting", trouble="stopped", fault=True)
        except OSError as why:
            if self._is_gone(source, why):
                return Outcome(source.shown, source.size, "waiting", trouble="carrier gone", fault=True)
            outcome = Outcome(source.shown, source.size, "unreadable", trouble=f"unreadable: {why.strerror or why}")
        except Fault as why:
            self._ended = self._ended or why
            outcome = Outcome(source.shown, source.size, "waiting", trouble=str(why), fault=True)
        except Refusal as why:
            outcome = Outcome(source.shown, source.size, "refused", trouble=str(why))
        return self._told(outcome)

    def _see_taken_in(
        self, outcomes: list[Outcome], sources: Sequence[Source], folders: Mapping[tuple[object, ...], Folder], *, within_s: float
    ) -> None:
        """Ask after the files that went straight to the store until the archive has taken them in, for so long.

        Raises:
            Stopped: somebody asked.
        """
        until, pause = time.monotonic() + within_s, _FIRST_PAUSE_S
        waiting = [place for place, outcome in enumerate(outcomes) if outcome.trouble == _ARRIVED]
        waiting.sort(key=lambda place: outcomes[place].sent_bytes == 0)  # who sent asks before who waits for the same bytes
        if waiting:
            self._board.tell("arrived", count=len(waiting))
        while waiting and self._ended is None:
            self._arrived.clear()
            for place in waiting:
                found = self._one(self._as_sent(sources[place]), folders)
                outcomes[place] = replace(found, sent_bytes=outcomes[place].sent_bytes + found.sent_bytes)
            still = [place for place in waiting if outcomes[place].trouble == _ARRIVED]
            pause = _FIRST_PAUSE_S if len(still) < len(waiting) else min(pause * 1.5, _LONGEST_PAUSE_S)
            waiting, left = still, until - time.monotonic()
            if left <= 0:
                return
            if waiting:
                self._means.stop.wait(min(pause, left))

    def _as_sent(self, source: Source) -> Source:
        """Return a file as it was last looked at."""
        return self._changed.get((source.carrier.identity, source.key), source)

    def _untouched(self, source: Source, trouble: str) -> Outcome:
        """Return what a file is that this run does not begin: done, where the journal knows it so, or waiting for the next."""
        try:
            entry = self._means.journal.entry(self._credential.archive, source)
        except LiuhenError:
            entry = None  # the journal itself may be why the run ends
        if entry is not None and entry.state.done:
            return of_entry(entry)
        return Outcome(source.shown, source.size, "waiting", trouble=trouble, fault=True)

    def _is_gone(self, source: Source, why: OSError) -> bool:
        """Whether a file cannot be read because its carrier was pulled; a bad sector is another matter."""
        identity = source.carrier.identity
        volume = self._volumes.get(identity)
        if volume is None or (why.errno not in _PULLED and volume.present()):
            return False
        if identity not in self._gone:
            self._gone.add(identity)
            self._board.tell("gone", carrier=source.carrier.label, style="red")
        return True

    def _docked(self, source: Source, folder: Folder) -> Outcome:
        journal, archive = self._means.journal, self._credential.archive
        entry = journal.entry(archive, source)
        if entry is not None and entry.state.done:
            return of_entry(entry)
        if entry is not None and entry.state in {State.REFUSED, State.FLAWED}:
            if not self._plan.retry_refused:
                return self._told(of_entry(entry))
            entry = None
        if entry is None:
            entry = self._signed(source, folder)
        with self._means.turns.of(entry.sha256):
            # a page of a document goes whatever came before: it is that document's page
            is_page = source.carrier.kind == "scanner" and scanner.page_of(entry) is not None
            earlier = None if is_page else journal.docked(archive, entry.sha256, entry.size)
            if earlier is not None:
                journal.known(entry, earlier, now=self._means.now())
                failpoint("dock.known_kept")
                return self._told(self._kept(source))
            if entry.sha256 in self._arrived and not is_page:
                return self._has_arrived(entry, 0)
            outcome = self._sent(source, entry)
            return outcome if outcome.trouble == _ARRIVED else self._told(outcome)

    def _has_arrived(self, entry: Entry, sent: int) -> Outcome:
        self._arrived.add(entry.sha256)
        return Outcome(entry.shown, entry.size, "waiting", sha256=entry.sha256.hex, sent_bytes=sent, trouble=_ARRIVED, fault=True)

    def _signed(self, source: Source, folder: Folder) -> Entry:
        """Hash the file, ask it where it comes from, sign what was found, and keep that."""
        bar = self._board.file(source.shown, "hashing", source.size)

        def position(at: int) -> None:
            self._means.stop.check()
            bar.at(at)

        try:
            hashed = reading.hash_file(source, position=position, sm3=self._credential.sm3)
        finally:
            bar.end()
        failpoint("dock.hashed")
        now = self._means.now()
        encoded = describe(source, folder, hashed, by=self._plan.reading, station=self._credential.station, now=now).encode()
        signature = self._credential.sign(signing_bytes(encoded))
        entry = self._means.journal.signed(
            self._credential.archive,
            source,
            digest=hashed.sha256,
            sm3=hashed.sm3,
            manifest=encoded,
            signature=signature,
            now=now,
        )
        failpoint("dock.signature_kept")
        return entry

    def _sent(self, source: Source, entry: Entry) -> Outcome:
        journal, stop = self._means.journal, self._means.stop
        patience = Patience(self._plan.patience_s, stop=stop, chance=self._plan.chance)
        bar = self._board.file(source.shown, "sending", entry.size)
        try:
            sent = send(source, entry, means=self._means, patience=patience, position=bar.at)
        except Arrived as why:
            return self._has_arrived(entry, why.sent)
        except Mismatch as why:
            journal.flawed(entry, str(why), now=self._means.now())
            return self._kept(source)
        except ServerRefused as why:
            if why.facts.get("status") in _FORBIDDEN:
                self._ended = self._ended or why
                return Outcome(source.shown, source.size, "waiting", sha256=entry.sha256.hex, trouble=str(why), fault=True)
            journal.refused(entry, self._why_refused(source, entry, why), now=self._means.now())
            return self._kept(source)
        except Fault as why:
            journal.troubled(entry, str(why), now=self._means.now())
            raise
        finally:
            bar.end()
        failpoint("dock.accepted")
        accepted = sent.accepted
        journal.stored(entry, number=accepted.number, same_bytes_as=accepted.same_bytes_as, now=self._means.now())
        failpoint("dock.number_kept")
        return replace(self._kept(source), sent=True, sent_bytes=sent.size)

    def _why_refused(self, source: Source, entry: Entry, why: ServerRefused) -> str:
        """Return the server's reason; where it got other bytes than were signed, say whether the carrier is to blame."""
        if why.facts.get("status") != _DIGEST_MISMATCH and why.facts.get("server_code") != "digest_mismatch":
            return str(why)
        try:
            now = reading.hash_file(source, position=lambda _: self._means.stop.check()).sha256
        except (OSError, SourceChanged):
            return f"{why}; the file cannot be read again"
        if now == entry.sha256:
            return f"{why}; the file still hashes to what was signed, so the bytes changed on the way"
        return f"{why}; the carrier gives other bytes each time it is read ({now.short} now, {entry.sha256.short} when signed)"

    def _collect(self, wait_s: float, flawed: list[str]) -> int:
        def told(entry: Entry, trouble: str | None) -> None:
            if trouble is None:
                self._board.tell("receipt", number=entry.number, path=entry.shown, style="green")
            else:
                flawed.append(f"{entry.number}: {trouble}")
                self._board.tell("receipt_flawed", number=entry.number, trouble=trouble, style="bold red")

        missing = len(self._means.journal.waiting(self._credential.archive))
        if missing:
            self._board.tell("receipts", count=missing)
        waiting = receipts.collect(
            journal=self._means.journal,
            server=self._means.server,
            credential=self._credential,
            within_s=wait_s,
            stop=self._means.stop,
            clock=time.monotonic,
            now=self._means.now,
            told=told,
        )
        return len(waiting)

    def _free(self, scans: Sequence[Scan], freed: list[Freed]) -> None:
        def told(one: Freed) -> None:
            freed.append(one)
            style = "red" if one.flaw or one.fault else "yellow" if one.reason else "green"
            reason = one.reason or ""
            said = words.why(reason, self._board.tongue)
            self._board.tell("release", state=one.state, number=one.number, path=one.path, reason=reason, said=said, style=style)

        Release(means=self._means, credential=self._credential, told=told).run(scans, jobs=self._plan.jobs)

    def _with_receipt(self, outcome: Outcome, source: Source) -> Outcome:
        entry = self._means.journal.entry(self._credential.archive, self._as_sent(source)) if outcome.number else None
        return outcome if entry is None else replace(outcome, state=entry.state.value)

    def _kept(self, source: Source) -> Outcome:
        entry = self._means.journal.entry(self._credential.archive, source)
        if entry is None:
            raise Malformed(what="journal", reason="row_gone", path=source.shown)
        return of_entry(entry)

    def _told(self, outcome: Outcome) -> Outcome:
        style = "red" if outcome.trouble else ""
        said = outcome.trouble or outcome.number or ""
        if outcome.again:
            said += " " + words.say("again", self._board.tongue)
        self._board.tell("file", state=outcome.state, path=outcome.path, size=outcome.size, said=said, style=style)
        return outcome
