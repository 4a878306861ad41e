"""PostgreSQL, RabbitMQ and S3 for tests: one of each for a whole run, whatever number of processes it has, started when first asked for.

The process that pytest was called in makes a directory and names it in the environment of its workers; who needs a server first starts it
in there under a lock; that process ends them all, by the process ids recorded there. A run that was itself killed leaves its servers to
the next one, which ends them. A server that cannot start fails every test that asks for it; nothing is skipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from archive.adapters import s3_buckets
from archive.adapters.s3_client import S3Client
from archive.adapters.s3_store import Buckets
from archive.records.migrations import upgrade
from archive.records.postgresql import open_postgresql
from archive.records.roles import Roles, grant
from infra.services import STATE, Daemon, ServiceFailed
from infra.services.ceph import Ceph
from infra.services.postgres import OWNER, Postgres
from infra.services.rabbitmq import RabbitMQ

DIRECTORY = "TEST_SERVICES"
"""The variable that names the directory; not one of the program's own, which refuses what it does not know under its prefix."""

PREFIX = "liuhen-services-"
VHOSTS = 12
"""Virtual hosts are made so many at a time, the first of them while RabbitMQ starts: 0.1 s each, and more than a second to ask for it."""

TEMPLATE = "migrated"
ROLES = Roles()

Service = TypeVar("Service", Postgres, RabbitMQ, Ceph)


@dataclass(frozen=True, slots=True)
class S3:
    """An object store, and names of buckets that nobody used before; whoever uses them makes them."""

    service: Ceph
    originals: str
    derived: str
    incoming: str
    replica: str

    @property
    def endpoint(self) -> str:
        return self.service.endpoint

    @property
    def access_key(self) -> str:
        return self.service.access_key

    @property
    def secret_key(self) -> str:
        return self.service.secret_key

    def make(self) -> None:
        """Make the archive's three buckets as `liuhen store prepare` does."""
        client = S3Client(self.endpoint, access_key=self.access_key, secret_key=self.secret_key, region="us-east-1")
        try:
            s3_buckets.make(client, Buckets(self.originals, self.derived, self.incoming))
        finally:
            client.close()


def begin(config: pytest.Config) -> None:
    """Make the run's directory, in the process that pytest was called in; called by conftest's `pytest_configure`."""
    if hasattr(config, "workerinput"):
        return
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if Daemon(left, "run").pid() is None:
            with contextlib.suppress(OSError):  # another user's, or another run that is clearing away the same
                _end(left)
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    made.chmod(0o755)  # PostgreSQL and RabbitMQ run as others
    Daemon(made, "run").adopt(os.getpid())
    os.environ[DIRECTORY] = str(made)


def finish(config: pytest.Config) -> None:
    """End what was started and remove the directory; called by conftest's `pytest_unconfigure`."""
    if not hasattr(config, "workerinput") and (made := os.environ.pop(DIRECTORY, None)):
        _end(Path(made))


def _end(directory: Path) -> None:
    """Kill every server in a run's directory, by the process ids recorded there, and remove it: nothing in it is needed again."""
    for state in directory.glob(f"*/{STATE}"):
        for recorded in state.parent.glob("*.pid"):
            Daemon(state.parent, recorded.stem).kill()
    shutil.rmtree(directory, ignore_errors=True)


def directory() -> Path:
    """Return the run's directory."""
    return Path(os.environ[DIRECTORY])


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    with (directory() / f"{name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _shared(name: str, make: Callable[[Path], Service]) -> Service:
    """Return the run's one server of this name, started if nobody did so yet."""
    with _alone(name):
        place, failed = directory() / name, directory() / f"{name}.failed"
        if failed.exists():
            raise ServiceFailed(failed.read_text("utf-8"))
        service, ready = make(place), directory() / f"{name}.ready"
        if not ready.exists():
            try:
                service.start()
            except BaseException as why:
                failed.write_text(f"{name} could not be started earlier in this run: {why}", "utf-8")
                raise
            ready.touch()
        return service


def postgres() -> Postgres:
    """Return the run's PostgreSQL; `fresh_database` gives a migrated database in it."""
    return _shared("postgres", Postgres)


def _migrated(service: Postgres) -> str:
    """Return the name of a migrated database that others are cloned from, made by whoever needs it first."""
    with _alone("template"):
        ready = directory() / "template.ready"
        if not ready.exists():
            for role in (ROLES.web, ROLES.worker, ROLES.audit):
                service.ensure_role(role, password=service.password)
            service.drop(TEMPLATE)
            engine = open_postgresql(service.create(TEMPLATE), name="template", patient=True)
            try:
                upgrade(engine)
                with engine.begin() as connection:
                    grant(connection, ROLES)
            finally:
                engine.dispose()
            ready.touch()
    return TEMPLATE


def rabbitmq() -> RabbitMQ:
    """Return the run's RabbitMQ."""
    return _shared("rabbitmq", lambda place: RabbitMQ(place, vhosts=_vhosts(0)))


def ceph() -> Ceph:
    """Return the run's object store."""
    return _shared("ceph", Ceph)


def start_all() -> None:
    """Start whichever of the three does not run yet, all at once."""
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(start) for start in (rabbitmq, ceph, postgres)]:
            started.result()


@contextlib.contextmanager
def fresh_database() -> Iterator[str]:
    """Give the address (`postgresql://…`, first role) of a migrated database that nobody used before; it is dropped afterwards.

    `as_role` turns it into the address for one of `ROLES`, who have their rights in it and the first role's password.
    """
    service, name = postgres(), f"test_{secrets.token_hex(6)}"
    url = service.create(name, template=_migrated(service))
    try:
        yield url
    finally:
        service.drop(name)


def as_role(url: str, role: str) -> str:
    """Return the same database's address for another role."""
    return url.replace(f"//{OWNER}:", f"//{role}:", 1)


def fresh_vhost() -> str:
    """Return the address (`amqp://…`) of a virtual host that nobody used before."""
    service = rabbitmq()
    with _alone("vhosts"):
        for number in itertools.count():
            taken = directory() / f"vhost-{number}.taken"
            if not taken.exists():
                taken.touch()
                break
        if number and number % VHOSTS == 0:
            service.add_vhosts(_vhosts(number))
    return service.url(f"test-{number}")


def _vhosts(first: int) -> list[str]:
    return [f"test-{number}" for number in range(first, first + VHOSTS)]


def fresh_buckets() -> S3:
    """Return the run's object store with names of buckets that nobody used before."""
    word = secrets.token_hex(5)
    return S3(ceph(), f"originals-{word}", f"derived-{word}", f"incoming-{word}", f"replica-{word}")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A fresh migrated database of PostgreSQL: `postgresql://…` as the settings take it, as the server's first role."""
    with fresh_database() as url:
        yield url


@pytest.fixture
def rabbit_url() -> str:
    """A fresh virtual host of RabbitMQ: `amqp://…`, for an account that may do everything in it."""
    return fresh_vhost()


@pytest.fixture
def s3() -> S3:
    """A real S3 (Ceph's gateway) with names of buckets that nobody used before; the test makes those it needs."""
    return fresh_buckets()
