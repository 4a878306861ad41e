"""A day's photos through one dock: 1,000 distinct JPEG files of 200 kB against one server with its worker.

Counted is the time from the dock's start to the last file's acknowledgement (`--no-wait`: read-back and receipts come later). Beside it, in
the same run, what the machine gives at best: files of that size written and synced one after the other, and hashing alone.

    python tests/bench/bench_photos.py [--photos 1000] [--directory DIR] [--jobs 8]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.server import RunningServer

TARGET = 60
"""Photos a second."""
SIZE = 200_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=8, help="files at once; 8 is the dock's own default")
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to measure")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being ended ends the server and drops the files
    folder = Path(tempfile.mkdtemp(prefix="liuhen-bench-", dir=given.directory))
    try:
        rate, commits, cores = docked(folder, count=given.photos, jobs=given.jobs)
        synced, hashed = disk(folder / "disk", count=200), hashing()
    finally:
        shutil.rmtree(folder)
    rows = [
        (f"{given.photos} photos of 200 kB through one dock, acknowledged", f"{rate:.0f} a second", f"at least {TARGET}"),
        ("Processor time of server and worker meanwhile", f"{cores:.2f} cores", ""),
        ("Read back and verified by then", f"{commits}", ""),
        ("Files of 200 kB written and synced, one after the other", f"{synced:.0f} a second", ""),
        ("SHA-256 alone", f"{hashed:.0f} photos a second", ""),
    ]
    print("| photos | figure | target |\n| --- | ---: | --- |")
    for what, figure, target in rows:
        print(f"| {what} | {figure} | {target} |")
    return 0 if rate >= TARGET else 1


def docked(folder: Path, *, count: int, jobs: int) -> tuple[float, int, float]:
    """Return photos acknowledged a second, how many were verified by then, and the cores that the server side kept busy."""
    card = folder / "card"
    make(card, count)
    os.sync()
    with RunningServer(folder / "data", settings={"LIUHEN_FREE_SPACE_FLOOR": "0"}) as server:
        credential = server.enrol_station("dock-bench")
        spent, began = busy(server.process.pid), time.monotonic()
        done = server.dock(credential, card, "--no-wait", "--json", "--jobs", str(jobs))
        took = time.monotonic() - began
        spent = busy(server.process.pid) - spent
        assert done.returncode == 0, done.stderr + done.stdout
        with server.sign_in() as client:
            verified = client.get("/api/v1/items", params={"state": "verified", "limit": 1}).json().get("total", 0)
    return count / took, verified, spent / took


def make(card: Path, count: int) -> None:
    """Write the photos: one picture, with a comment of its own in each so that no two have the same bytes."""
    card.mkdir()
    base = card / "base.jpg"
    noise = "nullsrc=size=960x540,geq=random(1)*255:128:128"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", noise, "-frames:v", "1", "-q:v", "14", str(base)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    picture = base.read_bytes()
    base.unlink()
    assert len(picture) < SIZE, len(picture)
    for number in range(count):
        comment = f"photo {number:06d}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        data = picture[:2] + segment + picture[2:]
        (
            card / f"DSJ001_888888_20261121{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}_{number:04d}.jpg"
        ).write_bytes(data + bytes(SIZE - len(data)))


def disk(folder: Path, *, count: int) -> float:
    """Return how many files of this size a second the disk takes, each synced with its name before the next."""
    folder.mkdir()
    data = os.urandom(SIZE)
    names = os.open(folder, os.O_RDONLY)
    began = time.monotonic()
    for number in range(count):
        fd = os.open(folder / str(number), os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)
        os.fsync(names)
    took = time.monotonic() - began
    os.close(names)
    return count / took


def hashing(*, count: int = 2000) -> float:
    """Return how many photos a second one core hashes."""
    data = os.urandom(SIZE)
    began = time.monotonic()
    for _ in range(count):
        hashlib.sha256(data).digest()
    return count / (time.monotonic() - began)


def busy(pid: int) -> float:
    """Return the seconds of processor time of a process and its children."""
    total, ticks = 0, os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in [str(pid), *children]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])
    return total / ticks


if __name__ == "__main__":
    sys.exit(main())
