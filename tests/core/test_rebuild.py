"""An index that was never written is written anew, over the very same packets, after a healthy file of the same recorder."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.core.media import rebuild, remake
from archive.core.media.boxes import empty_tail, media_span, outline
from archive.core.media.movie import movie
from archive.core.media.packets import index_of, measured
from tests.damage import hashes, mdat_unwritten, pictures, recorded, without_index


def reader(data: bytes):
    return lambda offset, count: data[offset : offset + count]


@functools.cache
def likeness(healthy: Path) -> rebuild.Likeness:
    data = healthy.read_bytes()
    index = index_of(outline("mov", len(data), reader(data)), len(data), reader(data))
    assert index is not None
    return rebuild.learn(index, reader(data))


def rebuilt(healthy: Path, broken: bytes, target: Path) -> rebuild.Found:
    like, read_at = likeness(healthy), reader(broken)
    start, end = media_span(outline("mov", len(broken), read_at), len(broken), read_at)
    found = rebuild.walk(like, start, end - empty_tail(start, end, read_at), read_at)
    target.write_bytes(remake.head(like, found) + broken[found.start : found.end])
    return found


@pytest.mark.parametrize("kind", ["aac.mp4", "reordered.mp4", "alaw.mov", "hevc.mp4", "silent.mp4"])
def test_without_its_index_a_file_shows_the_same_pictures_after_a_sibling(kind: str, tmp_path: Path):
    whole, target = recorded(kind, other=True), tmp_path / "rebuilt.mp4"
    found = rebuilt(recorded(kind), without_index(whole.read_bytes()), target)
    assert hashes(target) == hashes(whole)
    assert pictures(target) == pictures(whole)
    assert (found.skipped, found.resyncs, found.foreign) == (0, 0, False)
    if kind == "alaw.mov":
        assert hashes(target, "a") == hashes(whole, "a"), "sound of equal samples comes back byte for byte"


@pytest.mark.parametrize("kind", ["aac.mp4", "alaw.mov"])
def test_what_was_written_before_the_power_went_is_found_to_the_last_picture(kind: str, tmp_path: Path):
    whole, target = recorded(kind, other=True), tmp_path / "rebuilt.mp4"
    broken = without_index(whole.read_bytes(), keep=0.6, zeros=200_000)
    found = rebuilt(recorded(kind), mdat_unwritten(broken), target)
    shown, meant = pictures(target), pictures(whole)
    assert 20 < len(shown) < len(meant)
    assert shown == meant[: len(shown)]
    last = max(found.offsets[-1] + found.sizes[-1], found.sound_offsets[-1] + found.sound_sizes[-1])
    assert found.cut or last + 16 >= len(broken) - 200_000


def test_bytes_that_are_neither_picture_nor_sound_are_stepped_over_and_counted(tmp_path: Path):
    whole = recorded("silent.mp4", other=True).read_bytes()
    like = likeness(recorded("silent.mp4"))
    broken = without_index(whole)
    hole = len(broken) // 2
    broken = broken[:hole] + bytes(range(1, 256)) * 1200 + broken[hole:]
    found = rebuilt(recorded("silent.mp4"), broken, tmp_path / "rebuilt.mp4")
    assert found.resyncs + found.cut >= 1
    assert found.skipped >= 255 * 1200
    assert like.audio is None


def test_a_file_of_other_settings_is_no_sibling(tmp_path: Path):
    broken = without_index(recorded("aac.mp4", other=True).read_bytes())
    with pytest.raises(ValueError, match=r"."):
        rebuild.learn(movie(b"\0" * 100), reader(b""))
    found = rebuilt(recorded("hevc.mp4"), broken, tmp_path / "rebuilt.mp4")
    assert not any(found.keys)


@settings(max_examples=settings().max_examples // 3)  # a walk looks at every byte
@given(st.binary(max_size=4096), st.integers(0, 3))
def test_no_bytes_make_the_walk_fail_or_run_on(junk: bytes, shape: int):
    like = likeness(recorded("aac.mp4"))
    data = [junk, bytes(2000) + junk, b"\0\0\0\x06\x65\x88\x84\x00\x21\xff" * 300 + junk, junk * 3][shape]
    found = rebuild.walk(like, 0, len(data), reader(data))
    assert found.explained + found.skipped <= len(data) + like.gap
    assert all(offset + size <= len(data) for offset, size in zip(found.offsets, found.sizes, strict=True))
    assert remake.head(like, found)


@settings(max_examples=settings().max_examples // 3)  # each learns from a whole recording
@given(st.data())
def test_a_hurt_index_makes_no_reader_fail(data: st.DataObject):
    whole = recorded("aac.mp4", seconds=1).read_bytes()
    moov = bytearray(whole[whole.rindex(b"moov") + 4 :])
    for _ in range(data.draw(st.integers(1, 12))):
        moov[data.draw(st.integers(0, len(moov) - 1))] = data.draw(st.integers(0, 255))
    try:
        index = movie(bytes(moov))
        like = rebuild.learn(index, reader(whole))
        assert index.held_us(len(whole)) >= 0
    except ValueError:
        return
    assert like.ticks > 0


def test_a_cut_file_in_fragments_holds_what_its_packets_say_and_not_what_it_claims(tmp_path: Path):
    source, target = recorded("aac.mp4"), tmp_path / "fragments.mp4"
    flags = "dash+frag_keyframe+global_sidx"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(source), "-c", "copy", "-movflags", flags, str(target)], check=True)
    whole = target.read_bytes()
    for share, expected in ((1.0, 3_000_000), (0.6, 1_700_000)):
        data = whole[: int(len(whole) * share)]
        told = measured(outline("mov", len(data), reader(data)), len(data), reader(data))
        assert abs(told.claimed_us - 3_000_000) < 100_000
        assert abs(told.held_us - expected) < 500_000
