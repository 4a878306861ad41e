"""What is wrong with a recording, what was done about it, what disturbs it, and what was looked at for all that: as sentences. Pure.

Invariant: what nobody looked at is said not to have been looked at, so that it never reads like «fine». A copy that plays in the original's
stead is called a copy wherever it plays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from archive.web.pages import shapes, words
from archive.web.pages.words import N_

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archive.actions.item import ItemView
    from archive.actions.rendition import RenditionView

_OUTLINED = frozenset({"mov", "avi", "wav", "matroska"})
_SHOWN = 100

BEING_MENDED = N_("A repair is being tried. What comes of it appears here by itself.")
NO_RECORDER = N_(
    "It is not known which recorder this file is from, so no healthy recording of it could be looked for. "
    "Upload the file again and name the recorder; it is kept once, and rebuilding is tried."
)
NO_SIBLING = N_(
    "A healthy recording of the same recorder (%(recorder)s) would let this one be rebuilt. There is none in the archive yet; "
    "as soon as one is taken in, it is tried without further asking."
)
NOT_MENDED = N_(
    "Rebuilding was tried after %(count)s healthy recordings of the same recorder, and none fits: they were made with other settings, or "
    "too little is left. It is tried again when another is taken in. The recorder's maker may be able to recover more."
)
COPY_FAILED = N_("What is left could not be copied into a file of the right length; the original plays as far as it goes.")
REBUILT = N_("A repaired copy was rebuilt after %(sibling)s, a healthy recording of the same recorder: %(written)s pictures.")
GUESSED = N_(
    "The time of each picture was lost; it is taken that they came evenly. Where a clock shown in the picture differs, the clock in "
    "the picture holds."
)
RECODED = N_("The sound was coded anew; where it lies between the pictures is exact to about half a second.")
LEFT_OUT = N_("The sound could not be told apart from other tracks and is left out of the copy; it is in the original.")
COPIED = N_("What is left of the recording was copied unchanged into a file of the right length.")
UNCLEAN = N_("Pictures that do not decode cleanly: %(complaints)s.")
SKIPPED = N_("Bytes that are neither picture nor sound: %(skipped)s.")
WATCHING_REPAIRED = N_("What plays here is a repaired copy and not the original.")
WATCHING_COPY = N_("This recording is damaged. What plays here is a copy of what is left of it and not the original.")
WATCHING_REST = N_("This recording is damaged. It plays as far as it goes.")
MADE_WITH = N_("Made with liuhen's recipe repair and %(tool)s; the copy's own SHA-256 begins with %(digest)s.")
KEPT = N_("The original is kept exactly as it came, and can be downloaded.")

DISTURBANCE: Mapping[str, str] = {
    "black": N_("Black picture"),
    "still": N_("The picture does not change"),
    "silent": N_("Nothing to be heard"),
    "muted": N_("No sound at all"),
}
PRE_RECORDED = N_("Many recorders keep pictures without sound from before they were started; that is a fact and no flaw.")
OUTLINE = N_("The file's build: declared sizes and lengths were held against those that are there.")
PACKETS = N_("Every packet was counted: %(packets)s.")
KEYS = N_("%(looked)s key frames were decoded, one every %(step)s; what lies between them was not looked at.")
SECONDS = N_("%(looked)s pictures were decoded, about one a second; what lies between them was not looked at.")
HEARD = N_("All of the sound was decoded; its loudness is %(loudness)s LUFS.")
HEARD_NOTHING = N_("All of the sound was decoded; nothing in it is loud enough to be measured.")
NO_SOUND = N_("There is no sound track.")
PICTURES_UNSEEN = N_("The pictures were not looked at for black or unchanging stretches.")
SOUND_UNHEARD = N_("The sound was not looked at for silence.")
BUILD_UNSEEN = N_("Of this form of file the build was not looked at.")
YET = N_("Not looked at yet: %(what)s")


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A stretch as a line: what it is, from when to when, how long, where its beginning can be played, and what to know of it."""

    kind: str
    said: str
    start: str
    end: str
    length: str
    href: str
    note: str


@dataclass(frozen=True, slots=True)
class Damage:
    """What an item's page says.

    `note` stands with the player for as long as anything but a sound original plays; `repair` are sentences on what was done; `looked` are
    (sentence, whether it was looked at).
    """

    note: str
    repair: Sequence[str]
    disturbances: Sequence[Disturbance]
    more: int
    looked: Sequence[tuple[str, bool]]
    precision: str
    noted: bool = False
    """Whether pictures or sound were looked at, so that a number of disturbances means something."""


def shown(item: ItemView, renditions: Sequence[RenditionView], *, working: bool, say: words.Say) -> Damage:
    """Return what is to be said of an item; of a photo or a paper nothing is."""
    if item.kind.value not in ("recording", "audio") or item.condition in ("unchecked", "unrecognised"):
        return Damage("", (), (), 0, (), "")
    found = sorted(_spans(item.technical), key=lambda span: (span["start_us"], span["kind"]))
    notes = item.technical.get("picture_notes") or {}
    seen = any(span["kind"] in ("black", "still") for span in found)
    return Damage(
        note=_note(item, renditions, say),
        repair=list(_repair(item, renditions, working=working, say=say)),
        disturbances=[_line(item, span, say) for span in found[:_SHOWN]],
        more=max(0, len(found) - _SHOWN) + sum((item.technical.get(name) or {}).get("more", 0) for name in _NOTES),
        looked=list(_looked(item, working=working, say=say)),
        precision=shapes.duration(notes["resolution_us"]) if seen else "",
        noted=any(name in item.technical for name in _NOTES),
    )


