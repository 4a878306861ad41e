"""When to stop, how fast to go, and how long to keep trying.

Invariants: every wait ends at once when the run is stopped; the limit holds for all files together, over any second and a burst of
one piece; patience is renewed by progress only.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from archive.core.errors import Malformed

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from archive.core.errors import Unavailable

LIMITED_CHUNK = 64 * 1024
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_RATE = re.compile(r"(\d{1,9})(?:\.(\d))?\s*([kmg]?)(i?)b?(?:/s)?", re.IGNORECASE)


class Stopped(Exception):
    """The run was asked to stop; what was done is kept."""


class Stop:
    """Whether the run is to stop; shared by all its threads."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._below: list[Stop] = []

    def below(self) -> Stop:
        """Return a stop of one part of the work, which stops with the whole, and can be asked by itself."""
        part = Stop()
        self._below.append(part)
        if self.asked:
            part.ask()
        return part

    def forget(self, part: Stop) -> None:
        """Let go of a part that is through."""
        with suppress(ValueError):
            self._below.remove(part)

    def ask(self) -> None:
        """Ask every thread to stop at its next step."""
        self._asked.set()
        for part in list(self._below):
            part.ask()

    @property
    def asked(self) -> bool:
        """Whether somebody did."""
        return self._asked.is_set()

    def check(self) -> None:
        """Raise `Stopped` if so."""
        if self._asked.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait, unless asked to stop.

        Raises:
            Stopped: at once when asked.
        """
        if self._asked.wait(max(0.0, seconds)):
            raise Stopped


class Turns:
    """Lets one thread at a time have a thing, such as a digest; others that want the same wait until it is through."""

    def __init__(self) -> None:
        self._taken: set[object] = set()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, thing: object) -> Iterator[None]:
        """Have the thing alone while inside."""
        with self._changed:
            while thing in self._taken:
                self._changed.wait()
            self._taken.add(thing)
        try:
            yield
        finally:
            with self._changed:
                self._taken.discard(thing)
                self._changed.notify_all()


class Limit:
    """A token bucket shared by all uploads; `rate` in bytes a second, None for no limit."""

    def __init__(self, rate: int | None, *, stop: Stop, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._stop = stop
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock()

    @property
    def chunk(self) -> int | None:
        """How many bytes to ask for at a time, None if it does not matter."""
        return None if self.rate is None else max(1024, min(LIMITED_CHUNK, self.rate // 4))

    def take(self, count: int) -> None:
        """Return when this many bytes may be sent."""
        if self.rate is None:
            return
        with self._lock:
            now = self._clock()
            starts = max(now, self._free_at)
            self._free_at = starts + count / self.rate
        if starts > now:
            self._stop.wait(starts - now)


class Patience:
    """How long to go on without any progress; `limit_s` seconds in all, waits doubling up to half a minute."""

    def __init__(self, limit_s: float, *, stop: Stop, chance: random.Random, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._stop = stop
        self._chance = chance
        self._clock = clock
        self._since: float | None = None
        self._next_s = _FIRST_WAIT_S

    def progress(self) -> None:
        """Something went forward: begin to count anew."""
        self._since = None
        self._next_s = _FIRST_WAIT_S

    def wait(self, why: Unavailable, *, asked_s: float | None = None) -> None:
        """Wait before the next attempt; `asked_s` is what the server asked for.

        Raises:
            Unavailable: `why`, when patience is spent.
            Stopped: somebody asked.
        """
        now = self._clock()
        self._since = now if self._since is None else self._since
        left = self._since + self._limit_s - now
        if left <= 0:
            raise why
        # the random part keeps a room full of stations from coming back in step
        pause = max(self._next_s * (0.5 + self._chance.random() / 2), min(asked_s or 0.0, 60.0))
        self._next_s = min(self._next_s * 2, _LONGEST_WAIT_S)
        self._stop.wait(min(pause, left))


def parse_rate(text: str) -> int:
    """Return the bytes a second that `20M`, `512k`, `1.5MiB/s` or `800000` mean; letters count in thousands, with an i in 1024s.

    Raises:
        Malformed: it means nothing, or nothing above zero.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise Malformed(what="rate", value=text[:40])
    whole, tenth, unit, binary = found.groups()
    base = 1024 if binary else 1000
    power: int = base ** " kmg".index(unit.lower() or " ")
    rate = (int(whole) * 10 + int(tenth or 0)) * power // 10
    if rate <= 0:
        raise Malformed(what="rate", value=text[:40])
    return rate
