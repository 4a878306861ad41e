"""Argument lists for ffmpeg and ffprobe: what `archive.core.media.media_plan` decided, said in their language. Nothing here runs anything.

Invariants: every input names its demuxer, taken from our own sniffing, and the allow-lists of protocols, formats and decoders; every
output maps its tracks by index and takes no metadata of the original with it; file names carry the `file:` prefix, so that none can be
an option or a protocol. The graph is ffmpeg-python's and becomes a list through its `compile`; its `run` and `probe` are never used.

Not guaranteed: that two hosts make the same bytes. Encoders depend on their version and on the number of threads; both are in a
rendition's provenance. The bit-exact flags keep versions and dates out of the files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ffmpeg

from archive.core.media.media_plan import AUDIO_CODECS, MOST_PIXELS, MOST_TRACKS, VIDEO_CODECS
from archive.core.media.storyboard import Storyboard, fit
from archive.core.media.waveform import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archive.core.media.tracks import Audio, Video

DEMUXERS: Final = {
    "mov": "mov",
    "avi": "avi",
    "mpegts": "mpegts",
    "matroska": "matroska",
    "mpegps": "mpeg",
    "mpegvideo": "mpegvideo",
    "h264": "h264",
    "flv": "flv",
    "wav": "wav",
    "mp3": "mp3",
    "adts": "aac",
    "amr": "amr",
    "ogg": "ogg",
    "flac": "flac",
}
"""Our container names, and the demuxer each is opened with."""

# ffmpeg's allow-list names decoders, and of some codecs the decoder goes by another name.
_DECODER_NAMES = {"mp3": "mp3float", "amr_nb": "amrnb", "amr_wb": "amrwb", "adpcm_g726": "g726", "adpcm_g726le": "g726le"}
DECODERS: Final = ",".join(sorted({_DECODER_NAMES.get(codec, codec) for codec in VIDEO_CODECS | AUDIO_CODECS}))
_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})
_MAX_SIDE = 3840
POSTER_SIDE: Final = 1280
CRF: Final = 23

Argv = list[str]
Options = dict[str, str | int | None]
"""Options of one input or output by name, without the dash; None is an option that takes no value."""
_ONE_JPEG: Final[Options] = {"frames:v": 1, "c:v": "mjpeg", "flags:v": "+bitexact", "f": "mjpeg"}


@dataclass(frozen=True, slots=True)
class Source:
    """One input as the jailed tool sees it: its path and the container it was sniffed to be.

    `tolerated` are decoders off the allow-list that ffprobe may open, though not decode with: it refuses a whole file because of one
    track otherwise, say of subtitles.
    """

    path: str
    container: str
    tolerated: tuple[str, ...] = ()
    most_tracks: int = MOST_TRACKS
    most_pixels: int = MOST_PIXELS

    def guards(self) -> dict[str, str]:
        """Return the options that must stand before this input, whatever the tool.

        A file of more tracks is refused as a whole, a picture of more pixels when its decoder sees it: before memory is asked for.
        """
        demuxer = DEMUXERS[self.container]
        guards = {
            "protocol_whitelist": "file",
            "format_whitelist": demuxer,
            "codec_whitelist": DECODERS,
            "max_streams": str(self.most_tracks),
            "max_pixels": str(self.most_pixels),
            "f": demuxer,
        }
        # QuickTime lets an index point at media in another file. Off is ffmpeg's own default; here it is no default's to change.
        return guards | ({"enable_drefs": "0", "use_absolute_path": "0"} if demuxer == "mov" else {})


def _input(origin: Source, options: Options | None = None) -> Any:  # noqa: ANN401 - ffmpeg-python is untyped
    return ffmpeg.input(f"file:{origin.path}", **origin.guards(), **(options or {}))


def _argv(streams: Sequence[Any], target: str, options: Options, *, progress: bool = True) -> Argv:
    """Compile one output; `target` is a path in the jail, or `pipe:1`."""
    return _compiled(_output(streams, target, options), progress=progress)


def _output(streams: Sequence[Any], target: str, options: Options) -> Any:  # noqa: ANN401 - ffmpeg-python is untyped
    name = target if target.startswith("pipe:") else f"file:{target}"
    common: Options = {"map_metadata": -1, "map_chapters": -1, "fflags": "+bitexact"}
    return ffmpeg.output(*streams, name, **(common | options))


def _compiled(node: Any, *, progress: bool, level: str = "level+warning") -> Argv:  # noqa: ANN401 - ffmpeg-python is untyped
    node = node.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", level)
    if progress:
        node = node.global_args("-progress", "pipe:1", "-stats_period", "1")
    argv: Argv = ffmpeg.compile(node, cmd="ffmpeg", overwrite_output=True)
    return argv


def _ffprobe(origin: Source, *wanted: str) -> Argv:
    guards = [text for name, value in origin.guards().items() for text in (f"-{name}", value)]
    if origin.tolerated:
        # With a (here empty, so matching all) stream specifier the option reaches the decoders that ffprobe opens for show, and not
        # the format's own list, which decides what analysing a file decodes with.
        guards += ["-codec_whitelist:", ",".join([DECODERS, *origin.tolerated])]
    return ["ffprobe", "-hide_banner", "-loglevel", "error", *guards, *wanted, "-i", f"file:{origin.path}"]


def probe(origin: Source) -> Argv:
    """List what is inside, as JSON for `archive.core.media.tracks.facts`."""
    return _ffprobe(origin, "-show_format", "-show_streams", "-of", "json")


def refused_decoders(said: str) -> tuple[str, ...]:
    """Return the decoders that a failed probe says were not on its list."""
    return tuple(dict.fromkeys(re.findall(r"Codec \(([a-z0-9_]{1,32})\) not on whitelist", said)))


def refused_size(said: str) -> str | None:
    """Return the size of picture that a tool said it does not decode, being over our bound or its own; None if it said no such thing."""
    found = re.search(r"Picture size (\d{1,9})x(\d{1,9}) (?:is invalid|exceeds specified max pixel count)", said)
    return None if found is None else f"{found[1]}×{found[2]}"


def refused_tracks(said: str) -> bool:
    """Say whether a failed probe says that there were more tracks than it may open."""
    return "exceeds max_streams parameter" in said


def packets(origin: Source, track: int, *, seconds: int | None = None) -> Argv:
    """List a track's packets as `pts,duration,size,flags` lines, of the first `seconds` only if given; nothing is decoded."""
    window = [] if seconds is None else ["-read_intervals", f"%+{seconds}"]
    return _ffprobe(
        origin, "-select_streams", str(track), *window, "-show_entries", "packet=pts,duration,size,flags", "-of", "csv=p=0"
    )


