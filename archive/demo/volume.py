"""A recorder volume as it comes in from a shift: two recorders' folders and the office scanner's, with what a real one would hold.

Everything is relative to `now`, so that the footage is minutes old when it is docked, and the same `now` gives the same volume.
Recorder A's clock has been compared with the station's (it runs three seconds fast); recorder B's has not, and nobody knows yet
that it runs 41 seconds slow: the archive must show its times as «clock unverified». Every file comes with what the archive is
expected to make of it, which is what `liuhen demo --check` holds the archive to.
Not guaranteed: equal bytes on machines with other ffmpeg, espeak-ng, Pillow or font releases.
"""

from __future__ import annotations

import os
import struct
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from archive.core.digest import Digest
from archive.core.instant import MINUTE, SECOND, Instant, local
from archive.demo import footage, paper, scene
from archive.sm3 import Sm3

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from zoneinfo import ZoneInfo

A = footage.Camera(recorder="DSJ-A1023", officer_number="110231", officer_name="张伟", angle=scene.FRONT)
B = footage.Camera(recorder="DSJ-A1077", officer_number="110244", officer_name="李娜", angle=scene.BACK)

OFFSETS: dict[str, int] = {A.recorder: -3 * SECOND}
"""Station clock minus recorder clock, microseconds, for the recorders somebody has compared."""

_UNKNOWN_TO_ALL: dict[str, int] = {A.recorder: -3 * SECOND, B.recorder: 41 * SECOND}
"""What the offsets really are; the archive is told A's only."""

BEGINS_BEFORE_NOW = 6 * MINUTE
PAPER_AFTER_S = 240
"""The record was signed four minutes into the inspection, after the last recording ended."""
SHELF_LIFE_OVER_BY = timedelta(days=263)

HENGSHUI = ((37.0, 44.0, 6.0), (115.0, 41.0, 24.0))
"""Degrees, minutes, seconds north and east, of a street that is not the shop's, for there is no shop."""


class Replay(StrEnum):
    """How a browser is expected to get to see or hear a file."""

    ORIGINAL = "original"
    RENDITION = "rendition"
    REPAIR = "repair"
    PAGES = "pages"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Deposit:
    """One file of the volume and what the archive must make of it.

    `started` is on the recorder's own clock; `verified` is the corrected instant where the offset is known, else None. `bound` says
    whether the demonstration binds it to the case: some work is left in the inbox. `marked`: the recorder marked it as important, and
    by the shipped rule it stays there. `sheet`: it is this page of a document that was scanned page by page. Digests and size are those
    of the finished file, for the recorder is freed of it.
    """

    path: Path
    letters: str
    replay: Replay
    recorder: str | None = None
    officer: str | None = None
    started: Instant | None = None
    seconds: int | None = None
    pages: int | None = None
    damaged: bool = False
    bound: bool = True
    marked: bool = False
    sheet: int | None = None
    digest: str = ""
    sm3: str = ""
    size: int = 0

    @property
    def verified(self) -> Instant | None:
        """The station's time of `started`, if the recorder's clock was compared."""
        if self.started is None or self.recorder not in OFFSETS:
            return None
        return Instant(self.started + OFFSETS[self.recorder])


