"""Technical facts of a recording, out of ffprobe's JSON: integers and rationals, never floats.

Invariants: `facts` never raises and never trusts: a value of the wrong type, out of range or absurdly long is as if it were absent, since
the file's maker controls most of what ffprobe prints. Media time is integer PTS with its time base; durations are integer microseconds;
wall time is an `Instant` read off the recorder's own clock.

Not guaranteed: that the facts are true. A container can claim any duration or rate; `creation_time` is what the recorder's clock
said, often local time labelled Z. A variable frame rate is only a hint here: the packet scan decides.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from archive.core.errors import Malformed
from archive.core.instant import Instant, parse
from archive.core.media.telemetry import Position, iso6709

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_STREAMS: Final = 64
MAX_TEXT: Final = 200
_MAX_INT: Final = 1 << 62
_MAX_SIDE: Final = 1 << 16
_EARLIEST = parse("1990-01-01T00:00:00+00:00")  # the zero of QuickTime's clock (1904) and of Unix's are unset clocks, not times
_INTERLACED = frozenset({"tt", "bb", "tb", "bt"})
_ENCRYPTED_TAGS = frozenset({"encv", "enca", "drmi", "drms", "drmt"})
_DROPPED_TAGS = frozenset({"location", "location-eng", "com.apple.quicktime.location.ISO6709"})


@dataclass(frozen=True, slots=True)
class Rational:
    """A positive rational as a container states it; not reduced, so that 30000/1001 and 90000/3003 stay themselves."""

    num: int
    den: int

    def same(self, other: Rational) -> bool:
        """Whether both are one value."""
        return self.num * other.den == other.num * self.den


@dataclass(frozen=True, slots=True)
class Video:
    """One picture track. `rotation` is degrees clockwise to turn it for display; sizes are in samples as stored.

    `reordered`: pictures are stored in another order than they are shown in.
    """

    index: int
    codec: str
    profile: str
    tag: str
    width: int
    height: int
    pixel_format: str
    level: int | None
    rotation: int
    sample_aspect: Rational
    timebase: Rational | None
    start_pts: int | None
    duration_pts: int | None
    frames: int | None
    rate: Rational | None
    average_rate: Rational | None
    field_order: str
    reordered: bool
    full_range: bool
    default: bool
    attached_picture: bool
    encrypted: bool

    @property
    def interlaced(self) -> bool:
        """Whether the container says that fields, not frames, were recorded."""
        return self.field_order in _INTERLACED

    @property
    def variable_rate(self) -> bool:
        """Whether the nominal rate and the average differ by more than 1 %: a hint that frames come unevenly."""
        if self.rate is None or self.average_rate is None or self.interlaced:
            return False
        nominal, mean = self.rate.num * self.average_rate.den, self.average_rate.num * self.rate.den
        return abs(nominal - mean) * 100 > nominal

    @property
    def frame_us(self) -> int:
        """The length of one frame in microseconds, from the average rate; 1/25 s where it is unknown."""
        rate = self.average_rate or self.rate
        return 40_000 if rate is None else max(1, 1_000_000 * rate.den // rate.num)


@dataclass(frozen=True, slots=True)
class Audio:
    """One sound track."""

    index: int
    codec: str
    profile: str
    tag: str
    rate: int | None
    channels: int | None
    timebase: Rational | None
    start_pts: int | None
    duration_pts: int | None
    default: bool
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Data:
    """A track that is neither: time code, telemetry, subtitles, attachments."""

    index: int
    kind: str
    codec: str
    tag: str
    name: str
    timebase: Rational | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the archive knows of a recording's inside."""

    container: str
    size: int | None
    bit_rate: int | None
    start_us: int
    duration_us: int | None
    video: tuple[Video, ...] = ()
    audio: tuple[Audio, ...] = ()
    data: tuple[Data, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    created_at: Instant | None = None
    location: Position | None = None

    @property
    def pictures(self) -> tuple[Video, ...]:
        """The moving picture tracks: without cover art."""
        return tuple(track for track in self.video if not track.attached_picture)

    @property
    def encrypted(self) -> bool:
        """Whether any track is marked as encrypted."""
        return any(track.encrypted for track in self.video) or any(track.encrypted for track in self.audio)

    def as_json(self) -> dict[str, object]:
        """Return the facts as plain objects of strings, integers, booleans and None."""
        plain = asdict(self)
        for track, shown in zip(self.video, plain["video"], strict=True):
            shown["variable_rate"] = track.variable_rate
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def facts(probed: object) -> Facts:
    """Return the facts that ffprobe's JSON (`-show_format -show_streams`) tells.

    Args:
        probed: the decoded JSON, whatever it is.
    """
    root = _table(probed)
    form = _table(root.get("format"))
    streams = [_table(item) for item in _list(root.get("streams"))[:MAX_STREAMS]]
    tags = _tags(form)
    all_tags = [tags, *(_tags(stream) for stream in streams)]
    video, audio, data = _tracks(streams)
    return Facts(
        container=_text(form.get("format_name")),
        size=_whole(form.get("size")),
        bit_rate=_whole(form.get("bit_rate")),
        start_us=_micros(form.get("start_time"), negative=True) or 0,
        duration_us=_duration(form, (*(t for t in video if not t.attached_picture), *audio)),
        video=video,
        audio=audio,
        data=data,
        tags={key: value for key, value in tags.items() if key not in _DROPPED_TAGS},
        created_at=_created(all_tags),
        location=_location(all_tags),
    )


def _tracks(streams: Iterable[Mapping[str, object]]) -> tuple[tuple[Video, ...], tuple[Audio, ...], tuple[Data, ...]]:
    video: list[Video] = []
    audio: list[Audio] = []
    data: list[Data] = []
    for place, stream in enumerate(streams):
        index = _whole(stream.get("index"))
        index = place if index is None else index
        kind = stream.get("codec_type")
        if kind == "video":
            video.append(_video(index, stream))
        elif kind == "audio":
            audio.append(_audio(index, stream))
        else:
            name = _tags(stream).get("handler_name", "").strip()
            timebase = _rational(stream.get("time_base"))
            known = kind if kind in ("data", "subtitle", "attachment") else "data"
            data.append(
                Data(index, str(known), _text(stream.get("codec_name")), _text(stream.get("codec_tag_string")), name, timebase)
            )
    return tuple(video), tuple(audio), tuple(data)


def _video(index: int, stream: Mapping[str, object]) -> Video:
    disposition = _table(stream.get("disposition"))
    tag = _text(stream.get("codec_tag_string"))
    return Video(
        index=index,
        codec=_text(stream.get("codec_name")),
        profile=_text(stream.get("profile")),
        tag=tag,
        width=_whole(stream.get("width"), top=_MAX_SIDE) or 0,
        height=_whole(stream.get("height"), top=_MAX_SIDE) or 0,
        pixel_format=_text(stream.get("pix_fmt")),
        level=_whole(stream.get("level"), top=1000),
        rotation=_rotation(stream),
        sample_aspect=_aspect(stream.get("sample_aspect_ratio")),
        timebase=_rational(stream.get("time_base")),
        start_pts=_integer(stream.get("start_pts")),
        duration_pts=_whole(stream.get("duration_ts")),
        frames=_whole(stream.get("nb_frames")),
        rate=_rational(stream.get("r_frame_rate")),
        average_rate=_rational(stream.get("avg_frame_rate")),
        field_order=_text(stream.get("field_order")) or "unknown",
        reordered=bool(_whole(stream.get("has_b_frames"))),
        full_range=stream.get("color_range") == "pc" or _text(stream.get("pix_fmt")).startswith("yuvj"),
        default=disposition.get("default") == 1,
        attached_picture=disposition.get("attached_pic") == 1 or disposition.get("timed_thumbnails") == 1,
        encrypted=_encrypted(tag, stream),
    )


def _audio(index: int, stream: Mapping[str, object]) -> Audio:
    tag = _text(stream.get("codec_tag_string"))
    return Audio(
        index=index,
        codec=_text(stream.get("codec_name")),
        profile=_text(stream.get("profile")),
        tag=tag,
        rate=_whole(stream.get("sample_rate"), top=1 << 20) or None,
        channels=_whole(stream.get("channels"), top=1 << 10) or None,
        timebase=_rational(stream.get("time_base")),
        start_pts=_integer(stream.get("start_pts")),
        duration_pts=_whole(stream.get("duration_ts")),
        default=_table(stream.get("disposition")).get("default") == 1,
        encrypted=_encrypted(tag, stream),
    )


def _encrypted(tag: str, stream: Mapping[str, object]) -> bool:
    sides = (_text(_table(side).get("side_data_type")).lower() for side in _list(stream.get("side_data_list")))
    return tag in _ENCRYPTED_TAGS or any("encryption" in side for side in sides)


def _rotation(stream: Mapping[str, object]) -> int:
    """Degrees clockwise. ffprobe prints the matrix counter-clockwise as `rotation`; older files carry a `rotate` tag, clockwise."""
    for side in _list(stream.get("side_data_list")):
        turned = _integer(_table(side).get("rotation"))
        if turned is not None:
            return -turned % 360
    tagged = _integer(_tags(stream).get("rotate"))
    return 0 if tagged is None else tagged % 360


def _aspect(value: object) -> Rational:
    ratio = _rational(value, separator=":")
    sane = ratio is not None and ratio.num <= 64 * ratio.den and ratio.den <= 64 * ratio.num
    return ratio if ratio is not None and sane else Rational(1, 1)


def _duration(form: Mapping[str, object], tracks: Iterable[Video | Audio]) -> int | None:
    """The container's duration, or the longest track's where the container states none."""
    stated = _micros(form.get("duration"))
    if stated:
        return stated
    lengths = [
        track.duration_pts * 1_000_000 * track.timebase.num // track.timebase.den
        for track in tracks
        if track.duration_pts and track.timebase is not None
    ]
    return max(lengths, default=stated)


def _created(tags: Iterable[Mapping[str, str]]) -> Instant | None:
    for table in tags:
        for key in ("com.apple.quicktime.creationdate", "creation_time"):
            try:
                moment = parse(re.sub(r"([+-]\d{2})(\d{2})$", r"\1:\2", table.get(key, "")))
            except (Malformed, OverflowError):
                continue
            if moment >= _EARLIEST:
                return moment
    return None


def _location(tags: Iterable[Mapping[str, str]]) -> Position | None:
    for table in tags:
        for key in ("com.apple.quicktime.location.ISO6709", "location", "location-eng"):
            place = iso6709(table.get(key, ""))
            if place is not None:
                return place
    return None


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    """A short printable text; anything else is empty."""
    if not isinstance(value, str):
        return ""
    return "".join(letter for letter in value[:MAX_TEXT] if letter.isprintable())


def _tags(stream: Mapping[str, object]) -> dict[str, str]:
    pairs = list(_table(stream.get("tags")).items())[:MAX_STREAMS]
    return {_text(key): _text(value) for key, value in pairs if isinstance(value, str) and _text(key)}


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,19}", value):
        value = int(value)
    return value if isinstance(value, int) and abs(value) <= _MAX_INT else None


def _whole(value: object, *, top: int = _MAX_INT) -> int | None:
    number = _integer(value)
    return number if number is not None and 0 <= number <= top else None


def _rational(value: object, *, separator: str = "/") -> Rational | None:
    """`num/den` with both above zero: ffprobe prints 0/0 for «unknown»."""
    if not isinstance(value, str):
        return None
    found = re.fullmatch(rf"([0-9]{{1,10}}){re.escape(separator)}([0-9]{{1,10}})", value)
    if found is None or int(found[1]) == 0 or int(found[2]) == 0:
        return None
    return Rational(int(found[1]), int(found[2]))


def _micros(value: object, *, negative: bool = False) -> int | None:
    """Seconds as a decimal text, to integer microseconds."""
    if not isinstance(value, str):
        return None
    found = re.fullmatch(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?", value)
    if found is None or (found[1] and not negative):
        return None
    micros = int(found[2]) * 1_000_000 + int((found[3] or "").ljust(6, "0")[:6])
    return -micros if found[1] else micros
