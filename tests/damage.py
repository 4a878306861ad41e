"""Recordings that were hurt the way recorders hurt them: surgery on small healthy files, and a workshop's items given a recorder."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

from archive.records.items import Item
from tests.media_files import Workshop, made

PICTURES = "testsrc2=size=192x108:rate=25"
OTHERS = "testsrc=size=192x108:rate=25,format=yuv420p"
SINE = "sine=frequency=330:sample_rate=48000"
VIDEO = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-bf", "0"]

KINDS: dict[str, list[str]] = {
    "aac.mp4": [*VIDEO, "-c:a", "aac", "-b:a", "64k"],
    "reordered.mp4": ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25", "-bf", "3", "-c:a", "aac", "-b:a", "64k"],
    "alaw.mov": [*VIDEO, "-slices", "4", "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"],
    "hevc.mp4": ["-c:v", "libx265", "-x265-params", "log-level=none:bframes=0", "-preset", "ultrafast", "-an"],
    "silent.mp4": [*VIDEO, "-an"],
}
"""What recorders write, by its options."""


def recorded(kind: str, *, other: bool = False, seconds: int = 3) -> Path:
    """Return a healthy recording of a kind; `other` shows and says something else, as another file of the same recorder does."""
    sound = [] if "-an" in KINDS[kind] else ["-f", "lavfi", "-i", SINE]
    return made(
        f"{'other' if other else 'one'}-{seconds}-{kind}",
        *("-f", "lavfi", "-i", OTHERS if other else PICTURES, *sound, "-t", str(seconds), *KINDS[kind]),
    )


def without_index(whole: bytes, *, keep: float = 1.0, zeros: int = 0) -> bytes:
    """What is left when a recorder loses power: no `moov`, so much of the rest, then room that was taken beforehand."""
    end = whole.rindex(b"moov") - 4
    return whole[: int(end * keep)] + bytes(zeros)


def mdat_unwritten(content: bytes) -> bytes:
    """Put the size that was never filled in: 0."""
    at = content.index(b"mdat") - 4
    return content[:at] + bytes(4) + content[at + 4 :]


def scarred(content: bytes, *, keys: int, seed: int = 1) -> bytes:
    """Overwrite parts of the slices of so many key frames, past their headers, and not the first."""
    hurt, chance = bytearray(content), random.Random(seed)
    found = [match.start() for match in re.finditer(rb"\x00[\x00-\x0f]..\x65\x88", content, re.DOTALL)]
    for at in found[1 : 1 + keys]:
        for step in range(60):
            hurt[at + 400 + 3 * step] = chance.randrange(256)
    return bytes(hurt)


def hashes(path: Path, track: str = "v") -> str:
    """The SHA-256 of a track's packets."""
    return _said("ffmpeg", "-v", "error", "-i", str(path), "-map", f"0:{track}:0", "-c", "copy", "-f", "streamhash", "-")


def pictures(path: Path) -> list[tuple[int, str]]:
    """Time and digest of every picture as shown, in microseconds."""
    said = _said(
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:v:0",
        "-vf",
        "settb=1/1000000",
        "-enc_time_base",
        "1/1000000",
        "-f",
        "framemd5",
        "-",
    )
    rows = [line.split(",") for line in said.splitlines() if not line.startswith("#")]
    return [(int(row[2]), row[5].strip()) for row in rows]


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def take_in(shop: Workshop, path: Path, *, recorder: str | None, sequence: int | None = None) -> str:
    """Take a file in as a station would that knows the recorder; nothing is worked on yet."""
    number = shop.take_in(path)
    with shop.resources.transaction() as session:
        item = session.get(Item, shop.item(number).id)
        item.recorder, item.sequence = recorder, sequence
    return number
