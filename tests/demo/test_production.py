"""`make production-demo`: PostgreSQL, RabbitMQ, S3, nginx and several processes of each kind, and the whole demonstration through them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from infra.services import Daemon, environment
from infra.stack import end_what_was_left
from tests import services

if TYPE_CHECKING:
    from pathlib import Path

WITHIN_S = 540
"""A quiet machine of two cores needs about a minute; one that runs the rest of the suite beside it several."""


def running_in(folder: Path) -> list[str]:
    """Return the command lines of the processes that have a path in this folder among their words."""
    told = subprocess.run(["ps", "-eo", "args", "--no-headers"], capture_output=True, text=True, check=True).stdout
    return [line for line in told.splitlines() if str(folder) in line]


@pytest.mark.timeout(WITHIN_S + 90)
def test_the_demonstration_holds_on_the_production_profile_and_leaves_nothing_running() -> None:
    scratch = services.directory() / "production-demo"  # which PostgreSQL's and RabbitMQ's accounts can reach
    scratch.mkdir(mode=0o755)
    log = scratch.with_suffix(".log")
    with log.open("wb") as output:
        demo = subprocess.Popen(
            [sys.executable, "-m", "infra.stack", "--check"],
            env={**os.environ, "TMPDIR": str(scratch), "LANG": "zh_CN.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        code = demo.wait(WITHIN_S)
    finally:
        demo.terminate()  # it ends what it started; killed, it could not
        demo.wait(60)
    said = log.read_text("utf-8")
    assert code == 0, said[-6000:]
    assert "0 项不符 flaws" in said
    assert running_in(scratch) == []
    assert not any(scratch.iterdir()), "the temporary folder is gone"


def test_what_a_killed_demonstration_left_is_ended_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    """The attack: a process id that was recorded and now belongs to somebody else."""
    programs = tmp_path / "programs"
    programs.mkdir()
    left, other = Daemon(programs, "worker-1"), Daemon(programs, "beat")
    for daemon in (left, other):
        daemon.spawn(["sleep", "60"], environ=environment(tmp_path))
    number, born = (programs / "beat.pid").read_text().split()
    (programs / "beat.pid").write_text(f"{number} {int(born) - 1}\n")
    end_what_was_left(tmp_path)
    assert left.pid() is None
    os.kill(int(number), signal.SIGKILL)  # it is still there
