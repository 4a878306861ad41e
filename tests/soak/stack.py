"""The production demonstration's stack (infra/stack.py), made to be broken: clocks that can be set, a line to the store that can be slow.

The programs run under libfaketime, which says the right time until somebody says otherwise, and reach the object store through a relay. The
judge has resources of its own, to the database and the store themselves.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console

from archive.actions import station
from archive.demo.server import Program
from archive.resources import Resources, opened
from archive.settings import PREFIX, read
from infra.services import free_port
from infra.stack import ROLES, end_what_was_left
from infra.stack import Stack as Whole
from tests.soak.relay import Relay
from tests.soak.source import Credential

STATIONS = ("dock-1", "dock-2", "dock-3", "dock-4")
ROOT = Path(__file__).resolve().parents[2]
UNDER_FAKETIME = Path(__file__).with_name("under_faketime")
FAKETIME = "faketime/libfaketimeMT.so.1"
READY_S = 120


class Stack(Whole):
    """Everything that runs, in one directory; `running` makes one."""

    def __init__(self, folder: Path) -> None:
        self.clock = folder / "clock"
        self.relay = Relay(free_port())
        super().__init__(folder)
        self.relay.target = self.ceph.port
        self._stations: dict[str, Credential] = {}

    def _common(self, role: str) -> dict[str, str]:
        (library,) = Path("/usr/lib").glob(f"*/{FAKETIME}")
        return {
            **super()._common(role),
            "LIUHEN_S3_ENDPOINT": self.relay.endpoint,
            "LIUHEN_FREE_SPACE_FLOOR": "0",
            "LD_PRELOAD": str(library),
            "PYTHONPATH": os.pathsep.join((str(UNDER_FAKETIME), str(ROOT))),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @contextlib.contextmanager
    def judge(self) -> Iterator[Resources]:
        """Give resources that no fault but the database's and the store's own reaches."""
        own = {
            "LIUHEN_DATA_DIR": str(self.folder / "judge"),
            "LIUHEN_S3_ENDPOINT": self.ceph.endpoint,
            "LIUHEN_WEB_NAME": "judge",
        }
        settings = {**self.settings, **self._common(ROLES.web), **own}
        (self.folder / "judge").mkdir(exist_ok=True)
        with opened(read({name: value for name, value in settings.items() if name.startswith(PREFIX)})) as resources:
            yield resources

    def stations(self, judge: Resources) -> list[Credential]:
        """Return the stations, which are enrolled by whoever asks first."""
        found = []
        with judge.reading() as session:
            known = {each.name for each in station.stations(session)}
        for name in STATIONS:
            kept = self.folder / f"{name}.key"
            if not kept.exists():
                kept.write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
            key = Ed25519PrivateKey.from_private_bytes(kept.read_bytes())
            if name not in known:
                with judge.transaction() as session:
                    public = key.public_key().public_bytes_raw()
                    station.enrol(session, name=name, public_key=public, by="soak", now=judge.now())
            found.append(Credential(name, key))
        return found

    def set_clocks(self, offset: str) -> None:
        """Let the programs' clocks differ from the right time by this (libfaketime's relative offset, as `-1h`)."""
        beside = self.clock.with_suffix(".new")
        beside.write_text(offset + "\n", "ascii")
        beside.replace(self.clock)

    def revive(self) -> list[str]:
        """Start what is not running, as a supervisor would, and return the names of those."""
        ended = [program for program in self.programs if not program.running]
        for program in ended:
            program.start()
        if ended:
            self._record()
        return [program.log.stem for program in ended]

    def all_ready(self) -> None:
        """Return when every web process says that it takes work, starting again whatever ended meanwhile, as a supervisor would."""
        until = time.monotonic() + READY_S
        while not all(_ready(port) for port in self.web_ports.values()):
            assert time.monotonic() < until, "\n".join(_last_words(each) for each in self.programs)
            self.revive()
            time.sleep(0.1)


def _ready(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
    return False


def _last_words(program: Program) -> str:
    return f"--- {program.log.name}\n{program.log.read_text('utf-8', errors='replace')[-3000:]}" if program.log.exists() else ""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[Stack, Resources]]:
    """Start a whole archive in a directory, over what an earlier run left there if there is anything, and end it; give it and its judge."""
    folder.mkdir(parents=True, exist_ok=True)
    end_what_was_left(folder)
    stack = Stack(folder)
    stack.set_clocks("+0")
    stack.relay.start()
    try:
        with stack.engines(Console(file=io.StringIO())):
            try:
                stack.revive()
                stack.all_ready()
                with stack.judge() as judge:
                    yield stack, judge
            finally:
                stack.stop()
    finally:
        stack.relay.stop()
