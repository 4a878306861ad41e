"""Send one file straight to the store with the dock's own code, or with the MinIO SDK's; each a program with an interpreter of its own.

    python tests/bench/direct_sender.py dock BASE CREDENTIAL FILE SHA256
    python tests/bench/direct_sender.py sdk ENDPOINT ACCESS SECRET BUCKET FILE

Prints the seconds from the request that makes the upload known to the answer that all of it is there; of the SDK, those of its put.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from minio import Minio

from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.core.manifest import Carrier, Manifest
from archive.dock import credential
from archive.dock.client import Server
from archive.dock.direct import Arrived, Way
from archive.dock.journal import Journal
from archive.dock.pace import Limit, Patience, Stop
from archive.dock.patterns import load
from archive.dock.places import RECORDER, look
from archive.dock.sending import Means, send


def by_dock(base: str, key: str, file: str, sha256: str) -> float:
    """The dock's way from a signed file to the last part, its journal included; the file was hashed before."""
    known, stop, path = credential.load(Path(key)), Stop(), Path(file)
    scan = look(path.parent, RECORDER, label=None, patterns=load(None))
    (source,) = [each for each in scan.files if each.parts[-1] == path.name]
    now = Instant(time.time_ns() // 1000)
    manifest = Manifest(
        station=known.station, name=path.name, sha256=Digest(sha256), size=source.size, recorder=None, officer=None, sequence=None,
        started_at=None, started_from=None, clock_offset_us=None, carrier=Carrier(label="card", identity="bench", kind="folder"),
        modified=now, station_clock=now,
    )  # fmt: skip
    signature = known.sign(manifest.signing_bytes())
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal.locked(Path(folder) / "journal") as journal,
        Server(base, known) as server,
        Way(secure=False, ca=None) as way,
    ):
        server.sign_in()
        entry = journal.signed(
            known.archive, source, digest=Digest(sha256), manifest=manifest.encode(), signature=signature, now=now
        )
        means = Means(server=server, journal=journal, limit=Limit(None, stop=stop), stop=stop, now=lambda: now, way=way)
        patience = Patience(60, stop=stop, chance=random.Random(1))
        began = time.monotonic()
        try:
            send(source, entry, means=means, patience=patience, position=lambda _: None)
        except Arrived as why:
            assert why.sent == source.size  # noqa: PT017 - what is measured, not what is claimed
        return time.monotonic() - began


def by_sdk(endpoint: str, access: str, secret: str, bucket: str, file: str) -> float:
    """One put of the SDK in its own way, with parts as large as the dock's."""
    client = Minio(endpoint.removeprefix("http://"), access, secret, secure=False, region="us-east-1")
    path = Path(file)
    with path.open("rb") as stream:
        began = time.monotonic()
        client.put_object(bucket, f"derived/bench/{time.time_ns()}", stream, path.stat().st_size, part_size=32 * 2**20)
        return time.monotonic() - began


if __name__ == "__main__":
    print(by_dock(*sys.argv[2:]) if sys.argv[1] == "dock" else by_sdk(*sys.argv[2:]))
