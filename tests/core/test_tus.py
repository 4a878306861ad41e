import base64
import hashlib
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archive.core import tus
from archive.core.errors import (
    ChecksumUnsupported,
    LengthFixed,
    Malformed,
    OffsetConflict,
    PartsUnfinished,
    PastLength,
    TusVersionUnsupported,
    UploadTooLarge,
    WrongContentType,
)

KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1, max_size=20)
SIZES = st.integers(min_value=0, max_value=2**40)


@given(st.dictionaries(KEYS, st.binary(max_size=60), max_size=6))
def test_metadata_written_is_metadata_read(pairs):
    assert tus.parse_metadata(tus.format_metadata(pairs)) == pairs


@given(st.text(max_size=80))
def test_any_metadata_header_is_read_or_refused(header):
    try:
        pairs = tus.parse_metadata(header)
    except Malformed:
        return
    assert tus.parse_metadata(tus.format_metadata(pairs)) == pairs


@given(KEYS, st.binary(max_size=10), st.binary(max_size=10))
def test_a_duplicate_key_is_refused(key, one, two):
    header = f"{tus.format_metadata({key: one})},{tus.format_metadata({key: two})}"
    with pytest.raises(Malformed):
        tus.parse_metadata(header)


@pytest.mark.parametrize(
    ("header", "pairs"),
    [
        (None, {}),
        ("", {}),
        ("filename Y2FmZS5tcDQ=", {"filename": b"cafe.mp4"}),
        ("is_confidential", {"is_confidential": b""}),
        ("is_confidential ,filename YQ==", {"is_confidential": b"", "filename": b"a"}),
        ("filename 5omn5rOV6K6w5b2VLm1wNA==, b", {"filename": "执法记录.mp4".encode(), "b": b""}),
    ],
)
def test_metadata_of_the_specification_and_of_real_clients_is_read(header, pairs):
    assert tus.parse_metadata(header) == pairs


@pytest.mark.parametrize("header", [",", "a,", "a YQ==,,b", "a YQ", "a YR==", "a Y Q==", "键 YQ==", "a é", "a Y_Q="])
def test_metadata_that_is_not_well_formed_is_refused(header):
    with pytest.raises(Malformed):
        tus.parse_metadata(header)


@pytest.mark.parametrize("key", ["", "a b", "a,b", "键"])
def test_a_key_that_could_not_be_read_back_is_not_written(key):
    with pytest.raises(Malformed):
        tus.format_metadata({key: b""})


@given(st.integers(min_value=0, max_value=tus.MAX_INTEGER))
def test_every_offset_a_disk_can_hold_is_read(number):
    assert tus.parse_integer(str(number), name="Upload-Offset") == number


@pytest.mark.parametrize("text", [None, "", "-1", "+1", "1_000", "1 0", "0x10", "1.0", "١", "9" * 20, str(2**63)])
def test_what_is_not_a_plain_number_is_refused(text):
    with pytest.raises(Malformed):
        tus.parse_integer(text, name="Upload-Offset")


def test_a_length_may_pass_four_gibibytes_but_not_the_maximum():
    assert tus.parse_length(str(5 * 2**30), maximum=5 * 2**30) == 5 * 2**30
    with pytest.raises(UploadTooLarge):
        tus.parse_length(str(5 * 2**30 + 1), maximum=5 * 2**30)


@given(st.sampled_from(tus.CHECKSUM_ALGORITHMS), st.binary(max_size=40))
def test_a_checksum_is_read_as_it_was_meant(algorithm, body):
    digest = hashlib.new(algorithm, body).digest()
    checksum = tus.parse_checksum(f"{algorithm} {base64.b64encode(digest).decode()}")
    assert checksum == tus.Checksum(algorithm, digest)


def test_no_checksum_is_no_checksum():
    assert tus.parse_checksum(None) is None


@pytest.mark.parametrize("header", ["md5 AAAA", "", "SHA1 AAAA", "crc32 AAAA"])
def test_a_checksum_nobody_offers_is_refused(header):
    with pytest.raises(ChecksumUnsupported):
        tus.parse_checksum(header)


@pytest.mark.parametrize("header", ["sha1", "sha1 AAAA", "sha256 !!!!", "sha256 " + base64.b64encode(b"x" * 20).decode()])
def test_a_checksum_of_the_wrong_size_or_form_is_refused(header):
    with pytest.raises(Malformed):
        tus.parse_checksum(header)


@pytest.mark.parametrize("header", [None, "", "0.2.2", "1.0.1", "1"])
def test_another_version_of_tus_is_refused(header):
    with pytest.raises(TusVersionUnsupported):
        tus.check_version(header)


def test_the_version_spoken_is_taken():
    tus.check_version("1.0.0")


@pytest.mark.parametrize("header", [None, "", "application/octet-stream", "text/plain"])
def test_a_body_of_another_type_is_refused(header):
    with pytest.raises(WrongContentType):
        tus.check_content_type(header)


def test_a_body_of_the_right_type_is_taken_with_or_without_parameters():
    tus.check_content_type("application/offset+octet-stream")
    tus.check_content_type("Application/Offset+Octet-Stream; charset=binary")


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "a" * 31, "A" * 32, "a" * 32 + "\n", "%2e%2e"])
def test_a_name_that_is_no_uploads_name_is_refused(text):
    with pytest.raises(Malformed):
        tus.check_upload_id(text)


