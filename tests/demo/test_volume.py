"""The fabricated volume: right kinds of file, right times, the same again for the same moment."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pypdfium2
import pytest
from PIL import Image

from archive.core.filenames import recognise
from archive.core.instant import SECOND, Instant, parse
from archive.demo import footage, paper, volume
from archive.demo.scene import FRAME
from archive.dock import patterns

if TYPE_CHECKING:
    from pathlib import Path

ZONE = ZoneInfo("Asia/Shanghai")
NOW = parse("2026-11-21T01:11:12Z")

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def plan(root: Path) -> volume.Plan:
    return volume.Plan(root=root, began=Instant(NOW - volume.BEGINS_BEFORE_NOW), zone=ZONE)


def probed(path: Path) -> dict[str, dict[str, str]]:
    shown = (
        "-show_entries",
        "stream=codec_type,codec_name,width,height,avg_frame_rate:format=duration:format_tags=creation_time",
    )
    command = ["ffprobe", "-v", "error", *shown, "-of", "json", str(path)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {"format": told["format"], **{stream["codec_type"]: stream for stream in told["streams"]}}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    footage.props(folder / "front", angle=volume.A.angle, produced=plan(folder).produced)
    footage.speak(folder / "scene.wav", scratch=folder)
    return folder


@needs_ffmpeg
@pytest.mark.parametrize(
    "kind",
    [("h264", "mp4", "h264", "aac"), ("h265", "mp4", "hevc", "aac"), ("mjpeg", "avi", "mjpeg", "pcm_s16le")],
)
def test_a_take_is_720p_with_sound_and_the_same_bytes_again(
    tmp_path: Path, material: Path, kind: tuple[str, str, str, str]
) -> None:
    shape, suffix, codec, sound = kind
    take = footage.Take(volume.A, footage.Shape(shape), started=NOW, into_scene=3, seconds=1)
    both = (tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}")
    for target in both:
        footage.film(take, target, props=material / "front", sound=material / "scene.wav", zone=ZONE)
    assert both[0].read_bytes() == both[1].read_bytes()
    told = probed(both[0])
    assert told["video"]["codec_name"] == codec
    assert (told["video"]["width"], told["video"]["height"]) == FRAME
    assert told["video"]["avg_frame_rate"] == f"{footage.RATE}/1"
    assert told["audio"]["codec_name"] == sound
    assert abs(float(told["format"]["duration"]) - 1) < 0.15
    if suffix == "mp4":
        assert told["format"]["tags"]["creation_time"] == "2026-11-21T01:11:12.000000Z"


def test_the_burnt_in_clock_is_the_recorders_in_the_agencys_zone() -> None:
    take = footage.Take(volume.A, footage.Shape.H264, started=parse("2026-11-21T01:05:12Z"), into_scene=0, seconds=1)
    line = footage._clock_line(take, zone=ZONE)
    shown_as_utc = parse("2026-11-21T09:05:12Z") // SECOND
    assert line == f"%{{pts:gmtime:{shown_as_utc}:%Y-%m-%d %T}}  DSJ-A1023  张伟"


@needs_ffmpeg
def test_sound_is_written_without_espeak_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr(footage.shutil, "which", lambda name: None if name == "espeak-ng" else real(name))
    footage.speak(tmp_path / "scene.wav", scratch=tmp_path)
    footage.cut_sound(tmp_path / "scene.wav", tmp_path / "cut.M4A", begin=112, seconds=3, started=NOW)
    assert probed(tmp_path / "cut.M4A")["audio"]["codec_name"] == "aac"


def test_names_say_recorder_officer_start_and_sequence_to_the_shipped_patterns(tmp_path: Path) -> None:
    here = plan(tmp_path)
    path = here.path(volume.B, "VIDEO", 62, 2, "MP4")
    told = recognise(path.relative_to(tmp_path).as_posix(), patterns.shipped().patterns, zone=ZONE)
    assert (told.device, told.officer, told.sequence) == (volume.B.recorder, volume.B.officer_number, 2)
    assert told.started_at == here.clock(volume.B, 62)


def test_the_compared_recorder_is_corrected_and_the_other_is_not(tmp_path: Path) -> None:
    here = plan(tmp_path)
    first = volume._photo(here, volume.A, 46, 1, gps=True)
    second = volume._photo(here, volume.B, 70, 1, gps=False)
    assert first.verified == here.began + 46 * SECOND
    assert second.started == here.began + (70 - 41) * SECOND
    assert second.verified is None


def test_photos_carry_their_time_and_one_its_place(tmp_path: Path) -> None:
    with Image.open(volume._photo(plan(tmp_path), volume.A, 46, 1, gps=True).path) as picture:
        exif = picture.getexif()
        assert exif[0x0110] == "DSJ-A1023"
        assert exif.get_ifd(0x8769)[0x9003] == "2026:11:21 09:06:01"
        assert exif.get_ifd(0x8825)[2] == (37.0, 44.0, 6.0)
    with Image.open(volume._photo(plan(tmp_path), volume.A, 60, 2, gps=False).path) as picture:
        assert not picture.getexif().get_ifd(0x8825)


def test_the_record_is_a_pdf_of_two_page_images_and_the_same_again(tmp_path: Path) -> None:
    one, two = (volume._record(plan(tmp_path / name)) for name in ("one", "two"))
    assert one.path.read_bytes() == two.path.read_bytes()
    with pypdfium2.PdfDocument(one.path) as paper:
        assert len(paper) == 2


def test_the_sheets_of_the_seizure_are_images_in_a_folder_of_their_own_named_in_their_order(tmp_path: Path) -> None:
    sheets = [volume._sheet(plan(tmp_path), n) for n in (2, 1)]
    assert sorted(sheet.path.name for sheet in sheets) == ["1.jpg", "2.jpg"]
    assert {sheet.path.parent.name for sheet in sheets} == {volume.SEIZURE}
    with Image.open(sheets[0].path) as picture:
        assert (picture.format, picture.size) == ("JPEG", paper.A4)


def test_what_the_officer_locked_lies_where_the_shipped_patterns_know_it_as_marked(tmp_path: Path) -> None:
    path = (
        plan(tmp_path).path(volume.A, "Event", 64, volume.MARKED[1], "MP4").relative_to(tmp_path / volume.A.recorder).as_posix()
    )
    marks = patterns.shipped().marks
    assert any(re.fullmatch(mark.match, path) for mark in marks)
    assert recognise(path, patterns.shipped().patterns, zone=ZONE).sequence == volume.MARKED[1]


@needs_ffmpeg
def test_a_recording_that_lost_power_has_its_pictures_and_no_index(tmp_path: Path, material: Path) -> None:
    cut = volume._cut_off(plan(tmp_path), props=material / "front", sound=material / "scene.wav", scratch=tmp_path)
    data = cut.path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert b"mdat" in data[:200]
    assert b"moov" not in data


def test_the_sidecar_is_of_no_kind_anybody_knows(tmp_path: Path) -> None:
    assert volume._sidecar(plan(tmp_path)).path.read_bytes()[:4] == b"\xd5JX\x02"
