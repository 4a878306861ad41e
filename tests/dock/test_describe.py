"""Claims about what a station says of a file."""

import os
import struct
from zoneinfo import ZoneInfo

import pytest

from archive.core.digest import Digest
from archive.core.errors import Malformed, SourceChanged
from archive.core.instant import Instant, parse
from archive.dock.carrier import identify
from archive.dock.describe import Reading, describe, parse_clock_offset
from archive.dock.patterns import load, shipped
from archive.dock.reading import Folder, Hashed, hash_file, media_time, opened
from archive.dock.scan import scan

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = Instant(1_773_300_000_000_000)
NINE = parse("2026-03-12T09:01:20+08:00")


def a_movie(moment, *, wide_mdat=False, moov_last=True):
    seconds = (moment - parse("1904-01-01T00:00:00Z")) // 1_000_000
    mvhd = struct.pack(">I4sB3xII", 108, b"mvhd", 0, seconds, seconds).ljust(108, b"\x00")
    moov = struct.pack(">I4s", 8 + len(mvhd), b"moov") + mvhd
    media = b"m" * 5000
    mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + len(media)) if wide_mdat else struct.pack(">I4s", 8 + len(media), b"mdat")
    ftyp = struct.pack(">I4s4sI", 16, b"ftyp", b"mp42", 0)
    return ftyp + (mdat + media + moov if moov_last else moov + mdat + media)


def said(card, name, *, patterns=None, offsets=None):
    volume = identify(card.resolve(), label="card")
    found = scan(card.resolve(), volume=volume, patterns=patterns or shipped())
    folders = Folder.all_of(found.files, patterns or shipped())
    (source,) = [row for row in found.files if row.shown == name]
    by = Reading(patterns or shipped(), SHANGHAI, offsets or {})
    return describe(source, folders[Folder.key(source)], Hashed(Digest.of(b""), None), by=by, station="dock-1", now=NOW)


def put(card, name, data=b"x"):
    path = card / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_recognised_name_fills_the_manifest(tmp_path):
    name = "DCIM/DSJ-A7100231_012345_20260312090120_0004.MP4"
    put(tmp_path, name)
    found = said(tmp_path, name, offsets={"DSJ-A7100231": -1_500_000})
    assert (found.recorder, found.officer, found.sequence) == ("DSJ-A7100231", "012345", 4)
    assert (found.started_at, found.started_from, found.clock_offset_us) == (NINE, "name", -1_500_000)
    assert (found.station, found.station_clock, found.name, found.carrier.label) == ("dock-1", NOW, name, "card")


def test_a_name_that_tells_nothing_keeps_the_file_and_leaves_the_facts_empty(tmp_path):
    put(tmp_path, "会议.bin")
    found = said(tmp_path, "会议.bin")
    assert (found.recorder, found.officer, found.sequence, found.started_at, found.started_from) == (None,) * 5
    assert found.clock_offset_us is None


@pytest.mark.parametrize("form", [{}, {"wide_mdat": True}, {"moov_last": False}])
def test_a_movie_tells_what_its_name_does_not(tmp_path, form):
    put(tmp_path, "GH010123.MP4", a_movie(NINE, **form))
    found = said(tmp_path, "GH010123.MP4")
    assert (found.sequence, found.started_at, found.started_from) == (123, NINE, "media")


def test_the_name_comes_before_the_media(tmp_path):
    put(tmp_path, "REC_20260312_090120.MP4", a_movie(parse("2001-01-01T00:00:00Z")))
    assert said(tmp_path, "REC_20260312_090120.MP4").started_at == NINE


