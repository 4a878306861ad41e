"""One large upload until its bytes are durable and their SHA-256 is known, against npm's @tus/server for the same end state.

Ours: until the last answer, which comes after fsync, digest and accession. Theirs: until the last answer, then `sync`, then `sha256sum`.
Same disk, same sender, in turns, one uncounted round, medians. Then eight at once of the same bytes in sum, and the server's memory.

    python tests/bench/bench_upload.py [--mebibytes 4096] [--rounds 5] [--directory DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

from archive.demo.server import free_port
from tests.server import RunningServer
from tests.web.tus import PATH, signed_in

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
TARGET_RATIO = 0.7
TARGET_MEMORY_MB = 200
TARGET_TOGETHER = 1.05  # no slower, but for what two measurements of the same thing differ by
AT_ONCE = 8
HERE = Path(__file__).parent


@dataclass
class Times:
    """Seconds of each round."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    stages: list[tuple[float, float, float]] = field(default_factory=list)
    together: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sent:
    """One upload as its sender saw it; seconds of the machine's monotonic clock, interpreter start not counted."""

    began: float
    ended: float
    where: str
    sha256: str | None


def send(port: int, path: str, size: int, headers: list[str]) -> Sent:
    command = [sys.executable, str(HERE / "tus_sender.py"), "127.0.0.1", str(port), path, str(size), *headers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Sent(**json.loads(done.stdout))


def send_ours(server: RunningServer, size: int, headers: list[str], *, at_once: int = 1) -> float:
    """Return the seconds from the first byte of the first upload to the last answer of the last."""
    with ThreadPoolExecutor(at_once) as senders:
        sent = list(senders.map(lambda _: send(server.port, PATH, size // at_once, headers), range(at_once)))
    assert all(one.sha256 for one in sent), "the digest is part of the end state"
    return max(one.ended for one in sent) - min(one.began for one in sent)


def send_theirs(port: int, directory: Path, size: int) -> tuple[float, float, float]:
    """Return the seconds of receiving, of `sync` and of `sha256sum`."""
    sent = send(port, "/files", size, [])
    began = time.monotonic()
    subprocess.run(["sync"], check=True)
    synced = time.monotonic()
    subprocess.run(["sha256sum", directory / sent.where.rpartition("/")[2]], check=True, capture_output=True)
    return sent.ended - sent.began, synced - began, time.monotonic() - synced


def clear(directory: Path) -> None:
    """Drop what a round left, so that each writes to the same empty disk with nothing waiting to be written."""
    for path in directory.rglob("*"):
        if path.is_file():
            path.unlink()
    subprocess.run(["sync"], check=True)


def memory_mb(process: int) -> int:
    """Return the most memory the process ever had resident, in MB of a million bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return kibibytes * 1024 // 1_000_000


@contextmanager
def reference(directory: Path) -> Iterator[int]:
    port = free_port()
    directory.mkdir()
    node = Path(sys.executable).with_name("node")
    command = [node, HERE / "tus_reference.mjs", str(port), directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield port
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the session: `node` is a script that starts the real one


def measure(folder: Path, *, size: int, rounds: int) -> tuple[Times, int]:
    times = Times()
    settings = {"LIUHEN_WORKER": "0", "LIUHEN_FREE_SPACE_FLOOR": "0"}
    files = folder / "reference"
    with RunningServer(folder / "data", settings=settings) as server, reference(files) as port, signed_in(server) as client:
        headers = [f"{name}: {client.headers[name]}" for name in ("Cookie", "Origin")]
        store = server.data_dir / "store"
        for counted in [False] + [True] * rounds:
            ours = send_ours(server, size, headers)
            clear(store)
            together = send_ours(server, size, headers, at_once=AT_ONCE)
            clear(store)
            stages = send_theirs(port, files, size)
            clear(files)
            print(
                f"<!-- ours {ours:.1f} s, eight {together:.1f} s, theirs {stages[0]:.1f} + {stages[1]:.1f} + {stages[2]:.1f} s -->"
            )
            if counted:
                times.ours.append(ours)
                times.together.append(together)
                times.stages.append(stages)
                times.theirs.append(sum(stages))
        return times, memory_mb(server.process.pid)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to measure")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being ended ends both servers and drops the files
    folder = Path(tempfile.mkdtemp(prefix="liuhen-bench-", dir=given.directory))
    try:
        times, memory = measure(folder, size=given.mebibytes * MIB, rounds=given.rounds)
    finally:
        shutil.rmtree(folder)
    return report(times, memory, mebibytes=given.mebibytes)


def report(times: Times, memory: int, *, mebibytes: int) -> int:
    ours, theirs, together = (statistics.median(found) for found in (times.ours, times.theirs, times.together))
    received, synced, hashed = (statistics.median(stage) for stage in zip(*times.stages, strict=True))
    rows = [
        (f"Upload of {mebibytes} MiB, durable and hashed", f"{ours:.1f} s ({mebibytes / ours:.0f} MiB/s)", ""),
        ("@tus/server, then sync, then sha256sum", f"{theirs:.1f} s = {received:.1f} + {synced:.1f} + {hashed:.1f}", ""),
        ("Ratio, medians", f"{ours / theirs:.2f}", f"at most {TARGET_RATIO}"),
        (f"{AT_ONCE} uploads at once, the same bytes in sum", f"{together:.1f} s = {together / ours:.2f} of one", "no slower"),
        ("Memory of the server, most", f"{memory} MB", f"under {TARGET_MEMORY_MB} MB"),
    ]
    print("| upload | median | target |\n| --- | ---: | --- |")
    for what, figure, target in rows:
        print(f"| {what} | {figure} | {target} |")
    return 0 if ours / theirs <= TARGET_RATIO and memory < TARGET_MEMORY_MB and together <= ours * TARGET_TOGETHER else 1


if __name__ == "__main__":
    sys.exit(main())
