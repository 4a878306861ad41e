"""Argument lists are golden: what a tool is told must not change unnoticed."""

from __future__ import annotations

import re
import subprocess

import pytest

from archive.adapters import ffmpeg
from archive.core.media.media_plan import AUDIO_CODECS, CONTAINERS, VIDEO_CODECS
from archive.core.media.storyboard import plan
from archive.core.media.tracks import Audio, Rational, Video

VIDEO = Video(
    index=2,
    codec="h264",
    profile="High",
    tag="avc1",
    width=1920,
    height=1080,
    pixel_format="yuv420p",
    level=40,
    rotation=0,
    sample_aspect=Rational(1, 1),
    timebase=Rational(1, 90_000),
    start_pts=0,
    duration_pts=900_000,
    frames=250,
    rate=Rational(25, 1),
    average_rate=Rational(25, 1),
    field_order="progressive",
    reordered=False,
    full_range=False,
    default=True,
    attached_picture=False,
    encrypted=False,
)
AUDIO = Audio(
    index=1, codec="pcm_alaw", profile="", tag="", rate=8000, channels=1, timebase=None, start_pts=0, duration_pts=None, default=True,
    encrypted=False,
)  # fmt: skip
MOV = ffmpeg.Source("/in/original", "mov")
AVI = ffmpeg.Source("/in/original", "avi")


def changed(track, **values):
    from dataclasses import replace  # noqa: PLC0415 - for this test alone

    return replace(track, **values)


def spoken(argv: list[str]) -> str:
    """The command as one line, its long allow-list shortened, without the bounds that every input has."""
    return re.sub(BOUNDS, "", " ".join(argv).replace(ffmpeg.DECODERS, "DECODERS"))


BOUNDS = r"-(?:max_streams 64|max_pixels 36000000|enable_drefs 0|use_absolute_path 0) "


IN = "-codec_whitelist DECODERS -format_whitelist {0} -protocol_whitelist file"
END = "-nostdin -hide_banner -nostats -loglevel level+warning -progress pipe:1 -stats_period 1 -y"
QUIET = "-nostdin -hide_banner -nostats -loglevel level+warning -y"


def test_the_probe_is_golden():
    assert spoken(ffmpeg.probe(MOV)) == (
        "ffprobe -hide_banner -loglevel error -protocol_whitelist file -format_whitelist mov -codec_whitelist DECODERS -f mov"
        " -show_format -show_streams -of json -i file:/in/original"
    )


def test_the_packet_scan_is_golden():
    assert spoken(ffmpeg.packets(AVI, 0, seconds=40)) == (
        "ffprobe -hide_banner -loglevel error -protocol_whitelist file -format_whitelist avi -codec_whitelist DECODERS -f avi"
        " -select_streams 0 -read_intervals %+40 -show_entries packet=pts,duration,size,flags -of csv=p=0 -i file:/in/original"
    )


def test_an_audio_fix_is_golden():
    argv = ffmpeg.copy(MOV, "/scratch/audio-fix.mp4", video=VIDEO, audio=AUDIO, encode_audio=True)
    assert spoken(argv) == (
        "ffmpeg -f mov -codec_whitelist DECODERS -fflags +genpts -format_whitelist mov -protocol_whitelist file -i file:/in/original"
        " -map 0:2 -map 0:1 -f mp4 -b:a 128k -c:a aac -c:v copy -fflags +bitexact -flags:a +bitexact -map_chapters -1 -map_metadata -1"
        f" -movflags +faststart -write_tmcd 0 file:/scratch/audio-fix.mp4 {END}"
    )


def test_a_remux_of_a_damaged_file_is_golden():
    argv = ffmpeg.copy(AVI, "/scratch/remux.mp4", video=VIDEO, audio=None, encode_audio=False, damaged=True)
    assert spoken(argv) == (
        "ffmpeg -f avi -codec_whitelist DECODERS -err_detect ignore_err -fflags +genpts+discardcorrupt -format_whitelist avi"
        " -protocol_whitelist file -i file:/in/original -map 0:2 -f mp4 -c:v copy -fflags +bitexact -map_chapters -1"
        " -map_metadata -1 -movflags +faststart"
        f" -write_tmcd 0 file:/scratch/remux.mp4 {END}"
    )


