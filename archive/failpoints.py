"""Named places at which a test may end the process as a power cut would.

A crash test arms one name; the process then dies there with `os._exit`, so that no handler, flush or `finally` runs. Unarmed, a
failpoint is one comparison.
"""

from __future__ import annotations

import os

EXIT = 137
"""The status of a process killed by SIGKILL, as a shell reports it."""

_armed: list[tuple[str, int]] = []


def arm(name: str | None) -> None:
    """Arm the failpoint of this name; `name:3` dies at its third passing; None disarms."""
    _armed.clear()
    if name:
        point, _, count = name.partition(":")
        _armed.append((point, int(count or 1)))


def failpoint(name: str) -> None:
    """End the process here, if this name is armed and this is the passing asked for."""
    if _armed and _armed[0][0] == name:
        left = _armed[0][1] - 1
        if left == 0:
            os._exit(EXIT)
        _armed[0] = (name, left)
