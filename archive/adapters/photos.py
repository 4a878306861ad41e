"""Photos: what they say of themselves, and two pictures of each, made by Pillow in the jail, or by libvips where they are very large.

Invariants: the format is the one sniffed, never Pillow's own guess; pictures stand upright, are without EXIF, and are at most 1600 and 240
pixels long; coordinates are integer micro-degrees. Not guaranteed: that EXIF tells the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archive.adapters.jail import Jail
from archive.adapters.rendering import Flaw, Line, flaws, render, whole
from archive.core.media.media_plan import IMAGES
from archive.core.media.telemetry import Position, exif_degrees

FORMATS = IMAGES


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo as it is shown; sizes in pixels, upright. `flaws` tells what is wrong with the file."""

    width: int | None
    height: int | None
    orientation: int
    camera: str
    location: Position | None
    flaws: tuple[Flaw, ...]

    def as_json(self) -> dict[str, object]:
        """Return the facts as plain objects."""
        place = self.location
        return {
            "width": self.width,
            "height": self.height,
            "orientation": self.orientation,
            "camera": self.camera,
            "location": None
            if place is None
            else {"latitude": place.latitude, "longitude": place.longitude, "altitude_mm": None},
        }


def look(jail: Jail, source: Path, form: str, scratch: Path) -> Photo:
    """Decode a photo and return its facts; a file that cannot be decoded has flaws and no size.

    Raises:
        ToolFailed: the tool itself failed.
    """
    return _photo(_rendered(jail, source, form, scratch, drawn=False)[0])


def draw(jail: Jail, source: Path, form: str, scratch: Path) -> tuple[Photo, list[str]]:
    """Write `view.jpg` and `thumb.jpg` into `scratch`; return the facts and the argument list.

    Raises:
        ToolFailed: the tool itself failed.
    """
    lines, argv = _rendered(jail, source, form, scratch, drawn=True)
    return _photo(lines), argv


def _rendered(jail: Jail, source: Path, form: str, scratch: Path, *, drawn: bool) -> tuple[list[Line], list[str]]:
    """Let Pillow open it, and libvips in its stead if it is too large to be held decoded."""
    lines, argv = render(jail, "photo", source, form, scratch, draw=drawn)
    if not any(line.get("large") for line in lines):
        return lines, argv
    more, argv = render(jail, "photo", source, form, scratch, draw=drawn, large=True)
    return [*lines, *more], argv


def _photo(lines: list[Line]) -> Photo:
    unread = any(line.get("flaw") in ("image_too_large", "image_unreadable") for line in lines)
    told = {} if unread else next((line for line in lines if "width" in line), {})
    given = told.get("exif")
    exif: dict[str, object] = given if isinstance(given, dict) else {}
    orientation = whole(exif.get("orientation"))
    words = [exif.get("make"), exif.get("model")]
    camera = " ".join("".join(c for c in word if c.isprintable()).strip() for word in words if isinstance(word, str))
    return Photo(
        whole(told.get("width")),
        whole(told.get("height")),
        orientation if orientation is not None and 1 <= orientation <= 8 else 1,  # noqa: PLR2004  EXIF 2.3, 4.6.4 A
        camera.strip()[:100],
        _place(exif),
        tuple(flaws(lines)),
    )


def _place(exif: dict[str, object]) -> Position | None:
    found = []
    for name in ("latitude", "longitude"):
        given = exif.get(name)
        table: dict[str, object] = given if isinstance(given, dict) else {}
        parts = table.get("parts")
        pairs = [
            (pair[0], pair[1])
            for pair in (parts if isinstance(parts, list) else [])
            if isinstance(pair, list) and len(pair) == 2 and all(isinstance(number, int) for number in pair)  # noqa: PLR2004 - a pair
        ]
        found.append(exif_degrees(pairs, str(table.get("reference", ""))))
    latitude, longitude = found
    if latitude is None or longitude is None:
        return None
    try:
        return Position(latitude, longitude)
    except ValueError:
        return None
