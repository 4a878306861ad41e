"""Telemetry becomes integers, and hostile telemetry becomes nothing."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from archive.core.media.telemetry import MAX_POINTS, MICRO, Packet, Position, elements, exif_degrees, iso6709, points


def klv(key: bytes, kind: str, size: int, count: int, value: bytes) -> bytes:
    return key + struct.pack(">cBH", kind.encode() if kind else b"\0", size, count) + value + b"\0" * (-len(value) % 4)


def nest(key: bytes, *inner: bytes) -> bytes:
    body = b"".join(inner)
    return klv(key, "", 1, len(body), body)


def gps5(*rows: tuple[int, int, int, int, int], fix: int = 3, clock: bytes = b"170417182757.000") -> bytes:
    return nest(
        b"DEVC",
        nest(
            b"STRM",
            klv(b"GPSF", "L", 4, 1, struct.pack(">I", fix)),
            klv(b"GPSU", "U", 16, 1, clock),
            klv(b"SCAL", "l", 4, 5, struct.pack(">5i", 10_000_000, 10_000_000, 1000, 1000, 100)),
            klv(b"GPS5", "l", 20, len(rows), b"".join(struct.pack(">5i", *row) for row in rows)),
        ),
    )


BEIJING = (399_042_000, 1_164_074_000, 43_500, 1_250, 130)


def test_gps5_becomes_points_spread_over_the_packet():
    found = points([Packet(2_000_000, 1_000_000, gps5(BEIJING, BEIJING))])
    assert [point.as_json() for point in found] == [
        {
            "at_us": at,
            "latitude_udeg": 39_904_200,
            "longitude_udeg": 116_407_400,
            "altitude_mm": 43_500,
            "speed_mm_s": 1_250,
            "clock_us": 1_492_453_677_000_000 + at - 2_000_000,
        }
        for at in (2_000_000, 2_500_000)
    ]


def test_points_are_thinned_to_the_spacing():
    assert len(points([Packet(0, 1_000_000, gps5(*[BEIJING] * 18))])) == 2


def test_a_receiver_without_a_fix_tells_no_place():
    assert points([Packet(0, 1_000_000, gps5(BEIJING, fix=0))]) == []


def test_gps9_carries_its_own_clock():
    row = struct.pack(">7iHH", *BEIJING, 9000, 43_200_500, 150, 3)
    scale = struct.pack(">9i", 10_000_000, 10_000_000, 1000, 1000, 100, 1, 1000, 100, 1)
    stream = nest(b"DEVC", nest(b"STRM", klv(b"SCAL", "l", 4, 9, scale), klv(b"GPS9", "?", 32, 1, row)))
    (point,) = points([Packet(0, 1_000_000, stream)])
    assert point.position == Position(39_904_200, 116_407_400, 43_500)
    assert point.clock == (10_957 + 9000) * 86_400 * MICRO + 43_200_500_000


def test_the_drones_raw_receiver_is_read_too():
    row = struct.pack(">Qiii4HBB", 145_911_705, 331_253_680, -1_173_310_641, 15_445, 25, 42, 130, 9_000, 3, 9)
    scale = struct.pack(">10i", 1_000_000, 10_000_000, 10_000_000, 1000, 100, 100, 100, 100, 1, 1)
    stream = nest(b"DEVC", nest(b"STRM", klv(b"SCAL", "l", 4, 10, scale), klv(b"GPRI", "?", 30, 2, row + row[:-2] + b"\0\0")))
    (point,) = points([Packet(0, 1_000_000, stream)])
    assert point.position == Position(33_125_368, -117_331_065, 15_445)
    assert (point.speed_mm_s, point.clock) == (1_300, None)


def test_a_place_off_the_earth_and_a_scale_of_zero_are_left_out():
    assert points([Packet(0, 1, gps5((1_000_000_000, 0, 0, 0, 0)))]) == []
    zero = gps5(BEIJING).replace(struct.pack(">i", 10_000_000), struct.pack(">i", 0))
    assert points([Packet(0, 1, zero)]) == []


def test_deep_nesting_ends():
    data = gps5(BEIJING)
    for _ in range(500):
        data = nest(b"DEVC", data)
    assert points([Packet(0, 1, data)]) == []


def test_many_points_are_capped():
    packet = Packet(0, 1_000_000, gps5(*[BEIJING] * 3000))
    assert len(points([packet] * 20, spacing_us=-(10**9))) == MAX_POINTS


@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_bytes_make_it_fail(data: bytes, cut: int):
    whole = gps5(BEIJING, BEIJING)
    for payload in (data, whole[:cut] + data, whole[: cut % len(whole)], nest(b"DEVC", nest(b"STRM", data))):
        points([Packet(0, 1_000_000, payload)])
        assert sum(8 + len(element.value) for element in elements(payload)) <= len(payload)


def test_iso_6709_in_degrees_minutes_and_seconds():
    assert iso6709("+39.9042+116.4074+043.5/") == Position(39_904_200, 116_407_400, 43_500)
    assert iso6709("+27.5916+086.5640/") == Position(27_591_600, 86_564_000)
    assert iso6709("-1230.5+01230.5/") == Position(-12_508_333, 12_508_333)
    assert iso6709("+401213.1-0750015.1/") == Position(40_203_638, -75_004_194)
    assert iso6709("-33.8688+151.2093CRSWGS_84/") == Position(-33_868_800, 151_209_300)


def test_what_is_no_place_is_none():
    for text in ("", "/", "+91+000/", "north", "+39.9042", "+1+2", "+" + "9" * 500, "+123+0100/"):
        assert iso6709(text) is None


@given(st.text(max_size=60))
def test_no_text_makes_iso_6709_fail(text: str):
    iso6709(text)


def test_exif_rationals_become_micro_degrees():
    assert exif_degrees([(39, 1), (54, 1), (1512, 100)], "N") == 39_904_200
    assert exif_degrees([(116, 1), (24444, 1000), (0, 1)], "W") == -116_407_400
    assert exif_degrees([(180, 1), (0, 1), (0, 1)], "E") == 180 * MICRO


def test_exif_nonsense_is_none():
    assert exif_degrees([(39, 0), (54, 1), (0, 1)], "N") is None
    assert exif_degrees([(91, 1), (0, 1), (0, 1)], "N") is None
    assert exif_degrees([(1, 1)], "N") is None
    assert exif_degrees([(1, 1), (0, 1), (0, 1)], "X") is None
