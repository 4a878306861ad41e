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
from archive.core.manifest import Carrier, Manifest, Page, decode, portable_name

FIRST = Manifest(
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
    v=1,
)
SAMPLE = replace(
    FIRST,
    sm3="66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
    room="询问室 2",
    key_mark=True,
    clock_offset_from="measured",
    belongs_to="DCIM/20260312/A.MP4",
    facts_from=("name", "sidecar"),
    document=Page("0123456789abcdef0123456789abcdef", 2, 3, "现场检查笔录"),
    v=2,
)

# Made by hand from RFC 8785 (keys sorted, no white space, UTF-8 as it is); the digest is that of b"footage".
FIRST_GOLDEN = (
    '{"carrier":{"identity":"uuid:1A2B-3C4D","kind":"volume","label":"执法仪 7"},"clock_offset_us":-1500000,'
    '"modified":1773277400000000,"name":"DCIM/20260312/DSJ-A7100231_012345_20260312090120_0001.MP4","officer":"012345",'
    '"recorder":"A7100231","sequence":1,"sha256":"066d608d0c4d58f529cf925607900e9e0dd8f0da251e43028986149ce242d44b","size":7,'
    '"started_at":1773277280000000,"started_from":"name","station":"dock-taocheng-1","station_clock":1773300000123456,'
    '"type":"liuhen.manifest","v":1}'
).encode()
GOLDEN = (
    '{"belongs_to":"DCIM/20260312/A.MP4","carrier":{"identity":"uuid:1A2B-3C4D","kind":"volume","label":"执法仪 7"},'
    '"clock_offset_from":"measured","clock_offset_us":-1500000,"document":{"id":"0123456789abcdef0123456789abcdef","of":3,"page":2,'
    '"title":"现场检查笔录"},"facts_from":["name","sidecar"],"key_mark":true,'
    '"modified":1773277400000000,"name":"DCIM/20260312/DSJ-A7100231_012345_20260312090120_0001.MP4","officer":"012345",'
    '"recorder":"A7100231","room":"询问室 2","sequence":1,'
    '"sha256":"066d608d0c4d58f529cf925607900e9e0dd8f0da251e43028986149ce242d44b","size":7,'
    '"sm3":"66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",'
    '"started_at":1773277280000000,"started_from":"name","station":"dock-taocheng-1","station_clock":1773300000123456,'
    '"type":"liuhen.manifest","v":2}'
).encode()

shown = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=40)
carriers = st.builds(Carrier, label=shown, identity=shown, kind=st.sampled_from(["volume", "folder", "room", "scanner"]))
instants = st.integers(0, 84_006 * 86_400_000_000).map(Instant)
names = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), min_size=1, max_size=8).map(
    lambda parts: portable_name(part.replace("/", "-") for part in parts)
)


digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
fact_sources = st.sets(st.sampled_from(["folder", "media", "name", "sidecar"])).map(sorted).map(tuple)


@st.composite
def pages(draw):
    of = draw(st.integers(1, 2000))
    return Page(draw(digests)[:32], draw(st.integers(1, of)), of, draw(shown))


@st.composite
def manifests(draw):
    offset = draw(st.none() | st.integers(-(10**15), 10**15))
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
        started_from=None if started is None else draw(st.sampled_from(["name", "media", "sidecar"])),
        clock_offset_us=offset,
        carrier=draw(carriers),
        modified=draw(instants),
        station_clock=draw(instants),
        sm3=draw(st.none() | digests),
        room=draw(st.none() | shown),
        key_mark=draw(st.booleans()),
        clock_offset_from=None if offset is None else draw(st.sampled_from(["given", "measured"])),
        belongs_to=draw(st.none() | names),
        facts_from=draw(fact_sources),
        document=draw(st.none() | pages()),
    )


def test_a_manifest_has_these_bytes_and_no_others():
    assert SAMPLE.encode() == GOLDEN
    assert decode(GOLDEN) == SAMPLE


def test_a_manifest_of_the_first_version_is_read_and_written_as_it_was_signed():
    assert decode(FIRST_GOLDEN) == FIRST
    assert FIRST.encode() == FIRST_GOLDEN


def test_a_manifest_of_the_first_version_says_nothing_that_only_the_second_can():
    with pytest.raises(Malformed, match="version"):
        replace(FIRST, room="询问室 2")


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
        GOLDEN.replace(b'"v":2', b'"v": 2'),
        GOLDEN.replace(b'{"belongs_to"', b'{ "belongs_to"'),
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
        ("v", 1),
        ("v", 3),
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
        ("sm3", "66C7"),
        ("sm3", 7),
        ("room", ""),
        ("room", "\u202e2"),
        ("key_mark", 1),
        ("key_mark", None),
        ("clock_offset_from", None),
        ("clock_offset_from", "guessed"),
        ("clock_offset_us", None),
        ("belongs_to", "../A.MP4"),
        ("facts_from", None),
        ("facts_from", ["name", "name"]),
        ("facts_from", ["sidecar", "name"]),
        ("facts_from", ["dream"]),
        ("facts_from", [7]),
        ("document", {}),
        ("document", {"id": "x", "page": 1, "of": 1, "title": "a"}),
        ("document", {"id": "0" * 32, "page": 0, "of": 1, "title": "a"}),
        ("document", {"id": "0" * 32, "page": 2, "of": 1, "title": "a"}),
        ("document", {"id": "0" * 32, "page": 1, "of": 2001, "title": "a"}),
        ("document", {"id": "0" * 32, "page": 1, "of": 1, "title": ""}),
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
