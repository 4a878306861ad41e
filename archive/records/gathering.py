"""Accessions that wait at the same moment are committed together, on PostgreSQL too.

Numbers run without a gap and custody events are one chain, so accessions pass one after the other whatever the database can do at once:
from its number to its commit each keeps all others waiting, on every host. One commit for all that wait in a process makes that way short:
one wait for the counter, one for the chain's end, one sync.

Invariants: each is done under a savepoint of its own, so that what one of them refuses undoes its own work only; nobody goes on before the
commit. If a batch is broken off, for whatever reason, each of it is done again alone, as `Tries` does it.

Not guaranteed: the order of locks between the accessions of one batch. Two hosts that take in the same bytes, or pages of one document, at
one moment may meet crosswise; the database ends one of the batches, and its accessions are done alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from archive.core.errors import Refusal, Unavailable
from archive.records.session import Result, Tries, begun, ended

MOST: Final = 32
"""Accessions of one batch; more would make the first of them wait for no gain."""

_AWAY: Final = frozenset({"connection_lost", "shutting_down", "no_connection_left"})

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    """What somebody wants written, and what became of it."""

    run: Callable[[Session], Any]
    done: bool = False
    result: Any = None
    error: BaseException | None = None


class Gathering(Tries):
    """Writing transactions on PostgreSQL, of which short ones that wait are committed together."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[_Work] = []

    def together(self, run: Callable[[Session], Result]) -> Result:
        """Do this in a writing transaction, with whatever else waits, and return what it returned once that is committed.

        It may be done more than once, as with `Tries`.

        Raises:
            What `run` raises, having undone it; Unavailable: it could not be done.
        """
        mine = _Work(run)
        with self._guard:
            self._waiting.append(mine)
        while not mine.done:
            with self._turn:
                if not mine.done:
                    self._do_some()
        if mine.error is not None:
            raise mine.error
        return cast("Result", mine.result)

    def _do_some(self) -> None:
        with self._guard:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            if len(batch) == 1 or not self._done_at_once(batch):
                self._do_alone(batch)
        finally:
            for work in batch:
                work.error = work.error or (None if work.done else Unavailable(what="database", why="broken_off"))
                work.done = True

    def _do_alone(self, batch: list[_Work]) -> None:
        away: Exception | None = None
        for work in batch:
            if away is None:
                try:
                    work.result, work.error = super().together(work.run), None
                except Exception as error:  # noqa: BLE001 - raised where it belongs, in the thread that asked
                    work.error = error
                    if isinstance(error, Unavailable) and error.facts.get("why") in _AWAY:
                        away = error
            else:
                work.error = away  # it was waited for once
            work.done = True

    def _done_at_once(self, batch: list[_Work]) -> bool:
        """Do all of a batch and commit it; False if that was broken off and nothing is known to be done."""
        try:
            with begun(self._engine) as connection:
                for work in batch:
                    try:
                        with (
                            connection.begin_nested(),
                            Session(connection, expire_on_commit=False, join_transaction_mode="rollback_only") as session,
                        ):
                            work.result = work.run(session)
                            ended(session)
                    except Refusal as error:
                        work.error = error
        except Exception as why:  # noqa: BLE001 - whatever it was, each finds out alone
            _log.warning("%d accessions at once were broken off (%s); each is done alone", len(batch), why)
            for work in batch:
                work.result = work.error = None
            return False
        for work in batch:
            work.done = True
        return True
