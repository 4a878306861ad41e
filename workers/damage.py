"""What is wrong with a file's outline, and how long it really is: declared sizes and lengths against those that are there.

Invariants: the walk reads headers; the real length of an MP4 comes from its own samples (`archive.core.media.packets`), that of
another container from reading every packet, and only where the outline says that something is missing.

Not guaranteed: that a file without findings decodes; who decodes it says so (`workers.notes`).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from archive.adapters import ffmpeg
from archive.adapters.tool_runner import UNTIL_CPU_LIMIT
from archive.core.errors import ToolFailed
from archive.core.media import boxes, packets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from archive.core.media.boxes import Outline
    from archive.core.media.tracks import Facts
    from workers.bench import Bench

Finding = dict[str, object]

BROKEN: Final = frozenset({"truncated", "moov_missing", "probe_failed", "cut_short", "index_missing"})
"""Findings after which a file's own statements are not to be relied on."""
REMARKS: Final = frozenset({"index_twice", "unused_tail", "foreign_tail"})
"""Findings that are worth knowing and are no damage."""
_LEAST_OFF_US: Final = 500_000


@contextmanager
def reading(path: Path) -> Iterator[Callable[[int, int], bytes]]:
    """Give a function that reads up to so many bytes from an offset."""
    handle = os.open(path, os.O_RDONLY)
    try:
        yield lambda offset, count: os.pread(handle, count, offset)
    finally:
        os.close(handle)


def outlined(bench: Bench) -> tuple[Outline | None, list[Finding]]:
    """Walk the original's outline and return what is wrong with it."""
    outline = bench.outline()
    if outline is None:
        return None, []
    found: list[Finding] = []
    container = bench.sniffed.container
    if outline.missing:
        declared = bench.size + outline.missing
        found.append({"code": "truncated", "facts": {"declared": declared, "real": bench.size, "missing": outline.missing}})
    lacks_index = container == "mov" and not outline.whole("moov", bench.size)
    if lacks_index:
        found.append({"code": "moov_missing", "facts": {"boxes": [box.name for box in outline.boxes[:16]]}})
    if container == "mov" and outline.count("moov") > 1:
        found.append({"code": "index_twice", "facts": {"count": outline.count("moov")}})
    if container == "avi" and not outline.has("idx1"):
        found.append({"code": "index_missing", "facts": {}})
    return outline, found + _tail(bench, outline, lacks_index=lacks_index)


def _tail(bench: Bench, outline: Outline, *, lacks_index: bool) -> list[Finding]:
    """Bytes at the end that belong to nothing: room never filled, or something else's."""
    with reading(bench.source) as read_at:
        start = bench.size - outline.stray
        if lacks_index and (span := boxes.media_span(outline, bench.size, read_at)) is not None:
            start = span[0]
        empty = boxes.empty_tail(start, bench.size, read_at) if start < bench.size and (outline.stray or lacks_index) else 0
    if empty >= _PAGE:
        return [{"code": "unused_tail", "facts": {"count": empty, "first": bench.size - empty}}]
    if outline.stray and not lacks_index:
        return [{"code": "foreign_tail", "facts": {"count": outline.stray, "first": bench.size - outline.stray}}]
    return []


_PAGE: Final = 512
"""Fewer zeros than a sector are the end of something."""


def real_length(bench: Bench, outline: Outline | None, facts: Facts) -> int | None:
    """Return how long a recording is by what is really there, in microseconds, where that is half a second or more less than it claims.

    None where it holds what it claims, or nothing gives reason to look.
    """
    if outline is None or not (outline.missing or outline.unclosed or outline.fragmented):
        return None
    claimed = facts.duration_us
    if bench.sniffed.container == "mov":
        with reading(bench.source) as read_at:
            measured = packets.measured(outline, bench.size, read_at)
        if measured is None:
            return None
        claimed = max(claimed or 0, measured.claimed_us)
        held = measured.held_us
    else:
        held = _by_packets(bench, facts)
    # What was cut may leave a length that a tool took from the same packets: then there is nothing to correct.
    return held if 0 < held < (claimed or 0) - max(_LEAST_OFF_US, (claimed or 0) // 200) else None


def _by_packets(bench: Bench, facts: Facts) -> int:
    """Read every packet; 0 where the tool cannot."""
    tracks = [*(track.index for track in facts.pictures), *(track.index for track in facts.audio)]
    if not tracks:
        return 0
    reached = 0

    def told(block: dict[str, str]) -> None:
        nonlocal reached
        at = block.get("out_time_us", "")
        reached = max(reached, int(at)) if at.isdecimal() else reached

    argv = ffmpeg.measured(bench.origin, tracks=tracks)
    try:
        bench.run(argv, limits=bench.limits(), note="probing", on_block=told, busy_seconds=UNTIL_CPU_LIMIT)
    except ToolFailed as failed:
        if failed.facts.get("reason") != "exit":
            raise
        return 0
    finally:
        bench.argvs.pop()
    return reached
