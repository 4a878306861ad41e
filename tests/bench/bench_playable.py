"""How long after the last byte was acknowledged a browser shows the first frame, and that the size of the file does not matter.

A recording of 2.6 GB and one of 26 MB, with the index at the end and at the front, go up one after the other in turns; the browser is
open and signed in, as an officer's would be, and is sent to the item's page the moment the server acknowledged the last byte. Time
stops when Chromium presents a frame of it. Nothing is loaded before it is played: play is pressed the moment the player is there.

    python tests/bench/bench_playable.py [--rounds 3] [--megabytes 2600]
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.browser import DEEP_VIDEO, chromium, signed_in
from tests.server import RunningServer, wait_for_jobs, wait_until_verified
from tests.station import Station

TARGET_MS = 1000
SMALL_SECONDS = 30
SPREAD_MS = 250
"""What the large file may cost more than the small one and still be called independent of size, on a machine that does other work too."""

TELL_FIRST_FRAME = """(() => {
  const look = () => {
    const video = (FIND)();
    const at = () => window.firstFrame(performance.timeOrigin + performance.now());
    if (!video) requestAnimationFrame(look);
    else if (video.readyState >= 2) at();
    else {
      video.requestVideoFrameCallback(at);
      video.muted = true;
      video.play().catch(() => undefined);
    }
  };
  look();
})()""".replace("FIND", DEEP_VIDEO)
"""Runs in every document, so that a page which loads itself anew is timed until it shows something too."""

PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Clip:
    """A file to bench with; `label` is the row it counts for."""

    label: str
    path: Path


def make_clips(folder: Path, *, megabytes: int) -> list[Clip]:
    """Encode one clip and repeat it without encoding again, index at the end and at the front."""
    small = folder / "small.mp4"
    picture = f"testsrc2=size=1280x720:rate=30:duration={SMALL_SECONDS},noise=c0s=12:c0f=t"
    _ffmpeg(
        *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=frequency=300:duration={SMALL_SECONDS}"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-b:v", "7M", "-maxrate", "7M", "-bufsize", "7M", "-g", "60"),
        *("-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k", str(small)),
    )
    times = math.ceil(megabytes * 1_000_000 / small.stat().st_size)
    listing = folder / "listing.txt"
    listing.write_text(f"file '{small}'\n" * times)
    repeat = ("-f", "concat", "-safe", "0", "-i", str(listing), "-c", "copy")
    large, large_front, small_front = (folder / f"{name}.mp4" for name in ("large", "large-front", "small-front"))
    _ffmpeg(*repeat, str(large))
    _ffmpeg(*repeat, "-movflags", "+faststart", str(large_front))
    _ffmpeg("-i", str(small), "-c", "copy", "-movflags", "+faststart", str(small_front))
    return [
        Clip("small, index at the end", small),
        Clip("large, index at the end", large),
        Clip("small, index at the front", small_front),
        Clip("large, index at the front", large_front),
    ]


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments], check=True, stdin=subprocess.DEVNULL)


def make_unique(path: Path) -> None:
    """Put a `free` box with random bytes at the end, so that the archive has never seen these bytes."""
    with path.open("ab") as file:
        file.write((24).to_bytes(4, "big") + b"free" + os.urandom(16))


def measure(folder: Path, *, rounds: int, megabytes: int) -> dict[str, list[float]]:
    """Return milliseconds from acknowledgement to first frame for each clip; one uncounted round comes first."""
    taken: dict[str, list[float]] = defaultdict(list)
    clips = make_clips(folder, megabytes=megabytes)
    with (
        RunningServer(folder / "data") as server,
        Station(server.base_url, server.enrol_station("bench")) as station,
        server.sign_in() as client,
        chromium() as browser,
        signed_in(browser, server) as page,
    ):
        shown: list[float] = []
        # Playwright puts a mark on the function it is given, which a list's bound method would not take.
        page.expose_function("firstFrame", lambda at: shown.append(at))  # noqa: PLW0108 - says the line above
        page.add_init_script(TELL_FIRST_FRAME)
        for turn in range(rounds + 1):
            for clip in clips:
                if turn == 0 and clip.label.startswith("large"):
                    continue
                make_unique(clip.path)
                done = station.upload(clip.path, name=f"{turn}-{clip.path.name}")
                shown.clear()
                page.goto(f"/items/{done.number}", wait_until="commit")
                patience = time.monotonic() + PATIENCE_S
                while not shown and time.monotonic() < patience:
                    page.wait_for_timeout(10)
                if not shown:
                    jobs = client.get(f"/api/v1/items/{done.number}/jobs").json()
                    raise AssertionError(f"{clip.label}: nothing to see after {PATIENCE_S} s; {page.url}; {jobs}")
                if turn:
                    taken[clip.label].append(shown[0] - done.at * 1000)
                page.goto("/inbox")
                # The next turn starts on a quiet machine, as the next docking would not: that is another bench's matter.
                wait_until_verified(client, done.number, within_s=300)
                wait_for_jobs(client, done.number, within_s=600)
    return taken


def rows(taken: dict[str, list[float]]) -> list[str]:
    """Return the figures as the rows of a markdown table."""
    head = ["| last byte acknowledged → first frame in Chromium | median | worst | rounds |", "| --- | ---: | ---: | ---: |"]
    body = [
        f"| {label} | {statistics.median(times):.0f} ms | {max(times):.0f} ms | {len(times)} |" for label, times in taken.items()
    ]
    return head + body


def judge(taken: dict[str, list[float]]) -> list[str]:
    """Return what is not as it must be."""
    median = {label: statistics.median(times) for label, times in taken.items()}
    late = [f"{label}: {value:.0f} ms" for label, value in median.items() if value >= TARGET_MS]
    grown = [
        f"{where}: the large file takes {median[f'large, {where}'] - median[f'small, {where}']:.0f} ms longer"
        for where in ("index at the end", "index at the front")
        if median[f"large, {where}"] - median[f"small, {where}"] > SPREAD_MS
    ]
    return late + grown


def main() -> int:
    """Measure, print markdown rows, and say whether the targets are met."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--megabytes", type=int, default=2600)
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="liuhen-bench-"))
    try:
        taken = measure(folder, rounds=chosen.rounds, megabytes=chosen.megabytes)
    finally:
        shutil.rmtree(folder)
    print(*rows(taken), sep="\n")
    flaws = judge(taken)
    print(*flaws, sep="\n", file=sys.stderr)
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main())
