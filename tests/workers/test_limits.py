"""What a tool may use is what the settings say, and reaches the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.adapters.jail import MIB
from archive.core.digest import Digest
from archive.core.errors import ToolFailed
from archive.core.media.sniff import UNKNOWN
from tests.media_files import media_file, workshop
from workers.bench import Bench


def bench(shop, scratch: Path) -> Bench:
    source = media_file("plain.mp4")
    scratch.mkdir(exist_ok=True)
    view = shop.resources.jail.view(source, scratch)
    return Bench(shop.resources, lambda *_: None, Digest.of(b""), source, source.stat().st_size, scratch, UNKNOWN, view)


def test_a_tool_gets_what_the_settings_say(tmp_path: Path):
    settings = {
        "tool_memory": 512 * MIB,
        "tool_cpu_factor": 7,
        "tool_stall_seconds": 1,
        "max_tracks": 3,
        "max_picture_pixels": 1000,
    }
    with workshop(tmp_path / "data", **settings) as shop:
        here = bench(shop, tmp_path / "scratch")
        limits = here.limits(duration_us=100_000_000)
        assert (limits.address_space, limits.cpu_seconds) == (512 * MIB, 600 + 700)
        assert (here.origin.most_tracks, here.origin.most_pixels) == (3, 1000)
        shown = here.run(["prlimit", "--raw", "--noheadings", "-o", "RESOURCE,SOFT"], limits=limits, note="x").output.decode()
        told = dict(line.split() for line in shown.splitlines())
        assert (told["AS"], told["CPU"], told["NOFILE"]) == (str(512 * MIB), "1300", "256")
        with pytest.raises(ToolFailed) as failed:
            here.run(["sleep", "30"], limits=limits, note="x")
        assert failed.value.facts["reason"] == "no_progress"


def test_a_week_of_processor_time_is_the_most_that_any_length_buys(tmp_path: Path):
    with workshop(tmp_path / "data") as shop:
        assert bench(shop, tmp_path / "scratch").limits(duration_us=2**62).cpu_seconds == 600 + 7 * 86_400
