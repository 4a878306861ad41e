"""Claims about the manifest that a station signs."""

import json
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core import manifest
from archive.core.digest import Digest
from archive.core.errors import Malformed
from archive.core.instant import Instant
from archive.core.manifest import Carrier, Manifest, decode, portable_name

SAMPLE = Manifest(
    station="dock-taocheng-1",
    name="DCIM/20260312/DSJ-A7100231_012345_20260312090120_0001.MP4",
    sha256=Digest.of(b"footage"),
    size=7,
    recorder="A7100231",
    officer="012345",
    sequence=1,
    started_at=Instant(1_773_277_280_000_000),
    started_from="name",
    clock_offset_us=-1_500_000,
    carrier=Carrier(label="执法仪 7", identity="uuid:1A2B-3C4D", kind="volume"),
    modified=Instant(1_773_277_400_000_000),
    station_clock=Instant(1_773_300_000_123_456),
)

# Made by hand from RFC 8785 (keys sorted, no white space, UTF-8 as it is); the digest is that of b"footage".
GOLDEN = (
    '{"carrier":{"identity":"uuid:1A2B-3C4D","kind":"volume","label":"执法仪 7"},"clock_offset_us":-1500000,'
    '"modified":1773277400000000,"name":"DCIM/20260312/DSJ-A7100231_012345_20260312090120_0001.MP4","officer":"012345",'
    '"recorder":"A7100231","sequence":1,"sha256":"066d608d0c4d58f529cf925607900e9e0dd8f0da251e43028986149ce242d44b","size":7,'
    '"started_at":1773277280000000,"started_from":"name","station":"dock-taocheng-1","station_clock":1773300000123456,'
    '"type":"liuhen.manifest","v":1}'
).encode()

shown = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=40)
carriers = st.builds(Carrier, label=shown, identity=shown, kind=st.sampled_from(["volume", "folder"]))
instants = st.integers(0, 84_006 * 86_400_000_000).map(Instant)
names = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), min_size=1, max_size=8).map(
    lambda parts: portable_name(part.replace("/", "-") for part in parts)
)


@st.composite
def manifests(draw):
    started = draw(st.none() | instants)
    return Manifest(
        station=draw(st.text(string.ascii_letters + string.digits, min_size=1, max_size=64)),
        name=draw(names),
        sha256=Digest.of(draw(st.binary(max_size=8))),
        size=draw(st.integers(0, 2**50)),
        recorder=draw(st.none() | shown),
        officer=draw(st.none() | shown),
        sequence=draw(st.none() | st.integers(0, 10**12)),
        started_at=started,
        started_from=None if started is None else draw(st.sampled_from(["name", "media"])),
        clock_offset_us=draw(st.none() | st.integers(-(10**15), 10**15)),
        carrier=draw(carriers),
        modified=draw(instants),
        station_clock=draw(instants),
    )


def test_a_manifest_has_these_bytes_and_no_others():
    assert SAMPLE.encode() == GOLDEN
    assert decode(GOLDEN) == SAMPLE


def test_the_signed_bytes_begin_with_their_context():
    assert SAMPLE.signing_bytes() == b"liuhen manifest v1\n" + GOLDEN


@given(manifests())
def test_decoding_undoes_encoding(found):
    assert decode(found.encode()) == found


