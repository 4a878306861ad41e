"""PostgreSQL, RabbitMQ and Ceph for a bench, and a production server on them: started for it and ended after it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests import services
from tests.server import RunningServer

STORE_BYTES = 24 * 2**30
"""Room in the store: a bench at its full size puts 13 GiB there, and nothing that is locked goes away."""


@contextmanager
def engines() -> Iterator[None]:
    """Have the services that tests have, with more disk than those need; CEPH_BLOCK_BYTES says otherwise."""
    os.environ.setdefault("CEPH_BLOCK_BYTES", str(STORE_BYTES))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being ended ends what was started
    run = cast(Any, SimpleNamespace())
    services.begin(run)
    try:
        services.start_all()
        yield
    finally:
        services.finish(run)


@contextmanager
def production(folder: Path, **settings: str) -> Iterator[RunningServer]:
    """Give a web process of the production profile and nothing beside it: workers are on hosts of their own, which a bench has not."""
    server = RunningServer(folder, profile="production", settings={"LIUHEN_FREE_SPACE_FLOOR": "0", **settings})
    server.beside = []
    folder.mkdir(parents=True, exist_ok=True)
    server.run("store", "prepare")
    with server:
        yield server


def resident(process: int, what: str = "VmRSS") -> int:
    """Return the memory that a process has resident (VmRSS), or had at most (VmHWM), in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024


def store_of(server: RunningServer) -> list[str]:
    """Return what a sender of the SDK needs to know: endpoint, keys and a bucket of its own kind."""
    names = ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "DERIVED")
    return [server.settings[f"LIUHEN_S3_{name}"] for name in names]


def table(title: str, rows: list[tuple[str, str, str]]) -> None:
    """Print figures as a bench does."""
    print(f"| {title} | figure | target |\n| --- | ---: | --- |")
    for what, figure, target in rows:
        print(f"| {what} | {figure} | {target} |")
    sys.stdout.flush()


def environment() -> dict[str, str]:
    """Return what a sender's process is started with."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
