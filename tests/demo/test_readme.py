"""What the README tells a stranger to type is typed here."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.test_house import ROOT, shell_commands


@pytest.mark.timeout(900)
def test_the_readme_s_commands_run() -> None:
    commands = shell_commands("README.md")
    assert commands == ["make demo", "make test"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "LIUHEN_"))}
    for command in commands:
        if command == "make test":
            continue  # that is what runs this
        run = f"{command} DEMO=--check" if command == "make demo" else command
        done = subprocess.run(
            run.split(), cwd=ROOT, env=outside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{run} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
