"""Packets are counted and their counters held against each other, however the file is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archive.core.media.transport import PACKET, Walk, Walked, stride_of


def packet(counter: int, name: int = 256) -> bytes:
    return bytes([0x47, name >> 8, name & 0xFF, 0x10 | counter & 0xF]) + b"\xff" * (PACKET - 4)


def stream(count: int, missing: frozenset[int] = frozenset()) -> bytes:
    return b"".join(packet(number) for number in range(count) if number not in missing)


def walked(data: bytes, piece: int = 4096, stride: int = PACKET) -> Walked:
    walk = Walk(stride)
    for at in range(0, len(data), piece):
        walk.feed(data[at : at + piece])
    return walk.finish()


def test_a_whole_stream_has_nothing_to_be_said_of():
    assert walked(stream(200)) == Walked(200, 0, 0, None, 0, None)


@given(st.integers(4, 120), st.sets(st.integers(1, 100), max_size=10), st.integers(1, 2000))
def test_a_missing_packet_is_noticed_wherever_the_pieces_end(count: int, gone: set[int], piece: int):
    missing = frozenset(number for number in gone if number < count - 1)
    told = walked(stream(count, missing), piece)
    assert told.packets == count - len(missing)
    assert told.lost == len(missing)
    assert (told.first_break is None) == (not missing)
    if missing:
        assert told.first_break == min(missing) * PACKET


@given(st.binary(max_size=700), st.integers(1, 900))
def test_no_bytes_make_the_walk_fail_and_every_byte_is_counted_once(junk: bytes, piece: int):
    data = stream(6) + junk + stream(6)
    told = walked(data, piece)
    assert told.packets * PACKET + told.stray == len(data)


def test_packets_with_bytes_around_them_keep_their_own_stride():
    blu = b"".join(b"\0\0\0\0" + packet(number) for number in range(40))
    assert stride_of(blu) == 192
    told = walked(blu, stride=192)
    assert (told.packets, told.lost, told.stray) == (40, 0, 4)
