"""Jobs over recordings and sound: find out what they are, and make what plays. What is made beside it is in `workers.companions`.

Invariants: a job reads the original and never writes to it; a file that cannot be read is a finding, not a failure; a rendition is probed
and held against its plan before it is stored. Each process probes the bytes itself, so that no job depends on another's words, and once
only: a recording has half a dozen jobs, and starting the probe costs more than its answer.

Not guaranteed: that a sound recording is free of disturbances. «Sound» means that the container is whole and its tracks are told; what
is damaged inside a picture is found by whoever decodes it (`workers.notes`), and the page says what was looked at.
"""

from __future__ import annotations

import json
import signal
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from archive.actions import jobs, technical
from archive.actions import repair as repairs
from archive.adapters import ffmpeg, photos
from archive.adapters.tool_runner import UNTIL_CPU_LIMIT
from archive.core.errors import RenditionRejected, ToolFailed
from archive.core.jobs import MAX_ATTEMPTS
from archive.core.media import capture_time, media_plan, tracks
from archive.core.media.media_plan import Action, Work
from workers.bench import Bench, Made, opened, publish, tool_version
from workers.damage import BROKEN, REMARKS, Finding, outlined, real_length
from workers.documents import first_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from archive.actions.jobs import ClaimedJob
    from archive.core.instant import Instant
    from archive.resources import Resources
    from workers.runner import Publish, Report

VERSION = 1
"""Version of every recipe below; a change of what one makes raises its version."""

