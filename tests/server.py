"""A real server for tests: `python -m archive.cli serve` on a free loopback port over a temporary directory.

    with RunningServer(tmp_path / "data") as server:
        credential = server.enrol_station("dock-1")
        with server.sign_in() as client:
            client.get("/api/v1/items")

`stop()` ends it as an operator would, `kill()` as a power cut would (server and worker child), `kill_server()` takes the web process
alone; `start()` may follow each of them, over the same data and the same port. `settings={"LIUHEN_FAILPOINT": "…"}` arms a failpoint.
`serve`'s output is in `server.log`; `dock(credential, *sources)` runs the real dock to its end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from archive.demo.server import Server

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

AGENCY = {"LIUHEN_AGENCY": "131102", "LIUHEN_AGENCY_NAME": "桃城区市场监管局"}


class RunningServer(Server):
    """A server under test; every `with` block ends what it started."""

    def __init__(self, data_dir: Path, *, port: int | None = None, settings: dict[str, str] | None = None) -> None:
        super().__init__(data_dir, port=port, settings={**AGENCY, **(settings or {})})

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
