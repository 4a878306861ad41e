"""A case's timeline in the form that <lh-timeline> draws: instants in microseconds, lanes from above to below, words already chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from archive.web.pages import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.actions import case


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
        lanes.append(
            {"kind": "recorder", "label": name, "rows": lane.rows, "entries": [_entry(mark, say) for mark in lane.marks]}
        )
    if timeline.documents.marks:
        entries = [_entry(mark, say) for mark in timeline.documents.marks]
        lanes.append({"kind": "document", "label": say(words.LANE_PAPERS), "rows": timeline.documents.rows, "entries": entries})
    return {
        "zone": zone,
        "stretches": [{"start": s.span.start, "end": s.span.end, "folded": s.folded} for s in timeline.axis],
        "lanes": lanes,
    }


def _entry(mark: case.Mark, say: Callable[[str], str]) -> dict[str, Any]:
    bound = mark.bound
    papers = bound.kind.value in ("document", "photo")
    address = f"/items/{quote(bound.number, safe='')}"
    # On a bar the number without the agency is enough; a paper is known by its name.
    label = _stem(bound.name) if bound.kind.value == "document" else bound.number.partition("-")[2]
    if bound.kind.value == "photo":
        label = f"{say(words.KIND['photo'])} {label[-4:]}"
    return {
        "id": bound.number,
        "label": label,
        "start": mark.span.start,
        "end": mark.span.end,
        "unverified": bound.at is None and not bound.clock_verified and not papers,
        "player": f"{address}/panel",
        "href": address,
        "row": mark.row,
    }


def _stem(name: str) -> str:
    last = name.rsplit("/", 1)[-1]
    stem = last.rsplit(".", 1)[0] or last
    return stem if len(stem) <= _LABEL else f"{stem[: _LABEL - 1]}…"


_LABEL = 16
