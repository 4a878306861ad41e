"""What can be shown of an item in a browser, and in which order to try it.

Pure: an item, its renditions and its plan in, addresses out. The original comes first where the plan says that it plays; otherwise
the rendition that was made to play comes first and the original after it, for the browser that can do more than one may rely on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from archive.actions.rendition import PLAYABLE, RenditionView
from archive.web.pages import words
from archive.web.pages.damage import spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archive.actions.item import ItemView


@dataclass(frozen=True, slots=True)
class Replay:
    """What a page shows: `sources` for a player, or `pages`, where the viewer finds them, or neither and `reason` says why."""

    sources: Sequence[Mapping[str, str]]
    pages: str | None
    data: Mapping[str, str]
    poster: str | None
    playable: bool
    waiting: bool
    reason: str

    @property
    def form(self) -> str:
        """A short text that changes when the page should be drawn anew."""
        return "pages" if self.pages else ("player" if self.playable else "none")


def replay(
    item: ItemView, renditions: Iterable[RenditionView], *, has_pages: bool = False, working: bool, zone: str, say: words.Say
) -> Replay:
    """Return what can be shown of an item.

    Args:
        item: the item.
        renditions: what was made of it.
        has_pages: whether it has pages, drawn or to be drawn.
        working: whether jobs for it wait or run, so that what is not there may still come.
        zone: the agency's, for the wall clock beside the picture.
        say: gives a sentence in the reader's language.
    """
    made = {one.recipe: one for one in renditions}
    plan = item.technical.get("plan") or {}
    action = plan.get("action")
    base = f"/api/v1/items/{quote(item.number, safe='')}"
    pages = f"{base}/pages" if has_pages else None
    sources = _sources(made, base, action, say) if item.kind.value in ("recording", "audio") else []
    moving = action in ("direct", *PLAYABLE)
    return Replay(
        sources=sources,
        pages=pages,
        data=_data(item, made, base, zone),
        poster=f"{base}/renditions/poster" if "poster" in made else None,
        playable=not pages and moving and (bool(sources) or working),
        waiting=working and item.condition == "unchecked",
        reason=_reason(item, plan, working=working, say=say),
    )


def _sources(made: Mapping[str, RenditionView], base: str, action: str | None, say: words.Say) -> list[dict[str, str]]:
    original = {"label": say(words.RECIPE["original"]), "url": f"{base}/original"}
    copies = [{"label": say(words.RECIPE[recipe]), "url": f"{base}/renditions/{recipe}"} for recipe in PLAYABLE if recipe in made]
    if action == "direct":
        return [original, *copies]
    # While the copy is being made there is nothing to offer: an original that does not play would only be seen to fail.
    return [*copies, original] if copies else []


def _data(item: ItemView, made: Mapping[str, RenditionView], base: str, zone: str) -> dict[str, str]:
    """The player's data attributes; an absent one is a thing not known or not made."""
    found = {"zone": zone}
    if item.duration_us is not None:
        found["duration-us"] = str(item.duration_us)
    if item.started_at is not None:
        found["started-us"] = str(item.started_at)
    if item.clock_offset_us is not None:
        found["offset-us"] = str(item.clock_offset_us)
    rate = _rate(item)
    if rate is not None:
        found["rate"] = rate
    if disturbed := spans(item.technical):
        found["disturbances"] = json.dumps(disturbed, separators=(",", ":"))
    for recipe in ("storyboard-vtt", "storyboard", "waveform", "poster"):
        if recipe in made:
            found[recipe] = f"{base}/renditions/{recipe}"
    return found


def _rate(item: ItemView) -> str | None:
    """Frames a second as `30000/1001`, where frames come evenly: only then does a frame have a number one can say from the time."""
    tracks = [track for track in item.technical.get("video") or () if not track.get("attached_picture")]
    rate = tracks[0].get("average_rate") or tracks[0].get("rate") if tracks else None
    if not rate or tracks[0].get("variable_rate"):
        return None
    return f"{rate['num']}/{rate['den']}"


def _reason(item: ItemView, plan: Mapping[str, Any], *, working: bool, say: words.Say) -> str:
    if item.condition == "unchecked":
        return say(words.NOT_EXAMINED if working else words.NOT_MADE)
    if item.condition == "damaged":
        return say(words.DAMAGED)
    if item.container in words.NO_PREVIEW:
        return say(words.NO_PREVIEW[item.container])
    if item.condition == "unrecognised":
        return say(words.PLAN["encrypted"] if plan.get("reason") == "encrypted" else words.UNRECOGNISED)
    if plan.get("action") in PLAYABLE or plan.get("works"):
        return say(words.BEING_DRAWN if working else words.NOT_MADE)
    return say(words.NOTHING_SHOWN)
