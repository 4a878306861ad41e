"""Claims about the systemd units of the production profile: systemd takes them, and the program takes what they say."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from archive.cli import COMMANDS
from archive.settings import PREFIX, SECRETS, Settings

UNITS = Path(__file__).parents[2] / "infra" / "systemd"
REPLICA = "liuhen-replica.conf"
"""What is put beside each unit where there is a second store."""
EXPOSED = {"web": 2.5, "worker": 3.6, "beat": 2.0}
"""What systemd's own score may say at most. A worker makes jails, so that namespaces and mounts are left to it."""


@pytest.mark.parametrize("name", EXPOSED)
def test_systemd_takes_the_unit_and_little_is_left_to_the_service(name, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there")
    unit = tmp_path / f"liuhen-{name}.service"
    # the program is not installed where the unit has it
    unit.write_text((UNITS / unit.name).read_text("utf-8").replace("/opt/liuhen/bin/liuhen", "/bin/true"), "utf-8")
    beside = tmp_path / f"{unit.name}.d"
    beside.mkdir()
    shutil.copy(UNITS / REPLICA, beside / "replica.conf")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    told = subprocess.run(["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True, check=False)
    (exposure,) = re.findall(r"exposure level for \S+ (\d+\.\d)", told.stdout)
    assert float(exposure) <= EXPOSED[name]


@pytest.mark.parametrize("name", EXPOSED)
def test_the_program_takes_what_the_unit_says(name):
    text = (UNITS / f"liuhen-{name}.service").read_text("utf-8") + (UNITS / REPLICA).read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=/opt/liuhen/bin/liuhen (\w+)", text, re.MULTILINE)
    assert command == {"web": "serve", "worker": "work", "beat": "beat"}[name]
    assert command in COMMANDS
    given = dict(pair.split("=", 1) for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE) for pair in line.split())
    credentials = dict(line.split(":", 1) for line in re.findall(r"^LoadCredential=(.*)$", text, re.MULTILINE))
    for variable, value in given.items():
        setting = variable.removeprefix(PREFIX).lower()
        if setting.endswith("_file"):
            assert setting.removesuffix("_file") in SECRETS
            assert value == f"%d/{setting.removesuffix('_file')}"
            assert value.removeprefix("%d/") in credentials
        else:
            assert setting in Settings.model_fields
            assert setting not in SECRETS, "a unit is readable by everybody"
    needed = {"database_url", "broker_url", "s3_access_key", "s3_secret_key", "replica_access_key", "replica_secret_key"}
    assert needed <= set(credentials)
    assert credentials["database_url"].endswith("_web" if name == "web" else "_worker")
    (state,) = re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE)
    assert given["LIUHEN_DATA_DIR"] == f"%S/{state}"


def test_a_worker_has_time_to_hand_back_before_it_is_killed():
    text = (UNITS / "liuhen-worker.service").read_text("utf-8")
    from workers import celery_app  # noqa: PLC0415 - Celery is loaded for this one

    assert int(re.search(r"^TimeoutStopSec=(\d+)", text, re.MULTILINE)[1]) > celery_app.FINISH + celery_app.LET_GO
