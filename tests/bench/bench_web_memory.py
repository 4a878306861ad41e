"""The memory of a web process while one file is taken in again and again: it must not grow.

The same bytes each time, so that the store holds them once; sampled four times a second, and its slope fitted over the later half.

    python tests/bench/bench_web_memory.py [--mebibytes 1024] [--times 50]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.bench_upload_s3 import headers_of, sent
from tests.bench.engines import engines, production, resident, table

MIB = 2**20
MOST_MB = 400
SLOPE_MB = 0.5
"""MB more for each upload, at most: 25 over fifty, which is what an allocator's mood makes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--times", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="liuhen-bench-") as folder, engines(), production(Path(folder) / "web") as server:
        headers, samples, over = headers_of(server), list[tuple[int, float]](), threading.Event()
        done = [0]

        def sample() -> None:
            while not over.wait(0.25):
                samples.append((done[0], resident(server.process.pid) / 1e6))

        sampler = threading.Thread(target=sample)
        sampler.start()
        took = []
        try:
            for _ in range(given.times):
                took.append(sent("file-tus", server.base_url, headers, str(given.mebibytes * MIB), "7"))
                done[0] += 1
        finally:
            over.set()
            sampler.join()
        most = resident(server.process.pid, "VmHWM") / 1e6
    later = [(float(at), memory) for at, memory in samples if at >= given.times // 2] or [(0.0, 0.0)]
    rise = slope(later)
    table(
        "memory of the web process",
        [
            (f"{given.mebibytes} MiB taken in {given.times} times", f"{sum(took) / len(took):.1f} s each", ""),
            ("Resident, least and most of all samples", f"{min(m for _, m in samples):.0f} to {most:.0f} MB", f"under {MOST_MB}"),
            ("Growth with each upload, later half", f"{rise:+.2f} MB", f"under {SLOPE_MB}"),
        ],
    )
    return 0 if most < MOST_MB and rise < SLOPE_MB else 1


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the straight line nearest to these points (least squares)."""
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return 0.0 if spread == 0 else sum((x - middle_x) * (y - middle_y) for x, y in points) / spread


if __name__ == "__main__":
    sys.exit(main())