@dataclass(frozen=True, slots=True)
class Volume:
    """The finished volume: one folder for each carrier, and every file with its expectation."""

    carriers: tuple[Path, ...]
    deposits: tuple[Deposit, ...]
    began: Instant
    paper_at: Instant

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(deposit.size for deposit in self.deposits)

    @property
    def scanner(self) -> Path:
        """The folder that the office scanner writes into."""
        return next(carrier for carrier in self.carriers if carrier.name == SCANNER)

    @property
    def recorders(self) -> tuple[Path, ...]:
        """The volumes of the recorders."""
        return tuple(carrier for carrier in self.carriers if carrier != self.scanner)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where and when: what every maker of a file needs to know."""

    root: Path
    began: Instant
    zone: ZoneInfo
    rate: int = footage.RATE

    @property
    def produced(self) -> date:
        """The date on the packet, long enough ago to be a case."""
        return (local(self.began, self.zone) - SHELF_LIFE_OVER_BY).date()

    def clock(self, camera: footage.Camera, into_scene: int) -> Instant:
        """Return what the recorder's own clock shows at a second of the scene."""
        return Instant(self.began + into_scene * SECOND - _UNKNOWN_TO_ALL[camera.recorder])

    def path(self, camera: footage.Camera, kind: str, into_scene: int, sequence: int, suffix: str) -> Path:
        """Return where the recorder puts a file: a folder for each kind and day, everything else in the name."""
        shown = local(self.clock(camera, into_scene), self.zone)
        name = f"{camera.recorder}_{camera.officer_number}_{shown:%Y%m%d%H%M%S}_{sequence:04d}.{suffix}"
        folder = self.root / camera.recorder / "DCIM" / f"{shown:%Y%m%d}" / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


TAKES: tuple[tuple[footage.Camera, footage.Shape, int, int, int, str], ...] = (
    # HEVC takes longest to encode, so it goes first and the rest fills the other core.
    (B, footage.Shape.H265, 62, 24, 2, "MP4"),
    (A, footage.Shape.H264, 0, 32, 1, "MP4"),
    (A, footage.Shape.H264, 32, 32, 2, "MP4"),
    (A, footage.Shape.H264, 64, 32, 3, "MP4"),
    (B, footage.Shape.MJPEG, 8, 30, 1, "AVI"),
    (B, footage.Shape.H264, 116, 8, 4, "MP4"),
)
"""Camera, shape, second of the scene, seconds, sequence, suffix. A records without a break, and splits what it records: its three files are
one run. B misses 38 to 62; its last file, made after its battery was changed, is what its damaged one is rebuilt after."""

MARKED = (A.recorder, 3)
"""Recorder and sequence of the recording that the officer locked: recorders put those into a folder of their own."""

SCANNER = "SCAN"
SEIZURE = "扣押决定书及财物清单"
"""The folder, and so the document, of three sheets that were scanned one by one."""

POWER_LOST = (B, 92, 20, 3)
"""Camera, second of the scene, seconds, sequence of the recording that the battery ended: its index was never written."""


