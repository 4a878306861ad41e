"""A whole archive of one's own to break: PostgreSQL, RabbitMQ, an object store behind a relay, nginx, two web hosts, two workers, beat.

Its own engines, since they are going to be killed; only the object store may be somebody else's, which is then cut off at the relay and not
killed. The programs run under libfaketime, so that their clocks can be set; it says the right time until somebody does.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine

from archive.actions import station
from archive.demo.server import Program, Server
from archive.records.migrations import upgrade
from archive.resources import Resources, opened
from archive.settings import read
from infra.proxy import configuration
from infra.services import Daemon, free_port
from infra.services.nginx import Nginx
from infra.services.postgres import Postgres
from infra.services.rabbitmq import RabbitMQ
from tests.services import S3
from tests.soak.relay import Relay
from tests.soak.source import Credential

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
WEBS = ("a", "b")
WORKERS = ("w1", "w2")
STATIONS = ("dock-1", "dock-2", "dock-3", "dock-4")
AGENCY = {"LIUHEN_AGENCY": "131102", "LIUHEN_AGENCY_NAME": "桃城区市场监管局"}


@dataclass(slots=True)
class Stack:
    """Everything that runs, in one directory; `running` makes one."""

    folder: Path
    postgres: Postgres
    rabbit: RabbitMQ
    buckets: S3
    relay: Relay
    nginx: Nginx
    webs: dict[str, Program]
    workers: dict[str, Program]
    beat: Program
    addresses: dict[str, str]
    resources: Resources
    """The judge's: to the database and the store themselves, past the relay."""
    stations: list[Credential] = field(default_factory=list)

    @property
    def clock(self) -> Path:
        """The file that the programs' clocks are set by."""
        return self.folder / "clock"

    @property
    def programs(self) -> list[Program]:
        """Every program of ours."""
        return [*self.webs.values(), *self.workers.values(), self.beat]

    def set_clocks(self, offset: str) -> None:
        """Let the programs' clocks differ from the right time by this (libfaketime's relative offset, as `-1h`)."""
        beside = self.clock.with_suffix(".new")
        beside.write_text(offset + "\n", "ascii")
        beside.replace(self.clock)

    def revive(self) -> list[str]:
        """Start what is not running, as a supervisor would, and return the names of those."""
        started = []
        named = {**{f"web {name}": each for name, each in self.webs.items()}, **self.workers, "beat": self.beat}
        for name, program in named.items():
            if not program.running:
                program.start()
                Daemon(self.folder, name.replace(" ", "-")).adopt(program.process.pid)
                started.append(name)
        return started

    def ready(self, within_s: float) -> None:
        """Return when both web hosts say that they take work, starting again whatever ended meanwhile, as a supervisor would."""
        until = time.monotonic() + within_s
        while not all(_ready(address) for address in self.addresses.values()):
            assert time.monotonic() < until, "\n".join(self.last_words(each) for each in self.webs.values())
            self.revive()
            time.sleep(0.1)

    def last_words(self, program: Program) -> str:
        """Return the end of a program's log."""
        return f"{program.log.name}:\n{program.log.read_text('utf-8', errors='replace')[-3000:]}"

    def end(self) -> None:
        """End the programs as an operator would."""
        for program in self.programs:
            program.ask_to_end()
        for program in self.programs:
            program.stop()


