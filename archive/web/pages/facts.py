"""An item's facts as lines of words: technical facts, findings, the clock, custody events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from archive.web.pages import releases, shapes, words
from archive.web.pages.words import N_

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archive.actions.custody import EventView
    from archive.actions.item import ItemView
    from archive.core.instant import Instant

_CODECS = {
    "h264": "H.264",
    "hevc": "H.265",
    "mjpeg": "MJPEG",
    "mpeg4": "MPEG-4",
    "mpeg2video": "MPEG-2",
    "mpeg1video": "MPEG-1",
    "aac": "AAC",
    "mp3": "MP3",
    "mp2": "MP2",
    "ac3": "AC-3",
    "amrnb": "AMR-NB",
    "amr_nb": "AMR-NB",
    "flac": "FLAC",
    "opus": "Opus",
    "vorbis": "Vorbis",
    "pcm_s16le": "PCM 16 bit",
    "pcm_alaw": "G.711 A-law",
    "pcm_mulaw": "G.711 µ-law",
    "vp8": "VP8",
    "vp9": "VP9",
    "adpcm_ima_wav": "ADPCM",
    "adpcm_ms": "ADPCM",
}
_CONTAINERS = {
    "mov": "MP4 / MOV",
    "avi": "AVI",
    "mpegts": "MPEG-TS",
    "mpegps": "MPEG-PS",
    "matroska": "Matroska",
    "flv": "FLV",
    "wav": "WAV",
    "mp3": "MP3",
    "adts": "AAC",
    "amr": "AMR",
    "ogg": "Ogg",
    "flac": "FLAC",
    "jpeg": "JPEG",
    "png": "PNG",
    "pdf": "PDF",
    "ofd": "OFD",
    "zip": "ZIP",
    "tiff": "TIFF",
    "webp": "WebP",
    "gif": "GIF",
    "heif": "HEIF",
    "office": "Office Open XML",
    "ole": "OLE",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What examination found, as a sentence, and what can be done about it; `words` are the tool's own, where it said any.

    `remark` is that it is worth knowing and no damage.
    """

    sentence: str
    words: str | None
    advice: str | None = None
    remark: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A custody event as a line."""

    at: Instant
    said: str
    by: str
    hash: str


def technical(item: ItemView, say: words.Say) -> list[tuple[str, str]]:
    """Return the technical facts as label and value, those that are known."""
    return list(_technical(item, say))


def _technical(item: ItemView, say: words.Say) -> Iterator[tuple[str, str]]:
    known = item.technical
    yield from _tracks(known, say)
    photo, paper = known.get("photo") or {}, known.get("document") or {}
    if photo.get("width") and photo.get("height"):
        yield say(N_("Pixels")), f"{photo['width']}×{photo['height']}"
    if photo.get("camera"):
        yield say(N_("Camera")), str(photo["camera"])
    if paper.get("title"):
        yield say(N_("Its own title")), str(paper["title"])
    if paper.get("pages"):
        yield say(N_("Number of pages")), str(paper["pages"])
    container = say(words.PAGE_LIST) if item.container == "paper" else _CONTAINERS.get(item.container)
    yield say(N_("Form")), f"{container} · {item.media_type}" if container else item.media_type
    place = photo.get("location") or known.get("location")
    if place:
        yield say(N_("Place")), shapes.place(place["latitude"], place["longitude"])
    reason = str((known.get("plan") or {}).get("reason"))
    if item.kind.value in ("recording", "audio") and reason in words.PLAN and item.condition != "damaged":
        yield say(N_("Replay")), say(words.PLAN[reason])


def _tracks(known: Mapping[str, Any], say: words.Say) -> Iterator[tuple[str, str]]:
    pictures = [track for track in known.get("video") or () if not track["attached_picture"]]
    for track in pictures:
        yield say(N_("Pictures")), _video(track, say)
    for track in known.get("audio") or ():
        yield say(N_("Sound")), _audio(track, say)
    if pictures and not known.get("audio"):
        yield say(N_("Sound")), say(N_("none"))
    if known.get("data"):
        yield say(N_("Other tracks")), str(len(known["data"]))


def _video(track: Mapping[str, Any], say: words.Say) -> str:
    parts = [_CODECS.get(str(track.get("codec")), str(track.get("codec") or "?"))]
    if track.get("width") and track.get("height"):
        parts.append(f"{track['width']}×{track['height']}")
    rate = track.get("average_rate") or track.get("rate")
    if isinstance(rate, dict):
        parts.append(f"{shapes.rate(rate['num'], rate['den'])} fps")
    if track.get("variable_rate"):
        parts.append(say(N_("uneven frames")))
    if track.get("rotation"):
        parts.append(say(N_("turned %(degrees)d°")) % {"degrees": track["rotation"]})
    return " ".join(parts)


def _audio(track: Mapping[str, Any], say: words.Say) -> str:
    parts = [_CODECS.get(str(track.get("codec")), str(track.get("codec") or "?"))]
    if track.get("rate"):
        parts.append(f"{track['rate'] // 1000}.{track['rate'] % 1000 // 100} kHz".replace(".0 ", " "))
    if track.get("channels"):
        parts.append(say({1: N_("mono"), 2: N_("stereo")}.get(track["channels"], N_("several channels"))))
    return " ".join(parts)


def clock(item: ItemView, say: words.Say) -> str:
    """Return how far the recorder's clock was off, as a sentence; empty where it was never compared."""
    if item.clock_offset_us is None:
        return ""
    seconds, fast = shapes.offset(item.clock_offset_us)
    if seconds == 0:
        return say(N_("recorder's clock right to the second"))
    return (say(N_("recorder's clock %(seconds)d s fast")) if fast else say(N_("recorder's clock %(seconds)d s slow"))) % {
        "seconds": seconds
    }


