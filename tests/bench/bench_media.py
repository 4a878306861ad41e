"""What the archive adds to ffmpeg: a transcode and a remux through the worker against the bare commands, in turns, in one run.

Through the worker means from claiming the job to the row that says it is done: probe, jail, progress into the database, the check of
what was made, its digest, durability, and its place in the store. Bare means ffmpeg with the very same arguments; for the remux followed
by `sync` of its output and `sha256sum`, which is the same end state.

    python tests/bench/bench_media.py [--rounds 5] [--megabytes 600] [--seconds 60]
"""

from __future__ import annotations

import argparse
import math
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

TRANSCODE_TARGET = 1.10
REMUX_TARGET = 1.30
LOOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians in seconds of one recipe."""

    label: str
    bare: float
    worker: float
    target: float

    @property
    def ratio(self) -> float:
        """How much longer it takes through the worker."""
        return self.worker / self.bare

    def row(self) -> str:
        """One row of the table."""
        return f"| {self.label} | {self.bare:.2f} s | {self.worker:.2f} s | {self.ratio:.2f} | ≤ {self.target:.2f} |"


def measure(folder: Path, *, rounds: int, megabytes: int, seconds: int) -> list[Figures]:
    """Measure both recipes; each has one uncounted round first."""
    with workshop(folder / "archive") as shop:
        long, clip = _clip_to_remux(folder, megabytes), _clip_to_transcode(folder, seconds)
        remux = f"remux, {long.stat().st_size // 10**6} MB of H.264 in TS"
        transcode = f"transcode, {seconds} s of 720p MJPEG"
        return [
            _turns(shop, long, "remux", rounds=rounds, target=REMUX_TARGET, label=remux),
            _turns(shop, clip, "transcode", rounds=max(3, rounds - 2), target=TRANSCODE_TARGET, label=transcode),
        ]


def _turns(shop: Workshop, source: Path, recipe: str, *, rounds: int, target: float, label: str) -> Figures:
    number = shop.process(source)  # the uncounted round, and the command to repeat
    view = shop.renditions(number)[recipe]
    original = shop.resources.settings.data_dir / "store" / "originals" / "sha256"
    sha256 = shop.item(number).sha256.hex
    stored = original / sha256[:2] / sha256[2:4] / sha256
    bare_folder = shop.resources.settings.data_dir / "scratch"
    command = [
        word.replace("{original}", str(stored)).replace("{scratch}", str(bare_folder)) for word in view.provenance["commands"][0]
    ]
    output = bare_folder / f"{recipe}.mp4"
    bare, worker = [], []
    for turn in range(rounds):
        bare.append(_bare(command, output))
        worker.append(_through_the_worker(shop, number, recipe, turn))
    return Figures(label, statistics.median(bare), statistics.median(worker), target)


def _bare(command: list[str], output: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if output.name == "remux.mp4":
        subprocess.run(["sync", str(output)], check=True)
        subprocess.run(["sha256sum", str(output)], check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - started
    output.unlink()
    return took


def _through_the_worker(shop: Workshop, number: str, recipe: str, turn: int) -> float:
    view = shop.renditions(number)[recipe]
    shop.resources.store.discard(view.key)  # else the store would find its bytes there already, and re-read them
    found = shop.item(number)
    with shop.resources.transaction() as session:
        payload = {"recipe": recipe, "turn": turn}
        jobs.enqueue(
            session, kind="rendition", item_id=found.id, sha256=found.sha256.hex, payload=payload, now=shop.resources.now()
        )
    started = time.perf_counter()
    assert run_next(shop.resources, HANDLERS, lane="heavy", owner="bench", stopping=lambda: False)
    took = time.perf_counter() - started
    with shop.resources.reading() as session:
        (job,) = [view for view in jobs.of_item(session, found.id, found.sha256.hex) if view.payload.get("turn") == turn]
    assert job.state == "done", job.error_tail
    return took


def _clip_to_transcode(folder: Path, seconds: int) -> Path:
    path = folder / "clip.avi"
    picture = f"testsrc2=size=1280x720:rate=25:duration={seconds},noise=c0s=8:c0f=t"
    _ffmpeg(
        *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=frequency=300:duration={seconds}"),
        *("-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le", str(path)),
    )
    return path


def _clip_to_remux(folder: Path, megabytes: int) -> Path:
    short, path = folder / "short.ts", folder / "long.ts"
    picture = f"testsrc2=size=1280x720:rate=25:duration={LOOP_SECONDS},noise=c0s=12:c0f=t"
    _ffmpeg(
        *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=frequency=300:duration={LOOP_SECONDS}"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-b:v", "7M", "-maxrate", "7M", "-bufsize", "7M", "-g", "50"),
        *("-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k", str(short)),
    )
    times = math.ceil(megabytes * 1_000_000 / short.stat().st_size)
    _ffmpeg("-stream_loop", str(times - 1), "-i", str(short), "-map", "0", "-c", "copy", str(path))
    short.unlink()
    return path


def _ffmpeg(*options: str) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *options], check=True, stdin=subprocess.DEVNULL)


def main() -> int:
    """Print the table; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="liuhen-bench-") as folder:
        figures = measure(Path(folder), rounds=given.rounds, megabytes=given.megabytes, seconds=given.seconds)
    print("| recipe | bare | through the worker | ratio | target |")
    print("| --- | --- | --- | --- | --- |")
    for one in figures:
        print(one.row())
    return 0 if all(one.ratio <= one.target for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
