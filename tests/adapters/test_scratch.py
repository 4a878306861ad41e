"""Scratch directories: whose owner lives stay, whose owner was killed go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from archive.adapters import scratch

HOLD = """
import sys
from pathlib import Path
from archive.adapters.scratch import held
with held(Path(sys.argv[1])) as path:
    (path / "half").write_bytes(b"half")
    print(path, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_works_in_is_not(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        path = other.stdout.readline().decode().strip()
        os.utime(path, (1, 1))
        with scratch.held(tmp_path) as mine:
            os.utime(mine, (1, 1))
            assert scratch.clear(tmp_path) == 0
            other.send_signal(signal.SIGKILL)
            other.wait()
            assert scratch.clear(tmp_path) == 1
            assert [mine] == list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_a_directory_made_a_moment_ago_may_be_about_to_be_held(tmp_path):
    (tmp_path / "new").mkdir()
    assert scratch.clear(tmp_path) == 0