def test_a_transcode_is_golden():
    argv = ffmpeg.transcode(AVI, "/scratch/transcode.mp4", video=VIDEO, audio=AUDIO, encode_audio=True, threads=2)
    assert spoken(argv) == (
        "ffmpeg -f avi -codec_whitelist DECODERS -format_whitelist avi -protocol_whitelist file -i file:/in/original"
        " -map 0:2 -map 0:1 -f mp4 -b:a 128k -c:a aac -c:v libx264 -crf 23 -enc_time_base -1 -fflags +bitexact -flags:a +bitexact"
        " -flags:v +bitexact -fps_mode passthrough -map_chapters -1 -map_metadata -1 -movflags +faststart -preset veryfast"
        f" -profile:v high -threads 2 -vf format=yuv420p -write_tmcd 0 file:/scratch/transcode.mp4 {END}"
    )


@pytest.mark.parametrize(
    ("changes", "filters"),
    [
        ({}, "format=yuv420p"),
        ({"field_order": "tt"}, "yadif=mode=send_frame:deint=interlaced,format=yuv420p"),
        ({"width": 853, "height": 481}, "scale=852:480,format=yuv420p"),
        ({"width": 7680, "height": 4320}, "scale=3840:2160,format=yuv420p"),
        ({"width": 7680, "height": 4320, "rotation": 90}, "scale=2160:3840,format=yuv420p"),
    ],
)
def test_pictures_are_filtered_only_as_far_as_needed(changes, filters):
    argv = ffmpeg.transcode(MOV, "/scratch/o", video=changed(VIDEO, **changes), audio=None, encode_audio=False)
    assert argv[argv.index("-vf") + 1] == filters


def test_sound_of_an_odd_rate_or_many_channels_is_made_ordinary():
    argv = ffmpeg.copy(MOV, "/scratch/o", video=None, audio=changed(AUDIO, rate=9000, channels=6), encode_audio=True)
    assert (argv[argv.index("-ar") + 1], argv[argv.index("-ac") + 1]) == ("48000", "2")


def test_a_poster_is_golden():
    assert spoken(ffmpeg.poster(MOV, "/scratch/poster.jpg", video=VIDEO, at_us=1_200_000)) == (
        "ffmpeg -f mov -codec_whitelist DECODERS -format_whitelist mov -noaccurate_seek -protocol_whitelist file -ss 1.200000"
        " -i file:/in/original -map 0:2 -f mjpeg -c:v mjpeg -fflags +bitexact -flags:v +bitexact -frames:v 1 -map_chapters -1"
        f" -map_metadata -1 -q:v 3 -vf scale=1280:720,setsar=1,format=yuvj420p file:/scratch/poster.jpg {END}"
    )


def test_one_pass_over_the_key_frames_draws_and_measures():
    board = plan(12_078_733, 1920, 1080)
    argv = ffmpeg.looks(MOV, "/scratch/s.jpg", video=VIDEO, board=board, key_frames_only=True)
    assert "-skip_frame nokey -i" in spoken(argv)
    assert argv[argv.index("-filter_complex") + 1] == (
        "[0:2]split=2[s0][s1];[s0]fps=fps=1000000/1000000:round=up:start_time=0[s2];[s2]scale=160:90[s3];[s3]setsar=1[s4];"
        "[s4]tpad=stop=13:stop_mode=clone[s5];[s5]tile=10x2:nb_frames=13[s6];[s6]format=yuvj420p[s7];"
        "[s1]scale=32:18:flags=area[s8];[s8]format=yuv420p[s9];[s9]settb=1/1000000[s10];[s10]signalstats[s11];"
        "[s11]metadata=file=-:mode=print[s12]"
    )
    assert "-skip_frame" not in ffmpeg.looks(MOV, "/scratch/s.jpg", video=VIDEO, board=board, key_frames_only=False)


def test_sound_for_the_waveform_is_golden():
    assert spoken(ffmpeg.pcm(MOV, audio=AUDIO)) == (
        "ffmpeg -f mov -codec_whitelist DECODERS -format_whitelist mov -protocol_whitelist file -i file:/in/original -map 0:1 -f s16le"
        f" -ac 1 -af aresample=8000:async=1:first_pts=0 -c:a pcm_s16le -fflags +bitexact -map_chapters -1 -map_metadata -1 pipe:1 {QUIET}"
    )