_NOTES = ("picture_notes", "sound_notes")


def spans(technical: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the disturbances of a recording as the player takes them: kind, start and end in whole microseconds."""
    return [
        {"kind": span["kind"], "start_us": span["start_us"], "end_us": span["end_us"]}
        for span in sorted(_spans(technical), key=lambda span: span["start_us"])
    ]


def _spans(technical: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in _NOTES:
        yield from (technical.get(name) or {}).get("spans") or ()


def _note(item: ItemView, renditions: Sequence[RenditionView], say: words.Say) -> str:
    made = {one.recipe for one in renditions}
    if "repair" in made:
        return say(WATCHING_REPAIRED)
    action = (item.technical.get("plan") or {}).get("action")
    if item.condition != "damaged" or action in (None, "none"):
        return ""
    return say(WATCHING_COPY if action in made else WATCHING_REST) if action == "direct" or action in made else ""


def _repair(item: ItemView, renditions: Sequence[RenditionView], *, working: bool, say: words.Say) -> Iterator[str]:
    codes = {str(found["code"]) for found in item.findings}
    facts = item.technical.get("repair") or {}
    state = facts.get("state")
    copy = next((one for one in renditions if one.recipe == "repair"), None)
    if copy is not None:
        yield from _mended(copy.provenance, say)
        yield say(MADE_WITH) % {"tool": copy.provenance.get("tool", ""), "digest": copy.digest.hex[:16]}
        yield say(KEPT)
    elif working and state is None and ("moov_missing" in codes or (item.technical.get("plan") or {}).get("action") == "repair"):
        yield say(BEING_MENDED)
    elif state == "no_recorder":
        yield say(NO_RECORDER)
    elif state == "no_sibling":
        yield say(NO_SIBLING) % {"recorder": facts.get("recorder", "")}
    elif state == "failed":
        yield say(NOT_MENDED) % {"count": len(facts["tried"])} if facts.get("tried") else say(COPY_FAILED)


def _mended(provenance: Mapping[str, Any], say: words.Say) -> Iterator[str]:
    told = provenance.get("repair") or {}
    rebuilt = told.get("method") == "rebuild"
    if rebuilt:
        yield say(REBUILT) % {"sibling": told["sibling"]["number"], "written": shapes.grouped(told["written"])}
    else:
        yield say(COPIED)
    if complaints := int(provenance.get("complaints") or 0):
        yield say(UNCLEAN) % {"complaints": shapes.grouped(complaints)}
    if not rebuilt:
        return
    if told["skipped_bytes"]:
        yield say(SKIPPED) % {"skipped": shapes.grouped(told["skipped_bytes"])}
    yield say(GUESSED)
    if "sound_recoded" in told["guessed"]:
        yield say(RECODED)
    if told.get("sound_left_out"):
        yield say(LEFT_OUT)


def _line(item: ItemView, span: Mapping[str, Any], say: words.Say) -> Disturbance:
    start, end = span["start_us"], span["end_us"]
    return Disturbance(
        kind=span["kind"],
        said=say(DISTURBANCE[span["kind"]]),
        start=shapes.duration(start),
        end=shapes.duration(end),
        length=shapes.duration(end - start),
        href=f"#at={quote(item.number, safe='')},{start // 1_000_000}.{start % 1_000_000 // 1000:03d}",
        note=say(PRE_RECORDED) if span["kind"] == "muted" and start == 0 else "",
    )


def _looked(item: ItemView, *, working: bool, say: words.Say) -> Iterator[tuple[str, bool]]:
    known = item.technical
    pictures, sound, packets = known.get("picture_notes"), known.get("sound_notes"), known.get("packets")
    untold = item.kind.value == "recording" and not known.get("video") and not known.get("audio")
    has_pictures = untold or any(not track.get("attached_picture") for track in known.get("video") or ()) or pictures is not None
    has_sound = (untold and pictures is None) or bool(known.get("audio")) or sound is not None

    def unseen(text: str) -> tuple[str, bool]:
        return (say(YET) % {"what": say(text)} if working else say(text)), False

    if item.container in _OUTLINED:
        yield say(OUTLINE), True
    elif packets is not None:
        yield say(PACKETS) % {"packets": shapes.grouped(packets)}, True
    else:
        yield unseen(BUILD_UNSEEN)
    if pictures is not None:
        text = KEYS if pictures["every"] == "key" else SECONDS
        facts = {"looked": shapes.grouped(pictures["looked"]), "step": shapes.duration(pictures["resolution_us"])}
        yield say(text) % facts, True
    elif has_pictures:
        yield unseen(PICTURES_UNSEEN)
    if sound is not None:
        loudness = sound.get("loudness_clu")
        yield (say(HEARD_NOTHING) if loudness is None else say(HEARD) % {"loudness": _lufs(loudness)}), True
    elif has_sound:
        yield unseen(SOUND_UNHEARD)
    elif has_pictures:
        yield say(NO_SOUND), True


def _lufs(hundredths: int) -> str:
    return f"{'−' if hundredths < 0 else ''}{abs(hundredths) // 100}.{abs(hundredths) % 100 // 10}"
