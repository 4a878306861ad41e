"""Uploads through the archive's web process into S3, against the MinIO SDK's own put of the same bytes: large files and photos.

A file: from its first byte to the answer with its number, its digest declared; beside it one put of the SDK, hashed as it is read.
Photos of 200 kB from eight clients at once, each until its number; beside them the SDK's puts alone from eight threads. In turns, one
uncounted round, medians; one machine has sender, web process, PostgreSQL, RabbitMQ and store on it. No worker runs: reading back and
examining are theirs, on hosts of their own.

    python tests/bench/bench_upload_s3.py [--mebibytes 1024] [--rounds 5] [--photos 1000]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.engines import engines, environment, production, resident, store_of, table
from tests.server import RunningServer

HERE = Path(__file__).parent
MIB = 2**20
FILE, PHOTOS = 0.6, 0.4
"""Of the SDK's speed, at least."""
CLIENTS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="liuhen-bench-") as folder, engines(), production(Path(folder) / "web") as server:
        headers = headers_of(server)
        files, photos = [], []
        for number in range(given.rounds + 1):
            size = str(given.mebibytes * MIB)
            ours = sent("file-tus", server.base_url, headers, size, str(number))
            theirs = sent("file-sdk", *store_of(server), size, str(number))
            few = str(max(CLIENTS * 2, given.photos // (1 if number else 4)))
            mine = sent("photos-tus", server.base_url, headers, few, str(CLIENTS), str(number))
            alone = sent("photos-sdk", *store_of(server), few, str(CLIENTS), str(number))
            print(f"<!-- file {ours:.2f} s, SDK {theirs:.2f} s; photos {mine:.2f} s, SDK {alone:.2f} s -->", flush=True)
            if number:
                files.append((ours, theirs))
                photos.append((mine, alone))
        most = resident(server.process.pid, "VmHWM") / 1e6
    return report(files, photos, mebibytes=given.mebibytes, count=given.photos - CLIENTS, most=most)


def headers_of(server: RunningServer) -> str:
    """Return the headers of a signed-in person, for a sender of its own."""
    with server.sign_in() as client:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return json.dumps({"Cookie": cookie, "Origin": server.base_url})


def sent(*arguments: str) -> float:
    command = [sys.executable, str(HERE / "s3_senders.py"), *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def report(
    files: list[tuple[float, float]], photos: list[tuple[float, float]], *, mebibytes: int, count: int, most: float
) -> int:
    ours, theirs = (statistics.median(column) for column in zip(*files, strict=True))
    mine, alone = (statistics.median(column) for column in zip(*photos, strict=True))
    table(
        "uploads into S3",
        [
            (f"A file of {mebibytes} MiB, first byte to its number", f"{ours:.2f} s ({mebibytes / ours:.0f} MiB/s)", ""),
            ("The SDK's put of the same bytes, hashed", f"{theirs:.2f} s ({mebibytes / theirs:.0f} MiB/s)", ""),
            ("Ratio of speeds", f"{theirs / ours:.2f}", f"at least {FILE}"),
            (f"Photos of 200 kB from {CLIENTS} clients", f"{count / mine:.0f} a second", ""),
            (f"The SDK's puts alone from {CLIENTS} threads", f"{count / alone:.0f} a second", ""),
            ("Ratio of speeds, photos", f"{alone / mine:.2f}", f"at least {PHOTOS}"),
            ("Memory of the web process, most", f"{most:.0f} MB", ""),
        ],
    )
    return 0 if theirs / ours >= FILE and alone / mine >= PHOTOS else 1


if __name__ == "__main__":
    sys.exit(main())
