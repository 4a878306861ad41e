"""Claims about what a manifest says beyond names and media: sidecars, key marks, rooms, measured clocks, SM3."""

from zoneinfo import ZoneInfo

import pytest

from archive.core.instant import SECOND, Instant
from archive.dock.clock import Measured
from archive.dock.describe import Reading, describe
from archive.dock.patterns import load, shipped
from archive.dock.places import Place, look
from archive.dock.reading import Folder, hash_file

NOW = Instant(1_773_300_000_000_000)
NINE = Instant(1_773_277_280_000_000)  # 2026-03-12 09:01:20 in Shanghai
FORM = """
[[sidecar]]
id = "ours"
match = '''.{1,60}\\.xml'''
kind = "xml"
fields = { recorder = "R/@no", officer = "R/P", started = "R/B", key_mark = "R/M" }
"""
RECORD = "<R no='K7'><P>012345</P><B>2026-03-12 09:01:20</B><M>1</M></R>"
SATELLITE = "<gpx><trk><trkpt><time>2026-03-12T01:01:20Z</time></trkpt></trk></gpx>"


def manifests(card, *, patterns=None, place=None, offsets=None, measured=None, sm3=False):
    """Return every file's manifest by its name."""
    known = patterns or shipped()
    found = look(card.resolve(), place or Place("recorder"), label="card", patterns=known)
    folders = Folder.all_of(found.files, known)
    identity = found.volume.carrier.identity
    by = Reading(known, ZoneInfo("Asia/Shanghai"), offsets or {}, {} if measured is None else {identity: measured})
    said = {}
    for source in found.files:
        hashed = hash_file(source, position=lambda _: None, sm3=sm3)
        said[source.shown] = describe(source, folders[Folder.key(source)], hashed, by=by, station="dock-1", now=NOW)
    return said


def put(card, name, data=b"x"):
    path = card / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.fixture
def ours(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text(FORM, "utf-8")
    return load(path)


@pytest.fixture
def card(tmp_path):
    (tmp_path / "card").mkdir()
    return tmp_path / "card"


@pytest.mark.parametrize("sidecar", ["REC_X.xml", "rec_x.XML", "REC_X.MP4.xml", "REC_X.gpx", "REC_X.thm", "REC_X.log"])
def test_a_sidecar_is_kept_and_says_which_recording_it_belongs_to(card, sidecar):
    put(card, "DCIM/REC_X.MP4")
    put(card, f"DCIM/{sidecar}", "whatever")
    put(card, "other/REC_X.xml", "not beside it")
    said = manifests(card)
    assert {name: each.belongs_to for name, each in said.items()} == {
        "DCIM/REC_X.MP4": None,
        f"DCIM/{sidecar}": "DCIM/REC_X.MP4",
        "other/REC_X.xml": None,
    }


def test_what_a_sidecar_tells_its_recording_says_and_where_it_was_read(card, ours):
    put(card, "VIDEO1.MP4")
    put(card, "VIDEO1.xml", RECORD)
    for said in manifests(card, patterns=ours).values():
        assert (said.recorder, said.officer, said.started_at, said.started_from) == ("K7", "012345", NINE, "sidecar")
        assert (said.key_mark, said.facts_from) == (True, ("sidecar",))


def test_a_name_comes_before_a_sidecar_and_both_are_named(card, ours):
    put(card, "DSJ-A1_999999_20260312080000_0001.MP4")
    put(card, "DSJ-A1_999999_20260312080000_0001.xml", RECORD)
    put(card, "REC_20260312_090120_0001.MP4")
    put(card, "REC_20260312_090120_0001.xml", RECORD)
    said = manifests(card, patterns=ours)
    named = said["DSJ-A1_999999_20260312080000_0001.MP4"]
    assert (named.recorder, named.officer, named.started_from, named.facts_from) == ("DSJ-A1", "999999", "name", ("name",))
    mixed = said["REC_20260312_090120_0001.MP4"]
    assert (mixed.recorder, mixed.started_from, mixed.facts_from) == ("K7", "name", ("name", "sidecar"))


def test_a_satellites_time_is_not_the_recorders_clock(card):
    put(card, "VIDEO1.MP4")
    put(card, "VIDEO1.gpx", SATELLITE)
    said = manifests(card, offsets={"*": 60 * SECOND})["VIDEO1.MP4"]
    assert (said.started_at, said.started_from, said.clock_offset_us) == (NINE, "sidecar", None)


@pytest.mark.parametrize("data", [b"\x00" * 5000, b"<R" * 200_000, b"<!DOCTYPE x><R/>", b"\xff\xfe\x00", b"A" * 2_000_000])
def test_a_hostile_sidecar_is_docked_and_its_recording_too(card, ours, data):
    put(card, "VIDEO1.MP4")
    put(card, "VIDEO1.xml", data)
    said = manifests(card, patterns=ours)
    assert len(said) == 2
    assert said["VIDEO1.MP4"].recorder is None


def test_what_was_marked_on_the_recorder_is_marked_with_all_that_belongs_to_it(card):
    put(card, "Event/20260312_090120_0006_E_A.MP4")
    put(card, "Event/20260312_090120_0006_E_A.srt", "x")
    put(card, "Normal/20260312_090120_0006_N_A.MP4")
    put(card, "DCIM/crash/1.MP4")
    put(card, "Eventful.MP4")
    assert {name for name, said in manifests(card).items() if said.key_mark} == {
        "Event/20260312_090120_0006_E_A.MP4",
        "Event/20260312_090120_0006_E_A.srt",
        "DCIM/crash/1.MP4",
    }


def test_a_device_somebody_named_comes_before_a_measurement_and_that_before_all_others(card):
    put(card, "DSJ-A1_012345_20260312090120_0001.MP4")
    put(card, "noname.MP4")
    measured = Measured(7 * SECOND, SECOND, "command")
    offsets = {"DSJ-A1": 5 * SECOND, "*": 3 * SECOND}
    said = manifests(card, offsets=offsets, measured=measured)
    assert {(each.clock_offset_us // SECOND, each.clock_offset_from) for each in said.values()} == {(5, "given"), (7, "measured")}
    said = manifests(card, offsets=offsets)
    assert {(each.clock_offset_us // SECOND, each.clock_offset_from) for each in said.values()} == {(5, "given"), (3, "given")}


def test_sm3_comes_from_the_same_pass(card):
    put(card, "abc.bin", b"abc")
    assert manifests(card)["abc.bin"].sm3 is None
    # GB/T 32905-2016, example 1
    expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert manifests(card, sm3=True)["abc.bin"].sm3 == expected


def test_the_room_stands_in_the_manifest(card):
    put(card, "询问室一/REC.MP4")
    (said,) = manifests(card, place=Place("rooms")).values()
    assert (said.room, said.carrier.kind, said.name) == ("询问室一", "room", "询问室一/REC.MP4")


def test_what_a_whole_path_tells_was_read_from_folders(card, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("[[pattern]]\nid='p'\nwhole_path=true\nmatch='''(?P<officer>\\d{6})/[^/]{1,60}'''\n", "utf-8")
    put(card, "012345/a.bin")
    (said,) = manifests(card, patterns=load(mine)).values()
    assert (said.officer, said.facts_from) == ("012345", ("folder",))
