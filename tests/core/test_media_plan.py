"""Which recordings play as they are, and what is made of the others: a table of cases over ffprobe's own words."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.accession import Kind
from archive.core.media.media_plan import REASONS, Action, objections, plan
from archive.core.media.sniff import Sniffed
from archive.core.media.tracks import Facts, facts

MP4 = Sniffed(Kind.RECORDING, "video/mp4", "mov")
MOV = Sniffed(Kind.RECORDING, "video/quicktime", "mov")
AVI = Sniffed(Kind.RECORDING, "video/x-msvideo", "avi")
TS = Sniffed(Kind.RECORDING, "video/mp2t", "mpegts")
PS = Sniffed(Kind.RECORDING, "video/mpeg", "mpegps")
MKV = Sniffed(Kind.RECORDING, "video/x-matroska", "matroska")
WEBM = Sniffed(Kind.RECORDING, "video/webm", "matroska")
RAW = Sniffed(Kind.RECORDING, "video/h264", "h264")
M4A = Sniffed(Kind.AUDIO, "audio/mp4", "mov")
MP3 = Sniffed(Kind.AUDIO, "audio/mpeg", "mp3")
WAV = Sniffed(Kind.AUDIO, "audio/wav", "wav")
AMR = Sniffed(Kind.AUDIO, "audio/amr", "amr")
ADTS = Sniffed(Kind.AUDIO, "audio/aac", "adts")
OGG = Sniffed(Kind.AUDIO, "audio/ogg", "ogg")
FLAC = Sniffed(Kind.AUDIO, "audio/flac", "flac")
PRIVATE = Sniffed(Kind.RECORDING, "application/octet-stream", "private")


def v(codec="h264", **changes):
    shown = {
        "codec_type": "video",
        "codec_name": codec,
        "profile": "High",
        "pix_fmt": "yuv420p",
        "level": 40,
        "width": 1920,
        "height": 1080,
    }
    timing = {"time_base": "1/90000", "start_pts": 0, "duration_ts": 900_000, "r_frame_rate": "25/1", "avg_frame_rate": "25/1"}
    return shown | timing | {"field_order": "progressive", "codec_tag_string": "avc1"} | changes


def a(codec="aac", **changes):
    shown = {
        "codec_type": "audio",
        "codec_name": codec,
        "profile": "LC" if codec == "aac" else "",
        "sample_rate": "48000",
        "channels": 2,
    }
    return shown | {"time_base": "1/48000", "start_pts": 0, "duration_ts": 480_000} | changes


def d(tag="tmcd", kind="data"):
    return {"codec_type": kind, "codec_tag_string": tag}


COVER = v("mjpeg", width=600, height=600, disposition={"attached_pic": 1})
SEALED = {"side_data_type": "Encryption initialization data"}
DEFAULT = {"disposition": {"default": 1}}

CASES = [
    ("H.264 and AAC in MP4", MP4, [v(), a()], "direct", "plays", 0, 1, False),
    ("the same in QuickTime", MOV, [v(), a()], "direct", "plays", 0, 1, False),
    ("sound first", MP4, [a(), v()], "direct", "plays", 1, 0, False),
    ("MP3 sound", MP4, [v(), a("mp3")], "direct", "plays", 0, 1, False),
    ("HE-AAC sound", MP4, [v(), a(profile="HE-AAC")], "direct", "plays", 0, 1, False),
    ("no sound", MP4, [v()], "direct", "plays", 0, None, False),
    ("full range", MP4, [v(pix_fmt="yuvj420p", color_range="pc"), a()], "direct", "plays", 0, 1, False),
    ("constrained baseline", MP4, [v(profile="Constrained Baseline"), a()], "direct", "plays", 0, 1, False),
    ("level 5.2 itself", MP4, [v(level=52, width=3840, height=2160), a()], "direct", "plays", 0, 1, False),
    ("unknown level", MP4, [v(level=-99), a()], "direct", "plays", 0, 1, False),
    ("turned by a quarter", MP4, [v(side_data_list=[{"rotation": -90}]), a()], "direct", "plays", 0, 1, False),
    ("variable rate", MP4, [v(r_frame_rate="60/1", avg_frame_rate="17/1"), a()], "direct", "plays", 0, 1, False),
    ("unknown field order", MP4, [v(field_order="unknown"), a()], "direct", "plays", 0, 1, False),
    ("camera's data tracks", MP4, [v(), a(), d("tmcd"), d("gpmd"), d("fdsc")], "direct", "plays", 0, 1, False),
    ("cover art", MP4, [COVER, v(), a()], "direct", "plays", 1, 2, False),
    ("a second view behind the first", MP4, [v(**DEFAULT), v(width=640, height=360), a()], "direct", "plays", 0, 2, False),
    ("two languages", MP4, [v(), a(), a(**DEFAULT)], "direct", "plays", 0, 2, False),
    ("PCM sound", MOV, [v(), a("pcm_s16le")], "audio-fix", "audio_codec", 0, 1, True),
    ("G.711 A-law sound", MOV, [v(), a("pcm_alaw")], "audio-fix", "audio_codec", 0, 1, True),
    ("G.711 mu-law sound", MP4, [v(), a("pcm_mulaw")], "audio-fix", "audio_codec", 0, 1, True),
    ("AMR sound", MP4, [v(), a("amr_nb")], "audio-fix", "audio_codec", 0, 1, True),
    ("ADPCM sound", MOV, [v(), a("adpcm_ima_wav")], "audio-fix", "audio_codec", 0, 1, True),
    ("AC-3 sound", MP4, [v(), a("ac3")], "audio-fix", "audio_codec", 0, 1, True),
    ("AAC Main sound", MP4, [v(), a(profile="Main")], "audio-fix", "audio_profile", 0, 1, True),
    ("sound nobody decodes", MP4, [v(), a("g729")], "direct", "plays", 0, None, False),
    ("H.264 in AVI", AVI, [v(), a("pcm_s16le")], "remux", "container", 0, 1, True),
    ("H.264 in AVI with MP3", AVI, [v(), a("mp3")], "remux", "container", 0, 1, False),
    ("H.264 in AVI, stored out of order", AVI, [v(has_b_frames=2), a("mp3")], "transcode", "no_times", 0, 1, False),
    ("H.264 in Matroska, stored out of order", MKV, [v(has_b_frames=2), a("mp3")], "remux", "container", 0, 1, False),
    ("H.264 in TS", TS, [v(), a()], "remux", "container", 0, 1, False),
    ("H.264 in Matroska", MKV, [v(), a()], "remux", "container", 0, 1, False),
    ("H.264 in a program stream with G.711", PS, [v(), a("pcm_alaw")], "remux", "container", 0, 1, True),
    ("a better picture in a later track", MP4, [v("mjpeg", width=160, height=120), v(**DEFAULT), a()], "remux", "track_order", 1, 2, False),
    ("duration nowhere stated", MP4, [v(duration_ts=0), a(duration_ts=0)], "remux", "no_duration", 0, 1, False),
    ("ten bits", MP4, [v(pix_fmt="yuv420p10le", profile="High 10"), a()], "transcode", "pixel_format", 0, 1, False),
    ("4:2:2", MOV, [v(pix_fmt="yuv422p", profile="High 4:2:2"), a()], "transcode", "pixel_format", 0, 1, False),
    ("Extended profile", MP4, [v(profile="Extended"), a()], "transcode", "video_profile", 0, 1, False),
    ("interlaced", MP4, [v(field_order="tt"), a()], "transcode", "interlaced", 0, 1, False),
    ("interlaced in TS with MP2", TS, [v(field_order="bb"), a("mp2")], "transcode", "interlaced", 0, 1, True),
    ("level 6", MP4, [v(level=60), a()], "transcode", "level", 0, 1, False),
    ("wider than decoders take", MP4, [v(width=5760, level=51), a()], "transcode", "size", 0, 1, False),
    ("HEVC hvc1", MP4, [v("hevc", codec_tag_string="hvc1", profile="Main"), a()], "transcode", "video_codec", 0, 1, False),
    ("HEVC hev1", MP4, [v("hevc", codec_tag_string="hev1", profile="Main"), a()], "transcode", "video_codec", 0, 1, False),
    ("HEVC Main 10", MP4, [v("hevc", profile="Main 10", pix_fmt="yuv420p10le"), a()], "transcode", "video_codec", 0, 1, False),
    ("MPEG-4 ASP", AVI, [v("mpeg4", profile="Advanced Simple Profile"), a("mp3")], "transcode", "video_codec", 0, 1, False),
    ("MJPEG in AVI with PCM", AVI, [v("mjpeg", pix_fmt="yuvj422p"), a("pcm_s16le")], "transcode", "video_codec", 0, 1, True),
    ("MPEG-2", PS, [v("mpeg2video"), a("mp2")], "transcode", "video_codec", 0, 1, True),
    ("bare H.264", RAW, [v(duration_ts=None)], "transcode", "no_times", 0, None, False),
    ("VP9 and Opus in WebM", WEBM, [v("vp9", profile="Profile 0"), a("opus")], "direct", "plays", 0, 1, False),
    ("VP9 in Matroska", MKV, [v("vp9"), a("opus")], "transcode", "video_codec", 0, 1, True),
    ("VP9 of ten bits", WEBM, [v("vp9", pix_fmt="yuv420p10le"), a("opus")], "transcode", "video_codec", 0, 1, True),
    ("pictures nobody decodes", AVI, [v("magicyuv"), a()], "none", "video_codec_unsupported", 0, 1, False),
    ("encrypted pictures", MP4, [v(codec_tag_string="encv"), a()], "none", "encrypted", None, None, False),
    ("encryption told beside the track", MP4, [v(side_data_list=[SEALED])], "none", "encrypted", None, None, False),
    ("nothing inside", MP4, [], "none", "no_streams", None, None, False),
    ("only data tracks", MP4, [d("gpmd")], "none", "no_streams", None, None, False),
    ("AAC in M4A", M4A, [a()], "direct", "plays", None, 0, False),
    ("M4A with cover art", M4A, [a(), COVER], "direct", "plays", None, 0, False),
    ("sound only in MP4", MP4, [a()], "direct", "plays", None, 0, False),
    ("MP3", MP3, [a("mp3")], "direct", "plays", None, 0, False),
    ("ADTS", ADTS, [a()], "direct", "plays", None, 0, False),
    ("WAV of PCM", WAV, [a("pcm_s16le")], "direct", "plays", None, 0, False),
    ("WAV of G.711", WAV, [a("pcm_alaw")], "audio-fix", "audio_codec", None, 0, True),
    ("WAV of ADPCM", WAV, [a("adpcm_ms")], "audio-fix", "audio_codec", None, 0, True),
    ("AMR", AMR, [a("amr_nb", sample_rate="8000", channels=1)], "audio-fix", "audio_codec", None, 0, True),
    ("Opus in Ogg", OGG, [a("opus")], "direct", "plays", None, 0, False),
    ("FLAC", FLAC, [a("flac")], "direct", "plays", None, 0, False),
    ("ALAC in M4A", M4A, [a("alac")], "audio-fix", "audio_codec", None, 0, True),
    ("sound only in TS", TS, [a()], "remux", "container", None, 0, False),
    ("sound nobody decodes, alone", M4A, [a("g729")], "none", "audio_codec_unsupported", None, None, False),
    ("a maker's own wrapping", PRIVATE, [], "none", "container_unsupported", None, None, False),
    ("a photo", Sniffed(Kind.PHOTO, "image/jpeg", "jpeg"), [], "none", "photo", None, None, False),
    ("a PDF", Sniffed(Kind.DOCUMENT, "application/pdf", "pdf"), [], "none", "document", None, None, False),
    ("a playlist", Sniffed(Kind.DOCUMENT, "application/vnd.apple.mpegurl", "text"), [], "none", "document", None, None, False),
]  # fmt: skip


def probed(streams: list[dict]) -> Facts:
    return facts({"streams": [{"index": place} | stream for place, stream in enumerate(streams)], "format": {}})


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_the_cheapest_thing_that_plays_is_made(case):
    _, sniffed, streams, action, reason, video, audio, encode = case
    made = plan(probed(streams), sniffed)
    assert (made.action, made.reason, made.video, made.audio, made.encode_audio) == (Action(action), reason, video, audio, encode)
    assert made.reason in REASONS


WORKS = [
    ("a recording with sound", MP4, [v(), a()], ["storyboard", "waveform", "notes", "stream_hash"]),
    ("a silent one", MP4, [v()], ["storyboard", "stream_hash"]),
    ("one with telemetry", MP4, [v(), a(), d("gpmd")], ["storyboard", "waveform", "notes", "stream_hash", "telemetry"]),
    ("a silent transport stream", Sniffed(Kind.RECORDING, "video/mp2t", "mpegts"), [v()], ["storyboard", "notes", "stream_hash"]),
    ("sound alone", MP3, [a("mp3")], ["waveform", "notes", "stream_hash"]),
    ("pictures nobody decodes", AVI, [v("magicyuv")], ["stream_hash"]),
    ("an encrypted one", MP4, [v(codec_tag_string="encv")], ["stream_hash"]),
    ("a photo", Sniffed(Kind.PHOTO, "image/png", "png"), [], ["photo"]),
    ("a PDF", Sniffed(Kind.DOCUMENT, "application/pdf", "pdf"), [], ["pages"]),
    ("a ZIP", Sniffed(Kind.DOCUMENT, "application/zip", "zip"), [], []),
]


@pytest.mark.parametrize(("sniffed", "streams", "works"), [case[1:] for case in WORKS], ids=[case[0] for case in WORKS])
def test_every_item_gets_its_companions(sniffed, streams, works):
    assert [work.value for work in plan(probed(streams), sniffed).works] == works


def test_what_is_not_shown_is_noted():
    made = plan(probed([v(**DEFAULT), v(), a(), a()]), MP4)
    assert made.notes == ("more_video_tracks", "more_audio_tracks")
    assert plan(probed([v(), a("g729")]), MP4).notes == ("audio_codec_unsupported",)


REMUX = plan(probed([v(), a()]), TS)


def test_a_rendition_that_is_as_planned_may_be_published():
    assert objections(probed([v(), a()]), probed([v(), a()]), REMUX) == []
    assert objections(probed([v(duration_ts=903_600), a()]), probed([v(), a()]), REMUX) == []


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ([v()], "audio_tracks:0"),
        ([a()], "video_tracks:0"),
        ([v(), v(), a()], "video_tracks:2"),
        ([v("hevc"), a()], "video_codec"),
        ([v(), a("pcm_s16le")], "audio_codec"),
        ([v(duration_ts=810_000), a(duration_ts=432_000)], "duration_off_us:-1000000"),
        ([v(duration_ts=1_000_000), a()], "duration_off_us:1111111"),
        ([v(), a(duration_ts=432_000)], "audio_duration_off_us:-1000000"),
        ([v(duration_ts=0), a(duration_ts=0)], "no_duration"),
    ],
)
def test_a_rendition_that_is_not_as_planned_is_held_back(made, why):
    assert why in objections(probed(made), probed([v(), a()]), REMUX)


def test_of_a_guessed_duration_more_may_be_off():
    short = probed([v(duration_ts=810_000), a(duration_ts=432_000)])
    assert objections(short, probed([v(), a()]), REMUX, guessed=True) == []
    much_shorter = probed([v(duration_ts=450_000), a(duration_ts=240_000)])
    assert objections(much_shorter, probed([v(), a()]), REMUX, guessed=True) == [
        "duration_off_us:-5000000",
        "audio_duration_off_us:-5000000",
    ]


def test_of_a_damaged_original_a_rendition_may_be_shorter_but_not_longer():
    source = probed([v(duration_ts=54_000_000), a(duration_ts=28_800_000)])
    assert objections(probed([v(), a()]), source, REMUX, damaged=True) == []
    assert objections(source, probed([v(), a()]), REMUX, damaged=True) == [
        "duration_off_us:590000000",
        "audio_duration_off_us:590000000",
    ]


def test_a_longer_telemetry_track_does_not_make_the_rendition_too_short():
    source = replace(probed([v(), a()]), duration_us=60_000_000)
    assert objections(probed([v(), a()]), source, REMUX) == []


ANY_TRACK = st.sampled_from([v(), v("hevc"), v("magicyuv"), a(), a("pcm_alaw"), a("g729"), d("gpmd"), COVER])


@given(st.lists(ANY_TRACK, max_size=6), st.sampled_from([MP4, AVI, TS, WEBM, M4A, WAV]))
def test_a_plan_names_only_tracks_that_are_there_and_a_known_reason(streams, sniffed):
    made = plan(probed(streams), sniffed)
    assert made.reason in REASONS
    assert made.video is None or streams[made.video]["codec_type"] == "video"
    assert made.audio is None or streams[made.audio]["codec_type"] == "audio"
    if made.action is not Action.NONE:
        assert made.video is not None or made.audio is not None
