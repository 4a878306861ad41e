"""What the stations send: files that can be made again from seed, station and serial, so that nothing has to be kept to know them.

No two are alike: each carries its own name inside, where its format has a place that no decoder looks at.
"""

from __future__ import annotations

import functools
import hashlib
import random
from dataclasses import dataclass

from tests.media_files import media_file

MIB = 2**20
PART = 16 * MIB
"""What the archive sends to its store in one part. Every other large file has more than two, so that parts go while it comes."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as a recorder holds it."""

    name: str
    content: bytes
    sha256: str


def file_of(seed: int, station: str, serial: int, *, large: bool) -> File:
    """Return a station's file of this serial: a large one, or a recording (1 of 12), a photo (3 of 12) or bytes of no format."""
    name = f"S{seed}/{station}/{serial:06d}"
    chance = random.Random(name)
    if large:
        return _file(f"{name}.BIN", chance.randbytes((1 + serial % 2) * PART + chance.randrange(MIB, 8 * MIB)))
    mark = f"{name} {chance.random()}".encode()
    if serial % 12 == 5:
        return _file(f"{name}.MP4", _recording() + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark)
    if serial % 4 == 1:
        start, rest = _photo()[:2], _photo()[2:]
        return _file(f"{name}.JPG", start + b"\xff\xfe" + (2 + len(mark)).to_bytes(2, "big") + mark + rest)
    return _file(f"{name}.DAT", chance.randbytes(chance.randrange(1, 60_000)))


def _file(name: str, content: bytes) -> File:
    return File(name, content, hashlib.sha256(content).hexdigest())


@functools.cache
def _recording() -> bytes:
    return media_file("silent.mp4").read_bytes()


@functools.cache
def _photo() -> bytes:
    return media_file("photo.jpg").read_bytes()
