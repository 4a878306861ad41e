"""A case's timeline in the form that <lh-timeline> draws: instants in microseconds, lanes from above to below, words already chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from archive.web.pages import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.actions import case
    from archive.core.runs import Join


def drawn(timeline: case.Timeline, *, zone: str, say: Callable[[str], str]) -> dict[str, Any]:
    """Return {zone, stretches, lanes}; lanes are the stages, then each recorder, then documents and photos."""
    lanes: list[dict[str, Any]] = []
    if timeline.stages:
        lanes.append(
            {
                "kind": "stage",
                "label": say(words.LANE_STAGES),
                "rows": max(bar.row for bar in timeline.stages) + 1,
                "entries": [
                    {
                        "id": f"stage-{bar.stage.value}",
                        "label": say(words.STAGE[bar.stage.value]),
                        "name": say(words.STAGE[bar.stage.value]),
                        "start": bar.span.start,
                        "end": bar.span.end,
                        "unverified": False,
                        "player": None,
                        "href": None,
                        "row": bar.row,
                    }
                    for bar in timeline.stages
                ],
            }
        )
    for lane in timeline.recorders:
        name = " · ".join(part for part in (lane.officer, lane.recorder) if part) or say(words.LANE_UNKNOWN)
        lanes.append({"kind": "recorder", "label": name, "rows": lane.bar_rows, "entries": [_bar(bar) for bar in lane.bars]})
    if timeline.documents.marks:
        entries = [_entry(mark, say) for mark in timeline.documents.marks]
        lanes.append({"kind": "document", "label": say(words.LANE_PAPERS), "rows": timeline.documents.rows, "entries": entries})
    return {
        "zone": zone,
        "stretches": [{"start": s.span.start, "end": s.span.end, "folded": s.folded} for s in timeline.axis],
        "lanes": lanes,
    }


def listed(timeline: case.Timeline) -> dict[str, tuple[int, int, Join | None]]:
    """Return, by number, a bound file's place in its run, how many files that has, and what lies between it and the one before.

    A file that stands alone is not among them.
    """
    found: dict[str, tuple[int, int, Join | None]] = {}
    for bar in (bar for lane in timeline.recorders for bar in lane.bars if bar.files > 1):
        for part, join in zip(bar.parts, (None, *bar.joins), strict=True):
            found[part.number] = part.place, bar.files, join
    return found


def _bar(bar: case.Bar) -> dict[str, Any]:
    """A run as one entry, named by its first file; its parts and joins are drawn in it."""
    address = f"/items/{quote(bar.bound.number, safe='')}"
    return {
        "id": bar.bound.number,
        "label": _file(bar.bound.name),
        "name": _file(bar.bound.name),
        "start": bar.span.start,
        "end": bar.span.end,
        "unverified": bar.bound.at is None and not bar.bound.clock_verified,
        "player": f"{address}/panel",
        "href": address,
        "row": bar.row,
        "parts": [
            {"number": part.number, "start": part.span.start, "end": part.span.end, "place": part.place, "bound": part.bound}
            for part in bar.parts
        ],
        "joins": [{"gap": join.gap, "by": join.by.value} for join in bar.joins],
        "files": bar.files,
    }


def _entry(mark: case.Mark, say: Callable[[str], str]) -> dict[str, Any]:
    bound = mark.bound
    papers = bound.kind.value in ("document", "photo")
    address = f"/items/{quote(bound.number, safe='')}"
    label = _stem(bound.name)
    if bound.kind.value == "photo" and label.endswith("…"):
        # A camera's name is long and says little: what it is says more than a piece of it.
        label = say(words.KIND["photo"])
    return {
        "id": bound.number,
        "label": label,
        "name": _file(bound.name),
        "start": mark.span.start,
        "end": mark.span.end,
        "unverified": bound.at is None and not bound.clock_verified and not papers,
        "player": f"{address}/panel",
        "href": address,
        "row": mark.row,
    }


def _file(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _stem(name: str) -> str:
    last = _file(name)
    stem = last.rsplit(".", 1)[0] or last
    return stem if len(stem) <= _LABEL else f"{stem[: _LABEL - 1]}…"


_LABEL = 16
