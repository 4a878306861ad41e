"""Disturbances: what the pictures show (in the storyboard's own pass), what is heard, and what a transport stream has lost.

Invariants: pictures are decoded once, for storyboard and notes together; a recording of key frames alone is thinned to one a second before
anything is decoded. What was looked at is written down with what was found, so that «nothing found» is never said of what nobody looked at.

Not guaranteed: what lies between two looks; see `archive.core.media.disturbance`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from archive.actions import technical
from archive.adapters import ffmpeg
from archive.adapters.jail import MIB
from archive.adapters.tool_runner import UNTIL_CPU_LIMIT
from archive.core.errors import ToolFailed
from archive.core.instant import DAY
from archive.core.media import disturbance, transport
from archive.core.media.disturbance import Heard, Look, Notes
from workers.bench import opened
from workers.media import probed, said_no

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from archive.actions.jobs import ClaimedJob
    from archive.core.instant import Instant
    from archive.core.media import tracks
    from archive.core.media.storyboard import Storyboard
    from archive.resources import Resources
    from workers.bench import Bench
    from workers.runner import Publish, Report

_KEYFRAME_WINDOW = 40
"""Seconds at a recording's beginning within which the spacing of key frames is looked at."""
_CLOSE_US: Final = 480_000
"""Key frames nearer to each other than this are thinned before they are decoded."""
_MOST_LEAD: Final = 16
"""Bytes beside packets that are no loss: what packets of 192 and 204 bytes carry around themselves."""
_MOST_LOOKS: Final = 400_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What the pass over the pictures found; `every` says what was looked at: `key` frames, one a `second`, thinned or of all frames."""

    notes: Notes
    every: str
    undecoded: int

    def as_json(self) -> dict[str, object]:
        """Return plain objects."""
        return {**self.notes.as_json(), "every": self.every, "undecoded": self.undecoded}


def look(bench: Bench, video: tracks.Video, board: Storyboard) -> Seen:
    """Draw the storyboard and measure its pictures: from key frames where they come often enough for the tiles, else from every frame.

    Raises:
        ToolFailed: no picture could be decoded.
    """
    keys = _key_frame_spacing(bench, video)
    bench.argvs.clear()
    if keys is not None and keys < _CLOSE_US and (seen := _thinned(bench, video, board)) is not None:
        return seen
    sparse = keys is None or keys > 3 * board.spacing_us
    for key_frames_only in (False,) if sparse else (True, False):
        seen = _pass(bench, bench.origin, video, board, key_frames_only=key_frames_only)
        if bench.made("storyboard.jpg"):
            return seen
    raise ToolFailed(tool="ffmpeg", reason="no_picture", tail="no picture could be decoded")


def _thinned(bench: Bench, video: tracks.Video, board: Storyboard) -> Seen | None:
    """Look at one picture a second of a recording of key frames alone; None where the tool cannot copy it apart."""
    limits = bench.limits(duration_us=board.duration_us)
    argv = ffmpeg.thinned(bench.origin, bench.inside("thin.mov"), video=video)
    try:
        bench.run(
            argv, limits=limits, note="storyboard", duration_us=board.duration_us, span=(100, 500), busy_seconds=UNTIL_CPU_LIMIT
        )
        if not bench.made("thin.mov"):
            return None
        thin = ffmpeg.Source(bench.inside("thin.mov"), "mov", most_pixels=bench.origin.most_pixels)
        seen = _pass(bench, thin, replace(video, index=0), board, key_frames_only=True)
    except ToolFailed as failed:
        if not said_no(failed):
            raise
        return None
    finally:
        (bench.scratch / "thin.mov").unlink(missing_ok=True)
    return replace(seen, every="second") if bench.made("storyboard.jpg") else None


def _pass(bench: Bench, origin: ffmpeg.Source, video: tracks.Video, board: Storyboard, *, key_frames_only: bool) -> Seen:
    found: list[Look] = []
    most = board.duration_us // 500_000 + 1000

    def read(lines: list[str]) -> None:
        found.extend(disturbance.read_looks(lines))
        if len(found) > min(most * 60, _MOST_LOOKS):
            raise ToolFailed(tool="ffmpeg", reason="too_much_output", tail="more pictures than the recording is long")
        at = found[-1].at_us if found else 0
        bench.report(500 + 450 * min(at, board.duration_us) // max(1, board.duration_us), "storyboard")

    printed = _Printed(read)
    argv = ffmpeg.looks(origin, bench.inside("storyboard.jpg"), video=video, board=board, key_frames_only=key_frames_only)
    # The pass says nothing between two far key frames: only processor time shows that it lives.
    ran = bench.run(
        argv,
        limits=bench.limits(duration_us=board.duration_us),
        note="storyboard",
        span=(500, 950),
        busy_seconds=UNTIL_CPU_LIMIT,
        on_bytes=printed.take,
        complaint=ffmpeg.COMPLAINT,
    )
    printed.finish()
    every = "key" if key_frames_only else "second"
    return Seen(disturbance.pictures(found, board.duration_us), every, ran.complaints)


@dataclass(slots=True)
class _Printed:
    """Lines of a tool's output, handed on in whole blocks, each of which begins with `frame:`."""

    read: Callable[[list[str]], None]
    _rest: str = ""

    def take(self, piece: bytes) -> None:
        text = self._rest + piece.decode("ascii", errors="replace")
        cut = text.rfind("frame:")
        if cut <= 0:
            self._rest = text
            return
        self._rest = text[cut:]
        self.read(text[:cut].splitlines())

    def finish(self) -> None:
        self.read(self._rest.splitlines())


