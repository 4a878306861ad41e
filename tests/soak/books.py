"""A sender's own books: what it offered, what the archive acknowledged, and what it got a receipt for; on disk before it goes on.

That, and not what the archive remembers, is what must hold. One book is one station's; a line is one fact; a line that was cut off by the
end of the process that wrote it was never acted upon. What a book says of a file never changes: a second, different answer is a flaw.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Deposit:
    """A file and how far the archive says it is; `number` None until it is acknowledged, `receipt` None until that is in hand."""

    station: str
    name: str
    sha256: str
    size: int
    number: str | None = None
    receipt: str | None = None


@dataclass(slots=True)
class Book:
    """One station's book; threads may write to it at once."""

    path: Path
    station: str
    _deposits: dict[str, Deposit] = field(default_factory=dict)
    _flaws: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if not self.path.exists():
            return
        whole = self.path.read_bytes()
        kept = whole[: whole.rfind(b"\n") + 1]
        if kept != whole:
            self.path.write_bytes(kept)
        for line in kept.decode().splitlines():
            self._take(json.loads(line))

    def offered(self, name: str, *, sha256: str, size: int) -> None:
        """Note a file that is about to be sent."""
        self._note({"what": "offered", "name": name, "sha256": sha256, "size": size})

    def acknowledged(self, name: str, *, number: str, sha256: str) -> None:
        """Note that the archive said «stored»."""
        self._note({"what": "acknowledged", "name": name, "number": number, "sha256": sha256})

    def receipted(self, name: str, *, receipt: str) -> None:
        """Note a receipt."""
        self._note({"what": "receipted", "name": name, "receipt": receipt})

    def refused(self, name: str, *, status: int, why: str) -> None:
        """Note that the archive said no for good: to an honest sender it never may."""
        self._note({"what": "refused", "name": name, "status": status, "why": why})

    def deposits(self) -> list[Deposit]:
        """Return every file of the book, in the order in which they were offered."""
        with self._lock:
            return list(self._deposits.values())

    def flaws(self) -> list[str]:
        """Return what the archive's answers contradict each other in."""
        with self._lock:
            return list(self._flaws)

    def _note(self, said: dict[str, object]) -> None:
        with self._lock:
            with self.path.open("ab") as file:
                file.write(json.dumps(said, ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._take(said)

    def _take(self, said: dict[str, object]) -> None:
        name = str(said["name"])
        known = self._deposits.get(name)
        if said["what"] == "offered":
            self._deposits.setdefault(name, Deposit(self.station, name, str(said["sha256"]), int(str(said["size"]))))
            return
        if known is None:
            self._flaws.append(f"{name}: answered before it was offered")
            return
        number, receipt = known.number, known.receipt
        if said["what"] == "refused":
            self._flaws.append(f"{name}: refused with {said['status']} {said['why']}")
        elif said["what"] == "acknowledged":
            if said["sha256"] != known.sha256:
                self._flaws.append(f"{name}: acknowledged as {said['sha256']}, sent as {known.sha256}")
            if number not in {None, said["number"]}:
                self._flaws.append(f"{name}: acknowledged as {number}, then as {said['number']}")
            number = number or str(said["number"])
        elif said["what"] == "receipted":
            if number is None:
                self._flaws.append(f"{name}: a receipt before it was acknowledged")
            receipt = str(said["receipt"])
        self._deposits[name] = Deposit(known.station, name, known.sha256, known.size, number, receipt)


def all_of(books: list[Book]) -> Iterator[Deposit]:
    """Yield every file of these books."""
    for book in books:
        yield from book.deposits()
