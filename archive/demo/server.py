"""A server of one's own: started as subprocesses on a loopback port, ended with everything it started, and nothing else.

The demonstration and the journey tests both need «a running Liuhen» and must not disagree about what that is, so there is one. Embedded
it is one program, `liuhen serve`; in production the settings say so, and `liuhen work` and `liuhen beat` are programs beside it.
Invariants: a program sees no `LIUHEN_*` variable of the caller's but the ones given here; each runs in its own session, so that
ending it can never reach a process somebody else started; after `stop` or `kill` no process of those sessions is left.
Not guaranteed: that the port is still free when the child binds it (it was a moment before); `start` then says what the log says.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import httpx

from archive.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

READY_WITHIN_S = 60
"""A cold start on a bare machine compiles every module first; two loaded cores need most of a minute at worst."""

STOP_WITHIN_S = 30
"""Longer than the worker's own grace for a tool it is supervising (SIGTERM, 10 s, SIGKILL)."""

BURIED_WITHIN_S = 5
"""How long to wait for the system to bury what was killed; in a chroot without an init nobody may."""

BESIDE = (("work",), ("beat",))
"""What runs beside the web process in production, each as a program of its own."""

PASSWORD_LINE = re.compile(r"^\s*(?:password|密码)\s*[:：]\s*(?P<password>\S+)\s*$", re.MULTILINE | re.IGNORECASE)
NAME_LINE = re.compile(r"^\s*(?:name|account|用户名|账号)\s*[:：]\s*(?P<name>\S+)\s*$", re.MULTILINE | re.IGNORECASE)


class ServerNotReady(Unavailable):
    """The server did not come up; `log` holds its last words."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """The bootstrap account as the first start printed it."""

    name: str
    password: str


def free_port() -> int:
    """Return a loopback TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """One `liuhen` command in a session of its own, from `start` to `stop`; its output goes to `log`."""

    def __init__(self, arguments: Sequence[str], *, environment: Callable[[], Mapping[str, str]], log: Path) -> None:
        self.arguments = tuple(arguments)
        self.environment = environment  # asked at each start: settings may be given in between
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The child; asking before `start` is a mistake of the caller."""
        assert self._process is not None, "the program was not started"
        return self._process

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and not self.ended()

    def start(self) -> None:
        """Start the child, also after it ended by itself or was killed alone; what it says is appended to the log."""
        if self._process is not None:
            assert self.ended(), "the program is running"
            self._process.wait()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "archive.cli", *self.arguments],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self, *, wait_s: float = 0) -> bool:
        """Return whether the child has ended, waiting up to `wait_s` seconds for it; it is left unreaped.

        An unreaped child keeps its process id, and with it the id of the group it leads: that is what makes ending the
        group safe, for nobody else's process can have taken the number in between.
        """
        deadline = time.monotonic() + wait_s
        while True:
            if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)

    def ask_to_end(self) -> None:
        """Send the child SIGTERM, as an operator would, and do not wait."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGTERM)

    def stop(self) -> None:
        """End the child as an operator would (SIGTERM), and whatever of its session is left after that."""
        if self._process is not None:
            self.ask_to_end()
            self.ended(wait_s=STOP_WITHIN_S)
            self.kill()

    def kill(self) -> None:
        """Kill what is left of the session that the child led, and reap it, as a power cut would."""
        if self._process is None:
            return
        group = self._process.pid
        os.killpg(group, signal.SIGKILL)
        self._process.wait()
        self._process = None
        # The worker is dead as well, but it is for whoever inherited it to bury it; signal 0 only asks whether that is done.
        deadline = time.monotonic() + BURIED_WITHIN_S
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(group, 0)
                time.sleep(0.01)


