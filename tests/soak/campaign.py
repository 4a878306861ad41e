"""Fault after fault on one running archive under steady docking, with a judgement after each.

A step: the fault stands, and is over; the first acknowledgement after it, and the end of every job promised by then, are timed; the senders
come to rest, the rest of the jobs is done, and everything is judged. Then they go on, and so does the next step. Nothing here waits a
fixed time for something to have happened: only a fault lasts for as long as its step says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from sqlalchemy import func, select

from archive.records.items import Item
from archive.resources import Resources
from tests.soak import invariants
from tests.soak.books import Book, Deposit, all_of
from tests.soak.breaking import broken, pauses_over
from tests.soak.invariants import Flaw
from tests.soak.plan import MOMENTARY, Step
from tests.soak.source import Docking
from tests.soak.stack import Stack

LARGE = "dock-4"
"""The station that always has a large file under way."""
LARGE_PAUSE_S = 0.5
DEEP = 6
"""Of so many steps one is followed by a reading of every byte there is; after each of the others those are read that came with it.
In a hurry all of them are read once, at the end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step; times in seconds from the fault's end, None where it did not come in time."""

    number: int
    name: str
    stood_s: float
    acknowledged_meanwhile: int
    first_s: float | None
    done_s: float | None
    deposits: int
    bytes: int
    flaws: tuple[str, ...]
    revived: tuple[str, ...] = ()
    """Programs that were found ended after the fault and were started again, the one that was killed among them."""


@dataclass(slots=True)
class Campaign:
    """A run's senders and what they know; from `begin` to `end`."""

    stack: Stack
    judge: Resources
    seed: int
    hurry: bool
    patience_s: float
    pause_s: float
    dockings: list[Docking] = field(default_factory=list)
    _client: httpx.Client | None = None
    _read: set[tuple[str, str]] = field(default_factory=set)
    """Files whose bytes were read back here already, by station and name; a deep fsck reads all again."""

    def begin(self) -> None:
        """Let the stations dock, behind what their books know."""
        for credential in self.stack.stations(self.judge):
            book = Book(self.stack.folder / f"{credential.name}.jsonl", credential.name)
            large = credential.name == LARGE
            pause_s = max(LARGE_PAUSE_S, self.pause_s) if large else self.pause_s
            docking = Docking(self.stack.base_url, credential, book, self.seed, large=large, pause_s=pause_s)
            docking.start()
            self.dockings.append(docking)

    def end(self) -> None:
        """Let the stations stop."""
        for docking in self.dockings:
            docking.stop()
        if self._client is not None:
            self._client.close()

    def deposits(self) -> list[Deposit]:
        """Return every file that was offered."""
        return list(all_of([docking.book for docking in self.dockings]))

    def run(self, step: Step) -> Outcome:
        """Make the step's faults, wait for the recovery, and judge."""
        resumed = time.monotonic()
        self._until(lambda: self._acknowledged_since(resumed) > 0)
        began = time.monotonic()
        with broken(self.stack, self.judge, step, hurry=self.hurry):
            if not set(step.faults) <= MOMENTARY:
                time.sleep(max(0.0, began + step.lasts_s - time.monotonic()))
        ended = time.monotonic()
        meanwhile = self._acknowledged_since(began, ended)
        revived: list[str] = []
        most_item = self._last_item()
        first = self._until(lambda: self._acknowledged_since(ended) > 0, revived)
        if self.hurry:  # what comes next goes before the last jobs of what is there
            for docking in self.dockings:
                docking.hold(finish=False)
        done = self._until(lambda: self._unfinished(most_item) == 0, revived)
        flaws = self._at_rest(finish=False, deep=not self.hurry and step.number % DEEP == DEEP - 1)
        deposits = [deposit for deposit in self.deposits() if deposit.number is not None]
        for docking in self.dockings:
            docking.go_on()
        return Outcome(
            number=step.number,
            name=step.name,
            stood_s=round(ended - began, 1),
            acknowledged_meanwhile=meanwhile,
            first_s=None if first is None else round(min(self._acknowledgements(ended)) - ended, 1),
            done_s=None if done is None else round(done - ended, 1),
            deposits=len(deposits),
            bytes=sum(deposit.size for deposit in deposits),
            flaws=tuple(map(str, flaws)),
            revived=tuple(revived),
        )

    def judge_everything(self) -> list[Flaw]:
        """Return every flaw of an archive at rest, with every byte read through the API as well."""
        self._read.clear()
        return self._at_rest(finish=True, deep=True)

    def _at_rest(self, *, finish: bool, deep: bool) -> list[Flaw]:
        """Let the senders come to rest and the jobs end, and judge; `finish` has large files finished that are under way."""
        for docking in self.dockings:
            docking.hold(finish=finish)
        if self._until(lambda: all(docking.idle(0) for docking in self.dockings)) is None:
            waiting = [f"{docking.credential.name}: {docking.troubles}" for docking in self.dockings if not docking.idle(0)]
            return [
                Flaw("answers", "senders", f"not every file was stored and verified in time; {'; '.join(waiting)}"),
                *self._judged(deep=deep),
            ]
        self._until(lambda: self._unfinished(self._last_item()) == 0)
        return self._judged(deep=deep)

    def _judged(self, *, deep: bool) -> list[Flaw]:
        """Return what is wrong now; of bytes those are read that were not yet, in a hurry only where all are."""
        new = [each for each in self.deposits() if each.number is not None and (each.station, each.name) not in self._read]
        if self.hurry and not deep:
            new = []
        found = invariants.judged(self.judge, [docking.book for docking in self.dockings], read=new, deep=deep)
        if new:
            if self._client is None:
                self._client = self.stack.sign_in()
            found += invariants.through_api(self._client, new)
        self._read |= {(each.station, each.name) for each in new}
        return found

    def _until(self, true: Callable[[], bool], revived: list[str] | None = None) -> float | None:
        """Return when this came true, looking often; None if it did not in time. What ended meanwhile is started again."""
        until, round_ = time.monotonic() + self.patience_s, 0
        while not true():
            for docking in self.dockings:
                if docking.failed is not None:
                    raise docking.failed
            if time.monotonic() > until:
                return None
            if self.hurry and (round_ := round_ + 1) % 20 == 0:
                pauses_over(self.judge)
            started = self.stack.revive()
            if revived is not None:
                revived += started
            time.sleep(0.05)
        return time.monotonic()

    def _acknowledgements(self, since: float, before: float = float("inf")) -> list[float]:
        return [at for docking in self.dockings for at in list(docking.acknowledged_at) if since < at < before]

    def _acknowledged_since(self, since: float, before: float = float("inf")) -> int:
        return len(self._acknowledgements(since, before))

    def _last_item(self) -> int:
        with self.judge.reading() as session:
            return session.scalar(select(func.max(Item.id))) or 0

    def _unfinished(self, most_item: int) -> int:
        with self.judge.reading() as session:
            return invariants.unfinished(session, most_item=most_item)
