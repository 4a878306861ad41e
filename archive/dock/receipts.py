"""Receipts: asked for until the archive has read the bytes back, and believed only when they check out.

Invariant: a receipt is kept only if a key of the credential signed it and it speaks of this number, digest, size and station.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.core import note
from archive.core.errors import Malformed, Mismatch, ServerRefused, Unavailable
from archive.core.receipt import Receipt
from archive.dock.client import RECEIPTS_AT_ONCE
from archive.dock.credential import verify
from archive.failpoints import failpoint

if TYPE_CHECKING:
    from archive.core.instant import Instant
    from archive.dock.client import Server
    from archive.dock.credential import Credential
    from archive.dock.journal import Entry, Journal
    from archive.dock.pace import Stop

_AT_ONCE = 8
_ASK = ""
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


def check(text: str, entry: Entry, *, credential: Credential) -> Receipt:
    """Return the receipt in this signed note, once it is seen to be for exactly this file.

    Raises:
        Malformed: this is no receipt.
        Mismatch: nobody we know signed it, or it is for something else.
    """
    receipt = Receipt.parse(note.read(text, keys=credential.server_keys, verify=verify))
    facts: dict[str, tuple[object, object]] = {
        "number": (str(receipt.number), entry.number),
        "sha256": (receipt.sha256, entry.sha256),
        "size": (receipt.size, entry.size),
        "station": (receipt.station, credential.station),
    }
    if entry.sm3 is not None:
        facts["sm3"] = (receipt.sm3, entry.sm3)
    for name, (said, signed) in facts.items():
        if said != signed:
            raise Mismatch(what="receipt", field=name, said=str(said)[:80], signed=str(signed)[:80])
    if receipt.verified_at < receipt.stored_at:
        raise Mismatch(what="receipt", field="verified_at")
    return receipt


def collect(
    *,
    journal: Journal,
    server: Server,
    credential: Credential,
    within_s: float,
    stop: Stop,
    clock: Callable[[], float],
    now: Callable[[], Instant],
    told: Callable[[Entry, str | None], None],
) -> list[Entry]:
    """Ask for every receipt that is missing, for `within_s` seconds, and return the files still without one.

    `told` hears of each file that came to an end: with None when its receipt is kept, else with what is wrong.

    Raises:
        ServerRefused: the station itself is no longer accepted.
        Stopped: somebody asked.
    """
    until = clock() + within_s
    pause = _FIRST_PAUSE_S
    each = _Each(journal, server, credential, now, told)
    waiting = journal.waiting(credential.archive)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="receipts") as pool:
        while waiting:
            still: list[Entry] = []
            for begin in range(0, len(waiting), RECEIPTS_AT_ONCE):
                stop.check()
                some = waiting[begin : begin + RECEIPTS_AT_ONCE]
                # checked and kept side by side, so that the journal writes them together
                still += [entry for entry, ended in zip(some, each.of(some, pool), strict=True) if not ended]
            pause = _FIRST_PAUSE_S if len(still) < len(waiting) else min(pause * 1.5, _LONGEST_PAUSE_S)
            waiting = still
            left = until - clock()
            if not waiting or left <= 0:
                break
            stop.wait(min(pause, left))
    return waiting


@dataclass(slots=True)
class _Each:
    """What asking for receipts takes."""

    journal: Journal
    server: Server
    credential: Credential
    now: Callable[[], Instant]
    told: Callable[[Entry, str | None], None]
    one_by_one: bool = False
    """Whether the archive is known to give receipts one by one only."""

    def of(self, entries: list[Entry], pool: ThreadPoolExecutor) -> list[bool]:
        """Say for each of these whether it came to an end."""
        try:
            texts = None if self.one_by_one else self._together(entries)
        except Unavailable:
            return [False] * len(entries)
        return list(pool.map(lambda entry: self._one(entry, texts), entries))

    def _together(self, entries: list[Entry]) -> Mapping[str, str] | None:
        answer = self.server.receipts([entry.number or "" for entry in entries])
        if answer is None:
            self.one_by_one = True
            return None
        # of a number that it says it does not know, it is asked once more by itself, which says so with a code
        return {**dict.fromkeys(answer.unknown, _ASK), **answer.texts}

    def _one(self, entry: Entry, texts: Mapping[str, str] | None) -> bool:
        assert entry.number is not None
        try:
            text = self.server.receipt(entry.number) if texts is None else texts.get(entry.number)
            if text == _ASK:
                text = self.server.receipt(entry.number)
            if text is None:
                return False
            check(text, entry, credential=self.credential)
        except Unavailable:
            return False
        except (Malformed, Mismatch, ServerRefused) as why:
            if isinstance(why, ServerRefused) and why.facts.get("status") in {401, 403}:
                raise
            self.journal.troubled(entry, f"receipt: {why}", now=self.now())
            self.told(entry, str(why))
            return True
        failpoint("dock.receipt_checked")
        self.journal.verified(self.credential.archive, entry.number, receipt=text, now=self.now())
        failpoint("dock.receipt_kept")
        self.told(entry, None)
        return True