_PROBES = 4
_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of an original before anything is made of it."""

    facts: tracks.Facts
    plan: media_plan.Plan
    findings: tuple[Finding, ...]
    claimed_us: int | None = None
    """What the file claims to last, where that is not so; the facts then tell the real length."""

    @property
    def damaged(self) -> bool:
        """Whether its own statements are not to be relied on."""
        return any(finding["code"] in BROKEN for finding in self.findings)

    @property
    def lacks_index(self) -> bool:
        """Whether nothing says where its samples lie."""
        return any(finding["code"] == "moov_missing" for finding in self.findings)

    @property
    def video(self) -> tracks.Video | None:
        """The picture track of the plan."""
        return next((track for track in self.facts.video if track.index == self.plan.video), None)

    @property
    def audio(self) -> tracks.Audio | None:
        """The sound track of the plan."""
        return next((track for track in self.facts.audio if track.index == self.plan.audio), None)


def probed(bench: Bench) -> Examined:
    """Probe the original and decide what is to be made of it; what this process found of the very same file stands.

    The same file is one of the same bytes by name, at the same place on the disk, not written to since, looked at within the same bounds.

    Raises:
        ToolFailed: the probe could not be run; that it found nothing is a finding.
    """
    status, settings = bench.source.stat(), bench.resources.settings
    place = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    bounds = (settings.max_tracks, settings.max_picture_pixels, settings.tool_memory, settings.tool_cpu_factor)
    same = (bench.derived or bench.original, place, bench.sniffed, bench.jail, bounds)
    with _looking:
        known = _known.get(same)
    if known is None:
        known = _looked_at(bench), tuple(bench.tolerated)
        with _looking:
            _known[same] = known
            while len(_known) > _KEPT:
                _known.popitem(last=False)
    examined, tolerated = known
    bench.tolerated[:] = tolerated
    return examined


_known: OrderedDict[object, tuple[Examined, tuple[str, ...]]] = OrderedDict()
"""What this process found of the last originals that it looked at, the oldest first."""

_looking: Final = threading.Lock()


def _looked_at(bench: Bench) -> Examined:
    outline, findings = outlined(bench)
    facts = tracks.facts(None)
    if bench.sniffed.container in media_plan.CONTAINERS and not any(found["code"] == "moov_missing" for found in findings):
        try:
            facts = tracks.facts(parsed(_probe(bench)))
        except ToolFailed as failed:
            if not said_no(failed):
                raise
            findings.append(_unopened(bench, str(failed.facts["tail"])))
    claimed = None
    held = real_length(bench, outline, facts)
    if held is not None:
        claimed = facts.duration_us
        findings.append({"code": "cut_short", "facts": {"claimed_us": claimed or 0, "held_us": held}})
        facts = replace(facts, duration_us=held)
    plan = media_plan.plan(facts, bench.sniffed, most_pixels=bench.origin.most_pixels)
    shown = next((track for track in facts.video if track.index == plan.video), None)
    undrawn = None if shown is None or plan.action is Action.NONE or shown.pixel_format else _undrawn(bench, shown)
    if undrawn is not None:
        findings.append(undrawn)
        facts = replace(facts, video=tuple(track for track in facts.video if track.attached_picture))
        plan = media_plan.plan(facts, bench.sniffed)
    if plan.reason == "no_streams" and not findings:
        findings.append({"code": "no_streams", "facts": {}})
    examined = Examined(facts, plan, tuple(findings), claimed)
    if examined.damaged and plan.action is Action.DIRECT and bench.sniffed.container == "mov":
        # A browser believes what the file claims: it would show ten minutes of a scrub line for half a minute of pictures.
        return replace(examined, plan=replace(plan, action=Action.REPAIR, reason="damaged"))
    return examined


def _undrawn(bench: Bench, video: tracks.Video) -> Finding | None:
    """Return why no picture of a track can be decoded whose first ones could not (so the probe knows no pixel format); None if one can."""
    argv = ffmpeg.poster(bench.origin, bench.inside("trial.jpg"), video=video, at_us=0)
    try:
        said = bench.run(argv, limits=bench.limits(), note="probing", busy_seconds=UNTIL_CPU_LIMIT).said
    except ToolFailed as failed:
        if not said_no(failed):
            raise
        said = str(failed.facts.get("tail", ""))
    if bench.made("trial.jpg"):
        return None
    size = ffmpeg.refused_size(said)
    return (
        {"code": "pictures_unreadable", "facts": {}} if size is None else {"code": "pictures_too_large", "facts": {"size": size}}
    )


def _unopened(bench: Bench, tail: str) -> Finding:
    """Return why the probe did not open a file: of what there is too much, or its own words."""
    if ffmpeg.refused_tracks(tail):
        return {"code": "too_many_tracks", "facts": {"most": bench.origin.most_tracks}}
    if (size := ffmpeg.refused_size(tail)) is not None:
        return {"code": "pictures_too_large", "facts": {"size": size}}
    return {"code": "probe_failed", "facts": {"words": _words(bench, tail)}}


def _words(bench: Bench, tail: str) -> str:
    """A tool's last words, without this job's paths."""
    return bench.symbolic([tail])[0][-1000:]


def _probe(bench: Bench) -> bytes:
    """Run the probe; where it will not open a file because of a track we do not decode, let it open that track for show."""
    for _ in range(_PROBES):
        try:
            return bench.run(ffmpeg.probe(bench.origin), limits=bench.limits(), note="probing").output
        except ToolFailed as failed:
            more = set(ffmpeg.refused_decoders(str(failed.facts.get("tail", "")))) - set(bench.tolerated)
            if not more or not said_no(failed):
                raise
            bench.tolerated.extend(sorted(more))
    return b""


def said_no(failed: ToolFailed) -> bool:
    """Whether the tool itself came to its end and judged the file, and neither the jail nor the watchdog ended it."""
    return failed.facts.get("reason") == "exit" and not str(failed.facts.get("tail", "")).startswith("bwrap:")


def parsed(raw: bytes) -> object:
    """Return what JSON a tool printed, or None for what is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def examine(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Find out what an item is technically and what must be made of it, and promise that work.

    Raises:
        ToolFailed: a tool itself failed; at the last attempt that is a finding.
        ObjectMissing: the original is not in the store.
    """
    with opened(resources, job, report) as bench:
        started_at = _stated_start(resources, bench)
        try:
            examined, plan, findings, shown, made = _examined(bench)
        except ToolFailed as failed:
            # What ends its tool whenever it is looked at is an item all the same, and its page says so.
            if _not_the_files_doing(failed) or (job.attempt < MAX_ATTEMPTS and not _crashed(failed)):
                raise
            examined = Examined(tracks.facts(None), media_plan.plan(tracks.facts(None), bench.sniffed), ())
            plan, shown, made = replace(examined.plan, works=()), {"container": bench.sniffed.container}, []
            told = {"reason": str(failed.facts.get("reason", "")), "words": _words(bench, str(failed.facts.get("tail", "")))}
            findings = [{"code": "examination_failed", "facts": told}]
        started_at = examined.facts.created_at or started_at
        shown["plan"] = plan.as_json()

    def write(session: Session, now: Instant) -> None:
        technical.record(
            session,
            item_id=job.item_id,
            condition=_condition(plan, findings),
            findings=findings,
            technical=shown,
            started_at=started_at,
            duration_us=examined.facts.duration_us,
            now=now,
        )
        publish(session, bench.original, made, now=now)
        _promise(session, job, plan, now=now)
        if examined.lacks_index:
            repairs.want(session, item_id=job.item_id, now=now)
        repairs.carry_over(session, item_id=job.item_id)
        repairs.call(session, item_id=job.item_id, now=now)

    return write


def _examined(bench: Bench) -> tuple[Examined, media_plan.Plan, list[Finding], dict[str, object], list[Made]]:
    """Look into the original; return what was found, what to make, what is wrong, the technical facts, and what was made already."""
    made: list[Made] = []
    examined = probed(bench)
    plan, findings = examined.plan, list(examined.findings)
    shown: dict[str, object] = {**examined.facts.as_json(), "container": bench.sniffed.container}
    if examined.claimed_us is not None:
        shown["claimed_us"] = examined.claimed_us
    if Work.PHOTO in plan.works:
        picture = photos.look(bench.jail, bench.source, bench.sniffed.container, bench.scratch)
        findings += [flaw.finding() for flaw in picture.flaws]
        shown["photo"] = picture.as_json()
        plan = plan if picture.width else replace(plan, works=())
    elif Work.PAGES in plan.works or plan.reason == "no_preview":
        document, made = first_page(bench)
        findings += [flaw.finding() for flaw in document.flaws]
        shown["document"] = document.as_json()
        plan = plan if document.sizes else replace(plan, works=())
    return examined, plan, findings, shown, made


def _crashed(failed: ToolFailed) -> bool:
    """Whether the tool broke down over the file (SIGABRT, SIGSEGV and their like): what it did once it does again, and at some length."""
    return failed.facts.get("exit_code") in _CRASHES


_CRASHES = frozenset(
    code
    for name in ("SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")
    for code in (-signal.Signals[name], 128 + signal.Signals[name])
)


def _not_the_files_doing(failed: ToolFailed) -> bool:
    return failed.facts.get("reason") == "not_started" or str(failed.facts.get("tail", "")).startswith("bwrap:")


def _stated_start(resources: Resources, bench: Bench) -> Instant | None:
    """What AVI, WAV and JPEG files say, which ffprobe does not print; without a zone of their own it is the agency's."""
    with bench.source.open("rb") as file:
        moment = capture_time.head_created(file.read(capture_time.HEAD_SIZE))
    return None if moment is None else moment.instant(resources.settings.tz)


def _condition(plan: media_plan.Plan, findings: Sequence[Finding]) -> str:
    if {str(finding["code"]) for finding in findings} - _NO_DAMAGE:
        return "damaged"
    unread = (
        plan.reason in _UNREAD
        or any(finding["code"] in _TOO_MUCH for finding in findings)
        or (plan.reason == "document" and not plan.works)
    )
    return "unrecognised" if unread else "sound"


_TOO_MUCH = frozenset({"too_many_tracks", "pictures_too_large", "image_too_large", "examination_failed"})
_NO_DAMAGE = frozenset({"too_many_pages", "document_encrypted"}) | _TOO_MUCH | REMARKS
_UNREAD = frozenset({"container_unsupported", "encrypted", "pictures_too_large"})


def _promise(session: Session, job: ClaimedJob, plan: media_plan.Plan, *, now: Instant) -> None:
    for work in plan.works:
        jobs.enqueue(session, kind=work.value, item_id=job.item_id, sha256=job.sha256, now=now)
    if plan.action is Action.REPAIR:
        jobs.enqueue(session, kind=repairs.RECIPE, item_id=job.item_id, sha256=job.sha256, now=now)
    elif plan.action not in (Action.DIRECT, Action.NONE):
        recipe = {"recipe": plan.action.value}
        jobs.enqueue(session, kind="rendition", item_id=job.item_id, sha256=job.sha256, payload=recipe, now=now)


def rendition(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Make the copy that plays. Where copying the tracks does not work out, promise a transcode instead.

    What copying could not do right, though the tool was content, is mostly a file that states its own length or times wrongly. The
    transcode then made in its stead may be shorter than the file claims; its provenance says by how much.

    Raises:
        RenditionRejected: what was made is not what was planned.
        ToolFailed: the encoder failed.
    """
    wanted = str(job.payload.get("recipe"))
    with opened(resources, job, report) as bench:
        examined = probed(bench)
        action = examined.plan.action
        copying = action in (Action.AUDIO_FIX, Action.REMUX)
        if wanted not in (action.value, Action.TRANSCODE.value if copying and examined.video else action.value):
            raise RenditionRejected(recipe=wanted[:40], planned=action.value)
        instead_of = job.payload.get("instead_of")
        try:
            made = _made(bench, examined, wanted, doubtful=examined.damaged or instead_of is not None)
        except (RenditionRejected, ToolFailed) as failed:
            exited = isinstance(failed, RenditionRejected) or said_no(failed)
            if wanted == Action.TRANSCODE.value or not exited or examined.video is None:
                raise
            payload = {"recipe": Action.TRANSCODE.value, "instead_of": wanted}
            return lambda session, now: jobs.enqueue(
                session, kind="rendition", item_id=job.item_id, sha256=job.sha256, payload=payload, now=now
            )
    return lambda session, now: publish(session, bench.original, [made], now=now)


def _made(bench: Bench, examined: Examined, recipe: str, *, doubtful: bool) -> Made:
    duration = examined.facts.duration_us
    video, audio = examined.video, examined.audio
    name = f"{recipe}.mp4" if video is not None else f"{recipe}.m4a"
    target = bench.inside(name)
    encode = examined.plan.encode_audio
    if recipe == Action.TRANSCODE.value:
        assert video is not None
        threads = bench.resources.settings.transcode_threads
        argv = ffmpeg.transcode(
            bench.origin, target, video=video, audio=audio, encode_audio=encode, threads=threads, damaged=doubtful
        )
    else:
        argv = ffmpeg.copy(bench.origin, target, video=video, audio=audio, encode_audio=encode, damaged=doubtful)
    bench.argvs.clear()
    # At its end ffmpeg rewrites the file with the index in front and says nothing meanwhile: on a slow disk, 20 MB a second.
    silence = 300 + bench.size / 20e6
    limits = bench.limits(duration_us=duration)
    bench.run(argv, limits=limits, note=recipe, duration_us=duration, span=(0, 970), busy_seconds=silence)
    length = _check(bench, examined, name, doubtful=doubtful)
    media_type = "video/mp4" if video is not None else "audio/mp4"
    tool = tool_version(bench.jail, "ffmpeg")
    return bench.keep(
        name,
        recipe=recipe,
        version=VERSION,
        media_type=media_type,
        tool=tool,
        argvs=bench.argvs[:1],
        claimed_us=duration,
        made_us=length,
    )


def _check(bench: Bench, examined: Examined, name: str, *, doubtful: bool) -> int | None:
    """Probe what was made, hold it against the plan, and return its duration in microseconds.

    Raises:
        RenditionRejected: it is not what was planned; every objection is in the facts.
    """
    result = ffmpeg.Source(bench.inside(name), "mov")
    ran = bench.run(ffmpeg.probe(result), limits=bench.limits(), note="checking", span=(975, 985))
    made = tracks.facts(parsed(ran.output))
    wrong = media_plan.objections(
        made,
        examined.facts,
        examined.plan,
        guessed=bench.sniffed.container in media_plan.GUESSED_DURATION,
        damaged=doubtful,
    )
    if wrong:
        raise RenditionRejected(tail="; ".join(wrong), reason="not_as_planned")
    return made.duration_us
