"""Real servers of one's own, from Debian's packages: PostgreSQL, RabbitMQ, Ceph's object gateway, nginx.

Each lives in one directory: its data, its log, its ports and passwords (`service.json`, mode 0600) and, for each process, a pid file.
Whoever opens the directory can end it, restart it, kill or freeze it: nothing is kept in the process that started it.

Invariants: every server listens on 127.0.0.1 only and on ports it keeps for life; only processes that a pid file names, by number and
birth, are ever signalled, with the children they have. As root, PostgreSQL and RabbitMQ run as the accounts of their packages.
Not guaranteed: that nobody takes a port between the moment it was found free and the start that binds it; the start then says so.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import random
import signal
import socket
import stat
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

PORTS = range(15_000, 32_000)
"""Below the range from which Linux takes the near ends of connections, so that a server finds its port free again after a restart."""

STATE = "service.json"


class ServiceFailed(RuntimeError):
    """A server did not start, or a command of it failed; the text holds its last words."""


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on at this moment, and that no connection takes by chance."""
    for port in random.SystemRandom().sample(PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise ServiceFailed("no free port on loopback")


def listening(port: int) -> bool:
    """Return whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def account(name: str) -> str | None:
    """Return the account a server has to run as: its package's when we are root, else our own (`None`)."""
    return name if os.geteuid() == 0 else None


def prepared(directory: Path, *, owner: str | None = None) -> Path:
    """Make a directory that `owner` can write to, and return it.

    Raises:
        ServiceFailed: The owner cannot reach it, because a directory above it is closed to others.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if owner is not None:
        given_to(directory, owner)
        for above in directory.parents:
            if not above.stat().st_mode & stat.S_IXOTH:
                raise ServiceFailed(f"{owner} cannot reach {directory}: {above} is closed to others")
    return directory


def given_to(path: Path, owner: str) -> None:
    """Give a file or a directory to the account that uses it."""
    entry = pwd.getpwnam(owner)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def remembered(directory: Path, make: Callable[[], dict[str, str | int]]) -> dict[str, str | int]:
    """Return what the directory's `service.json` holds; where there is none, write what `make` gives first."""
    path = directory / STATE
    if path.exists():
        kept: dict[str, str | int] = json.loads(path.read_text("utf-8"))
        return kept
    made = make()
    beside = path.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(made, indent=1), "utf-8")
    beside.replace(path)
    return made


