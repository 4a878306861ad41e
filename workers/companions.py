"""What every recording gets beside what plays: poster and storyboard, waveform, stream hashes, positions.

Invariants: a job depends on no other, for its process probes the bytes itself; it reads the original and never writes to it. Bytes that
have no such track make the job do nothing.

Not guaranteed: that a preview shows the very moment it stands for; pictures are taken from key frames where these come often enough.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from archive.actions import technical
from archive.adapters import ffmpeg
from archive.adapters.tool_runner import UNTIL_CPU_LIMIT
from archive.core.errors import ToolFailed
from archive.core.instant import DAY, Instant
from archive.core.media import media_plan, storyboard, telemetry, tracks
from archive.core.media.waveform import SAMPLE_RATE, Peaks
from workers.bench import Bench, Made, opened, publish, tool_version
from workers.media import VERSION, probed, said_no
from workers.notes import Seen, look

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from archive.actions.jobs import ClaimedJob
    from archive.resources import Resources
    from workers.runner import Publish, Report


def storyboard_of(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Make the poster, the sprite and the WebVTT that says what is where in it, and note what the pictures show on the way.

    That no picture can be decoded, or not all that were looked at, is a finding. Of a repaired copy the same is made as of an original.

    Raises:
        ToolFailed: a tool had to be stopped, or found a first picture and failed at the others.
    """
    with opened(resources, job, report) as bench:
        examined = probed(bench)
        video = examined.video
        if video is None:
            return _nothing
        tool = tool_version(bench.jail, "ffmpeg")
        duration = examined.facts.duration_us or 0
        try:
            made = [_poster(bench, video, duration, tool)]
        except ToolFailed as failed:
            if not said_no(failed):
                raise
            return lambda session, _now: technical.found(session, sha256=bench.original, code="pictures_unreadable")
        board = storyboard.plan(
            duration,
            video.width,
            video.height,
            aspect=(video.sample_aspect.num, video.sample_aspect.den),
            rotation=video.rotation,
        )
        seen = look(bench, video, board)
        grid = {"spacing_us": board.spacing_us, "count": board.count, "columns": board.columns}
        made.append(
            bench.keep("storyboard.jpg", recipe="storyboard", version=VERSION, media_type="image/jpeg", tool=tool, grid=grid)
        )
        bench.write("storyboard.vtt", storyboard.webvtt(board, "storyboard").encode())
        made.append(_kept(bench, "storyboard.vtt", "storyboard-vtt", "text/vtt; charset=utf-8"))

    def write(session: Session, now: Instant) -> None:
        publish(session, bench.original, made, now=now)
        _note(session, bench, seen)

    return write


def _note(session: Session, bench: Bench, seen: Seen) -> None:
    technical.merge(session, sha256=bench.original, facts={"picture_notes": seen.as_json()})
    if seen.undecoded:
        facts = {"undecoded": seen.undecoded, "looked": max(seen.notes.looked, seen.undecoded)}
        technical.found(session, sha256=bench.original, code="pictures_damaged", facts=facts)


def _nothing(_session: Session, _now: Instant) -> None:
    """Publish nothing: the bytes have no such track (a job of an older plan)."""


