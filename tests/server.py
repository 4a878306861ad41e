"""A real server for tests: `python -m archive.cli serve` on a free loopback port over a temporary directory.

    with RunningServer(tmp_path / "data") as server:
        credential = server.enrol_station("dock-1")
        with server.sign_in() as client:
            client.get("/api/v1/items")

`stop()` ends it as an operator would, `kill()` as a power cut would (server and worker child), `kill_server()` takes the web process
alone; `start()` may follow each of them, over the same data and the same port. `settings={"LIUHEN_FAILPOINT": "…"}` arms a failpoint.
`serve`'s output is in `server.log`; `dock(credential, *sources)` runs the real dock to its end.

`profile="production"` puts PostgreSQL, RabbitMQ and S3 behind it, each its own part of the run's one server (tests/services.py): a migrated
database, a virtual host, three buckets. `liuhen work` and `liuhen beat` then run beside `liuhen serve`, and `kill()` ends them as well.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from archive.demo.server import Server
from tests import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

AGENCY = {"LIUHEN_AGENCY": "131102", "LIUHEN_AGENCY_NAME": "桃城区市场监管局"}


PROFILES = ("embedded", "production")


@contextlib.contextmanager
def production(keys: Path) -> Iterator[dict[str, str]]:
    """Give the settings of a production archive of its own: nobody used its database, its virtual host or its buckets before."""
    services.start_all()
    with services.fresh_database() as database:
        yield production_on(database, services.fresh_vhost(), services.fresh_buckets(), keys=keys)


def production_on(database: str, vhost: str, buckets: services.S3, *, keys: Path) -> dict[str, str]:
    """Return the settings of a production archive on these engines, whose buckets are made."""
    buckets.make()
    return {
        "LIUHEN_PROFILE": "production",
        "LIUHEN_DATABASE_URL": services.as_role(database, services.ROLES.web),
        "LIUHEN_BROKER_URL": vhost,
        "LIUHEN_S3_ENDPOINT": buckets.endpoint,
        "LIUHEN_S3_ACCESS_KEY": buckets.access_key,
        "LIUHEN_S3_SECRET_KEY": buckets.secret_key,
        "LIUHEN_S3_ORIGINALS": buckets.originals,
        "LIUHEN_S3_DERIVED": buckets.derived,
        "LIUHEN_S3_INCOMING": buckets.incoming,
        "LIUHEN_LOCK_DAYS": "3",
        "LIUHEN_KEYS_DIR": str(keys),
        "LIUHEN_WEB_NAME": "a",
    }


class RunningServer(Server):
    """A server under test; every `with` block ends what it started."""

    def __init__(
        self, data_dir: Path, *, port: int | None = None, settings: dict[str, str] | None = None, profile: str = "embedded"
    ) -> None:
        self._engines = contextlib.ExitStack()
        engines = {} if profile == "embedded" else self._engines.enter_context(production(data_dir / "keys"))
        super().__init__(data_dir, port=port, settings={**AGENCY, **engines, **(settings or {})})

    @property
    def environment_beside(self) -> dict[str, str]:
        """The same with the workers' role."""
        url = self.settings["LIUHEN_DATABASE_URL"].replace(services.ROLES.web, services.ROLES.worker)
        return {**self.environment, "LIUHEN_DATABASE_URL": url}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undone:
            undone.push(self._engines)
            super().__enter__()
            undone.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._engines:
            self.stop()

    def kill_server(self) -> None:
        """Kill the web process alone and wait for it; its worker child has to notice by itself."""
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.ended(wait_s=10)

    def dock(self, credential: Path, *arguments: str | Path, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run the real dock against this server and return how it ended (not checked)."""
        to_here = ["--server", self.base_url, "--credential", str(credential)]
        return subprocess.run(
            [sys.executable, "-m", "archive.cli", "dock", *map(str, arguments), *to_here],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
        )


def wait_until_verified(client: httpx.Client, number: str, *, within_s: float = 60) -> str:
    """Return the receipt of an item as soon as the server gives one; fail the test when it does not in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        answer = client.get(f"/api/v1/items/{number}/receipt")
        if answer.status_code == 200:
            return answer.text
        assert answer.status_code == 425, answer.text
        time.sleep(0.1)
    raise AssertionError(f"{number} was not verified within {within_s} s")


def wait_for_jobs(client: httpx.Client, number: str, *, within_s: float = 120) -> list[dict[str, object]]:
    """Return an item's jobs once none of them is waiting or running."""
    deadline = time.monotonic() + within_s
    jobs: list[dict[str, object]] = []
    while time.monotonic() < deadline:
        answer = client.get(f"/api/v1/items/{number}/jobs")
        answer.raise_for_status()
        jobs = answer.json()
        if jobs and all(job["state"] in {"done", "dead"} for job in jobs):
            return jobs
        time.sleep(0.1)
    raise AssertionError(f"the jobs of {number} did not end within {within_s} s: {jobs}")