def finding(found: Mapping[str, Any], say: words.Say) -> Finding:
    """Return a finding as a sentence; a code without words of its own says that something was found, and its code."""
    facts = {key: _said(key, value) for key, value in found["facts"].items()}
    code, tail = str(found["code"]), str(facts.get("words") or "") or None
    text = words.FINDING.get(code)
    if text is None:
        return Finding(say(words.FINDING_OTHER) % {"code": code}, tail)
    advice = words.ADVICE.get(code)
    own = None if "%(words)s" in text else tail
    return Finding(say(text) % facts, own, None if advice is None else say(advice), code in words.REMARKS)


def _said(name: str, value: object) -> object:
    """A fact of a finding as people read it: microseconds as a length, other numbers in groups."""
    if not isinstance(value, int):
        return value
    return shapes.duration(value) if name.endswith("_us") else shapes.grouped(value)


def event(seen: EventView, say: words.Say) -> Event:
    """Return a custody event as a line: what happened, to what, by whom."""
    said = say(words.EVENT[seen.kind.value])
    facts = seen.facts
    if seen.kind.value == "fixity check":
        said = say(N_("Read back from the store: %(verdict)s")) % {"verdict": say(words.VERDICT[str(facts["verdict"])])}
    elif seen.kind.value == "repair" and facts.get("from_store"):
        said = say(N_("Restored from the second store; what was found (%(verdict)s) is kept")) % {
            "verdict": say(words.VERDICT.get(str(facts["found"]), words.VERDICT["unreadable"]))
        }
    elif seen.kind.value == "metadata extraction":
        said = say(N_("Examined: %(condition)s")) % {"condition": say(words.CONDITION[str(facts["condition"])])}
    elif seen.kind.value == "derivation":
        said = say(N_("Rendition made: %(recipe)s")) % {"recipe": recipe(str(facts["recipe"]), say)}
    elif seen.kind.value in ("viewing", "dissemination"):
        said = f"{said} · {say(words.LOOK.get(str(facts.get('what')), words.EVENT['viewing']))}"
    elif seen.kind.value in releases.KINDS:
        said = releases.said(seen.kind.value, facts, say)
    elif seen.kind.value in ("binding", "unbinding"):
        said = f"{said} {facts.get('case', '')} · {say(words.STAGE[str(facts['stage'])])}"
    return Event(seen.at, said, actor(seen.actor, say), seen.hash)


def events(seen: Sequence[EventView], say: words.Say) -> list[Event]:
    """Return custody events as lines in the order given; renditions made in one go (the pages of a document) are one line."""
    lines: list[Event] = []
    for _key, run in groupby(
        seen, key=lambda one: (one.kind.value, one.actor, _made_with(one)) if one.kind.value == "derivation" else one.seq
    ):
        members = list(run)
        line = event(members[0], say)
        if len(members) > 1:
            said = list(
                dict.fromkeys(recipe(str(one.facts["recipe"]), say) for one in members)
            )  # a page and its thumbnail are one
            names = say(N_(", ")).join(said[:_NAMED])
            line = replace(line, said=say(N_("%(count)d renditions made: %(names)s")) % {"count": len(members), "names": names})
            line = replace(line, said=f"{line.said}…") if len(said) > _NAMED else line
        lines.append(line)
    return lines


_NAMED = 4


def _made_with(seen: EventView) -> object:
    """What tells one go from the next: the time, but a document's pages, which come in batches, are one go."""
    return "pages" if str(seen.facts["recipe"]).startswith(("page-", "thumb-")) else seen.at


def recipe(name: str, say: words.Say) -> str:
    """Return a recipe in words; pages are named by their number."""
    stem, _, number = name.partition("-")
    if stem in ("page", "thumb") and number.isdecimal():
        return say(N_("page %(number)d")) % {"number": int(number)}
    if stem == "tiles" and number.isdecimal():
        return say(N_("page %(number)d at full resolution")) % {"number": int(number)}
    return say(words.RECIPE[name]) if name in words.RECIPE else name


def actor(name: str, say: words.Say) -> str:
    """Return who did it, in words."""
    kind, _, who = name.partition(":")
    if kind == "station":
        return say(N_("docking station %(name)s")) % {"name": who}
    if kind == "person":
        return who
    return say(words.ACTOR[kind]) if kind in words.ACTOR else name