class Server:
    """`liuhen serve` over one data directory, and in production what works beside it, from `start` to `stop`; also a context manager.

    The bootstrap account's password is printed once, by the first start; it is kept beside the data (mode 0600) so that a
    later start over the same directory can still sign in.
    """

    def __init__(self, data_dir: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = free_port() if port is None else port
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.settings = dict(settings or {})
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self._kept = data_dir.parent / f"{data_dir.name}.sign-in.json"
        self.web = Program(["serve"], environment=lambda: self.environment, log=self.log)
        self.beside = [
            Program(
                arguments,
                environment=lambda: self.environment_beside,
                log=data_dir.parent / f"{data_dir.name}.{arguments[0]}.log",
            )
            for arguments in (BESIDE if self.production else [])
        ]

    @contextlib.contextmanager
    def engines(self, console: Console) -> Iterator[None]:  # noqa: ARG002 - who has engines tells what it does
        """Have running what the server stands on, for as long as the block takes; embedded it needs nothing."""
        yield

    def flaws(self) -> dict[str, str | None]:
        """Return what must hold of what the server stands on, each with what speaks against it; asked while it runs."""
        return {}

    def addresses(self) -> list[tuple[str, str]]:
        """Return what else there is to see, and where."""
        return []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def production(self) -> bool:
        """Whether the settings name the production profile."""
        return self.settings.get("LIUHEN_PROFILE") == "production"

    @property
    def programs(self) -> list[Program]:
        """Every program of this server; the web process is the first."""
        return [self.web, *self.beside]

    @property
    def environment(self) -> dict[str, str]:
        """The variables this server and its commands run with."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LIUHEN_")}
        own = {"LIUHEN_DATA_DIR": str(self.data_dir), "LIUHEN_HOST": "127.0.0.1", "LIUHEN_PORT": str(self.port)}
        # PYTHONUTF8: names and output are Chinese whatever the caller's locale says.
        return {**kept, **own, **self.settings, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}

    @property
    def environment_beside(self) -> dict[str, str]:
        """The variables that what runs beside the web process is started with."""
        return self.environment

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The web process; asking before `start` is a mistake of the caller."""
        return self.web.process

    def start(self, *, tick: Callable[[], None] = lambda: None) -> None:
        """Start every program that does not run and return when `/readyz` answers 200; `tick` is called while waiting.

        Raises:
            ServerNotReady: One ended or the web process did not answer in time; its last words are in the error.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        for program in self.programs:
            if not program.running:
                program.start()
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if not all(program.running for program in self.programs):
                break
            if self.ready():
                return
            tick()
            time.sleep(0.1)
        ended = next((program for program in self.programs if not program.running), None)
        self.kill()
        words = self.last_words() if ended is None else _last_words(ended.log)
        raise ServerNotReady(ended="no" if ended is None else "yes", log=words)

    def ready(self) -> bool:
        """Return whether the web process says that it takes work."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.web_url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
        return False

    @property
    def web_url(self) -> str:
        """The address of a web process itself, whose state no proxy tells."""
        return self.base_url

    def last_words(self, *, limit: int = 4000) -> str:
        """Return the end of the child's output, at most `limit` characters."""
        return _last_words(self.log, limit=limit)

    def run(self, *arguments: str, timeout_s: float = 120) -> str:
        """Run one `liuhen` command with this server's settings and return what it printed.

        Raises:
            subprocess.CalledProcessError: It ended with another code than 0; output and error text are in it.
        """
        done = subprocess.run(
            [sys.executable, "-m", "archive.cli", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=timeout_s,
        )
        return done.stdout.decode("utf-8")

    def enrol_station(self, name: str, *options: str) -> Path:
        """Enrol a station and return the path of its credential file."""
        credential = self.data_dir.parent / f"{self.data_dir.name}.{name}.credential.json"
        credential.unlink(missing_ok=True)
        self.run("station", "enrol", name, "--out", str(credential), *options)
        return credential

    def account(self) -> SignIn:
        """Return the bootstrap account's sign-in, from the first start's output or where an earlier run kept it.

        Raises:
            ServerNotReady: The log holds no password and none was kept.
        """
        if self._kept.exists():
            kept = json.loads(self._kept.read_text("utf-8"))
            return SignIn(kept["name"], kept["password"])
        # Of several web processes that begin at once any may have made the account.
        text = "".join(program.log.read_text("utf-8", errors="replace") for program in self.programs if program.log.exists())
        password, name = PASSWORD_LINE.search(text), NAME_LINE.search(text)
        if password is None or name is None:
            raise ServerNotReady(ended="no", log="the first start printed no sign-in")
        found = SignIn(name["name"], password["password"])
        descriptor = os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as kept_file:
            json.dump({"name": found.name, "password": found.password}, kept_file)
        return found

    def sign_in(self) -> httpx.Client:
        """Return a client signed in with the bootstrap account; the caller closes it."""
        account = self.account()
        # A browser names the page's own origin on every write; a client that does not is taken for another site's page.
        own = {"Origin": self.base_url}
        form = {"login": account.name, "password": account.password}
        answer = httpx.post(f"{self.base_url}/sign-in", data=form, headers=own, timeout=60, trust_env=False)
        if answer.status_code != httpx.codes.SEE_OTHER or not answer.cookies:
            raise ServerNotReady(ended="no", log=f"sign-in answered {answer.status_code}: {answer.text[:400]}")
        return httpx.Client(base_url=self.base_url, headers=own, cookies=answer.cookies, timeout=60, trust_env=False)

    def ended(self, *, wait_s: float = 0) -> bool:
        """Return whether one of the programs has ended, waiting up to `wait_s` seconds for it."""
        deadline = time.monotonic() + wait_s
        while all(program.running for program in self.programs):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def stop(self) -> None:
        """End every program as an operator would (SIGTERM), all at once, and whatever of their sessions is left after that."""
        for program in self.programs:
            program.ask_to_end()
        for program in self.programs:
            program.stop()

    def kill(self) -> None:
        """End every program and its session at once, as a power cut would."""
        for program in self.programs:
            program.kill()


def _last_words(log: Path, *, limit: int = 4000) -> str:
    return log.read_text("utf-8", errors="replace")[-limit:] if log.exists() else ""