def _sound(audio: Audio | None, *, encode: bool) -> Options:
    if audio is None:
        return {}
    if not encode:
        return {"c:a": "copy"}
    options: Options = {"c:a": "aac", "b:a": "128k", "flags:a": "+bitexact"}
    if audio.rate not in _AAC_RATES:
        options["ar"] = 48000
    if audio.channels is None or audio.channels > 2:  # noqa: PLR2004  surround sound from a recorder is a fault, not a wish
        options["ac"] = 2
    return options


def _tracks(opened: Any, video: Video | None, audio: Audio | None) -> list[Any]:  # noqa: ANN401 - ffmpeg-python is untyped
    return [opened[str(track.index)] for track in (video, audio) if track is not None]


def copy(
    origin: Source, target: str, *, video: Video | None, audio: Audio | None, encode_audio: bool, damaged: bool = False
) -> Argv:
    """Make an MP4 whose pictures are copied and whose sound is copied or becomes AAC: the recipes audio-fix and remux.

    Time stamps, uneven frame times and the turning of the picture are kept as they are. AVI and its like state only decoding
    times, so presentation times are generated where they are missing.
    """
    options: Options = {"movflags": "+faststart", "write_tmcd": 0, "f": "mp4"}
    if video is not None:
        options["c:v"] = "copy"
    options |= _sound(audio, encode=encode_audio)
    return _argv(_tracks(_opened(origin, {"fflags": "+genpts"}, damaged=damaged), video, audio), target, options)


def _opened(origin: Source, options: Options, *, damaged: bool) -> Any:  # noqa: ANN401 - ffmpeg-python is untyped
    if damaged:
        options["err_detect"] = "ignore_err"
        options["fflags"] = "+genpts+discardcorrupt" if "fflags" in options else "+discardcorrupt"
    return _input(origin, options)


