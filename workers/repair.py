"""Repair: of a damaged MP4 what can be had is copied; one without an index is rebuilt after a healthy file of the same recorder.

Invariants: the original is read and never written to. What is made is probed, and decoded from end to end in the jail, before it is
published; how many pictures came out and how often the decoder complained stand in its provenance, with method, sibling and what was
guessed. That nothing could be made is a fact on the item and no failed job: the file stays as it came, and waits for a sibling.

The rebuilding itself runs here and not in the jail: it is bounded by construction (`archive.core.media.rebuild`) and hands nothing it
read to anything but our own parsers. What it writes is opened by jailed tools only.

Not guaranteed: times, where they were lost with the index; see `archive.core.media.rebuild`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archive.actions import jobs
from archive.actions import repair as repairs
from archive.adapters import ffmpeg
from archive.adapters.jail import MIB
from archive.adapters.tool_runner import UNTIL_CPU_LIMIT
from archive.core.digest import original_key
from archive.core.errors import ObjectMissing, ToolFailed
from archive.core.media import boxes, media_plan, packets, rebuild, remake, tracks
from archive.core.media.media_plan import Action, Work
from workers.bench import Bench, Made, fetching, opened, publish, tool_version
from workers.damage import reading
from workers.media import VERSION, parsed, probed, said_no

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy.orm import Session

    from archive.actions.jobs import ClaimedJob
    from archive.actions.repair import Sibling
    from archive.core.instant import Instant
    from archive.resources import Resources
    from workers.media import Examined
    from workers.runner import Publish, Report

_LEAST_SHARE: Final = 2
"""One picture in so many must decode without complaint, or the sibling was none."""
_FRAMES: Final = re.compile(r"frame=\s*(\d+)")


@dataclass(frozen=True, slots=True)
class _Mended:
    """A repaired copy in the scratch directory, and how good it is."""

    name: str
    facts: tracks.Facts
    decoded: int
    complaints: int
    told: Mapping[str, object]


def repair(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Make the repaired copy of a damaged original, or say what would be needed.

    Raises:
        ToolFailed: a tool had to be stopped.
        ObjectMissing: the original is not in the store.
    """
    with opened(resources, job, report) as bench:
        examined = probed(bench)
        state: dict[str, object]
        if examined.lacks_index:
            mended, state = _rebuilt(bench)
        elif examined.plan.action is Action.REPAIR:
            mended, state = _copied(bench, examined)
        else:
            return lambda _session, _now: None
        made = [] if mended is None else [_kept(bench, mended)]
        if mended is not None:
            state |= {"duration_us": mended.facts.duration_us, "plan": _plan(mended.facts, examined)}

    def write(session: Session, now: Instant) -> None:
        publish(session, bench.original, made, now=now)
        repairs.record(session, sha256=bench.original, facts=state)
        if made and examined.lacks_index:  # of an original that could not be opened, nothing else was made
            for work in (Work.STORYBOARD, Work.WAVEFORM, Work.NOTES):
                of = {"of": repairs.RECIPE}
                jobs.enqueue(session, kind=work.value, item_id=job.item_id, sha256=job.sha256, payload=of, now=now)

    return write


def _plan(made: tracks.Facts, examined: Examined) -> dict[str, object]:
    plan = examined.plan.as_json()
    if examined.lacks_index:
        works = [Work.STORYBOARD.value, Work.WAVEFORM.value, Work.NOTES.value]
        plan |= {"video": 0, "audio": 1 if made.audio else None, "works": works}
    return plan | {"action": Action.REPAIR.value, "reason": "damaged"}


def _kept(bench: Bench, mended: _Mended) -> Made:
    return bench.keep(
        mended.name,
        recipe=repairs.RECIPE,
        version=VERSION,
        media_type="video/mp4" if mended.facts.pictures else "audio/mp4",
        tool=tool_version(bench.jail, "ffmpeg"),
        made_us=mended.facts.duration_us,
        decoded=mended.decoded,
        complaints=mended.complaints,
        repair=dict(mended.told),
    )