@given(st.from_regex(r"[a-z0-9]{0,20}", fullmatch=True), st.from_regex(r"[0-9a-f]{32}", fullmatch=True))
def test_an_uploads_name_says_its_host_and_nothing_else_does(host, random):
    made = tus.new_upload_id(host, random)
    assert tus.is_upload_id(made)
    assert tus.host_of(made) == host
    assert tus.part_id(f"/api/v1/uploads/{made}") == made
    assert "/" not in made
    assert "." not in made


@pytest.mark.parametrize("host", ["A", "a-b", "a/b", "..", "a" * 21, "甲", "a\n"])
def test_a_host_that_could_lead_elsewhere_names_no_upload(host):
    assert tus.host_of(f"{host}-{'0' * 32}") == ""
    with pytest.raises(Malformed):
        tus.new_upload_id(host, "0" * 32)


@given(SIZES, st.none() | SIZES, SIZES, st.booleans())
def test_of_an_unknown_length_and_of_a_part_all_that_is_there_is_shown(size, floor, length, partial):
    stands = size if floor is None else min(size, floor)
    assert tus.shown_offset(size=size, floor=floor, length=None, taken_in=False, partial=partial) == stands
    shown = tus.shown_offset(size=size, floor=floor, length=length, taken_in=False, partial=True)
    assert shown == min(stands, length)
    assert not tus.whole(size=size, floor=floor, length=None)


@given(st.none() | SIZES, st.none() | SIZES, SIZES, SIZES)
def test_a_length_is_said_once_and_never_less_than_what_is_there(header, length, stands, maximum):
    assume(length is None or (stands <= length <= maximum))
    text = None if header is None else str(header)
    try:
        settled = tus.settled_length(text, length=length, stands=stands, maximum=maximum)
    except LengthFixed:
        assert length is not None
        assert header != length
    except PastLength:
        assert header is not None
        assert header < stands
    except UploadTooLarge:
        assert header is not None
        assert header > maximum
    else:
        assert settled == (length if header is None else header)
        assert length is None or settled == length


@pytest.mark.parametrize(
    ("length", "defer", "concat", "asked"),
    [
        ("5", None, None, tus.Creation(5)),
        (None, "1", None, tus.Creation(None)),
        ("5", None, "partial", tus.Creation(5, tus.Concat.PARTIAL)),
        (None, "1", " partial ", tus.Creation(None, tus.Concat.PARTIAL)),
        (None, None, "final;/a /b", tus.Creation(None, tus.Concat.FINAL, ("/a", "/b"))),
        (None, None, "final; /a", tus.Creation(None, tus.Concat.FINAL, ("/a",))),
    ],
)
def test_a_creation_is_read_as_it_was_meant(length, defer, concat, asked):
    assert tus.parse_creation(length=length, defer=defer, concat=concat, maximum=10) == asked
    if concat is not None:
        assert (
            tus.parse_creation(length=length, defer=defer, concat=tus.format_concat(asked.concat, asked.parts), maximum=10)
            == asked
        )


@given(*(st.none() | st.text(max_size=20) for _ in range(3)))
def test_any_creation_is_read_or_refused(length, defer, concat):
    with suppress(Malformed, UploadTooLarge):
        asked = tus.parse_creation(length=length, defer=defer, concat=concat, maximum=100)
        assert asked.length is None or 0 <= asked.length <= 100
        assert (asked.concat is tus.Concat.FINAL) == bool(asked.parts)


@given(st.text(max_size=120))
def test_any_address_is_an_uploads_or_refused(address):
    with suppress(Malformed):
        assert tus.is_upload_id(tus.part_id(address))


@pytest.mark.parametrize("before", ["", "https://archive.test", "http://[::1]:80", "//archive.test", "/behind/a/proxy"])
def test_an_upload_is_named_by_any_spelling_of_its_address(before):
    name = "0123456789abcdef" * 2
    assert tus.part_id(f"{before}{tus.UPLOADS}/{name}") == name
    assert tus.part_id(f"{before}/%61pi/v1/uploads/%30{name[1:]}") == name


@given(st.lists(st.tuples(SIZES, st.booleans()), max_size=5), SIZES)
def test_a_whole_is_as_long_as_its_parts(parts, maximum):
    facts = [
        tus.Part(f"{index:032x}", partial=True, length=size if done else size + 1, size=size, floor=None)
        for index, (size, done) in enumerate(parts)
    ]
    total = sum(size for size, _ in parts)
    try:
        assert tus.joined_length(facts, maximum=maximum) == total
    except PartsUnfinished:
        assert not all(done for _, done in parts)
    except UploadTooLarge:
        assert total > maximum


@given(SIZES, st.none() | SIZES, SIZES, st.booleans())
def test_the_offset_never_reaches_the_length_before_the_upload_is_taken_in(size, floor, length, taken_in):
    shown = tus.shown_offset(size=size, floor=floor, length=length, taken_in=taken_in)
    assert 0 <= shown <= length
    if not taken_in:
        assert shown <= size
        assert shown < length or length == 0
        assert floor is None or shown <= floor


@given(SIZES, SIZES, SIZES, st.none() | SIZES)
def test_a_body_is_admitted_only_where_the_upload_stands_and_only_within_its_length(claimed, shown, length, body):
    assume(shown <= length)
    try:
        room = tus.admit(claimed=claimed, shown=shown, length=length, body=body, maximum=length)
    except OffsetConflict:
        assert claimed != shown
    except PastLength:
        assert body is not None
        assert shown + body > length
    else:
        assert claimed == shown
        assert shown + room == length
        assert body is None or body <= room


@given(SIZES, st.none() | SIZES, SIZES)
def test_an_upload_is_whole_only_when_nothing_is_in_doubt(size, floor, length):
    assert tus.whole(size=size, floor=floor, length=length) == (floor is None and size == length)
