"""Direct uploads, against the MinIO SDK's own put of the same file: the dock's code, a web process of the production profile, one store.

From the request that makes the upload known to the answer that all of it is in the store; hashing the file before it is signed counts for
neither. In turns, one uncounted round, medians; one machine has station, web process, PostgreSQL and store on it.

    python tests/bench/bench_direct.py [--mebibytes 512] [--rounds 5]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.engines import engines, environment, production, store_of, table

HERE = Path(__file__).parent
MIB = 2**20
LEAST = 0.85
"""Of the SDK's speed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    settings = {"LIUHEN_DIRECT_UPLOADS": "1"}
    with (
        tempfile.TemporaryDirectory(prefix="liuhen-bench-") as folder,
        engines(),
        production(Path(folder) / "web", **settings) as server,
    ):
        credential = server.enrol_station("dock-1")
        path = Path(folder) / "card" / "a.bin"
        digest = made(path, given.mebibytes)
        figures = []
        for number in range(given.rounds + 1):
            ours = sent("dock", server.base_url, str(credential), str(path), digest)
            theirs = sent("sdk", *store_of(server), str(path))
            print(f"<!-- direct {ours:.2f} s, SDK {theirs:.2f} s -->", flush=True)
            if number:
                figures.append((ours, theirs))
    mine, sdk = (statistics.median(column) for column in zip(*figures, strict=True))
    size = given.mebibytes
    table(
        "direct uploads",
        [
            (f"A file of {size} MiB straight to the store, by the dock", f"{mine:.2f} s ({size / mine:.0f} MiB/s)", ""),
            ("The SDK's put of the same file", f"{sdk:.2f} s ({size / sdk:.0f} MiB/s)", ""),
            ("Ratio of speeds", f"{sdk / mine:.2f}", f"at least {LEAST}"),
        ],
    )
    return 0 if sdk / mine >= LEAST else 1


def made(path: Path, mebibytes: int) -> str:
    """Make a file and return its digest; afterwards it is in the system's memory, so that no disk is measured."""
    path.parent.mkdir()
    chance, whole = random.Random(1), hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mebibytes):
            piece = chance.randbytes(MIB)
            whole.update(piece)
            file.write(piece)
    return whole.hexdigest()


def sent(*arguments: str) -> float:
    command = [sys.executable, str(HERE / "direct_sender.py"), *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