def _ready(address: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://{address}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
    return False


@contextlib.contextmanager
def running(folder: Path, buckets: Callable[[], S3]) -> Iterator[Stack]:
    """Start a whole archive in a directory, over what an earlier run left there if there is anything, and end it."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as ending:
        postgres, rabbit = Postgres(folder / "postgres"), RabbitMQ(folder / "rabbitmq")
        for left in [postgres.daemon, rabbit.daemon, *(Daemon(folder, path.stem) for path in folder.glob("*.pid"))]:
            left.kill()  # of a run that was itself killed
        with ThreadPoolExecutor() as pool:
            ending.callback(rabbit.stop)
            ending.callback(rabbit.kill)
            ending.callback(postgres.stop)
            store = pool.submit(buckets)
            for started in (pool.submit(rabbit.start), pool.submit(_database, postgres)):
                started.result()
        relay = Relay(store.result().service.port)
        relay.start()
        ending.callback(relay.stop)
        settings = _settings(folder, postgres, rabbit, store.result())
        judge = ending.enter_context(
            opened(read({**settings, "LIUHEN_DATA_DIR": str(folder / "judge"), "LIUHEN_WEB_NAME": "judge"}))
        )
        stack = _made(folder, postgres, rabbit, store.result(), relay, settings, judge)
        stack.stations = [_enrolled(stack, name) for name in STATIONS]
        stack.set_clocks("+0")
        ending.callback(stack.nginx.stop)
        ending.callback(stack.end)
        stack.nginx.start()
        stack.revive()
        stack.ready(60)
        yield stack


def _database(postgres: Postgres) -> None:
    postgres.start()
    with contextlib.suppress(psycopg.errors.DuplicateDatabase):
        postgres.create("liuhen")
    engine = create_engine(postgres.url("liuhen").replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        upgrade(engine)
    finally:
        engine.dispose()


def _settings(folder: Path, postgres: Postgres, rabbit: RabbitMQ, buckets: S3) -> dict[str, str]:
    return {
        **AGENCY,
        "LIUHEN_PROFILE": "production",
        "LIUHEN_DATABASE_URL": postgres.url("liuhen"),
        "LIUHEN_BROKER_URL": rabbit.url(),
        "LIUHEN_S3_ENDPOINT": buckets.endpoint,
        "LIUHEN_S3_ACCESS_KEY": buckets.access_key,
        "LIUHEN_S3_SECRET_KEY": buckets.secret_key,
        "LIUHEN_S3_ORIGINALS": buckets.originals,
        "LIUHEN_S3_DERIVED": buckets.derived,
        "LIUHEN_S3_INCOMING": buckets.incoming,
        "LIUHEN_LOCK_DAYS": "1",
        "LIUHEN_KEYS_DIR": str(folder / "keys"),
    }


def _made(
    folder: Path, postgres: Postgres, rabbit: RabbitMQ, buckets: S3, relay: Relay, settings: dict[str, str], judge: Resources
) -> Stack:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIUHEN_")}
    common = {
        **kept,
        **settings,
        "LIUHEN_S3_ENDPOINT": relay.endpoint,
        "LIUHEN_FREE_SPACE_FLOOR": "0",
        "LIUHEN_HOST": "127.0.0.1",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    addresses: dict[str, str] = {}

    def program(name: str, arguments: Sequence[str], **more: str) -> Program:
        data = folder / name
        data.mkdir(exist_ok=True)
        return Program(arguments, environment={**common, "LIUHEN_DATA_DIR": str(data), **more}, log=folder / f"{name}.log")

    webs = {}
    for name in WEBS:
        port = free_port()
        addresses[name] = f"127.0.0.1:{port}"
        webs[name] = program(f"web-{name}", ["serve"], LIUHEN_PORT=str(port), LIUHEN_WEB_NAME=name)
    listen = free_port()
    return Stack(
        folder=folder,
        postgres=postgres,
        rabbit=rabbit,
        buckets=buckets,
        relay=relay,
        nginx=Nginx(folder / "nginx", configuration(addresses, listen=f"127.0.0.1:{listen}"), port=listen),
        webs=webs,
        workers={name: program(name, ["work"]) for name in WORKERS},
        beat=program("beat", ["beat"]),
        addresses=addresses,
        resources=judge,
    )


def _enrolled(stack: Stack, name: str) -> Credential:
    """Return a station's credential, enrolling it on the first run."""
    kept = stack.folder / f"{name}.key"
    if not kept.exists():
        key = Ed25519PrivateKey.generate()
        with stack.resources.transaction() as session:
            public = key.public_key().public_bytes_raw()
            station.enrol(session, name=name, public_key=public, by="soak", now=stack.resources.now())
        kept.write_bytes(key.private_bytes_raw())
    return Credential(name, Ed25519PrivateKey.from_private_bytes(kept.read_bytes()))


def signed_in(stack: Stack) -> httpx.Client:
    """Return a client through nginx with the bootstrap account; the caller closes it."""
    # The account's password is printed by whichever web host started first.
    hosts = [Server(stack.folder / f"web-{name}", port=stack.nginx.port) for name in WEBS]
    for host in hosts:
        with contextlib.suppress(Exception):
            return host.sign_in()
    raise AssertionError("no web host printed a sign-in")
