"""The flaw: a file that makes its tool print without end, run without end, or write without end takes the worker with it.

Safeguards, each in `archive.adapters.tool_runner` or the jail's limits: of standard error the last 64 KiB are kept; what standard output
may hold is bounded; no movement for a minute ends the tool; processor time and file size are the kernel's to bound; the whole process
group goes.
"""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from archive.adapters import ffmpeg
from archive.adapters.jail import MIB, Cell, Jail, Limits
from archive.adapters.tool_runner import TAIL, run
from archive.core.errors import ToolFailed
from tests.corpus.inputs import input_file


def cell(code: str) -> Cell:
    return Cell((sys.executable, "-c", code), {"PATH": os.environ["PATH"]})


def test_hundreds_of_megabytes_on_standard_error_cost_sixty_four_kilobytes():
    code = "import os\nfor _ in range(400): os.write(2, b'e' * 1048576)\nos.write(2, b'the end')"
    tracemalloc.start()
    try:
        ran = run(cell(code), tool="python")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(ran.said), ran.said[-7:]) == (TAIL, "the end")
    assert peak < 2 * MIB


def test_endless_chatter_on_standard_error_is_no_progress():
    with pytest.raises(ToolFailed) as failed:
        run(cell("import os\nwhile True: os.write(2, b'still here\\n' * 1000)"), tool="python", stall_seconds=1)
    assert failed.value.facts["reason"] == "no_progress"
    assert len(str(failed.value.facts["tail"])) <= 2000


def test_a_picture_that_is_never_finished_ends_at_its_processor_time(tmp_path: Path):
    """An endless source stands for a file whose filter graph never ends; only the limit of the kernel knows."""
    endless = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=1000", "-f", "null", "-"]
    jail = Jail.probe()
    source = input_file("plain.mp4")
    started = time.monotonic()
    with pytest.raises(ToolFailed) as failed:
        run(
            jail.cell(endless, source=source, scratch=tmp_path, limits=Limits(cpu_seconds=1)),
            tool="ffmpeg",
            busy_seconds=float("inf"),
        )
    assert failed.value.facts["exit_code"] != 0
    assert time.monotonic() - started < 20


def test_a_file_that_grows_without_end_ends_at_its_size(tmp_path: Path):
    jail = Jail.probe()
    source = input_file("plain.mp4")
    inside = jail.view(source, tmp_path).scratch
    grows = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360",
        "-c:v",
        "rawvideo",
        "-f",
        "avi",
        f"{inside}/out.avi",
    ]
    with pytest.raises(ToolFailed):
        run(jail.cell(grows, source=source, scratch=tmp_path, limits=Limits(file_size=4 * MIB)), tool="ffmpeg")
    assert (tmp_path / "out.avi").stat().st_size <= 4 * MIB


@pytest.mark.parametrize(
    "name", ["circles.mp4", "slow.mp4", "fast.mp4", "no-scale.mp4", "backwards.mp4", "counts.mp4", "index-2gb.mp4"]
)
def test_the_probe_of_a_lying_table_ends_soon_and_small(tmp_path: Path, name: str):
    jail = Jail.probe()
    path = input_file(name)
    origin = ffmpeg.Source(jail.view(path, tmp_path).source, "mov")
    limits = Limits(address_space=2048 * MIB, memory=512 * MIB, cpu_seconds=10)
    refused: dict[str, object] = {}
    output = b"{"
    try:
        output = run(jail.cell(ffmpeg.probe(origin), source=path, scratch=tmp_path, limits=limits), tool="ffprobe").output
    except ToolFailed as failed:
        refused = failed.facts
    assert refused.get("exit_code", 1) == 1, refused  # it judged the file itself; nothing had to end it
    assert output.startswith(b"{")
