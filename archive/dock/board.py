"""What a person sees while the dock works: Rich bars on a terminal, plain lines elsewhere; always on standard error.

A station's display hears the same as events (`hear`): their name and their facts, whatever the language.

Not guaranteed: that lines come in the order of the files; several go at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from archive.dock import words

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME_WIDTH = 44
Hear = Callable[[str, Mapping[str, object]], None]
"""Hears an event's name and facts; may be called from any thread."""


class Board:
    """Progress of a run; every method may be called from any thread."""

    def __init__(
        self,
        console: Console,
        *,
        tongue: str = "en",
        hear: Hear | None = None,
        live: Live | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        self._console = console
        self._hear = hear
        self.tongue = tongue
        self._live = live or (Live(_bars(console)) if console.is_terminal else None)
        self._progress = None if self._live is None else self._live.progress
        self._totals: dict[str, TaskID] = {}
        self._facts = facts or {}

    def of(self, **facts: object) -> Board:
        """Return a board for one of several runs on the same screen; every event it tells has these facts too."""
        return Board(self._console, tongue=self.tongue, hear=self._hear, live=self._live, facts={**self._facts, **facts})

    @contextmanager
    def shown(self) -> Iterator[Self]:
        """Show the bars while inside."""
        if self._live is None:
            yield self
            return
        with self._live.on():
            yield self
            for task in self._totals.values():
                self._live.progress.remove_task(task)
            self._totals = {}

    def expect(self, work: str, total: int) -> None:
        """Say how many bytes of this work (hashing, sending) there are in all."""
        if self._progress is not None and total:
            shown = f"{words.say(work, self.tongue)} {words.say('all', self.tongue)}"
            self._totals[work] = self._progress.add_task(f"[bold]{shown}", total=total)

    def tell(self, event: str, *, style: str = "", **facts: object) -> None:
        """Tell an event: a line in the station's language for people, its facts for a display."""
        if self._hear is not None:
            self._hear(event, {**self._facts, **facts})
        told = {**facts, "shown": words.say(str(facts.get("state", "")), self.tongue)}
        for name in ("trouble", "said", "reason", "detail"):
            if isinstance(facts.get(name), str):
                told[name] = words.trouble(str(facts[name]), self.tongue)
        size = facts.get("size")
        if isinstance(size, int):
            told["size"] = size_text(size)
        self.line(words.say(event, self.tongue, **told), style=style)

    def line(self, text: str, *, style: str = "") -> None:
        """Say something that stays."""
        self._console.print(escape(text), style=style, soft_wrap=True, highlight=False)

    def file(self, name: str, work: str, size: int) -> Bar:
        """Begin a bar for one file's work."""
        if self._progress is None:
            return Bar(None, None, None)
        shown = name if len(name) <= _NAME_WIDTH else "…" + name[-_NAME_WIDTH + 1 :]
        task = self._progress.add_task(f"{words.say(work, self.tongue)} {escape(shown)}", total=size or 1)
        return Bar(self._progress, task, self._totals.get(work))


class Bar:
    """One file's bar; `at` takes absolute positions, so that going back is shown as going back."""

    def __init__(self, progress: Progress | None, task: TaskID | None, total: TaskID | None) -> None:
        self._progress = progress
        self._task = task
        self._total = total
        self._at = 0

    def at(self, position: int) -> None:
        """Say up to which byte this file's work has come."""
        moved, self._at = position - self._at, position
        if self._progress is None or self._task is None:
            return
        self._progress.update(self._task, completed=position)
        if self._total is not None:
            self._progress.advance(self._total, moved)

    def end(self) -> None:
        """Take the bar away."""
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


class Live:
    """The bars of a terminal, drawn as long as anybody has them on."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._users = 0
        self._lock = threading.Lock()

    @contextmanager
    def on(self) -> Iterator[None]:
        """Draw while inside."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self.progress.start()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self.progress.stop()


def size_text(size: int) -> str:
    """Return a size as people read it."""
    return decimal(size)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        expand=True,
    )