def fabricate(
    root: Path,
    *,
    now: Instant,
    zone: ZoneInfo,
    rate: int = footage.RATE,
    step: Callable[[str, int, int], None] = lambda *_: None,
) -> Volume:
    """Make the volume under `root`, its films with `rate` frames a second; `step(what, done, total)` is called as files get finished.

    Raises:
        EncoderFailed: ffmpeg is missing or failed.
        FontMissing: no Chinese font is installed.
    """
    began = Instant((now - BEGINS_BEFORE_NOW) // SECOND * SECOND)
    plan = Plan(root, began, zone, rate)
    with tempfile.TemporaryDirectory(prefix="liuhen-demo-") as scratch:
        makers = _makers(plan, Path(scratch))
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            work = [pool.submit(make) for make in makers]
            for done, future in enumerate(as_completed(work), start=1):
                step(future.result().path.name, done, len(makers))
        deposits = [future.result() for future in work]
    finished = [_finished(deposit, began) for deposit in deposits]
    ordered = tuple(sorted(finished, key=lambda deposit: deposit.path))
    carriers = tuple(sorted({root / deposit.path.relative_to(root).parts[0] for deposit in ordered}))
    return Volume(carriers, ordered, began, Instant(began + PAPER_AFTER_S * SECOND))


def _makers(plan: Plan, scratch: Path) -> list[Callable[[], Deposit]]:
    """Draw the props and record the sound, which everything needs, and return one maker for each file."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        props = {camera.recorder: scratch / camera.recorder for camera in (A, B)}
        drawn = [
            pool.submit(footage.props, props[camera.recorder], angle=camera.angle, produced=plan.produced) for camera in (A, B)
        ]
        sound = scratch / "scene.wav"
        drawn.append(pool.submit(footage.speak, sound, scratch=scratch))
        for future in drawn:
            future.result()
    takes = [partial(_recording, plan, take, props=props[take[0].recorder], sound=sound) for take in TAKES]
    return [
        *takes,
        partial(_cut_off, plan, props=props[B.recorder], sound=sound, scratch=scratch),
        *(partial(_photo, plan, camera, second, n, gps=gps) for camera, second, n, gps in PHOTOS),
        partial(_audio, plan, A, sound=sound, begin=112, seconds=18, sequence=9, suffix="M4A"),
        partial(_audio, plan, B, sound=sound, begin=131, seconds=16, sequence=9, suffix="WAV"),
        partial(_record, plan),
        *(partial(_sheet, plan, n) for n in (1, 2, 3)),
        partial(_sidecar, plan),
    ]


def _recording(
    plan: Plan,
    take: tuple[footage.Camera, footage.Shape, int, int, int, str],
    *,
    props: Path,
    sound: Path,
) -> Deposit:
    camera, shape, second, seconds, sequence, suffix = take
    started = plan.clock(camera, second)
    marked = (camera.recorder, sequence) == MARKED
    target = plan.path(camera, "Event" if marked else "VIDEO", second, sequence, suffix)
    shot = footage.Take(camera=camera, shape=shape, started=started, into_scene=second, seconds=seconds, rate=plan.rate)
    footage.film(shot, target, props=props, sound=sound, zone=plan.zone)
    replay = Replay.ORIGINAL if shape is footage.Shape.H264 else Replay.RENDITION
    return Deposit(target, "LX", replay, camera.recorder, camera.officer_number, started, seconds, marked=marked)


def _cut_off(plan: Plan, *, props: Path, sound: Path, scratch: Path) -> Deposit:
    """Make what a recorder leaves behind when its battery dies: the pictures are there, the index is not."""
    camera, second, seconds, sequence = POWER_LOST
    started = plan.clock(camera, second)
    whole = scratch / "whole.mp4"
    shot = footage.Take(camera, footage.Shape.H264, started, second, seconds, plan.rate)
    footage.film(shot, whole, props=props, sound=sound, zone=plan.zone)
    target = plan.path(camera, "VIDEO", second, sequence, "MP4")
    data = whole.read_bytes()
    target.write_bytes(data[: len(data) * 6 // 10])
    return Deposit(target, "LX", Replay.REPAIR, camera.recorder, camera.officer_number, started, damaged=True)


PHOTOS: tuple[tuple[footage.Camera, int, int, bool], ...] = ((A, 46, 1, True), (A, 60, 2, False), (B, 70, 1, False))
"""Camera, second of the scene, sequence, whether the recorder knew where it was."""


def _photo(plan: Plan, camera: footage.Camera, second: int, sequence: int, *, gps: bool) -> Deposit:
    """Compose a still of the scene: the first is the packet from near by, the others the shelf."""
    started = plan.clock(camera, second)
    picture = scene.wall(camera.angle)
    for drawing, at in (
        (scene.person(scene.OWNER, stride=0), (980, 196)),
        (scene.counter(camera.angle), (0, 0)),
        (scene.packet(produced=plan.produced, months=6), (420, 380) if gps else (120, 400)),
    ):
        picture.paste(drawing, at, drawing)
    box = (360, 340, 936, 664) if gps else (0, 0, *scene.CANVAS)
    picture = picture.crop(box).resize((1920, 1080), Image.Resampling.LANCZOS)
    target = plan.path(camera, "PHOTO", second, sequence, "JPG")
    picture.save(target, "JPEG", quality=88, exif=_exif(camera, local(started, plan.zone).replace(tzinfo=None), gps=gps))
    return Deposit(target, "ZP", Replay.PAGES, camera.recorder, camera.officer_number, started, pages=1, bound=gps)


def _exif(camera: footage.Camera, shown: object, *, gps: bool) -> Image.Exif:
    """Return the recorder's EXIF: maker, time without a zone as most write it, and the place where it had one."""
    make, model, date_time, exif_ifd, original, gps_ifd = 0x010F, 0x0110, 0x0132, 0x8769, 0x9003, 0x8825
    exif = Image.Exif()
    exif[make], exif[model], exif[date_time] = "DSJ", camera.recorder, f"{shown:%Y:%m:%d %H:%M:%S}"
    exif.get_ifd(exif_ifd)[original] = f"{shown:%Y:%m:%d %H:%M:%S}"
    if gps:
        north, east = HENGSHUI
        exif.get_ifd(gps_ifd).update({0: b"\x02\x03\x00\x00", 1: "N", 2: north, 3: "E", 4: east})
    return exif


def _audio(plan: Plan, camera: footage.Camera, *, sound: Path, begin: int, seconds: int, sequence: int, suffix: str) -> Deposit:
    started = plan.clock(camera, begin)
    target = plan.path(camera, "AUDIO", begin, sequence, suffix)
    footage.cut_sound(sound, target, begin=begin, seconds=seconds, started=started)
    return Deposit(target, "LY", Replay.ORIGINAL, camera.recorder, camera.officer_number, started, seconds)


def _record(plan: Plan) -> Deposit:
    """Write the scanned record where the office scanner puts its files."""
    begins = local(plan.began, plan.zone)
    folder = plan.root / SCANNER / f"{begins:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "现场检查笔录.pdf"
    ends = local(Instant(plan.began + PAPER_AFTER_S * SECOND), plan.zone)
    paper.record(paper.Inspection(begins=begins, ends=ends, produced=plan.produced), target)
    return Deposit(target, "WS", Replay.PAGES, pages=2)


def _sheet(plan: Plan, number: int) -> Deposit:
    """Scan one sheet of the document that lies in a folder of its own."""
    begins, ends = local(plan.began, plan.zone), local(Instant(plan.began + PAPER_AFTER_S * SECOND), plan.zone)
    folder = plan.root / SCANNER / f"{begins:%Y%m%d}" / SEIZURE
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{number}.jpg"
    paper.seizure(paper.Inspection(begins=begins, ends=ends, produced=plan.produced), target, sheet=number)
    return Deposit(target, "WS", Replay.PAGES, bound=False, sheet=number)


def _sidecar(plan: Plan) -> Deposit:
    """Write the maker's own index, which nobody else can read: it is kept all the same."""
    shown = local(plan.clock(A, 0), plan.zone)
    target = plan.root / A.recorder / "DCIM" / f"{shown:%Y%m%d}" / "DSJINDEX.VND"
    target.parent.mkdir(parents=True, exist_ok=True)
    files = ((1, 0, 32), (2, 32, 32))
    entries = (struct.pack("<IHHQ", n, seconds, 0xA5A5, plan.clock(A, second)) for n, second, seconds in files)
    target.write_bytes(b"\xd5JX\x02\x00\x00\x10\x00" + b"".join(entries) + bytes(64))
    return Deposit(target, "WS", Replay.NONE, A.recorder, bound=False)


def _finished(deposit: Deposit, began: Instant) -> Deposit:
    """Give a file the time its recorder closed it, or «modified» would say when the demonstration ran; return what it is then."""
    closed = (deposit.started or began) + (deposit.seconds or 0) * SECOND
    os.utime(deposit.path, ns=(closed * 1000, closed * 1000))
    data, sm3 = deposit.path.read_bytes(), Sm3()
    sm3.update(data)
    return replace(deposit, digest=Digest.of(data).hex, sm3=sm3.hexdigest(), size=len(data))