def test_stream_hashes_and_telemetry_are_golden():
    assert spoken(ffmpeg.stream_hash(MOV, "/scratch/h", tracks=[0, 1])).endswith(
        "-i file:/in/original -map 0:0 -map 0:1 -f streamhash -c copy -copy_unknown -fflags +bitexact -hash sha256 -map_chapters -1"
        f" -map_metadata -1 file:/scratch/h {END}"
    )
    assert spoken(ffmpeg.telemetry(MOV, "/scratch/t", track=3)).endswith(
        f"-i file:/in/original -map 0:3 -f data -c copy -fflags +bitexact -map_chapters -1 -map_metadata -1 file:/scratch/t {END}"
    )


def every_command(origin: ffmpeg.Source) -> list[list[str]]:
    board = plan(10_000_000, 192, 108)
    return [
        ffmpeg.probe(origin),
        ffmpeg.packets(origin, 0),
        ffmpeg.copy(origin, "/o", video=VIDEO, audio=AUDIO, encode_audio=True),
        ffmpeg.transcode(origin, "/o", video=VIDEO, audio=AUDIO, encode_audio=True),
        ffmpeg.poster(origin, "/o", video=VIDEO, at_us=0),
        ffmpeg.looks(origin, "/o", video=VIDEO, board=board, key_frames_only=False),
        ffmpeg.thinned(origin, "/o", video=VIDEO),
        ffmpeg.loudness(origin, audio=AUDIO),
        ffmpeg.measured(origin, tracks=[0]),
        ffmpeg.decoded(origin, tracks=[0]),
        ffmpeg.rebuilt(origin, "/o", sound=True, encode=False),
        ffmpeg.pcm(origin, audio=AUDIO),
        ffmpeg.stream_hash(origin, "/o", tracks=[0]),
        ffmpeg.telemetry(origin, "/o", track=0),
    ]


@pytest.mark.parametrize("container", sorted(CONTAINERS))
def test_every_input_is_opened_under_guard(container):
    for argv in every_command(ffmpeg.Source("/in/original", container)):
        before = argv[: argv.index("-i")]
        demuxer = ffmpeg.DEMUXERS[container]
        assert before[before.index("-f") + 1] == demuxer
        assert before[before.index("-format_whitelist") + 1] == demuxer
        assert before[before.index("-protocol_whitelist") + 1] == "file"
        assert before[before.index("-codec_whitelist") + 1] == ffmpeg.DECODERS
        assert len(re.findall(BOUNDS, " ".join(before) + " ")) == (4 if "mov" in before else 2)
        assert argv[argv.index("-i") + 1] == "file:/in/original"


def test_every_output_maps_its_tracks_and_takes_no_metadata_along():
    for argv in every_command(MOV)[2:]:
        assert "-map" in argv
        assert argv[argv.index("-map_metadata") + 1] == "-1"
        assert argv[argv.index("-map_chapters") + 1] == "-1"


def test_a_tolerated_decoder_is_opened_for_show_and_not_for_analysis():
    argv = ffmpeg.probe(ffmpeg.Source("/in/original", "matroska", ("ffv1",)))
    assert argv[argv.index("-codec_whitelist") + 1] == ffmpeg.DECODERS
    assert argv[argv.index("-codec_whitelist:") + 1] == f"{ffmpeg.DECODERS},ffv1"


def test_refused_decoders_are_read_from_the_tools_words():
    said = "[ffv1 @ 0x1] Codec (ffv1) not on whitelist 'aac'\n[x] Codec (ffv1) not on whitelist\nCodec (../x) not on whitelist"
    assert ffmpeg.refused_decoders(said) == ("ffv1",)


def listed(option: str, flags: str) -> set[str]:
    said = subprocess.run(["ffmpeg", "-v", "error", option], check=True, capture_output=True, text=True).stdout
    return {name for line in re.findall(rf"^ {flags} +(\S+)", said, re.MULTILINE) for name in line.split(",")}


def test_every_name_on_our_lists_is_one_the_tool_knows():
    assert listed("-codecs", r"[D.][E.][VAS][I.][L.][S.]") >= VIDEO_CODECS | AUDIO_CODECS
    assert listed("-decoders", "[VAS][F.][S.][X.][B.][D.]") >= set(ffmpeg.DECODERS.split(","))
    assert listed("-demuxers", "D[E ]") >= set(ffmpeg.DEMUXERS.values())
    assert set(ffmpeg.DEMUXERS) == CONTAINERS
