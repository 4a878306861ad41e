"""How fast the pass over the key frames is that draws the storyboard and notes what the pictures show.

The same recording (1080p30 H.264, a key frame a second) goes through the job `storyboard` and through ffmpeg alone, which decodes the same
key frames and throws them away: in turns in one run, medians compared. The job's time is all of it: probing, poster, pass, storing.
Recordings of key frames alone (MJPEG) are reported without a target.

    python tests/bench/bench_storyboard.py [--minutes 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from archive.actions import jobs
from tests.media_files import Workshop, workshop
from workers.handlers import HANDLERS
from workers.runner import run_next

TARGET = 50
MEMORY_TARGET_MB = 1000
LOOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians in seconds over a recording of so many seconds."""

    label: str
    seconds: float
    bare: float
    worker: float
    target: int | None

    @property
    def speed(self) -> float:
        """Times real time."""
        return self.seconds / self.worker

    def row(self) -> str:
        """One row of the table."""
        target = "reported" if self.target is None else f"≥ {self.target}×"
        return f"| {self.label} | {self.bare:.2f} s | {self.worker:.2f} s | {self.worker / self.bare:.2f} | {self.speed:.0f}× | {target} |"


def measure(folder: Path, *, minutes: int, rounds: int) -> list[Figures]:
    """Measure both kinds of recording; each has one uncounted round first."""
    with workshop(folder / "archive") as shop:
        h264 = _recording(
            folder,
            "key-a-second.mp4",
            minutes,
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-g",
            "30",
            "-keyint_min",
            "30",
            "-sc_threshold",
            "0",
            "-b:v",
            "4M",
        )
        figures = [
            _turns(
                shop,
                h264,
                f"{minutes} min of 1080p30 H.264, a key frame a second",
                ["-skip_frame", "nokey"],
                rounds=rounds,
                target=TARGET,
            )
        ]
        h264.unlink()
        minutes = max(1, minutes // 5)
        mjpeg = _recording(folder, "key-frames-alone.avi", minutes, "-c:v", "mjpeg", "-q:v", "12", "-pix_fmt", "yuvj420p")
        return [*figures, _turns(shop, mjpeg, f"{minutes} min of 1080p30 MJPEG", [], rounds=rounds, target=None)]


def _recording(folder: Path, name: str, minutes: int, *codec: str) -> Path:
    """A short noisy scene, over and over: coding ten minutes would take longer than all else here."""
    short, path = folder / f"short-{name}", folder / name
    scene = f"testsrc2=size=1920x1080:rate=30:duration={LOOP_SECONDS},noise=c0s=6:c0f=t"
    _ffmpeg("-f", "lavfi", "-i", scene, "-pix_fmt", "yuv420p", *codec, str(short))
    _ffmpeg("-stream_loop", str(minutes * 60 // LOOP_SECONDS - 1), "-i", str(short), "-map", "0", "-c", "copy", str(path))
    short.unlink()
    return path


def _turns(shop: Workshop, source: Path, label: str, options: list[str], *, rounds: int, target: int | None) -> Figures:
    number = shop.process(source)
    found = shop.item(number)
    bare, worker = [], []
    for turn in range(rounds):
        started = time.perf_counter()
        _ffmpeg(*options, "-i", str(source), "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "null", "-")
        bare.append(time.perf_counter() - started)
        for recipe in ("poster", "storyboard", "storyboard-vtt"):
            shop.resources.store.discard(shop.renditions(number)[recipe].key)
        with shop.resources.transaction() as session:
            now = shop.resources.now()
            jobs.enqueue(session, kind="storyboard", item_id=found.id, sha256=found.sha256.hex, payload={"turn": turn}, now=now)
        started = time.perf_counter()
        assert run_next(shop.resources, HANDLERS, lane="media", owner="bench", stopping=lambda: False)
        worker.append(time.perf_counter() - started)
    seconds = (found.duration_us or 0) / 1e6
    return Figures(label, seconds, statistics.median(bare), statistics.median(worker), target)


def _ffmpeg(*options: str) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *options], check=True, stdin=subprocess.DEVNULL)


def main() -> int:
    """Print the table; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="liuhen-bench-") as folder:
        figures = measure(Path(folder), minutes=given.minutes, rounds=given.rounds)
    print("| recording | ffmpeg decodes it and stops | storyboard and notes | ratio | times real time | target |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in figures:
        print(one.row())
    own, tools = (resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"| most memory: worker {own} MB, largest tool {tools} MB | | | | | ≤ {MEMORY_TARGET_MB} MB |")
    return (
        0 if all(one.target is None or one.speed >= one.target for one in figures) and max(own, tools) <= MEMORY_TARGET_MB else 1
    )


if __name__ == "__main__":
    sys.exit(main())
