"""Claims about the files by which a station of its own is set up."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from archive.core.errors import Malformed
from archive.dock import credential
from archive.dock.command import dock
from archive.dock.places import load
from tests.dock.watching import credential as a_credential

INFRA = Path(__file__).parents[2] / "infra"
UNIT = INFRA / "systemd" / "liuhen-dock.service"
RULES = INFRA / "udev" / "99-liuhen-dock.rules"
KEYS = {"ACTION", "SUBSYSTEM", "GOTO", "LABEL", "RUN"}


def test_the_unit_is_one_that_systemd_takes_and_leaves_little_to_the_service(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there")
    unit = tmp_path / UNIT.name
    # the program is not installed where the unit has it
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/liuhen/bin/liuhen", "/bin/true"), "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True, check=False
    ).stdout
    (exposure,) = re.findall(r"exposure level for \S+ (\d+\.\d)", told)
    assert float(exposure) < 2.5


def test_the_unit_runs_a_command_line_that_the_dock_knows():
    (line,) = re.findall(r"^ExecStart=\S+ dock (.*?)(?<!\\)$", UNIT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    options = re.findall(r"--[a-z-]+", line)
    known = {name for option in dock.params for name in option.opts}
    assert set(options) <= known
    assert {"--watch", "--places", "--credential", "--journal"} <= set(options)


def test_a_credential_that_systemd_hands_over_is_taken_and_no_other_that_others_may_read(tmp_path):
    path = a_credential(tmp_path)
    path.chmod(0o440)
    assert credential.load(path, handed_over=True).station == "dock-1"
    for mode, handed_over in ((0o440, False), (0o444, True), (0o460, True)):
        path.chmod(mode)
        with pytest.raises(Malformed, match="readable_by_others"):
            credential.load(path, handed_over=handed_over)


def test_a_dock_under_systemd_finds_its_credential_where_it_was_handed_over(tmp_path):
    path = a_credential(tmp_path)
    path.chmod(0o440)
    (tmp_path / "card").mkdir()
    command = [
        sys.executable,
        "-m",
        "archive.dock",
        tmp_path / "card",
        "--server",
        "http://127.0.0.1:9",
        "--credential",
        path,
        "--patience",
        "0",
    ]
    refused = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert "readable_by_others" in refused.stderr
    taken = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        env={"CREDENTIALS_DIRECTORY": str(tmp_path), "PATH": ""},
    )
    assert (taken.returncode, "readable_by_others" in taken.stderr) == (3, False)


def test_the_rules_mount_usb_partitions_read_only_and_nothing_else():
    lines = [line for line in RULES.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r'(?:[A-Z]+(?:\{\w+\})?(?:==|!=|\+=|=)"[^"]*"(?:, )?)+', line), line
        assert {re.match(r"[A-Z]+", part)[0] for part in re.findall(r'[A-Z]+(?:\{\w+\})?(?===|!=|\+=|=")', line)} <= KEYS | {
            "ENV"
        }
    leaves = [line for line in lines if "GOTO=" in line]
    for needed in (
        'ENV{ID_BUS}!="usb"',
        'ENV{DEVTYPE}!="partition"',
        'ENV{ID_USB_DRIVER}!="usb-storage|uas"',
        'SUBSYSTEM!="block"',
    ):
        assert any(needed in line for line in leaves), needed
    mounts = [line for line in lines if "systemd-mount" in line]
    assert max(map(lines.index, leaves)) < min(map(lines.index, mounts))
    for line in mounts:
        options = set(re.search(r"--options=(\S+)", line)[1].split(","))
        assert {"ro", "noexec", "nodev", "nosuid"} <= options
        assert "/media/liuhen/%k" in line


def test_an_empty_places_file_is_one(tmp_path):
    path = tmp_path / "places.toml"
    path.write_text("place = []\n", "utf-8")
    assert load(path) == ()
    path.write_text("", "utf-8")
    assert load(path) == ()