def _poster(bench: Bench, video: tracks.Video, duration_us: int, tool: str) -> Made:
    bench.argvs.clear()
    for at_us in dict.fromkeys((min(duration_us // 10, 5_000_000), 0)):  # where nothing is found there, the beginning has to do
        argv = ffmpeg.poster(bench.origin, bench.inside("poster.jpg"), video=video, at_us=at_us)
        bench.run(argv, limits=bench.limits(duration_us=duration_us), note="poster", busy_seconds=UNTIL_CPU_LIMIT)
        if bench.made("poster.jpg"):
            break
    else:
        raise ToolFailed(tool="ffmpeg", reason="exit", tail="no picture could be decoded")
    poster = bench.keep("poster.jpg", recipe="poster", version=VERSION, media_type="image/jpeg", tool=tool)
    bench.argvs.clear()
    return poster


def _kept(bench: Bench, name: str, recipe: str, media_type: str, tool: str = "liuhen") -> Made:
    return bench.keep(name, recipe=recipe, version=VERSION, media_type=media_type, tool=tool)


def _kept_json(bench: Bench, recipe: str, value: object) -> Made:
    bench.write(f"{recipe}.json", json.dumps(value, separators=(",", ":")).encode())
    return _kept(bench, f"{recipe}.json", recipe, "application/json", tool_version(bench.jail, "ffmpeg"))


def waveform(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Decode the sound once, keep its peaks; that there is none to decode is a finding.

    Raises:
        ToolFailed: a tool had to be stopped, or there was more sound than the recording is long.
    """
    with opened(resources, job, report) as bench:
        examined = probed(bench)
        if examined.audio is None:
            return _nothing
        bench.argvs.clear()
        duration = examined.facts.duration_us or 0
        # Silence is put into holes, so a file that claims a hole of a year would make a year of it: a day is as long as a recording gets.
        most = 2 * min(max(duration, 30_000_000), DAY)
        left = most * SAMPLE_RATE * 2 // 1_000_000
        whole = max(1, duration * SAMPLE_RATE * 2 // 1_000_000)
        peaks, heard = Peaks(), 0

        def take(pcm: bytes) -> None:
            nonlocal heard
            heard += len(pcm)
            if heard > left:
                raise ToolFailed(tool="ffmpeg", reason="too_much_output", tail="more sound than the recording is long")
            peaks.feed(pcm)
            report(min(980, heard * 1000 // whole), "waveform")

        argv = ffmpeg.pcm(bench.origin, audio=examined.audio)
        try:
            bench.run(argv, limits=bench.limits(duration_us=duration), note="waveform", on_bytes=take)
        except ToolFailed as failed:
            if heard or not said_no(failed):
                raise
            return lambda session, _now: technical.found(session, sha256=bench.original, code="sound_unreadable")
        made = _kept_json(bench, "waveform", peaks.finish().as_json())
    return lambda session, now: publish(session, bench.original, [made], now=now)


def stream_hash(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Hash every track's packets as stored; a copy of the tracks in another container can be held against it."""
    with opened(resources, job, report) as bench:
        examined = probed(bench)
        facts = examined.facts
        kinds = {track.index: ("video", track.codec) for track in facts.video}
        kinds |= {track.index: ("audio", track.codec) for track in facts.audio}
        kinds |= {track.index: (track.kind, track.codec or track.tag) for track in facts.data if track.kind == "data"}
        tracks = sorted(kinds)
        if not tracks:
            return _nothing
        bench.argvs.clear()
        argv = ffmpeg.stream_hash(bench.origin, bench.inside("streams.txt"), tracks=tracks)
        limits = bench.limits(duration_us=facts.duration_us)
        bench.run(
            argv, limits=limits, note="stream_hash", duration_us=facts.duration_us, span=(0, 980), busy_seconds=UNTIL_CPU_LIMIT
        )
        rows = bench.read("streams.txt").decode("ascii", errors="replace").split()
        streams = [
            {"track": track, "kind": kinds[track][0], "codec": kinds[track][1], "sha256": row.rpartition("=")[2]}
            for track, row in zip(tracks, rows, strict=True)
        ]
        made = _kept_json(bench, "stream-hash", {"algorithm": "sha256", "of": "packets as stored", "streams": streams})
    return lambda session, now: publish(session, bench.original, [made], now=now)


def telemetry_of(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Take the positions out of the camera's telemetry track."""
    with opened(resources, job, report) as bench:
        examined = probed(bench)
        track = media_plan.telemetry_track(examined.facts.data)
        if track is None:
            return _nothing
        listed = bench.run(ffmpeg.packets(bench.origin, track.index), limits=bench.limits(), note="telemetry").output
        bench.argvs.clear()
        argv = ffmpeg.telemetry(bench.origin, bench.inside("telemetry.bin"), track=track.index)
        bench.run(argv, limits=bench.limits(), note="telemetry", span=(100, 900), busy_seconds=UNTIL_CPU_LIMIT)
        blob = bench.read("telemetry.bin")
        points = telemetry.points(_packets(listed, blob, track.timebase or tracks.Rational(1, 1000)))
        shown = {"source": "gpmf", "unit": "micro-degrees", "points": [point.as_json() for point in points]}
        made = _kept_json(bench, "telemetry", shown)
    return lambda session, now: publish(session, bench.original, [made], now=now)


def _packets(listed: bytes, blob: bytes, timebase: tracks.Rational) -> list[telemetry.Packet]:
    """Cut the track's bytes at the packets' sizes, as ffprobe listed them (`pts,duration,size,flags`)."""
    found: list[telemetry.Packet] = []
    at = 0
    for line in listed.decode("ascii", errors="replace").splitlines():
        fields = line.split(",")
        numbers = [int(word) if word.lstrip("-").isdecimal() else 0 for word in fields[:3]]
        if len(numbers) < 3 or numbers[2] <= 0 or at + numbers[2] > len(blob):  # noqa: PLR2004 - index, start, length
            break
        start, length = (ticks * 1_000_000 * timebase.num // timebase.den for ticks in numbers[:2])
        found.append(telemetry.Packet(start, max(0, length), blob[at : at + numbers[2]]))
        at += numbers[2]
    return found
