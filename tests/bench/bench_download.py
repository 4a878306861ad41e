"""Download of an original through its own route, in one stream, beside what the disk gives and what the page cache gives.

Ours is read from the page cache and from the disk (its pages dropped before), each over loopback into a sink.

    python tests/bench/bench_download.py [--mebibytes 2048] [--rounds 5] [--directory DIR]
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from archive.core.digest import Digest, original_key
from tests.bench.bench_upload import send
from tests.server import RunningServer
from tests.web.tus import PATH, signed_in

MIB = 2**20
MB = 1_000_000
TARGET_MB_A_SECOND = 300
PIECE = 4 * MIB


def download(port: int, path: str, headers: dict[str, str], size: int) -> float:
    """Return the seconds until every byte of the answer has come."""
    sink = bytearray(PIECE)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        began = time.monotonic()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200, answer.read()
        came = 0
        while got := answer.readinto(sink):
            came += got
        assert came == size
        return time.monotonic() - began


def read(path: Path) -> float:
    """Return the seconds of reading a file from beginning to end."""
    sink = bytearray(PIECE)
    began = time.monotonic()
    with path.open("rb", buffering=0) as file:
        while file.readinto(sink):
            pass
    return time.monotonic() - began


def forget(path: Path) -> None:
    """Drop a file's pages, so that the next reader reads the disk."""
    subprocess.run(["sync"], check=True)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(folder: Path, *, size: int, rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in ("disk", "cache", "ours from disk", "ours from cache")}
    settings = {"LIUHEN_WORKER": "0", "LIUHEN_FREE_SPACE_FLOOR": "0"}
    with RunningServer(folder / "data", settings=settings) as server, signed_in(server) as client:
        headers = {name: client.headers[name] for name in ("Cookie", "Origin")}
        sent = send(server.port, PATH, size, [f"{name}: {value}" for name, value in headers.items()])
        assert sent.sha256
        path = server.data_dir / "store" / original_key(Digest(sent.sha256))
        number = client.get(sent.where).json()["number"]
        route = f"/api/v1/items/{number}/download"
        for counted in [False] + [True] * rounds:
            forget(path)
            times = {"disk": read(path)}
            forget(path)
            times["ours from disk"] = download(server.port, route, headers, size)
            read(path)
            times["cache"] = read(path)
            times["ours from cache"] = download(server.port, route, headers, size)
            if counted:
                for name, seconds in times.items():
                    taken[name].append(seconds)
    return {name: size / MB / statistics.median(seconds) for name, seconds in taken.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to measure")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being ended ends both servers and drops the files
    folder = Path(tempfile.mkdtemp(prefix="liuhen-bench-", dir=given.directory))
    try:
        speed = measure(folder, size=given.mebibytes * MIB, rounds=given.rounds)
    finally:
        shutil.rmtree(folder)
    rows = [
        (
            f"Original of {given.mebibytes} MiB, one stream, in the page cache",
            "ours from cache",
            f"at least {TARGET_MB_A_SECOND} MB/s",
        ),
        ("the same, nothing of it in memory", "ours from disk", ""),
        ("beside it: reading the file itself from the page cache", "cache", ""),
        ("beside it: reading the file itself from the disk", "disk", ""),
    ]
    print("| download | median | target |\n| --- | ---: | --- |")
    for what, name, target in rows:
        print(f"| {what} | {speed[name]:.0f} MB/s | {target} |")
    return 0 if speed["ours from cache"] >= TARGET_MB_A_SECOND else 1


if __name__ == "__main__":
    sys.exit(main())
