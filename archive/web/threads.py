"""Threads for what waits for the object store, apart from those that answer everything else.

A route that waits does so in a thread, and a process has forty of them for all routes. A store that does not answer keeps each caller for
as long as its patience lasts: forty uploads that end at that moment, or forty pictures asked for, would take every thread there is, and no
page would be answered though none of it needs the store. So who waits for the store waits in threads of its own: one lot for taking in, one
for reading, since a sender's end must not wait for a player either.

Not guaranteed: that a store which is away is noticed at once, or that whoever finds its lot taken gets a thread before one comes free.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, Final, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

AT_ONCE: Final = 40
"""Threads of each lot: as many as a process has for everything else."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Threads:
    """A lot of threads, of which an event loop uses up to `AT_ONCE` at a time."""

    def __init__(self, name: str) -> None:
        self._limiter = RunVar[CapacityLimiter](f"liuhen.{name}")

    async def run(self, function: Callable[Given, Result], *args: Given.args, **named: Given.kwargs) -> Result:
        """Return what the function returns, called in one of these threads as soon as one is free."""
        limiter = self._limiter.get(None)
        if limiter is None:
            limiter = CapacityLimiter(AT_ONCE)
            self._limiter.set(limiter)
        return await run_sync(partial(function, *args, **named), limiter=limiter)

    def answer(self, route: Callable[Given, Result]) -> Callable[Given, Coroutine[Any, Any, Result]]:
        """Return a route that is answered in these threads; it stands below the router's decorator."""

        @wraps(route)
        async def answered(*args: Given.args, **named: Given.kwargs) -> Result:
            return await self.run(route, *args, **named)

        return answered


TAKING_IN: Final = Threads("taking_in")
READING: Final = Threads("reading")
