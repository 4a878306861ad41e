"""Small files of every container, broken in the ways that disks, radios and people with a plan break them."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable

from tests.corpus.inputs import input_file

RECORDINGS = (
    "plain.mp4",
    "fragments.mp4",
    "alaw.mov",
    "telephone.3gp",
    "mjpeg.avi",
    "h264.ts",
    "blocks.m2ts",
    "h264.mkv",
    "vp8.webm",
)
SOUNDS = ("h264.flv", "program.mpg", "bare.h264", "tone.wav", "tone.mp3", "tone.aac", "tone.flac", "tone.ogg", "speech.amr")
PAPERS = ("photo.jpg", "turned.jpg", "photo.png", "pages.tif", "fax.tif", "moving.gif", "photo.webp", "paper.pdf", "record.ofd")
SEEDS = RECORDINGS + SOUNDS + PAPERS

_NAME = re.compile(rb"[a-z]{4}")
_LIES = (0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER, _TRAILER = 2048, 4096


def mutated(seed: str, number: int) -> bytes:
    """The `number`-th broken form of a seed: the same bytes every time."""
    chance = random.Random(f"{seed}:{number}")
    data = bytearray(input_file(seed).read_bytes())
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice(_WAYS)(data, chance)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Somewhere in the headers rather than in the pictures: the beginning, the end, or beside something that reads like a name."""
    if not data:
        return 0
    kind = chance.randrange(3)
    if kind == 0:
        return chance.randrange(min(len(data), _HEADER))
    if kind == 1:
        return chance.randrange(max(0, len(data) - _TRAILER), len(data))
    at = chance.randrange(len(data))
    named = _NAME.search(data, at)
    return min(max(0, (named.start() if named else at) + chance.randrange(-8, 16)), len(data) - 1)


def _flipped(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 3, 20))):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)
    return data


def _lied(data: bytearray, chance: random.Random) -> bytearray:
    at = _place(data, chance)
    word = struct.pack(chance.choice(("<I", ">I")), chance.choice(_LIES))
    data[at : at + 4] = word[: len(data) - at]
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 4, 16, 188, 4096))]
    return data


def _doubled(data: bytearray, chance: random.Random) -> bytearray:
    at, length = _place(data, chance), chance.choice((4, 16, 188, 1024))
    data[at:at] = data[at : at + length]
    return data


def _swapped(data: bytearray, chance: random.Random) -> bytearray:
    length = chance.choice((4, 16, 188))
    one, other = sorted((_place(data, chance), _place(data, chance)))
    if one + length <= other and other + length <= len(data):
        data[one : one + length], data[other : other + length] = data[other : other + length], data[one : one + length]
    return data


def _ended(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data) + 1)]


def _zeroed(data: bytearray, chance: random.Random) -> bytearray:
    at, length = _place(data, chance), chance.choice((8, 64, 4096))
    data[at : at + length] = bytes(min(length, len(data) - at))
    return data


def _spliced(data: bytearray, chance: random.Random) -> bytearray:
    other = input_file(chance.choice(SEEDS)).read_bytes()
    at = _place(data, chance)
    return data[:at] + other[chance.randrange(len(other)) :][:8192]


_WAYS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    *(_flipped, _flipped, _lied, _lied, _lied),
    *(_cut, _doubled, _swapped, _ended, _zeroed, _spliced),
)
