"""Station clock minus recorder clock, measured where the recorder lets it be measured.

Three ways, each with the uncertainty that it honestly has; a measurement less certain than `WORST_US` is none.

- `--clock-of COMMAND` asks the device (a maker's tool, a serial protocol) and prints its time. The station's clock is read before and
  after; the device's answer is held against the middle, and half the time between is uncertain.
- A live clock file, which says another time whenever it is read: read twice past every cache; it must have gone on as the station's
  clock did.
- A clock file written when the device was connected: held against the moment at which this station saw the volume come, so only a
  watching station can use it, and it is as uncertain as the maker says it may be late (`within_s`).

An answer in whole seconds stands for any moment of its second, so half a second is added to both.

Not guaranteed, and not done: nothing is read from times of change. A file that the station writes onto a recorder gets the station's own
time, and one that the recorder wrote has the recorder's: neither says what one clock showed when the other showed something. A card in a
reader has no clock at all.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from archive.core import sidecar
from archive.core.errors import Malformed, Unavailable
from archive.core.instant import SECOND, Instant, from_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from archive.dock.patterns import ClockFile
    from archive.dock.scan import Scan

WORST_US = 30 * SECOND
"""Beyond this a measured offset would say less than «unverified» does."""
COMMAND_WITHIN_S = 20.0
_MAX_ANSWER = 4096
_LIVE_PAUSE_S = 1.5
_EPOCH = re.compile(r"(\d{9,11})(?:\.(\d{1,9}))?")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True, slots=True)
class Measured:
    """Station clock minus recorder clock in microseconds, give or take `uncertainty_us`, and how it was measured (command, file)."""

    offset_us: int
    uncertainty_us: int
    how: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a device's clock showed; `step_us` is how finely it was told."""

    at: Instant
    step_us: int


def parse(text: str, *, zone: ZoneInfo) -> Shown:
    """Return the time in a device's answer: seconds since 1970, or ISO 8601, in the recorder's zone unless it names one.

    Raises:
        Malformed: it is neither.
    """
    text = text.strip()
    epoch, iso = _EPOCH.fullmatch(text), _ISO.fullmatch(text)
    if epoch:
        fraction = epoch[2] or ""
        return Shown(Instant(int(epoch[1]) * SECOND + int(fraction.ljust(6, "0")[:6])), _step(fraction))
    if iso:
        try:
            wall = datetime.fromisoformat(iso[1] + ("+00:00" if iso[3] == "Z" else iso[3] or ""))
        except ValueError as why:
            raise Malformed(what="device_clock", value=text[:80]) from why
        fraction = iso[2] or ""
        moment = from_datetime(wall if wall.tzinfo else wall.replace(tzinfo=zone))
        return Shown(Instant(moment + int(fraction.ljust(6, "0"))), _step(fraction))
    raise Malformed(what="device_clock", value=text[:80])


def between(shown: Shown, *, before: Instant, after: Instant, how: str) -> Measured:
    """Return the offset of a clock that showed this at some moment between two readings of the station's.

    Raises:
        Malformed: the station's clock was set meanwhile, or the measurement would be less certain than `WORST_US`.
    """
    uncertainty = (after - before) // 2 + shown.step_us // 2
    if after < before or uncertainty > WORST_US:
        raise Malformed(what="device_clock", reason="too_uncertain", uncertainty_us=uncertainty)
    return Measured((before + after) // 2 - (shown.at + shown.step_us // 2), uncertainty, how)


def by_command(
    command: str, scan: Scan, *, zone: ZoneInfo, now: Callable[[], Instant], within_s: float = COMMAND_WITHIN_S
) -> Measured:
    """Ask the device through a command, run without a shell; `{mount}` in it becomes the volume's root.

    Raises:
        Unavailable: it cannot be run, does not end in time, or ends badly.
        Malformed: it prints no time.
    """
    root = str(scan.volume.root)
    try:
        words = [word.replace("{mount}", root) for word in shlex.split(command)]
    except ValueError as why:
        raise Malformed(what="clock_command", reason=str(why)) from why
    if not words:
        raise Malformed(what="clock_command", reason="empty")
    before = now()
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within_s,
            check=False,
            env={**os.environ, "LIUHEN_MOUNT": root, "LIUHEN_CARRIER": scan.volume.carrier.identity},
        )
    except (OSError, subprocess.SubprocessError) as why:
        raise Unavailable(what="clock_command", reason=f"{type(why).__name__}: {why}"[:200]) from why
    after = now()
    if done.returncode:
        raise Unavailable(what="clock_command", reason=f"it ended with {done.returncode}")
    return between(
        parse(done.stdout[:_MAX_ANSWER].decode("utf-8", "replace"), zone=zone), before=before, after=after, how="command"
    )


def by_file(
    files: Iterable[ClockFile],
    root: Path,
    *,
    zone: ZoneInfo,
    seen_at: Instant | None,
    now: Callable[[], Instant],
    wait: Callable[[float], None],
) -> Measured | None:
    """Measure by the first clock file that the volume has; `seen_at` is when this station saw the volume come, None if it was there before.

    Return None where there is none, or none that says anything.

    Raises:
        Stopped: from `wait`.
    """
    for known in files:
        try:
            measured = _live(known, root, zone, now, wait) if known.live else _written(known, root, zone, seen_at)
        except (OSError, Malformed):
            continue
        if measured is not None:
            return measured
    return None


def _written(known: ClockFile, root: Path, zone: ZoneInfo, seen_at: Instant | None) -> Measured | None:
    if seen_at is None or known.within_s is None:
        return None
    shown = _read(known, root, zone)
    half = int(known.within_s * SECOND)
    return None if shown is None else between(shown, before=Instant(seen_at - half), after=Instant(seen_at + half), how="file")


def _live(
    known: ClockFile, root: Path, zone: ZoneInfo, now: Callable[[], Instant], wait: Callable[[float], None]
) -> Measured | None:
    first_at = now()
    first = _read(known, root, zone)
    wait(_LIVE_PAUSE_S)
    before = now()
    second = _read(known, root, zone)
    after = now()
    if first is None or second is None:
        return None
    went_on = (second.at - first.at) - (before - first_at)
    if second.at <= first.at or abs(went_on) > second.step_us + (after - before):
        return None  # it stands still: it is a note of some moment, and nobody knows of which
    return between(second, before=before, after=after, how="file")


def _read(known: ClockFile, root: Path, zone: ZoneInfo) -> Shown | None:
    """Return the time in a clock file, read from the device and not from a cache; links are not followed."""
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *folders, name = known.file.split("/")
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            text = sidecar.decoded(os.pread(descriptor, _MAX_ANSWER, 0))
        finally:
            os.close(descriptor)
    finally:
        os.close(at)
    found = known.compiled.search(text[:_MAX_ANSWER]) if text else None
    if found is None:
        return None
    parts = found.groupdict()
    fraction = parts.get("fraction") or ""
    try:
        year, month, day, hour, minute, second = (
            int(parts[name]) for name in ("year", "month", "day", "hour", "minute", "second")
        )
        wall = datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")[:6]), tzinfo=zone)
    except (TypeError, ValueError):
        return None
    return Shown(from_datetime(wall), _step(fraction))


def _step(fraction: str) -> int:
    """Return how fine a time with these decimals is, in microseconds."""
    return int(SECOND // 10 ** min(len(fraction), 6))