def _copied(bench: Bench, examined: Examined) -> tuple[_Mended | None, dict[str, object]]:
    """Copy what is there, errors borne."""
    video, audio = examined.video, examined.audio
    name = "repair.mp4" if video is not None else "repair.m4a"
    duration = examined.facts.duration_us
    argv = ffmpeg.copy(bench.origin, bench.inside(name), video=video, audio=audio, encode_audio=False, damaged=True)
    bench.argvs.clear()
    try:
        bench.run(
            argv,
            limits=bench.limits(duration_us=duration),
            note="repair",
            duration_us=duration,
            span=(0, 500),
            busy_seconds=_silence(bench),
        )
        told = {"method": "tolerant_copy", "claimed_us": examined.claimed_us}
        mended = _judged(bench, name, told, written=None)
    except ToolFailed as failed:
        if not said_no(failed):
            raise
        mended = None
    if mended is None:
        # The original plays as far as it goes, and its page says that it is damaged.
        return None, {"state": "failed", "plan": examined.plan.as_json() | {"action": Action.DIRECT.value, "reason": "plays"}}
    return mended, {"state": "made", "method": "tolerant_copy"}


def _rebuilt(bench: Bench) -> tuple[_Mended | None, dict[str, object]]:
    """Try the healthy files of the recorder, nearest first, until one explains the bytes and what it gives decodes."""
    with bench.resources.reading() as session:
        wanted = repairs.wanted(session, bench.original)
    if wanted.recorder is None:
        return None, {"state": "no_recorder"}
    tried: list[dict[str, object]] = []
    for sibling in wanted.siblings:
        bench.argvs.clear()
        try:
            mended, why = _after(bench, sibling)
        except ToolFailed as failed:
            if not said_no(failed):
                raise
            mended, why = None, "not_decoded"
        if mended is not None:
            return mended, {"state": "made", "method": "rebuild", "sibling": sibling.number, "recorder": wanted.recorder}
        tried.append({"sibling": sibling.number, "why": why})
    state = "failed" if tried else "no_sibling"
    return None, {"state": state, "recorder": wanted.recorder, "tried": tried}


def _after(bench: Bench, sibling: Sibling) -> tuple[_Mended | None, str]:
    """Rebuild after one sibling; the reason why not is a short code."""
    try:
        with (
            bench.resources.store.local(
                original_key(sibling.digest), version=sibling.stored_version, beat=fetching(bench.report)
            ) as healthy,
            reading(healthy) as read_healthy,
        ):
            like = _likeness(healthy, read_healthy)
            with reading(bench.source) as read_at:
                found = _found(bench, like, read_at)
    except ObjectMissing:
        return None, "missing"
    except ValueError as why:
        return None, str(why)
    if found.foreign or not any(found.keys):
        return None, "other_settings"
    _written(bench, remake.head(like, found), found)
    try:
        for sound in dict.fromkeys((bool(found.sound_offsets), False)):
            if (mended := _recoded(bench, like, found, sibling, sound=sound)) is not None:
                return mended, ""
    finally:
        (bench.scratch / "rebuilt.mp4").unlink()
    return None, "not_decoded"


def _recoded(bench: Bench, like: rebuild.Likeness, found: rebuild.Found, sibling: Sibling, *, sound: bool) -> _Mended | None:
    """Make the copy that plays of what was written; without sound where it lies among other tracks and cannot be told apart."""
    origin = ffmpeg.Source(bench.inside("rebuilt.mp4"), "mov", most_pixels=bench.origin.most_pixels)
    argv = ffmpeg.rebuilt(origin, bench.inside("repair.mp4"), sound=sound, encode=like.coding.hevc)
    length = len(found.offsets) * like.ticks * 1_000_000 // like.video.timescale
    limits = bench.limits(duration_us=length)
    bench.argvs.clear()
    try:
        bench.run(argv, limits=limits, note="repair", duration_us=length, span=(300, 650), busy_seconds=_silence(bench))
        mended = _judged(bench, "repair.mp4", _told(like, found, sibling, sound=sound), written=len(found.offsets))
    except ToolFailed as failed:
        if not said_no(failed):
            raise
        return None
    return mended


