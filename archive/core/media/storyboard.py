"""The storyboard: how many small pictures, how far apart, where in the sprite, and the WebVTT that says so.

Invariants: pure; a plan covers the recording from 0 to its end without hole or overlap; there are at most `MAX_TILES` tiles, so that the
sprite stays within what every browser decodes; tile sides are even and keep the displayed aspect.

Not guaranteed: that a tile shows exactly its moment. Pictures are taken from key frames, so a tile may show the nearest one before.

WebVTT with `#xywh` fragments: W3C WebVTT and Media Fragments 1.0, 4.2.2, as hover previews everywhere read them.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_TILES = 120
COLUMNS = 10
LONG_SIDE = 160
_SECOND = 1_000_000
_SPACINGS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class Storyboard:
    """A sprite of `count` tiles in `columns` columns, one every `spacing_us` microseconds of `duration_us`."""

    duration_us: int
    spacing_us: int
    count: int
    columns: int
    tile_width: int
    tile_height: int

    @property
    def rows(self) -> int:
        """Rows of the sprite; the last one may be part empty."""
        return -(-self.count // self.columns)


def fit(width: int, height: int, *, long_side: int, aspect: tuple[int, int] = (1, 1), rotation: int = 0) -> tuple[int, int]:
    """Return the even size that shows a picture within `long_side`, as displayed.

    Args:
        width: stored width in samples.
        height: stored height in samples.
        long_side: the longer side of the result, never exceeded; the picture is never enlarged.
        aspect: sample aspect ratio; an anamorphic picture is widened to square samples.
        rotation: degrees clockwise the picture is turned for display.
    """
    shown_width, shown_height = max(1, width * max(aspect[0], 1) // max(aspect[1], 1)), max(1, height)
    if rotation % 180 == 90:  # noqa: PLR2004  a quarter turn swaps the sides
        shown_width, shown_height = shown_height, shown_width
    longest = max(shown_width, shown_height)
    if longest > long_side:
        return _even(shown_width * long_side, longest), _even(shown_height * long_side, longest)
    return max(2, shown_width & ~1), max(2, shown_height & ~1)


def _even(top: int, bottom: int) -> int:
    """The even number nearest to a quotient, at least 2."""
    return max(2, (top + bottom) // (2 * bottom) * 2)


def plan(duration_us: int, width: int, height: int, *, aspect: tuple[int, int] = (1, 1), rotation: int = 0) -> Storyboard:
    """Return the storyboard of a recording: at least one tile, spaced by a round number of seconds."""
    duration_us = max(duration_us, 1)
    for seconds in _SPACINGS:
        if -(-duration_us // (seconds * _SECOND)) <= MAX_TILES:
            spacing = seconds * _SECOND
            break
    else:
        spacing = -(-duration_us // MAX_TILES)
    count = -(-duration_us // spacing)
    tile_width, tile_height = fit(width, height, long_side=LONG_SIDE, aspect=aspect, rotation=rotation)
    return Storyboard(duration_us, spacing, count, min(COLUMNS, count), tile_width, tile_height)


def webvtt(board: Storyboard, sprite: str) -> str:
    """Return the cues: one a tile, half-open, the last ending with the recording; `sprite` is the picture's (relative) address."""
    lines = ["WEBVTT", ""]
    for index in range(board.count):
        start, end = index * board.spacing_us, min((index + 1) * board.spacing_us, board.duration_us)
        left, top = index % board.columns * board.tile_width, index // board.columns * board.tile_height
        lines += [
            f"{_clock(start)} --> {_clock(max(end, start + 1000))}",
            f"{sprite}#xywh={left},{top},{board.tile_width},{board.tile_height}",
            "",
        ]
    return "\n".join(lines)


def _clock(us: int) -> str:
    milli = us // 1000
    return f"{milli // 3_600_000:02d}:{milli // 60_000 % 60:02d}:{milli // 1000 % 60:02d}.{milli % 1000:03d}"