def test_a_movie_may_be_known_to_keep_local_time(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('[clocks]\nmovie = "local"\n', "utf-8")
    put(tmp_path / "card", "GH010123.MP4", a_movie(parse("2026-03-12T09:01:20Z")))
    assert said(tmp_path / "card", "GH010123.MP4", patterns=load(mine)).started_at == NINE


def test_a_real_camera_is_read(tmp_path, samples):
    put(tmp_path, "GH010123.MP4", (samples / "karma.mp4").read_bytes())
    assert said(tmp_path, "GH010123.MP4").started_at == parse("2017-04-17T19:27:57Z")


def test_a_companion_speaks_for_a_file_in_its_own_folder_only(tmp_path):
    put(tmp_path, "a/REC_20260312_090120_0007.MP4")
    put(tmp_path, "a/REC_20260312_090120_0007.thm")
    put(tmp_path, "b/whatever.thm")
    put(tmp_path, "a/GH010001.MP4")
    put(tmp_path, "a/GL010001.LRV")
    assert said(tmp_path, "a/REC_20260312_090120_0007.thm").started_at == NINE
    assert said(tmp_path, "a/GL010001.LRV").sequence == 1
    assert said(tmp_path, "b/whatever.thm").started_at is None


def test_an_offset_for_every_other_device_can_be_given(tmp_path):
    put(tmp_path, "noname.bin")
    assert said(tmp_path, "noname.bin", offsets={"*": 2_000_000}).clock_offset_us == 2_000_000


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x00\x00\x00\x00ftyp" + b"\xff" * 40, "endless.mp4"),
        (struct.pack(">I4sQ", 1, b"ftyp", 2**63) + b"x" * 64, "huge.mp4"),
        (struct.pack(">I4sQ", 1, b"ftyp", 2**64 - 1) + b"x" * 64, "huger.mp4"),
        (struct.pack(">I4s", 8, b"free") * 9000, "many.mp4"),
        (b"RIFF\xff\xff\xff\xffAVI LIST" + b"\xff" * 64, "bad.avi"),
        (b"", "empty.mp4"),
    ],
)
def test_a_broken_file_is_taken_without_a_time(tmp_path, data, name):
    put(tmp_path, name, data)
    assert said(tmp_path, name).started_at is None


def test_times_of_change_before_1970_are_taken_as_1970(tmp_path):
    os.utime(put(tmp_path, "old.bin"), ns=(-(10**18), -(10**18)))
    assert said(tmp_path, "old.bin").modified == 0


def test_a_file_replaced_by_a_link_after_the_scan_is_not_read(tmp_path):
    target = put(tmp_path, "secret", b"secret")
    path = put(tmp_path, "card/a.bin", b"secret")
    (source,) = scan(path.parent, volume=identify(path.parent), patterns=shipped()).files
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(OSError, match=r"symbolic links|symlink"):
        hash_file(source, position=lambda _: None)


def test_a_file_that_changed_since_the_scan_is_not_hashed(tmp_path):
    path = put(tmp_path, "a.bin", b"before")
    (source,) = scan(tmp_path, volume=identify(tmp_path), patterns=shipped()).files
    path.write_bytes(b"after it all")
    with pytest.raises(SourceChanged):
        hash_file(source, position=lambda _: None)
    with pytest.raises(SourceChanged), opened(source):
        pass
    with pytest.raises(SourceChanged):
        media_time(source, patterns=shipped(), zone=SHANGHAI)


def test_a_file_that_grows_while_it_is_hashed_is_noticed(tmp_path):
    path = put(tmp_path, "a.bin", b"x" * 3_000_000)
    (source,) = scan(tmp_path, volume=identify(tmp_path), patterns=shipped()).files

    def grow(_position):
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(SourceChanged):
        hash_file(source, position=grow)


def test_the_digest_is_the_files(tmp_path):
    put(tmp_path, "a.bin", b"x" * 3_000_001)
    (source,) = scan(tmp_path, volume=identify(tmp_path), patterns=shipped()).files
    heard = []
    assert hash_file(source, position=heard.append).sha256 == Digest.of(b"x" * 3_000_001)
    assert heard[-1] == 3_000_001


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A7=-1.5", ("A7", -1_500_000)), ("*=3", ("*", 3_000_000)), ("a=b=0.000001", ("a=b", 1)), ("A7=+2", ("A7", 2_000_000))],
)
def test_clock_offsets_are_read_to_the_microsecond(text, expected):
    assert parse_clock_offset(text) == expected


@pytest.mark.parametrize("text", ["A7", "=1", "A7=", "A7=1e3", "A7=1.0000001", "A7=--1", "A7=1.x", "A7=99999999999"])
def test_a_clock_offset_that_is_none_is_refused(text):
    with pytest.raises(Malformed):
        parse_clock_offset(text)