@given(st.binary(max_size=200))
def test_bytes_that_are_no_manifest_are_refused_and_never_crash(data):
    with pytest.raises(Malformed):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        GOLDEN.replace(b'"v":1', b'"v": 1'),
        GOLDEN.replace(b'{"carrier"', b'{ "carrier"'),
        GOLDEN.replace(b'"size":7', b'"size":7,"size":7'),
        GOLDEN.replace("执".encode(), b"\\u6267"),
        GOLDEN + b"\n",
    ],
)
def test_any_other_spelling_of_the_same_manifest_is_refused(data):
    with pytest.raises(Malformed):
        decode(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "liuhen.credential"),
        ("v", 2),
        ("v", True),
        ("v", "1"),
        ("station", ""),
        ("station", "dock 1"),
        ("station", "dock\n1"),
        ("station", "a" * 65),
        ("station", 7),
        ("size", -1),
        ("size", 2**50 + 1),
        ("size", True),
        ("size", "7"),
        ("size", None),
        ("sha256", "36A6"),
        ("sha256", None),
        ("recorder", ""),
        ("recorder", " A7"),
        ("recorder", 7),
        ("officer", "x" * 129),
        ("officer", "\u202e012345"),
        ("sequence", -1),
        ("sequence", "1"),
        ("started_at", -1),
        ("started_at", None),
        ("started_at", 84_007 * 86_400_000_000),
        ("started_from", None),
        ("started_from", "guess"),
        ("clock_offset_us", 4 * 10**15),
        ("clock_offset_us", False),
        ("modified", -1),
        ("station_clock", 2**53 - 1),
        ("carrier", None),
        ("carrier", {"label": "a", "identity": "b"}),
        ("carrier", {"label": "a", "identity": "b", "kind": "network"}),
        ("carrier", {"label": "a", "identity": "b", "kind": "volume", "more": 1}),
        ("more", 1),
    ],
)
def test_an_absurd_or_unknown_field_is_refused(field, value):
    told = json.loads(GOLDEN)
    told[field] = value
    with pytest.raises(Malformed):
        decode(json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())


@pytest.mark.parametrize("field", sorted(json.loads(GOLDEN)))
def test_a_missing_field_is_refused(field):
    told = json.loads(GOLDEN)
    del told[field]
    with pytest.raises(Malformed):
        decode(json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "a\\b",
        "C:/a",
        "C:a",
        "a\x00b",
        "a\nb",
        "a\u202eb",
        "x" * 1025,
        "a\udcff",
    ],
)
def test_a_name_that_leads_elsewhere_or_lies_is_refused(name):
    with pytest.raises(Malformed):
        replace(SAMPLE, name=name)


def test_a_manifest_beyond_its_limit_is_refused_before_it_is_parsed():
    with pytest.raises(Malformed, match="too_large"):
        decode(b"[" * (manifest.MAX_ENCODED + 1))


@given(st.lists(st.text(st.characters(exclude_characters="/"), min_size=1, max_size=255), min_size=1, max_size=30))
def test_every_path_has_a_name_that_a_manifest_holds(parts):
    listed = [part.encode("utf-8", "replace").decode("utf-8") for part in parts]
    assert replace(SAMPLE, name=portable_name(listed)).name


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (["DCIM", "100MEDIA", "视频 1.MP4"], "DCIM/100MEDIA/视频 1.MP4"),
        ([b"\xca\xd3\xff.MP4".decode("utf-8", "surrogateescape")], "%CA%D3%FF.MP4"),
        (["100%25.mp4"], "100%2525.mp4"),
        (["100%.mp4"], "100%.mp4"),
        (["C:", "a\\b"], "C%3A/a%5Cb"),
        (["a\u202egpj.exe"], "a%E2%80%AEgpj.exe"),
        (["12:30.mp4"], "12:30.mp4"),
    ],
)
def test_names_no_reader_could_show_are_written_so_that_it_can_be_undone(parts, name):
    assert portable_name(parts) == name


def test_the_front_of_a_very_long_path_gives_way():
    name = portable_name([f"folder-{n:03}" for n in range(200)] + ["REC_0001.MP4"])
    assert name.startswith("…/folder-")
    assert name.endswith("/folder-199/REC_0001.MP4")
    assert len(name.encode()) <= manifest.MAX_NAME


def test_a_single_name_longer_than_a_manifest_holds_keeps_its_end():
    name = portable_name(["\udcff" * 500 + "_20260312.MP4"])
    assert name.endswith("%FF_20260312.MP4")
    assert len(name.encode()) <= manifest.MAX_NAME