def transcode(
    origin: Source,
    target: str,
    *,
    video: Video,
    audio: Audio | None,
    encode_audio: bool,
    threads: int = 0,
    damaged: bool = False,
) -> Argv:
    """Make an MP4 whose pictures are H.264, 8 bit, 4:2:0: the recipe transcode.

    The turning is baked in by ffmpeg itself; frames keep their own times (`-fps_mode passthrough` with the track's own time base),
    and none are generated, since a decoder reckons those of pictures stored out of order better; fields become frames; what is
    larger than 2160p is made smaller, because decoders stop there.
    """
    options: Options = {"c:v": "libx264", "preset": "veryfast", "crf": CRF, "profile:v": "high", "flags:v": "+bitexact"}
    options |= {"vf": ",".join(_picture_filters(video)), "fps_mode": "passthrough", "enc_time_base": -1, "threads": threads}
    options |= {"movflags": "+faststart", "write_tmcd": 0, "f": "mp4"}
    options |= _sound(audio, encode=encode_audio)
    return _argv(_tracks(_opened(origin, {}, damaged=damaged), video, audio), target, options)


def _picture_filters(video: Video) -> list[str]:
    filters = ["yadif=mode=send_frame:deint=interlaced"] if video.interlaced else []
    turned = video.rotation % 180 == 90  # noqa: PLR2004  a quarter turn swaps the sides before our filters see them
    width, height = (video.height, video.width) if turned else (video.width, video.height)
    if max(width, height) > _MAX_SIDE or width % 2 or height % 2:
        shown = fit(width, height, long_side=min(_MAX_SIDE, max(width, height)))
        filters.append(f"scale={shown[0]}:{shown[1]}")
    return [*filters, "format=yuv420p"]


def poster(origin: Source, target: str, *, video: Video, at_us: int) -> Argv:
    """Make one JPEG of the first picture found from the key frame before `at_us`."""
    # A bare stream cannot be sought in, not even to its beginning.
    seek: Options = {"ss": f"{at_us // 1_000_000}.{at_us % 1_000_000:06d}", "noaccurate_seek": None} if at_us else {}
    opened = _input(origin, seek)
    width, height = fit(video.width, video.height, long_side=POSTER_SIDE, aspect=_aspect(video), rotation=video.rotation)
    return _argv(
        [opened[str(video.index)]],
        target,
        _ONE_JPEG | {"vf": f"scale={width}:{height},setsar=1,format=yuvj420p", "q:v": 3},
    )


def _aspect(video: Video) -> tuple[int, int]:
    return video.sample_aspect.num, video.sample_aspect.den


def looks(origin: Source, target: str, *, video: Video, board: Storyboard, key_frames_only: bool) -> Argv:
    """Decode key frames once for two uses: the storyboard's JPEG in a file, and a line of measures for each of them on standard output.

    `fps` with `round=up` gives every tile the last picture at or before its moment; `tpad` repeats the last picture where key frames
    end before the recording does. MJPEG is decoded at a quarter of its size. What is measured is a picture of 32 by 18, whose cells are
    means of thousands of samples; without key frames enough, one picture a second is measured. Messages repeat, so that they count.
    """
    options: Options = {"skip_frame": "nokey"} if key_frames_only else {}
    if video.codec == "mjpeg" and min(video.width, video.height) >= 4 * board.tile_height:
        options["lowres"] = 2
    both = _input(origin, options)[str(video.index)].filter_multi_output("split")
    tiles = (
        both.stream(0)
        .filter("fps", fps=f"1000000/{board.spacing_us}", start_time=0, round="up")
        .filter("scale", board.tile_width, board.tile_height)
        .filter("setsar", 1)
        .filter("tpad", stop=board.count, stop_mode="clone")
        .filter("tile", f"{board.columns}x{board.rows}", nb_frames=board.count)
        .filter("format", "yuvj420p")
    )
    seen = both.stream(1)
    if not key_frames_only:
        seen = seen.filter("select", "isnan(prev_selected_t)+gte(t-prev_selected_t,0.96)")
    measured = (
        seen.filter("scale", 32, 18, flags="area")
        .filter("format", "yuv420p")
        .filter("settb", "1/1000000")
        .filter("signalstats")
        .filter("metadata", mode="print", file="-")
    )
    sprite = _output([tiles], target, _ONE_JPEG | {"q:v": 5})
    told = _output([measured], "pipe:1", {"fps_mode": "passthrough", "f": "null"})
    return _compiled(ffmpeg.merge_outputs(sprite, told), progress=False, level="repeat+level+info")


