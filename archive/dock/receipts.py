"""Receipts: asked for until the archive has read the bytes back, and believed only when they check out.

Invariant: a receipt is kept only if a key of the credential signed it and it speaks of this number, digest, size and station.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive.core import note
from archive.core.errors import Malformed, Mismatch, ServerRefused, Unavailable
from archive.core.receipt import Receipt
from archive.dock.credential import verify
from archive.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.core.instant import Instant
    from archive.dock.client import Server
    from archive.dock.credential import Credential
    from archive.dock.journal import Entry, Journal
    from archive.dock.pace import Stop

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
    waiting = journal.waiting(credential.archive)
    while waiting:
        still: list[Entry] = []
        for entry in waiting:
            stop.check()
            if not _collected(entry, journal=journal, server=server, credential=credential, now=now, told=told):
                still.append(entry)
        pause = _FIRST_PAUSE_S if len(still) < len(waiting) else min(pause * 1.5, _LONGEST_PAUSE_S)
        waiting = still
        left = until - clock()
        if not waiting or left <= 0:
            break
        stop.wait(min(pause, left))
    return waiting


def _collected(
    entry: Entry,
    *,
    journal: Journal,
    server: Server,
    credential: Credential,
    now: Callable[[], Instant],
    told: Callable[[Entry, str | None], None],
) -> bool:
    assert entry.number is not None
    try:
        text = server.receipt(entry.number)
        if text is None:
            return False
        check(text, entry, credential=credential)
    except Unavailable:
        return False
    except (Malformed, Mismatch, ServerRefused) as why:
        if isinstance(why, ServerRefused) and why.facts.get("status") in {401, 403}:
            raise
        journal.troubled(entry, f"receipt: {why}", now=now())
        told(entry, str(why))
        return True
    failpoint("dock.receipt_checked")
    journal.verified(credential.archive, entry.number, receipt=text, now=now())
    failpoint("dock.receipt_kept")
    told(entry, None)
    return True
