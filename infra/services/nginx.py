"""An nginx of one's own, over a configuration that is given whole: what it listens on and where it writes is said in there.

Invariants: it runs in the foreground of its own session with the directory as its prefix, so that every relative path of the
configuration lies in it, and its pid file is ours.
"""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from pathlib import Path

from infra.services import Daemon, OneDaemon, await_ready, environment, listening, prepared, run, started

PROGRAM = "/usr/sbin/nginx"


class Nginx(OneDaemon):
    """A proxy in a directory; making the object writes its configuration and starts nothing."""

    def __init__(self, directory: Path, configuration: str, *, port: int) -> None:
        self.directory = prepared(directory)
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self.daemon = Daemon(self.directory, "nginx")
        self._environment = environment(self.directory)
        (self.directory / "nginx.conf").write_text(configuration, "utf-8")

    @property
    def _command(self) -> list[str | Path]:
        return [PROGRAM, "-p", self.directory, "-c", self.directory / "nginx.conf", "-e", self.directory / "error.log"]

    def check(self) -> None:
        """Let nginx read the configuration (`nginx -t`).

        Raises:
            ServiceFailed: It has something against it.
        """
        run([*self._command, "-t"], environ=self._environment)

    def start(self) -> None:
        """Start it and return when it listens."""
        self.daemon.spawn([*self._command, "-g", "daemon off;"], environ=self._environment)
        await_ready(self.daemon, lambda: listening(self.port))

    def stop(self) -> None:
        """End it as an operator would, letting requests in hand come to their end."""
        self.daemon.stop(signal.SIGQUIT, within_s=5)


def running(directory: Path, configuration: str, *, port: int) -> AbstractContextManager[Nginx]:
    """Start a proxy in a directory and end it."""
    return started(Nginx(directory, configuration, port=port))
