"""`make production-demo`: the production profile on one machine, and the demonstration on it.

PostgreSQL with a role for each kind of process, RabbitMQ, Ceph's object gateway, two web processes, two workers, a beat, and nginx before
them, each a real server of its own (infra/services) in one folder. Everything the demonstration does goes through nginx, as a station or a
browser would. Ctrl-C ends what was started, by process id and nothing else; what a killed run left in the folder is ended first.

Not shown: more than one machine, and a second store under somebody else's hand; docs/production.md says what changes with them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import httpx
from rich.console import Console

from archive.core.errors import Unavailable
from archive.demo import run
from archive.demo.command import FLAWED, carry_out, checked, shown
from archive.demo.server import Program, Server
from archive.records.roles import Roles
from infra.proxy import configuration
from infra.services import STATE, Daemon, ServiceFailed, free_port, prepared, remembered
from infra.services.ceph import Ceph
from infra.services.nginx import Nginx
from infra.services.postgres import Postgres
from infra.services.rabbitmq import RabbitMQ

PORT = 8090
WEB = ("a", "b")
"""The names of the web processes, with which the ids of their uploads begin."""
WORKERS = 2
PROGRAMS = "programs"
DATABASE = "liuhen"
MIGRATE = "liuhen_migrate"
ROLES = Roles()
EVERY_ROLE = (MIGRATE, ROLES.web, ROLES.worker, ROLES.audit)
FOLDER = Path(f"/var/tmp/liuhen-production-demo-{os.getuid()}")  # noqa: S108 - where PostgreSQL's account can reach it; only a folder we marked is emptied
HOST_SECONDS = "20"
"""After which a web process that is silent counts as gone; shorter than shipped, so that one can watch it."""


TRIED_WITHIN_S = 120
"""A worker tries the store out as soon as the beat asks for it; a web process looks at what came of it once a minute."""


class StackFailed(Unavailable):
    """A server that the archive stands on did not start."""


class Stack(Server):
    """The production profile in one folder; `engines` starts what the programs stand on, `start` the programs."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL and RabbitMQ run as others
        self.folder = folder
        engines = folder / "engines"
        self.postgres = Postgres(engines / "postgres")
        self.rabbitmq = RabbitMQ(engines / "rabbitmq", vhosts=["liuhen"])
        self.ceph = Ceph(engines / "ceph")
        self._words = remembered(folder, lambda: {role: secrets.token_urlsafe(18) for role in EVERY_ROLE})
        super().__init__(folder / "web-a", port=port, settings={**run.SETTINGS, **self._common(ROLES.web)})
        self.web_ports = {name: free_port() for name in WEB}
        self.webs = [self._web(name) for name in WEB]
        self.web = self.webs[0]
        self.workers = [self._program("work", f"worker-{number + 1}", ROLES.worker) for number in range(WORKERS)]
        self.beat = self._program("beat", "beat", ROLES.worker)
        self.beside = [*self.webs[1:], *self.workers, self.beat]
        hosts = {name: f"127.0.0.1:{self.web_ports[name]}" for name in WEB}
        self.nginx = Nginx(engines / "nginx", configuration(hosts, listen=f"127.0.0.1:{self.port}"), port=self.port)

    def role(self, name: str) -> str:
        """Return the database's address for a role."""
        return self.postgres.url(DATABASE, role=name, password=str(self._words[name]))

    def _common(self, role: str) -> dict[str, str]:
        return {
            "LIUHEN_PROFILE": "production",
            "LIUHEN_DATABASE_URL": self.role(role),
            "LIUHEN_BROKER_URL": self.rabbitmq.url("liuhen"),
            "LIUHEN_S3_ENDPOINT": self.ceph.endpoint,
            "LIUHEN_S3_ACCESS_KEY": self.ceph.access_key,
            "LIUHEN_S3_SECRET_KEY": self.ceph.secret_key,
            "LIUHEN_LOCK_DAYS": "3",
            "LIUHEN_KEYS_DIR": str(self.folder / "keys"),
            "LIUHEN_WEB_NAME": WEB[0],
            "LIUHEN_WEB_GONE_SECONDS": HOST_SECONDS,
        }

    def _web(self, name: str) -> Program:
        return self._program("serve", f"web-{name}", ROLES.web, LIUHEN_WEB_NAME=name, LIUHEN_PORT=str(self.web_ports[name]))

    def _program(self, command: str, name: str, role: str, **more: str) -> Program:
        """Return a program with a directory of its own, as if it were on a host of its own."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        own = {**self._common(role), "LIUHEN_DATA_DIR": str(place), **more}
        return Program([command], environment=lambda: {**self.environment, **own}, log=self.folder / f"{name}.log")

    @property
    def web_url(self) -> str:
        """The address of the first web process itself."""
        return f"http://127.0.0.1:{self.web_ports[WEB[0]]}"

    @contextlib.contextmanager
    def engines(self, console: Console) -> Iterator[None]:
        """Have PostgreSQL, RabbitMQ, S3 and nginx running, the database migrated, and end them afterwards.

        Raises:
            StackFailed: One of them did not start.
        """
        starts: dict[str, Callable[[], None]] = {
            "PostgreSQL": self.postgres.start,
            "RabbitMQ": self.rabbitmq.start,
            "S3 (Ceph RGW)": self.ceph.start,
        }
        try:
            with console.status("启动 PostgreSQL、RabbitMQ、S3 Starting the engines"), ThreadPoolExecutor() as pool:
                waiting = {name: pool.submit(_timed, start) for name, start in starts.items()}
                for name, done in waiting.items():
                    _tick(console, f"{name}", done.result())
            with console.status("迁移数据库 Migrating the database"):
                _tick(console, "数据库与角色 database and roles", _timed(self._migrate))
            self.nginx.check()
            _tick(console, f"nginx {self.base_url}", _timed(self.nginx.start))
            yield
        except ServiceFailed as why:
            raise StackFailed(why=str(why)) from why
        finally:
            for service in (self.nginx, self.rabbitmq, self.postgres):
                service.stop()
            self.ceph.kill()  # asked to end, the gateway takes ten seconds over nothing

    def _migrate(self) -> None:
        """Make roles and database, if they are not there, and bring the database to this program's step."""
        for role in EVERY_ROLE:
            self.postgres.ensure_role(role, password=str(self._words[role]))
        self.postgres.ensure(DATABASE, owner=MIGRATE)
        migrating = Server(self.folder / "migrate", settings={**self.settings, "LIUHEN_DATABASE_URL": self.role(MIGRATE)})
        migrating.data_dir.mkdir(exist_ok=True)
        migrating.run("admin", "migrate")
        migrating.run("store", "prepare")

    def start(self, *, tick: Callable[[], None] = lambda: None) -> None:
        """Start the programs, record them for whoever comes after us should we be killed, and return when the archive answers."""

        def recorded() -> None:
            self._record()
            tick()

        super().start(tick=recorded)
        self._record()

    def _record(self) -> None:
        for program in self.programs:
            if program.running:
                Daemon(prepared(self.folder / PROGRAMS), program.log.stem).adopt(program.process.pid)

    def flaws(self) -> dict[str, str | None]:
        """Return whether the object store was seen to refuse what it must, and whether every web host is there."""
        said = ""
        deadline = time.monotonic() + TRIED_WITHIN_S
        while said != "holds" and time.monotonic() < deadline:
            said = httpx.get(f"{self.web_url}/healthz", timeout=10, trust_env=False).json()["stores"]
            time.sleep(0.5)
        silent = [name for name, port in self.web_ports.items() if not _ready(port)]
        return {
            "对象存储拒绝删除与缩短锁定 the object store refuses to delete and to shorten": None if said == "holds" else said,
            "各网页进程在岗 every web process answers": f"not {', '.join(silent)}" if silent else None,
        }

    def addresses(self) -> list[tuple[str, str]]:
        """Return where the parts are."""
        return [
            ("存储与锁 WORM", f"{self.base_url}/status"),
            ("网页进程 Web", " ".join(f"http://127.0.0.1:{port}" for port in self.web_ports.values())),
            ("PostgreSQL", f"127.0.0.1:{self.postgres.port}/{DATABASE} ({ROLES.web}, {ROLES.worker}, {ROLES.audit})"),
            ("RabbitMQ", f"127.0.0.1:{self.rabbitmq.port}"),
            ("S3", self.ceph.endpoint),
            ("日志 Logs", f"{self.folder}/*.log"),
        ]


