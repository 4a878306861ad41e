"""Tiles cover the whole recording, and the WebVTT points at them."""

from hypothesis import given
from hypothesis import strategies as st

from archive.core.media.storyboard import LONG_SIDE, MAX_TILES, fit, plan, webvtt

DAY = 86_400_000_000


@given(st.integers(0, 30 * DAY), st.integers(0, 8000), st.integers(0, 8000), st.sampled_from([0, 90, 180, 270]))
def test_tiles_cover_the_recording_and_no_more(duration: int, width: int, height: int, rotation: int):
    board = plan(duration, width, height, rotation=rotation)
    assert 1 <= board.count <= MAX_TILES
    assert (board.count - 1) * board.spacing_us < max(duration, 1) <= board.count * board.spacing_us
    assert board.columns * board.rows >= board.count > board.columns * (board.rows - 1)
    assert max(board.tile_width, board.tile_height) <= LONG_SIDE
    assert board.tile_width % 2 == board.tile_height % 2 == 0


def test_spacing_is_a_round_number_of_seconds():
    assert plan(12_078_733, 854, 480).spacing_us == 1_000_000
    assert plan(600_000_000, 1920, 1080).spacing_us == 5_000_000
    assert plan(3_600_000_000, 1920, 1080).spacing_us == 30_000_000


def test_a_turned_and_an_anamorphic_picture_keep_their_displayed_aspect():
    assert fit(1920, 1080, long_side=160) == (160, 90)
    assert fit(1920, 1080, long_side=160, rotation=90) == (90, 160)
    assert fit(720, 576, long_side=1024, aspect=(64, 45)) == (1024, 576)
    assert fit(100, 50, long_side=160) == (100, 50)


def test_the_cues_are_golden():
    assert webvtt(plan(2_500_000, 320, 180), "storyboard") == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.000\nstoryboard#xywh=0,0,160,90\n\n"
        "00:00:01.000 --> 00:00:02.000\nstoryboard#xywh=160,0,160,90\n\n"
        "00:00:02.000 --> 00:00:02.500\nstoryboard#xywh=320,0,160,90\n"
    )
