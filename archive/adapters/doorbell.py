"""The embedded doorbell: a datagram that tells the worker to look at the job table now instead of at its next glance.

A ring that is lost costs a glance's wait and nothing else; so ringing never blocks, never fails, and says nothing.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Sequence
from pathlib import Path


class Doorbell:
    """Rings at a path; whoever listens there hears it."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def ring(self, lanes: Sequence[str]) -> None:
        """Ring, if anybody listens; one listener serves all lanes."""
        if not lanes:
            return
        with contextlib.suppress(OSError):
            self._socket.sendto(b"!", self._path)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


class Ear:
    """Listens at a path, which it takes over from whoever listened before."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0)

    def wait(self, seconds: float, *also: int) -> bool:
        """Wait for a ring, at most so long, and say whether there was one; rings that came together count as one.

        What can be read from a descriptor of `also` ends the wait too; that is no ring.
        """
        ours = self._socket.fileno()
        if ours not in select.select([ours, *also], [], [], seconds)[0]:
            return False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)
        return True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._path.unlink(missing_ok=True)
