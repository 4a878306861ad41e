"""Which web hosts go on, as one process has seen it by its own clock.

Every web host changes its row now and then. Whoever looks at the rows notes when it last saw each of them change, in the seconds of its own
monotonic clock: no other host's clock counts, nor a step of our own. While nobody could look (the database was away), nobody could beat
either, so the watch then begins anew.

Invariant: a host counts as gone only if it was looked at all the time for `gone_after` seconds and did not change once.

Not guaranteed: that a host which counts as gone is. It may be cut off and come back; what is said of its uploads then holds all the same,
because it is said in the database.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

BEATS: Final = 10
"""Beats in the time after which silence counts."""


class Peers:
    """What this process has seen of the web hosts, itself among them."""

    def __init__(self, gone_after: float) -> None:
        self.gone_after = gone_after
        self._guard = threading.Lock()
        self._since: float | None = None
        self._looked = 0.0
        self._beats: dict[str, tuple[int, float]] = {}

    @property
    def every(self) -> float:
        """Seconds between two beats, and between two looks."""
        return self.gone_after / BEATS

    def note(self, beats: Mapping[str, int], *, at: float) -> None:
        """Take up a look at the rows.

        Args:
            beats: What stands in each host's row: any number that a beat changes.
            at: When this was read, on the monotonic clock, in seconds.
        """
        with self._guard:
            if self._since is None or at - self._looked > self.gone_after / 2:
                self._since, self._beats = at, {}
            self._looked = at
            for name, beat in beats.items():
                if self._beats.get(name, (None, 0.0))[0] != beat:
                    self._beats[name] = (beat, at)

    def gone(self, name: str, *, at: float) -> bool:
        """Say whether this host counts as gone; one that has no row is looked for as long as one that is silent."""
        with self._guard:
            if self._since is None or at - self._looked > self.gone_after / 2:
                return False
            return self._looked - max(self._since, self._beats.get(name, (0, self._since))[1]) > self.gone_after

    def all_gone(self, *, at: float) -> frozenset[str]:
        """Return the hosts with a row that count as gone."""
        with self._guard:
            names = list(self._beats)
        return frozenset(name for name in names if self.gone(name, at=at))
