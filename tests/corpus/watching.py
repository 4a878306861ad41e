"""How much memory a process and everything it starts ever had, seen from outside while it runs."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

MIB = 1024 * 1024
_LOOK_EVERY = 0.03
_PEAK = re.compile(r"^Name:\t([^\n]*)$.*^VmHWM:\s+(\d+) kB$", re.MULTILINE | re.DOTALL)


class Watch:
    """Looks at this process's descendants every 30 ms and keeps the highest peak of each program.

    The kernel counts each process's own peak (VmHWM, proc(5)); what is missed is what a process grew in its last 30 ms. Asking for the
    peak of children waited for (getrusage) would miss all: bubblewrap's are reaped inside.
    """

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _what: BaseException | None, _where: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(_LOOK_EVERY):
            waiting = [os.getpid()]
            while waiting:
                pid = waiting.pop()
                try:
                    told = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace"))
                    for task in Path(f"/proc/{pid}/task").iterdir():
                        waiting += map(int, (task / "children").read_text().split())
                except (OSError, ValueError):
                    continue
                if told is not None:
                    name = "worker" if pid == os.getpid() else told[1]
                    self.peaks[name] = max(self.peaks.get(name, 0), int(told[2]) * 1024)