def run(command: Sequence[str | Path], *, environ: Mapping[str, str], owner: str | None = None, within_s: float = 60) -> str:
    """Run one administration command to its end and return what it printed.

    Raises:
        ServiceFailed: It ended badly or not in time.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            timeout=within_s,
            check=False,
            user=owner,
            group=owner,
            extra_groups=None if owner is None else [],
        )
    except subprocess.TimeoutExpired as why:
        raise ServiceFailed(f"{command[0]} took longer than {within_s:.0f} s") from why
    if done.returncode:
        raise ServiceFailed(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return a server's whole environment: a path, a home of its own and UTF-8, nothing of the caller's."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **more}


@dataclass(frozen=True, slots=True)
class Daemon:
    """One process of a server, found by `<directory>/<name>.pid`, which holds its number and the tick of its birth."""

    directory: Path
    name: str

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.directory / f"{self.name}.log"

    def spawn(self, command: Sequence[str | Path], *, environ: Mapping[str, str], owner: str | None = None) -> None:
        """Start it in the background, in a session of its own; it outlives us, and is nobody's child but the system's.

        Raises:
            ServiceFailed: It is running already.
        """
        if self.pid() is not None:
            raise ServiceFailed(f"{self.name} is running already in {self.directory}")
        # The shell ends at once, so that the server is an orphan: our exit, or a collected Popen, is nothing to it.
        script = 'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!'
        self.log.touch()
        if owner is not None:
            given_to(self.log, owner)
        told = subprocess.run(
            ["/bin/sh", "-c", script, "sh", str(self.log), *map(str, command)],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            check=True,
            start_new_session=True,
            user=owner,
            group=owner,
            extra_groups=None if owner is None else [],
        )
        self.adopt(int(told.stdout))

    def adopt(self, pid: int) -> None:
        """Record a process, so that whoever opens the directory finds it."""
        beside = self.directory / f"{self.name}.pid.new"
        beside.write_text(f"{pid} {_born(pid) or 0}\n", "utf-8")
        beside.replace(self.directory / f"{self.name}.pid")

    def pid(self) -> int | None:
        """Return its process id while it lives."""
        try:
            pid, born = map(int, (self.directory / f"{self.name}.pid").read_text("utf-8").split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if _born(pid) == born else None

    def stop(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = 30) -> None:
        """Ask it to end, and kill it where it does not in time; returns when it and its children are gone."""
        pid = self.pid()
        if pid is not None:
            self.thaw()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if not patiently(lambda: self.pid() is None, within_s=within_s):
                self.kill()
        (self.directory / f"{self.name}.pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """End it and its children at once, as a power cut would."""
        pid = self.pid()
        if pid is None:
            return
        family = self.freeze()
        for each, born in family:
            if _born(each) == born:
                os.kill(each, signal.SIGKILL)
        if not patiently(lambda: all(_born(each) != born for each, born in family), within_s=30):
            raise ServiceFailed(f"{self.name} ({pid}) cannot be killed")
        (self.directory / f"{self.name}.pid").unlink(missing_ok=True)

    def freeze(self) -> list[tuple[int, int]]:
        """Stop it and its children in mid-step (SIGSTOP), and return their numbers and births."""
        return self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> list[tuple[int, int]]:
        """Signal the parent first, so that a frozen one cannot have children we do not know of; then those it has."""
        pid = self.pid()
        if pid is None:
            return []
        seen: dict[int, int] = {}
        waiting = [pid]
        while waiting:
            each = waiting.pop()
            born = _born(each)
            if born is None or each in seen:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)
                seen[each] = born
            waiting.extend(_children(each))
        return list(seen.items())

    def last_words(self, limit: int = 2000) -> str:
        """Return the end of its log."""
        return self.log.read_text("utf-8", errors="replace")[-limit:] if self.log.exists() else ""


class Server(ABC):
    """What runs in a directory and can be stopped and started there."""

    @abstractmethod
    def start(self) -> None:
        """Start it and return when it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it as an operator would."""

    def restart(self) -> None:
        """Stop it and start it again on the same port."""
        self.stop()
        self.start()


class OneDaemon(Server):
    """A server of one process, and what may befall it."""

    daemon: Daemon

    def kill(self) -> None:
        """End it as a power cut would."""
        self.daemon.kill()

    def freeze(self) -> None:
        """Stop it in mid-step."""
        self.daemon.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self.daemon.thaw()


Running = TypeVar("Running", bound=Server)


@contextlib.contextmanager
def started(server: Running) -> Iterator[Running]:
    """Start a server and end it."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _born(pid: int) -> int | None:
    """Return the clock tick at which a process began, or `None` where it is gone or only waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except OSError as why:
        if why.errno in {errno.ENOENT, errno.ESRCH}:
            return None
        raise
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _children(pid: int) -> Iterator[int]:
    for task in Path("/proc").glob(f"{pid}/task/*/children"):
        with contextlib.suppress(OSError):
            yield from map(int, task.read_text("ascii").split())


def patiently(done: Callable[[], bool], *, within_s: float, step_s: float = 0.02) -> bool:
    """Return whether `done` came true within so many seconds, asking every so often."""
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(step_s)
    return True


def await_ready(daemon: Daemon, ready: Callable[[], bool], *, within_s: float = 60) -> None:
    """Return when a starting server answers.

    Raises:
        ServiceFailed: It ended, or did not answer in time; its last words are in the error.
    """
    if not patiently(lambda: daemon.pid() is None or ready(), within_s=within_s, step_s=0.05):
        raise ServiceFailed(f"{daemon.name} did not answer within {within_s:.0f} s:\n{daemon.last_words()}")
    if daemon.pid() is None:
        raise ServiceFailed(f"{daemon.name} ended while it was starting:\n{daemon.last_words()}")