COMPLAINT: Final = re.compile(rb"concealing \d+ DC|Error while decoding stream")
"""What a decoder says once of each picture it could not decode, or not wholly."""


def thinned(origin: Source, target: str, *, video: Video) -> Argv:
    """Copy about one key frame a second of a track into a MOV, the others dropped before anything decodes them.

    For recordings of key frames alone (MJPEG and its like), of which a decoder can be told to skip none. Packets are counted and not timed:
    a filter before the muxer sees times in one unit and is told another.
    """
    step = max(1, 960_000 // video.frame_us)
    options: Options = {
        "c": "copy",
        "bsf:v": f"noise=drop='if(key*gte(n,ld(0)),st(0,n+{step})*0,1)'",
        "f": "mov",
        "write_tmcd": 0,
    }
    return _argv([_input(origin, {"fflags": "+genpts"})[str(video.index)]], target, options)


def loudness(origin: Source, *, audio: Audio) -> Argv:
    """Print the momentary loudness of every tenth of a second (EBU R 128); nothing is put where there is no sound."""
    return _argv(
        [_input(origin)[str(audio.index)]],
        "pipe:1",
        {"af": "ebur128=metadata=1,asettb=1/1000000,ametadata=mode=print:key=lavfi.r128.M:file=-", "f": "null"},
        progress=False,
    )


def measured(origin: Source, *, tracks: Sequence[int]) -> Argv:
    """Read every packet and write none: how far ffmpeg's progress comes is how long the recording really is."""
    opened = _opened(origin, {"fflags": "+genpts+discardcorrupt"}, damaged=True)
    return _argv([opened[str(track)] for track in tracks], "pipe:1", {"c": "copy", "f": "null"})


def decoded(origin: Source, *, tracks: Sequence[int]) -> Argv:
    """Decode everything and keep nothing: how many pictures come out, and how often the decoder complains."""
    opened = _input(origin)
    node = _output([opened[str(track)] for track in tracks], "pipe:1", {"fps_mode": "passthrough", "f": "null"})
    return _compiled(node, progress=True, level="repeat+level+info")


def rebuilt(origin: Source, target: str, *, sound: bool, encode: bool) -> Argv:
    """Make an MP4 of what `archive.core.media.remake` wrote: pictures copied, sound decoded and coded anew where it lies.

    Pictures that browsers do not decode are coded anew (`encode`). Small unevenness of the sound's guessed times is smoothed; what is off
    by half a second is a hole and stays one.
    """
    opened = _opened(origin, {"fflags": "+genpts+discardcorrupt"}, damaged=True)
    options: Options = {"c:v": "copy", "movflags": "+faststart", "write_tmcd": 0, "f": "mp4"}
    if encode:
        options |= {"c:v": "libx264", "preset": "veryfast", "crf": CRF, "profile:v": "high", "pix_fmt": "yuv420p"}
    if sound:
        options |= {"c:a": "aac", "b:a": "128k", "flags:a": "+bitexact", "ar": 48000}
        options["af"] = "aresample=async=1:min_hard_comp=0.5:first_pts=0"
    return _argv([opened["0"], *([opened["1"]] if sound else [])], target, options)


def pcm(origin: Source, *, audio: Audio) -> Argv:
    """Print the sound as mono 16-bit PCM; silence is put where it starts late or has holes, so that it stays in step with time."""
    return _argv(
        [_input(origin)[str(audio.index)]],
        "pipe:1",
        {"af": f"aresample={SAMPLE_RATE}:async=1:first_pts=0", "ac": 1, "c:a": "pcm_s16le", "f": "s16le"},
        progress=False,
    )


def stream_hash(origin: Source, target: str, *, tracks: Sequence[int]) -> Argv:
    """Write one SHA-256 a track over its packets as stored: the same for a file and its remux, and found without decoding."""
    opened = _input(origin)
    options: Options = {"c": "copy", "copy_unknown": None, "hash": "sha256", "f": "streamhash"}
    return _argv([opened[str(track)] for track in tracks], target, options)


def telemetry(origin: Source, target: str, *, track: int) -> Argv:
    """Write a data track's packets one after another."""
    return _argv([_input(origin)[str(track)]], target, {"c": "copy", "f": "data"})