def _key_frame_spacing(bench: Bench, video: tracks.Video) -> int | None:
    """Return the mean distance of key frames in microseconds near the beginning, from packets alone; None if there is but one."""
    ran = bench.run(
        ffmpeg.packets(bench.origin, video.index, seconds=_KEYFRAME_WINDOW),
        limits=bench.limits(),
        note="storyboard",
        span=(100, 100),
    )
    rows = [line.split(",") for line in ran.output.decode("ascii", errors="replace").splitlines()]
    keys = [int(row[0]) for row in rows if len(row) > 3 and row[0].lstrip("-").isdecimal() and row[3].startswith("K")]  # noqa: PLR2004 - columns
    if len(keys) < 2 or video.timebase is None:  # noqa: PLR2004 - a distance has two ends
        return None
    return (max(keys) - min(keys)) * 1_000_000 * video.timebase.num // video.timebase.den // (len(keys) - 1)


def notes_of(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Measure the sound, and walk the packets of a transport stream.

    Raises:
        ToolFailed: the sound could not be decoded to its end.
    """
    with opened(resources, job, report) as bench:
        examined = probed(bench)
        known: dict[str, object] = {}
        heard = None if examined.audio is None else _sound(bench, examined.audio, examined.facts.duration_us or 0)
        if heard is not None:
            known["sound_notes"] = heard.as_json()
        lost = _transport(bench) if bench.sniffed.container == "mpegts" and not bench.derived else None

    def write(session: Session, _now: Instant) -> None:
        technical.merge(session, sha256=bench.original, facts=known)
        if heard is None and examined.audio is not None:
            technical.found(session, sha256=bench.original, code="sound_unreadable")
        if lost is None:
            return
        technical.merge(session, sha256=bench.original, facts={"packets": lost.packets})
        if lost.breaks:
            facts = {"breaks": lost.breaks, "lost": lost.lost, "packets": lost.packets, "first": lost.first_break or 0}
            technical.found(session, sha256=bench.original, code="packets_lost", facts=facts)
        if lost.stray > _MOST_LEAD and lost.first_stray is not None:
            facts = {"stray": lost.stray, "first": lost.first_stray}
            technical.found(session, sha256=bench.original, code="out_of_step", facts=facts)

    return write


def _sound(bench: Bench, audio: tracks.Audio, duration_us: int) -> Notes | None:
    """Measure the sound; None if nothing of it can be decoded."""
    heard: list[Heard] = []
    most = 2 * min(max(duration_us, 30_000_000), DAY) // 100_000

    def read(lines: list[str]) -> None:
        heard.extend(disturbance.read_heard(lines))
        if len(heard) > most:
            raise ToolFailed(tool="ffmpeg", reason="too_much_output", tail="more sound than the recording is long")
        bench.report(min(900, len(heard) * 90_000_000 // max(1, duration_us)), "notes")

    printed = _Printed(read)
    limits = bench.limits(duration_us=duration_us)
    argv = ffmpeg.loudness(bench.origin, audio=audio)
    try:
        bench.run(argv, limits=limits, note="notes", on_bytes=printed.take, busy_seconds=UNTIL_CPU_LIMIT)
    except ToolFailed as failed:
        if heard or not said_no(failed):
            raise
        return None
    printed.finish()
    return disturbance.sound(heard, duration_us)


def _transport(bench: Bench) -> transport.Walked:
    with bench.source.open("rb", buffering=0) as file:
        head = file.read(64 * 1024)
        file.seek(0)
        walk = transport.Walk(transport.stride_of(head))
        done = 0
        while piece := file.read(4 * MIB):
            walk.feed(piece)
            done += len(piece)
            bench.report(900 + 90 * done // max(1, bench.size), "notes")
    return walk.finish()
