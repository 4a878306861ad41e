"""What a person sees while the dock works: Rich bars on a terminal, plain lines elsewhere; always on standard error.

Not guaranteed: that lines come in the order of the files; several go at once.
"""

from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME_WIDTH = 44


class Board:
    """Progress of a run; every method may be called from any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = _bars(console) if console.is_terminal else None
        self._totals: dict[str, TaskID] = {}

    @contextmanager
    def shown(self) -> Iterator[Self]:
        """Show the bars while inside."""
        if self._progress is None:
            yield self
            return
        with self._progress:
            yield self

    def expect(self, work: str, total: int) -> None:
        """Say how many bytes of this work (hashing, sending) there are in all."""
        if self._progress is not None and total:
            self._totals[work] = self._progress.add_task(f"[bold]{work} all", total=total)

    def line(self, text: str, *, style: str = "") -> None:
        """Say something that stays."""
        self._console.print(escape(text), style=style, soft_wrap=True, highlight=False)

    def file(self, name: str, work: str, size: int) -> Bar:
        """Begin a bar for one file's work."""
        if self._progress is None:
            return Bar(None, None, None)
        shown = name if len(name) <= _NAME_WIDTH else "…" + name[-_NAME_WIDTH + 1 :]
        task = self._progress.add_task(f"{work} {escape(shown)}", total=size or 1)
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
