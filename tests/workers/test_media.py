"""From stored bytes to what plays: every job run for real, over small files, in the best jail this host gives."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from archive.actions.jobs import ClaimedJob
from archive.adapters.jail import Jail
from archive.core.digest import original_key
from archive.core.instant import parse
from tests.media_files import AAC, BOTH, H264, Workshop, made, media_file, workshop
from workers.bench import opened
from workers.media import Examined, probed


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory):
    with workshop(tmp_path_factory.mktemp("archive")) as opened:
        yield opened


@pytest.fixture(scope="module")
def processed(shop: Workshop):
    """Take a file of the recipes in and do its work, once for the module."""
    done: dict[str, str] = {}

    def process(name: str) -> str:
        if name not in done:
            done[name] = shop.process(media_file(name))
        return done[name]

    return process


def streams_of(content: bytes, tmp_path: Path) -> dict:
    path = tmp_path / "out.mp4"
    path.write_bytes(content)
    said = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)], check=True, capture_output=True
    ).stdout
    return json.loads(said)


PLAYED = [
    ("plain.mp4", None, "plays"),
    ("silent.mp4", None, "plays"),
    ("tone.mp3", None, "plays"),
    ("tone.wav", None, "plays"),
    ("pcm.mov", "audio-fix", "audio_codec"),
    ("h264.avi", "remux", "container"),
    ("bframes.avi", "transcode", "no_times"),
    ("h264.ts", "remux", "container"),
    ("h264.mkv", "remux", "container"),
    ("mjpeg.avi", "transcode", "video_codec"),
    ("hevc.mp4", "transcode", "video_codec"),
    ("asp.avi", "transcode", "video_codec"),
    ("interlaced.ts", "transcode", "video_codec"),
    ("speech.amr", "audio-fix", "audio_codec"),
    ("alaw.wav", "audio-fix", "audio_codec"),
]


@pytest.mark.parametrize("case", PLAYED, ids=[case[0] for case in PLAYED])
def test_every_file_ends_up_playable(shop: Workshop, processed, tmp_path: Path, case):
    name, recipe, reason = case
    number = processed(name)
    found = shop.item(number)
    assert found.condition == "sound", found.findings
    assert found.technical["plan"]["reason"] == reason
    assert {view.state for view in shop.jobs(number).values()} == {"done"}
    playable = set(shop.renditions(number)) & {"audio-fix", "remux", "transcode"}
    assert playable == ({recipe} if recipe else set())
    if recipe is None:
        return
    out = streams_of(shop.content(number, recipe), tmp_path)
    codecs = {stream["codec_type"]: stream["codec_name"] for stream in out["streams"]}
    assert codecs.get("video", "h264") == "h264"
    assert codecs.get("audio", "aac") in ("aac", "mp3")
    assert abs(float(out["format"]["duration"]) - found.duration_us / 1e6) < 0.11
    assert "creation_time" not in json.dumps(out)
    times = frame_times(tmp_path / "out.mp4")
    assert times == sorted(times), "pictures are shown out of order"


def test_a_file_is_probed_once_in_a_process_as_long_as_nothing_of_it_or_of_the_bounds_changes(shop: Workshop, processed):
    digest = shop.item(processed("undecoded.mkv")).sha256

    def look(**bounds: int) -> tuple[Examined, list[str], int]:
        settings = shop.resources.settings.model_copy(update=bounds)
        job = ClaimedJob(1, "examine", "quick", 1, digest.hex, {}, 1, "test")
        with opened(replace(shop.resources, settings=settings), job, lambda *_: None) as bench:
            return probed(bench), bench.tolerated, len(bench.argvs)

    first, tolerated, _ = look()
    assert tolerated, "the probe was let open what is not decoded here"
    assert look() == (first, tolerated, 0)
    assert look(max_tracks=40)[2] == 2, "other bounds, another look: refused, and let open"
    path = shop.resources.settings.data_dir / "store" / original_key(digest)
    os.utime(path, ns=(0, 0))
    assert look() == (first, tolerated, 2)


def test_a_track_that_is_not_decoded_here_does_not_hide_the_others(shop: Workshop, processed):
    number = processed("undecoded.mkv")
    found = shop.item(number)
    assert found.condition == "sound", found.findings
    assert [track["codec"] for track in found.technical["video"]] == ["h264", "ffv1"]
    assert found.technical["plan"]["notes"] == ["more_video_tracks"]
    assert {"remux", "storyboard", "stream-hash"} <= set(shop.renditions(number))


@pytest.mark.parametrize("name", ["plain.mp4", "h264.ts", "mjpeg.avi", "hevc.mp4", "one-key.mp4", "interlaced.ts"])
def test_a_recording_gets_its_storyboard_and_poster(shop: Workshop, processed, name: str):
    number = processed(name)
    board = Image.open(io.BytesIO(shop.content(number, "storyboard")))
    cues = re.findall(r"#xywh=(\d+),(\d+),(\d+),(\d+)", shop.content(number, "storyboard-vtt").decode())
    seconds = -(-shop.item(number).duration_us // 1_000_000)
    assert len(cues) == seconds
    left, top, width, height = map(int, cues[-1])
    assert (left + width, top + height) == board.size
    tiles = [board.crop((int(x), int(y), int(x) + int(w), int(y) + int(h))) for x, y, w, h in cues]
    assert all(max(high for _, high in tile.getextrema()) > 100 for tile in tiles), "a tile is black"
    poster = Image.open(io.BytesIO(shop.content(number, "poster")))
    assert poster.size == (192, 108)


def test_a_bare_stream_has_no_times_and_is_made_playable_all_the_same(shop: Workshop, processed):
    number = processed("bare.h264")
    assert {view.state for view in shop.jobs(number).values()} == {"done"}
    assert {"transcode", "poster", "storyboard", "stream-hash"} == set(shop.renditions(number)) - {"storyboard-vtt"}


def test_with_one_key_frame_the_tiles_still_differ(shop: Workshop, processed):
    board = Image.open(io.BytesIO(shop.content(processed("one-key.mp4"), "storyboard")))
    tiles = {board.crop((index * 160, 0, index * 160 + 160, 90)).tobytes() for index in range(6)}
    assert len(tiles) == 6


def test_sound_gets_its_waveform(shop: Workshop, processed):
    for name in ("plain.mp4", "tone.mp3", "speech.amr"):
        peaks = json.loads(shop.content(processed(name), "waveform"))
        assert peaks["bits"] == 8
        assert 38 <= peaks["length"] <= 43
        assert len(peaks["data"]) == 2 * peaks["length"]
        assert max(peaks["data"]) > 5
    assert "waveform" not in shop.renditions(processed("silent.mp4"))


def test_the_streams_of_a_file_and_of_its_remux_have_one_hash(shop: Workshop, processed):
    original = json.loads(shop.content(processed("h264.mkv"), "stream-hash"))
    assert [stream["kind"] for stream in original["streams"]] == ["video", "audio"]
    again = shop.process(made("again.mp4", "-i", str(media_file("h264.mkv")), "-c", "copy"))
    assert [s["sha256"] for s in json.loads(shop.content(again, "stream-hash"))["streams"]] == [
        s["sha256"] for s in original["streams"]
    ]


def test_a_rendition_says_how_it_was_made(shop: Workshop, processed):
    number = processed("mjpeg.avi")
    view = shop.renditions(number)["transcode"]
    told = view.provenance
    assert (told["recipe"], told["version"], told["jail"]) == ("transcode", 1, shop.resources.jail.kind)
    assert told["tool"].startswith("ffmpeg version")
    assert told["input"]["sha256"] == shop.item(number).sha256.hex
    assert told["output"] == {"sha256": view.digest.hex, "size": view.size}
    (command,) = told["commands"]
    assert "file:{original}" in command
    assert "file:{scratch}/transcode.mp4" in command
    assert {"threads", "processors"} <= told.keys()
    assert str(shop.resources.settings.data_dir) not in json.dumps(told)


def test_frames_keep_their_uneven_times(shop: Workshop, tmp_path: Path):
    uneven = "setpts='if(lt(N,10),N/25,0.4+(N-10)/5)/TB'"
    source = made(
        "uneven.avi.mkv", "-f", "lavfi", "-i", PICTURE_ONLY, "-frames:v", "20", "-vf", uneven, "-fps_mode", "vfr", "-c:v", "mpeg4"
    )
    number = shop.process(source)
    path = tmp_path / "out.mp4"
    path.write_bytes(shop.content(number, "transcode"))
    times = [frame_times(source), frame_times(path)]
    assert len(times[0]) == len(times[1]) == 20
    assert all(abs(a - b) <= 0.0011 for a, b in zip(*times, strict=True))


PICTURE_ONLY = "testsrc2=size=192x108:rate=25"


def frame_times(path: Path) -> list[float]:
    said = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "frame=pts_time", "-of", "csv=p=0", str(path)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [float(line.strip(",")) for line in said.split()]


@pytest.mark.parametrize(("codec", "recipe"), [(H264, "audio-fix"), (["-c:v", "mjpeg"], "transcode")])
def test_turning_is_kept_when_copied_and_baked_in_when_transcoded(shop: Workshop, tmp_path: Path, codec: list[str], recipe: str):
    straight = made(f"straight-{recipe}.mov", *BOTH, *codec, "-c:a", "pcm_alaw", "-ar", "8000")
    source = made(f"turned-{recipe}.mov", "-i", str(straight), "-c", "copy", "-metadata:s:v:0", "rotate=90")
    number = shop.process(source)
    assert shop.item(number).technical["video"][0]["rotation"] == 270  # ffmpeg's tag turns the other way
    (video,) = (s for s in streams_of(shop.content(number, recipe), tmp_path)["streams"] if s["codec_type"] == "video")
    if recipe == "transcode":
        assert (video["width"], video["height"]) == (108, 192)
        assert "side_data_list" not in video
    else:
        assert (video["width"], video["height"]) == (192, 108)
        assert video["side_data_list"][0]["rotation"] == 90
    assert Image.open(io.BytesIO(shop.content(number, "poster"))).size == (108, 192)


def test_the_creation_time_of_the_media_becomes_the_start(shop: Workshop):
    source = made("dated.mp4", *BOTH, *H264, *AAC, "-metadata", "creation_time=2026-03-12T01:04:51Z")
    found = shop.item(shop.process(source))
    assert found.clock_started_at == parse("2026-03-12T01:04:51+00:00")


def test_a_recording_cut_off_before_its_index_is_kept_and_says_so(shop: Workshop, tmp_path: Path):
    whole = media_file("plain.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 65 // 100])
    found = shop.item(shop.process(path))
    assert found.condition == "damaged"
    codes = {finding["code"]: finding["facts"] for finding in found.findings}
    assert set(codes) == {"truncated", "moov_missing"}
    assert codes["truncated"]["real"] == path.stat().st_size < codes["truncated"]["declared"]


def test_a_recording_whose_index_is_nonsense_says_what_the_probe_said(shop: Workshop, tmp_path: Path):
    path = tmp_path / "nonsense.mp4"
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x10moov\0\0\0\x20trak" + b"\0\0\0\x10mdat" + b"x" * 8)
    found = shop.item(shop.process(path))
    assert found.condition == "damaged"
    (finding,) = found.findings
    assert finding["code"] in ("probe_failed", "no_streams")
    assert str(shop.resources.settings.data_dir) not in json.dumps(finding)


def test_a_cut_transport_stream_still_plays(shop: Workshop, tmp_path: Path):
    whole = media_file("h264.ts").read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(whole[: len(whole) * 65 // 100])
    number = shop.process(path)
    assert "remux" in shop.renditions(number)


def test_where_copying_does_not_come_out_right_it_is_transcoded_and_says_so(shop: Workshop, tmp_path: Path):
    content = bytearray(media_file("h264.mkv").read_bytes())
    at = content.index(b"\x44\x89\x88") + 3  # Matroska's Duration, a double of milliseconds
    content[at : at + 8] = struct.pack(">d", 9000.0)
    path = tmp_path / "liar.mkv"
    path.write_bytes(content)
    number = shop.process(path)
    assert shop.item(number).duration_us == 9_000_000
    assert {view.state for view in shop.jobs(number).values()} == {"done"}
    copies = shop.renditions(number)
    assert "remux" not in copies
    assert (copies["transcode"].provenance["claimed_us"], copies["transcode"].provenance["made_us"] // 100_000) == (9_000_000, 20)


def test_a_makers_own_wrapping_is_unrecognised_not_damaged(shop: Workshop, tmp_path: Path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"DHAV" + bytes(range(200)))
    found = shop.item(shop.process(path))
    assert (found.condition, found.findings, found.technical["plan"]["reason"]) == ("unrecognised", [], "container_unsupported")


def test_photos_get_a_view_and_a_thumbnail(shop: Workshop, processed):
    for name, size in (("photo.jpg", (640, 360)), ("photo.png", (400, 300))):
        number = processed(name)
        assert shop.item(number).condition == "sound"
        assert Image.open(io.BytesIO(shop.content(number, "view"))).size == size
        assert max(Image.open(io.BytesIO(shop.content(number, "thumb"))).size) == 240


def test_the_same_bytes_twice_are_worked_on_once(shop: Workshop):
    path = made("twice.mp4", *BOTH, *H264, "-c:a", "ac3")
    first, second = shop.process(path), shop.process(path)
    assert first != second
    assert shop.item(second).condition == "sound"
    assert shop.jobs(first)["rendition:audio-fix"].id == shop.jobs(second)["rendition:audio-fix"].id


def test_a_real_cameras_file_plays_as_it_is_and_tells_where_it_was(shop: Workshop, samples: Path):
    number = shop.process(samples / "karma.mp4")
    found = shop.item(number)
    assert (found.condition, found.findings) == ("sound", [])
    assert found.technical["plan"]["action"] == "direct"
    assert found.clock_started_at == parse("2017-04-17T19:27:57+00:00")
    copies = shop.renditions(number)
    assert set(copies) == {"poster", "storyboard", "storyboard-vtt", "waveform", "stream-hash", "telemetry"}
    points = json.loads(shop.content(number, "telemetry"))["points"]
    assert len(points) > 10
    assert all(abs(point["latitude_udeg"]) <= 90_000_000 and isinstance(point["longitude_udeg"], int) for point in points)
    assert [point["at_us"] for point in points] == sorted(point["at_us"] for point in points)
    assert {stream["kind"] for stream in json.loads(shop.content(number, "stream-hash"))["streams"]} == {"video", "audio", "data"}


@pytest.mark.parametrize("kind", ["unshare", "limits"])
def test_the_lesser_jails_do_the_same_work(tmp_path: Path, kind: str):
    import dataclasses  # noqa: PLC0415 - wanted by this test alone

    if kind == "unshare" and Jail("unshare").trial() is not None:
        pytest.skip("no network namespace can be made here")
    with workshop(tmp_path / "data") as opened:
        opened.resources = dataclasses.replace(opened.resources, jail=Jail(kind, "as a test asks"))
        number = opened.process(media_file("h264.avi"))
        photo = opened.process(media_file("photo.jpg"))
        assert opened.renditions(number)["remux"].provenance["jail"] == kind
        assert {"poster", "storyboard", "waveform", "stream-hash", "remux"} <= set(opened.renditions(number))
        assert set(opened.renditions(photo)) == {"view", "thumb"}
        assert str(tmp_path) not in json.dumps([dict(view.provenance) for view in opened.renditions(number).values()])
