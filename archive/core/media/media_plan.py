"""What to make of a recording so that a browser can play it: the cheapest thing that plays (DESIGN 3.9).

    direct      the original is played as it is
    audio-fix   pictures are copied, sound becomes AAC
    remux       streams are copied into MP4, sound becomes AAC where it must
    transcode   pictures become H.264
    repair      the original is damaged; what can be had of it is copied (`workers.repair`)
    none        nothing can be played; the reason says why

Invariants: pure; one plan for one set of facts; every plan has exactly one reason, a stable code (`REASONS`) that pages translate. Tracks
are named by their index in the original, so that nothing is ever left to a tool's own choice.

Not guaranteed: that the file decodes. The plan judges what the container states; what is made is probed again before it is published.

What browsers play: H.264 (8 bit, 4:2:0, to level 5.2) with AAC or MP3 in MP4 and QuickTime; VP8 and VP9 in WebM. HEVC plays only where
hardware decodes it, which an office PC cannot be relied on to do, so it is transcoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from archive.core.accession import Kind

if TYPE_CHECKING:
    from archive.core.media.sniff import Sniffed
    from archive.core.media.tracks import Audio, Data, Facts, Video


class Action(StrEnum):
    """What has to be made before a browser can play the item. All but the first and last are names of recipes."""

    DIRECT = "direct"
    AUDIO_FIX = "audio-fix"
    REMUX = "remux"
    TRANSCODE = "transcode"
    REPAIR = "repair"
    NONE = "none"


class Work(StrEnum):
    """A companion work; the value is its job kind."""

    STORYBOARD = "storyboard"
    WAVEFORM = "waveform"
    NOTES = "notes"
    STREAM_HASH = "stream_hash"
    TELEMETRY = "telemetry"
    PHOTO = "photo"
    PAGES = "pages"


REASONS: Final = frozenset(
    {
        "plays",
        "damaged",
        "audio_codec",
        "audio_profile",
        "container",
        "track_order",
        "no_duration",
        "no_times",
        "video_codec",
        "video_profile",
        "pixel_format",
        "level",
        "interlaced",
        "size",
        "pictures_too_large",
        "no_preview",
        "photo",
        "document",
        "encrypted",
        "no_streams",
        "container_unsupported",
        "video_codec_unsupported",
        "audio_codec_unsupported",
    }
)

CONTAINERS: Final = frozenset(
    {"mov", "avi", "mpegts", "matroska", "mpegps", "mpegvideo", "h264", "flv", "wav", "mp3", "adts", "amr", "ogg", "flac"}
)
"""What is handed to the media tools at all."""
IMAGES: Final = frozenset({"jpeg", "png", "gif", "webp", "heif"})

MOST_TRACKS: Final = 64
"""Tracks of a file that is opened at all. Recorders write two to seven; every further one costs each tool a decoder and its memory."""
MOST_PIXELS: Final = 36_000_000
"""Pixels of a moving picture that is decoded: 8K (7680×4320) and a little. A decoder holds up to seventeen such pictures at once."""

VIDEO_CODECS: Final = frozenset({"h264", "hevc", "mpeg4", "mjpeg", "mpeg1video", "mpeg2video", "h263", "vp8", "vp9", "dvvideo"})
AUDIO_CODECS: Final = frozenset(
    {
        "aac",
        "mp3",
        "mp2",
        "ac3",
        "amr_nb",
        "amr_wb",
        "flac",
        "vorbis",
        "opus",
        "alac",
        "adpcm_ms",
        "adpcm_ima_wav",
        "adpcm_ima_qt",
    }
    | {
        "adpcm_g726",
        "adpcm_g726le",
        "pcm_alaw",
        "pcm_mulaw",
        "pcm_u8",
        "pcm_s8",
        "pcm_s16le",
        "pcm_s16be",
        "pcm_s24le",
        "pcm_s24be",
    }
    | {"pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be"}
)
_PLAIN_PROFILES = frozenset({"", "Baseline", "Constrained Baseline", "Main", "High", "Constrained High", "Progressive High"})
_PLAIN_PIXELS = frozenset({"yuv420p", "yuvj420p"})
_AAC_PROFILES = frozenset({"", "LC", "HE-AAC", "HE-AACv2"})
_MAX_LEVEL = 52
_MAX_SIDE = 4096
_WEBM_VIDEO, _WEBM_AUDIO = frozenset({"vp8", "vp9"}), frozenset({"opus", "vorbis"})
_PLAIN_SOUND_FILES = {
    "mp3": frozenset({"mp3"}),
    "adts": frozenset({"aac"}),
    "wav": frozenset({"pcm_s16le", "pcm_u8"}),
    "flac": frozenset({"flac"}),
    "ogg": frozenset({"opus", "vorbis"}),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make, of which tracks, why, and what else belongs beside it.

    `video` and `audio` are the indexes of the tracks that are played, None where there is none. `encode_audio` says that sound is
    re-coded to AAC. `notes` are stable codes of what a viewer should know (`more_video_tracks`, `more_audio_tracks`).
    """

    action: Action
    reason: str
    video: int | None = None
    audio: int | None = None
    encode_audio: bool = False
    works: tuple[Work, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the plan as plain objects."""
        return {
            "action": self.action.value,
            "reason": self.reason,
            "video": self.video,
            "audio": self.audio,
            "encode_audio": self.encode_audio,
            "works": [work.value for work in self.works],
            "notes": list(self.notes),
        }


def plan(facts: Facts, sniffed: Sniffed, *, most_pixels: int = MOST_PIXELS) -> Plan:  # noqa: PLR0911 - a table of cases
    """Return what is to be made of an item so that a browser shows it; of several cases below the first.

    Args:
        facts: what the probe found; empty facts for what is not probed.
        sniffed: what the bytes are.
        most_pixels: pictures of more are not decoded.
    """
    if sniffed.container in IMAGES:
        return Plan(Action.NONE, "photo", works=(Work.PHOTO,))
    if sniffed.container in ("pdf", "tiff"):
        return Plan(Action.NONE, "document", works=(Work.PAGES,))
    if sniffed.container in ("ofd", "office"):
        return Plan(Action.NONE, "no_preview")
    if sniffed.container not in CONTAINERS:
        known = sniffed.kind in (Kind.RECORDING, Kind.AUDIO)
        return Plan(Action.NONE, "container_unsupported" if known else "document")
    pictures, sounds = facts.pictures, facts.audio
    if not pictures and not sounds:
        return Plan(Action.NONE, "no_streams")
    if facts.encrypted:
        return Plan(Action.NONE, "encrypted", works=(Work.STREAM_HASH,))
    audio = _sound(sounds)
    if not pictures:
        assert audio is not None
        return _sound_only(facts, sniffed, audio)
    return _moving(facts, sniffed, _picture(pictures, most_pixels), audio, most_pixels)


def _picture(tracks: tuple[Video, ...], most_pixels: int) -> Video:
    """The track to show: decodable before not, marked default before not, larger before smaller, first before later."""

    def rank(track: Video) -> tuple[bool, bool, int, int]:
        pixels = track.width * track.height
        return track.codec not in VIDEO_CODECS or pixels > most_pixels, not track.default, -pixels, track.index

    return min(tracks, key=rank)


def _sound(tracks: tuple[Audio, ...]) -> Audio | None:
    return min(tracks, key=lambda track: (track.codec not in AUDIO_CODECS, not track.default, track.index), default=None)


def _sound_only(facts: Facts, sniffed: Sniffed, audio: Audio) -> Plan:
    notes = ("more_audio_tracks",) if len(facts.audio) > 1 else ()
    if audio.codec not in AUDIO_CODECS:
        return Plan(Action.NONE, "audio_codec_unsupported", works=(Work.STREAM_HASH,), notes=notes)
    works = (Work.WAVEFORM, Work.NOTES, Work.STREAM_HASH, *_telemetry(facts.data))
    wrong = audio_objection(audio) if sniffed.container == "mov" else None
    if sniffed.container == "mov":
        plays = wrong is None
    elif sniffed.media_type == "video/webm":
        plays = audio.codec in _WEBM_AUDIO
    else:
        plays = audio.codec in _PLAIN_SOUND_FILES.get(sniffed.container, frozenset())
    if plays:
        return Plan(Action.DIRECT, "plays", audio=audio.index, works=works, notes=notes)
    if sniffed.container != "mov" and audio_objection(audio) is None:
        return Plan(Action.REMUX, "container", audio=audio.index, works=works, notes=notes)
    return Plan(Action.AUDIO_FIX, wrong or "audio_codec", audio=audio.index, encode_audio=True, works=works, notes=notes)


def _moving(facts: Facts, sniffed: Sniffed, video: Video, audio: Audio | None, most_pixels: int) -> Plan:
    unheard = audio is not None and audio.codec not in AUDIO_CODECS
    sound = None if unheard else audio
    notes = (
        *(("more_video_tracks",) if len(facts.pictures) > 1 else ()),
        *(("more_audio_tracks",) if len(facts.audio) > 1 else ()),
        *(("audio_codec_unsupported",) if unheard else ()),
    )
    if video.codec not in VIDEO_CODECS:
        action, reason, encode, works = Action.NONE, "video_codec_unsupported", False, (Work.STREAM_HASH,)
    elif video.width * video.height > most_pixels:
        action, reason, encode, works = Action.NONE, "pictures_too_large", False, (Work.STREAM_HASH,)
    else:
        action, reason, encode = _way(facts, sniffed, video, sound)
        heard = (Work.WAVEFORM, Work.NOTES) if sound else ((Work.NOTES,) if sniffed.container == "mpegts" else ())
        works = (Work.STORYBOARD, *heard, Work.STREAM_HASH, *_telemetry(facts.data))
    return Plan(action, reason, video.index, None if sound is None else sound.index, encode, works, notes)


def _way(facts: Facts, sniffed: Sniffed, video: Video, audio: Audio | None) -> tuple[Action, str, bool]:  # noqa: PLR0911 - a table of cases
    """The cheapest action that makes these two tracks play, why, and whether sound is re-coded."""
    if _webm_plays(sniffed, video, audio) and video == facts.pictures[0]:
        return Action.DIRECT, "plays", False
    wrong_picture = picture_objection(video)
    wrong_sound = None if audio is None else audio_objection(audio)
    encode = wrong_sound is not None
    if wrong_picture is not None:
        return Action.TRANSCODE, wrong_picture, encode
    # A bare stream has no times to copy. AVI has one time a picture, in the order of storing: of pictures shown in another order, whoever
    # copies them must guess the times, and guesses wrong.
    if sniffed.container in ("h264", "mpegvideo") or (sniffed.container == "avi" and video.reordered):
        return Action.TRANSCODE, "no_times", encode
    if sniffed.container != "mov":
        return Action.REMUX, "container", encode
    if not facts.duration_us:
        return Action.REMUX, "no_duration", encode
    if video.index != facts.pictures[0].index:  # a browser shows the first picture track there is
        return Action.REMUX, "track_order", encode
    if wrong_sound is not None:
        return Action.AUDIO_FIX, wrong_sound, True
    return Action.DIRECT, "plays", False


def _webm_plays(sniffed: Sniffed, video: Video, audio: Audio | None) -> bool:
    return (
        sniffed.media_type == "video/webm"
        and video.codec in _WEBM_VIDEO
        and video.pixel_format == "yuv420p"
        and (audio is None or audio.codec in _WEBM_AUDIO)
    )


def picture_objection(video: Video) -> str | None:  # noqa: PLR0911 - a table of cases, first match wins
    """Return why browsers do not play this picture track, as a reason code; None if they do."""
    if video.codec != "h264":
        return "video_codec"
    if video.pixel_format not in _PLAIN_PIXELS:
        return "pixel_format"
    if video.profile not in _PLAIN_PROFILES:
        return "video_profile"
    if video.interlaced:
        return "interlaced"
    if video.level is not None and video.level > _MAX_LEVEL:
        return "level"
    if max(video.width, video.height) > _MAX_SIDE:
        return "size"
    return None


def audio_objection(audio: Audio) -> str | None:
    """Return why browsers do not play this sound track in MP4, as a reason code; None if they do."""
    if audio.codec not in ("aac", "mp3"):
        return "audio_codec"
    if audio.codec == "aac" and audio.profile not in _AAC_PROFILES:
        return "audio_profile"
    return None


def telemetry_track(data: tuple[Data, ...]) -> Data | None:
    """Return the first track of GoPro telemetry, if there is one."""
    return next((track for track in data if track.tag == "gpmd"), None)


def _telemetry(data: tuple[Data, ...]) -> tuple[Work, ...]:
    return (Work.TELEMETRY,) if telemetry_track(data) else ()


_PADDING_US: Final = 200_000
GUESSED_DURATION: Final = frozenset({"mpegts", "mpegps", "mpegvideo", "h264", "flv", "mp3", "adts", "amr"})
"""Containers without an index, whose duration a tool reckons from their size and first and last time stamps."""


def objections(made: Facts, source: Facts, wanted: Plan, *, guessed: bool = False, damaged: bool = False) -> list[str]:
    """Return everything that keeps a finished rendition from being published; an empty list means it may be.

    Its duration may be off by one frame or half a per cent; by a second and five per cent where the original's was guessed.

    Args:
        made: what the probe says of the rendition.
        source: what it said of the original.
        wanted: the plan that was carried out.
        guessed: the original's container is one of `GUESSED_DURATION`.
        damaged: the original's own duration is not to be trusted; the rendition may be shorter than it claims, never longer.
    """
    found: list[str] = []
    if (wanted.video is not None) != (len(made.pictures) == 1) or len(made.pictures) > 1:
        found.append(f"video_tracks:{len(made.pictures)}")
    if (wanted.audio is not None) != (len(made.audio) == 1) or len(made.audio) > 1:
        found.append(f"audio_tracks:{len(made.audio)}")
    found += [why for track in made.pictures if (why := picture_objection(track)) is not None]
    found += [why for track in made.audio if (why := audio_objection(track)) is not None]
    if not made.duration_us:
        found.append("no_duration")
    else:
        found += _duration_objections(made, source, wanted, guessed=guessed, damaged=damaged)
    return found


def _duration_objections(made: Facts, source: Facts, wanted: Plan, *, guessed: bool, damaged: bool) -> list[str]:
    """Pictures are held against pictures and sound against sound, since a track may well end before the other.

    Where a track's length is not stated, or its frames come unevenly (then the stored order and the shown order give two lengths), whole
    is held against whole. Sound gets a fifth of a second more: encoders pad its ends, and only some containers say by how much.
    """
    pairs: list[tuple[str, int | None, int | None, int]] = []
    picture = next((track for track in source.pictures if track.index == wanted.video), None)
    sound = next((track for track in source.audio if track.index == wanted.audio), None)
    if picture is not None and _length_us(picture) and not picture.variable_rate:
        pairs.append(("duration", next(map(_length_us, made.pictures), None), _length_us(picture), picture.frame_us))
    else:
        least = 40_000 if picture is None else picture.frame_us
        pairs.append(("duration", made.duration_us, source.duration_us, least if sound is None else max(least, _PADDING_US)))
    if sound is not None and _length_us(sound):
        pairs.append(("audio_duration", next(map(_length_us, made.audio), None), _length_us(sound), _PADDING_US))
    found: list[str] = []
    for name, real, expected, least in pairs:
        if not real or not expected:
            continue
        slack = 1_000_000 + expected // 20 if guessed else max(least, expected // 200)
        off = real - expected
        if off > slack or (off < -slack and not damaged):
            found.append(f"{name}_off_us:{off}")
    return found


def _length_us(track: Video | Audio) -> int | None:
    if track.duration_pts is None or track.timebase is None:
        return None
    return track.duration_pts * 1_000_000 * track.timebase.num // track.timebase.den
