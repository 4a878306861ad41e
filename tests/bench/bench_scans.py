"""How long after the last byte was acknowledged the first page of a 300-page scan is there, and what pages of 35,000 pixels take.

Two books of 300 A4 pages go up: a scanned book of small pages, as TEST_SAMPLES has one, fifty times over, and the hard case, image-only
pages of 200 dpi. The time of the bare tool for the same page, opened and drawn by the same child without a server, stands beside it.

    python tests/bench/bench_scans.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pypdfium2

from archive.adapters import documents, tiling
from archive.adapters.jail import Jail
from tests import scans
from tests.server import RunningServer, wait_for_jobs
from tests.station import Station

TARGET_S = 2.0
MEMORY_MIB = 1024
SIDES = (35_000, 25_000)
PATIENCE_S = 60


def books(folder: Path) -> dict[str, Path]:
    """Return what is uploaded, by its row's label."""
    made = {"300 A4 pages of 200 dpi": scans.book(folder / "book.pdf", 300)}
    samples = os.environ.get("TEST_SAMPLES")
    if samples:
        whole = pypdfium2.PdfDocument.new()
        with pypdfium2.PdfDocument(Path(samples) / "multipage.pdf") as part:
            for _ in range(50):
                whole.import_pages(part)
        whole.save(folder / "six.pdf")
        whole.close()
        made["a scanned book of six pages, fifty times"] = folder / "six.pdf"
    return made


def bare(path: Path, scratch: Path) -> float:
    """Return the seconds that the tool alone takes to open a book and draw its first page, in the same jail."""
    started = time.monotonic()
    documents.look(Jail.probe(), path, "pdf", scratch, first=True)
    return time.monotonic() - started


def make_unique(path: Path) -> None:
    """Put a comment at the end, so that the archive has never seen these bytes."""
    with path.open("ab") as file:
        file.write(b"\n%" + os.urandom(8).hex().encode())


def measure(folder: Path, *, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, float]]:
    """Return for each book the seconds to its first page and those of the bare tool, and the seconds until all pages were there."""
    taken: dict[str, list[float]] = {}
    alone: dict[str, list[float]] = {}
    whole: dict[str, float] = {}
    made = books(folder)
    scratch = folder / "scratch"
    scratch.mkdir()
    with (
        RunningServer(folder / "data") as server,
        Station(server.base_url, server.enrol_station("bench")) as station,
        server.sign_in() as client,
    ):
        for turn in range(rounds + 1):
            for label, path in made.items():
                make_unique(path)
                alone_s = bare(path, scratch)
                done = station.upload(path, name=f"{turn}-{path.name}")
                where = f"/api/v1/items/{done.number}/pages/1/view"
                while client.get(where).status_code != 200:
                    assert time.time() - done.at < PATIENCE_S, client.get(f"/api/v1/items/{done.number}/jobs").text
                    time.sleep(0.01)
                first_s = time.time() - done.at
                wait_for_jobs(client, done.number, within_s=600)
                if turn:  # the first round warms what is read from disk
                    taken.setdefault(label, []).append(first_s)
                    alone.setdefault(label, []).append(alone_s)
                whole[label] = time.time() - done.at
    return taken, alone, whole


def huge(folder: Path) -> tuple[float, float, float]:
    """Return the seconds, the megapixels and the MiB of memory that tiles of one huge grey page take."""
    path = scans.wide_png(folder / "huge.png", *SIDES)
    scratch = folder / "tiles"
    scratch.mkdir()
    started = time.monotonic()
    made, _ = tiling.make(Jail.probe(), path, "png", scratch, page=1, on_permille=lambda _: None)
    return time.monotonic() - started, SIDES[0] * SIDES[1] / 1e6, made.most_kib / 1024


def main() -> int:
    """Measure, print markdown rows, and say whether the targets are met."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="liuhen-bench-"))
    try:
        taken, alone, whole = measure(folder, rounds=chosen.rounds)
        seconds, megapixels, mebibytes = huge(folder)
    finally:
        shutil.rmtree(folder)
    print("| last byte acknowledged → first page can be fetched | median | worst | the tool alone | all 300 pages | rounds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for label, times in taken.items():
        bare_ms, all_s = statistics.median(alone[label]) * 1000, whole[label]
        median, worst = statistics.median(times) * 1000, max(times) * 1000
        print(f"| {label} | {median:.0f} ms | {worst:.0f} ms | {bare_ms:.0f} ms | {all_s:.0f} s | {len(times)} |")
    print(f"| {SIDES[0]:,} × {SIDES[1]:,} pixels, grey PNG, into tiles | {seconds:.1f} s | {megapixels / seconds:.0f} MP/s | | "
          f"{mebibytes:.0f} MiB held | 1 |")  # fmt: skip
    late = [f"{label}: {max(times):.2f} s" for label, times in taken.items() if max(times) >= TARGET_S]
    late += [f"memory: {mebibytes:.0f} MiB"] if mebibytes >= MEMORY_MIB else []
    print(*late, sep="\n", file=sys.stderr)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