def end_what_was_left(folder: Path) -> None:
    """End what an earlier run started that was killed before it could, by the process ids it recorded; the programs first."""
    for recorded in folder.glob(f"{PROGRAMS}/*.pid"):
        Daemon(recorded.parent, recorded.stem).kill()
    for recorded in folder.glob("engines/*/*.pid"):
        if recorded.stem == "nginx" or (recorded.parent / STATE).exists():
            Daemon(recorded.parent, recorded.stem).kill()


def _ready(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10, trust_env=False).status_code == httpx.codes.OK
    return False


def _timed(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _tick(console: Console, what: str, seconds: float) -> None:
    console.print(f"[green]✓[/] {what} ({seconds:.1f} s)", highlight=False)


@click.command("production-demo")
@click.option(
    "--check",
    is_flag=True,
    help="Do and verify it in a temporary folder on free ports, with few frames a second; end with 0 or 1.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    help="The folder for everything; made afresh unless --keep. PostgreSQL's account must be able to reach it.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=None, help=f"The port of nginx; {PORT} if it is free.")
@click.option(
    "--keep", is_flag=True, help="Go on with what an earlier demonstration left in the folder, instead of making it anew."
)
def main(*, check: bool, data: Path, port: int | None, keep: bool) -> None:
    """Run the demonstration on PostgreSQL, RabbitMQ with Celery, S3 with Object Lock and nginx, and stay up.

    Ends with 0 when stopped, 1 when --check finds a flaw, 3 when something broke.
    """
    if check:
        sys.exit(carry_out(lambda console: checked(console, lambda folder: Stack(folder, port=port)), stopped=FLAWED))
    folder = data.resolve()
    sys.exit(carry_out(lambda console: _shown(console, folder, port, keep=keep)))


def _shown(console: Console, folder: Path, port: int | None, *, keep: bool) -> int:
    def clear() -> None:
        end_what_was_left(folder)

    return shown(console, folder, lambda: Stack(folder, port=run.at(port, PORT)), keep=keep, clear=clear)


if __name__ == "__main__":
    main()