def _told(like: rebuild.Likeness, found: rebuild.Found, sibling: Sibling, *, sound: bool) -> dict[str, object]:
    return {
        "method": "rebuild",
        "sibling": {"number": sibling.number, "sha256": sibling.digest.hex},
        "written": len(found.offsets),
        "sound_stretches": len(found.sound_offsets),
        "skipped_bytes": found.skipped,
        "resyncs": found.resyncs,
        "cut": found.cut,
        "guessed": ["picture_times", *(["sound_times", "sound_recoded"] if sound else [])],
        "sound_left_out": bool(found.sound_offsets) and not sound,
        "ticks": like.ticks,
        "timescale": like.video.timescale,
    }


def _likeness(healthy: Path, read_at: Callable[[int, int], bytes]) -> rebuild.Likeness:
    size = healthy.stat().st_size
    outline = boxes.outline("mov", size, read_at)
    index = None if outline is None else packets.index_of(outline, size, read_at)
    if index is None:
        raise ValueError("no index")
    return rebuild.learn(index, read_at)


def _found(bench: Bench, like: rebuild.Likeness, read_at: Callable[[int, int], bytes]) -> rebuild.Found:
    outline = boxes.outline("mov", bench.size, read_at)
    span = None if outline is None else boxes.media_span(outline, bench.size, read_at)
    if span is None:
        raise ValueError("no samples")
    start, end = span
    end -= boxes.empty_tail(start, end, read_at)

    def beat(at: int) -> None:
        bench.report(200 * (at - start) // max(1, end - start), "repair")

    found = rebuild.walk(like, start, end, read_at, beat=beat)
    last = [
        places[-1] + sizes[-1]
        for places, sizes in ((found.offsets, found.sizes), (found.sound_offsets, found.sound_sizes))
        if places
    ]
    found.end = max(last, default=found.start)
    return found


def _written(bench: Bench, head: bytes, found: rebuild.Found) -> None:
    """Put the new index before the samples' bytes, in the scratch directory."""
    with bench.source.open("rb", buffering=0) as source, (bench.scratch / "rebuilt.mp4").open("wb", buffering=0) as target:
        target.write(head)
        source.seek(found.start)
        left = found.end - found.start
        while left > 0 and (piece := source.read(min(left, 4 * MIB))):
            target.write(piece)
            left -= len(piece)
            bench.report(200 + 100 * (found.end - found.start - left) // max(1, found.end - found.start), "repair")


def _judged(bench: Bench, name: str, told: Mapping[str, object], *, written: int | None) -> _Mended | None:
    """Probe what was made and decode all of it; None where it is not fit to be shown."""
    origin = ffmpeg.Source(bench.inside(name), "mov", most_pixels=bench.origin.most_pixels)
    facts = tracks.facts(parsed(bench.run(ffmpeg.probe(origin), limits=bench.limits(), note="checking", span=(650, 660)).output))
    wrong = [why for track in facts.pictures if (why := media_plan.picture_objection(track)) is not None]
    if wrong or not facts.duration_us or not (facts.pictures or facts.audio):
        return None
    kept = [*(track.index for track in facts.pictures), *(track.index for track in facts.audio)]
    ran = bench.run(
        ffmpeg.decoded(origin, tracks=kept),
        limits=bench.limits(duration_us=facts.duration_us),
        note="checking",
        duration_us=facts.duration_us,
        span=(660, 980),
        busy_seconds=UNTIL_CPU_LIMIT,
        complaint=ffmpeg.COMPLAINT,
    )
    del bench.argvs[-2:]
    frames = [int(count) for count in _FRAMES.findall(ran.said)]
    decoded = frames[-1] if frames else 0
    if facts.pictures and (
        not decoded or _LEAST_SHARE * ran.complaints > decoded or (written and _LEAST_SHARE * decoded < written)
    ):
        return None
    return _Mended(name, facts, decoded, ran.complaints, told)


def _silence(bench: Bench) -> float:
    """At its end ffmpeg rewrites the file with the index in front and says nothing meanwhile: on a slow disk, 20 MB a second."""
    return 300 + bench.size / 20e6
