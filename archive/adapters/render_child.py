"""Runs inside the jail, as a file of its own: opens one photo or document and writes pictures of it.

    render_child.py photo   SOURCE FORMAT SCRATCH -       facts, view.jpg and thumb.jpg; `large` instead where libvips must do it
    render_child.py photo   SOURCE FORMAT -       -       facts only
    render_child.py pages   SOURCE pdf    SCRATCH PAGES   page-0001.jpg and thumb-0001.jpg … , one line of JSON a page; PAGES as `1,5-9`
    render_child.py pages   SOURCE pdf    SCRATCH first   facts, and pictures of the first page
    render_child.py pages   SOURCE pdf    -       -       facts only
    render_child.py package SOURCE ofd    -       -       pages and title of an OFD, read from its XML
    render_child.py package SOURCE office -       -       whether the package has a directory of its parts

It imports nothing of the archive: everything it is and everything it read is given up with the process. Every line it prints is one JSON
object; a flaw of the file is `{"flaw": code, "words": …}` and exit status 0, since the tool did its work. What prints is not trusted:
the parent checks every field.

Not guaranteed: that pictures look as another program would draw them. They are previews; the original is the evidence.
"""

# ruff: noqa: ANN401 - the two libraries are untyped, and are loaded only by the task that needs them

from __future__ import annotations

import json
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

VIEW_SIDE = 1600
THUMB_SIDE = 240
MAX_PIXELS = 1_500_000_000
HELD_PIXELS = 40_000_000
"""More than any recorder's photo has; held decoded, turned and converted at once, this many take half a gigabyte."""
MAX_PAGES = 2000
MAX_XML = 4_000_000
"""An OFD's list of two thousand pages takes 100 kB."""
MAX_TEXT, MAX_DEPTH = 1000, 64
_EXIF_TEXTS = {"make": 0x010F, "model": 0x0110}
_EXIF_ORIENTATION = 0x0112
_ON_ITS_SIDE = range(5, 9)
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_PICTURE_FORMATS = {"jpeg": ["JPEG"], "png": ["PNG"], "gif": ["GIF"], "webp": ["WEBP"], "heif": ["HEIF", "AVIF"]}


def say(**facts: Any) -> None:
    """Print one line for the parent."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def photo(source: str, form: str, scratch: str, _pages: str) -> None:
    """Open a photo, tell its facts, and write its two pictures unless `scratch` is `-`."""
    from PIL import Image, ImageFile, ImageOps  # noqa: PLC0415 - each task loads only its own parser

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    truncated = False
    if form == "heif":
        import pi_heif  # noqa: PLC0415 - each task loads only its own parser

        pi_heif.register_heif_opener()
    try:
        picture = Image.open(source, formats=_PICTURE_FORMATS[form])
        stored = picture.size
        if stored[0] * stored[1] > MAX_PIXELS:
            say(flaw="image_too_large", words=f"{stored[0]}x{stored[1]}")
            return
        exif = _exif(picture)
        if stored[0] * stored[1] > HELD_PIXELS:
            shown = stored[::-1] if exif["orientation"] in _ON_ITS_SIDE else stored
            say(large=True, width=shown[0], height=shown[1], stored_width=stored[0], stored_height=stored[1], exif=exif)
            return
        try:
            picture.load()
        except (OSError, SyntaxError) as error:  # half a JPEG is worth looking at; half a header is not
            truncated, ImageFile.LOAD_TRUNCATED_IMAGES = True, True
            words = str(error)
            picture = Image.open(source, formats=_PICTURE_FORMATS[form])
            picture.load()
    except (OSError, SyntaxError, ValueError, KeyError, Warning, Image.DecompressionBombError) as error:
        too_large = isinstance(error, (Image.DecompressionBombWarning, Image.DecompressionBombError))
        say(flaw="image_too_large" if too_large else "image_unreadable", words=str(error)[:500])
        return
    upright = ImageOps.exif_transpose(picture) or picture
    if truncated:
        say(flaw="image_truncated", words=words[:500])
    say(width=upright.width, height=upright.height, stored_width=stored[0], stored_height=stored[1], exif=exif)
    if scratch == "-":
        return
    view = _plain(upright)
    for name, side in (("view", VIEW_SIDE), ("thumb", THUMB_SIDE)):
        view.thumbnail((side, side))
        view.save(
            f"{scratch}/{name}.jpg",
            "JPEG",
            quality=85,
            icc_profile=upright.info.get("icc_profile") if upright.mode == "RGB" else None,
        )


def _plain(picture: Any) -> Any:
    """Return the picture in plain colours on white: what a JPEG can hold."""
    from PIL import Image  # noqa: PLC0415 - loaded inside the jail only

    if picture.mode.startswith("I"):  # 16 bits of grey
        return picture.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        ground = Image.new("RGB", over.size, "white")
        ground.paste(over, mask=over.getchannel("A"))
        return ground
    return picture.copy() if picture.mode in ("RGB", "L") else picture.convert("RGB")


def _exif(picture: Any) -> dict[str, Any]:
    """Return orientation, camera and place; rationals as pairs of integers."""
    found: dict[str, Any] = {}
    try:
        table = picture.getexif()
        found["orientation"] = table.get(_EXIF_ORIENTATION, 1)
        for name, tag in _EXIF_TEXTS.items():
            value = table.get(tag)
            if isinstance(value, str):
                found[name] = value[:100]
        place = table.get_ifd(_GPS_IFD)
        for name, (reference, parts) in {"latitude": (1, 2), "longitude": (3, 4)}.items():
            pairs = [[int(part.numerator), int(part.denominator)] for part in place.get(parts, ())]
            found[name] = {"reference": str(place.get(reference, ""))[:1], "parts": pairs}
    except Exception as error:  # noqa: BLE001 - a maker's odd EXIF is no reason not to show the picture
        found["odd"] = type(error).__name__
    found["orientation"] = found["orientation"] if isinstance(found.get("orientation"), int) else 1
    return found


def pages(source: str, _form: str, scratch: str, wanted: str) -> None:
    """Open a PDF, tell its pages' sizes in thousandths of a point, and write two pictures of each page that is wanted.

    Sizes are told of the pages that are drawn, and of all where the first or none is.
    """
    import pypdfium2  # noqa: PLC0415 - each task loads only its own parser
    from pypdfium2 import raw  # noqa: PLC0415 - each task loads only its own parser

    try:
        document = pypdfium2.PdfDocument(source)
        count = len(document)
        if document.get_formtype() != raw.FORMTYPE_NONE:
            document.init_forms()  # what was filled into a form is part of the paper
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        say(flaw="document_encrypted" if locked else "document_unreadable", words=str(error)[:500])
        return
    say(pages=count)
    if count > MAX_PAGES:
        say(flaw="too_many_pages", words=str(count))
    count = min(count, MAX_PAGES)
    drawn = [] if scratch == "-" else [1] if wanted == "first" else _chosen(wanted, count)
    for number in drawn if drawn and wanted != "first" else range(1, count + 1):
        try:
            width, height = document.get_page_size(number - 1)
            if number in drawn:
                page = document[number - 1]
                _draw(page, max(width, height), f"{scratch}/", f"{number:04d}.jpg")
                page.close()
        except (pypdfium2.PdfiumError, ValueError, OSError, MemoryError) as error:
            say(flaw="page_unreadable", page=number, words=str(error)[:500])
            continue
        say(page=number, width=int(width * 1000), height=int(height * 1000))
    document.close()


def _chosen(wanted: str, count: int) -> list[int]:
    """Return the pages that `1,5-9` names, of those there are."""
    found: list[int] = []
    for part in wanted.split(","):
        start, _, stop = part.partition("-")
        found += range(int(start), int(stop or start) + 1)
    return [page for page in found if 1 <= page <= count]


def _draw(page: Any, longest: float, folder: str, name: str) -> None:
    scale = min(max(VIEW_SIDE / max(longest, 0.01), 0.001), 20)
    bitmap = page.render(scale=scale, may_draw_forms=True)
    picture = bitmap.to_pil().convert("RGB")
    picture.thumbnail((VIEW_SIDE, VIEW_SIDE))
    picture.save(f"{folder}page-{name}", "JPEG", quality=85)
    picture.thumbnail((THUMB_SIDE, THUMB_SIDE))
    picture.save(f"{folder}thumb-{name}", "JPEG", quality=85)
    bitmap.close()


def package(source: str, form: str, _scratch: str, _pages: str) -> None:
    """Tell an OFD's title and number of pages (GB/T 33190-2016, 7.4 and 7.5), reading little and believing less.

    No part is read past `MAX_XML` bytes, whatever the package says of its size; XML with a document type or entities is none of OFD's.
    """
    import zipfile  # noqa: PLC0415 - each task loads only its own parser
    from xml.parsers import expat  # noqa: PLC0415 - each task loads only its own parser

    try:
        with zipfile.ZipFile(source) as packed:
            if form != "ofd":
                return
            entry, _ = _outlined(expat, packed, "OFD.xml")
            _, count = _outlined(expat, packed, entry.get("DocRoot", "").lstrip("/"))
    except (zipfile.BadZipFile, expat.ExpatError, KeyError, ValueError, OSError, RuntimeError, EOFError, zlib.error) as error:
        say(flaw="document_unreadable", words=f"{type(error).__name__}: {error}"[:500])
        return
    say(pages=count, title=entry.get("Title", ""))


def _outlined(expat: Any, packed: Any, name: str) -> tuple[dict[str, str], int]:
    """Return the first title and document root that a part names, and how many pages it lists.

    Raises:
        ValueError: it is larger or deeper than OFD's parts are, or has a document type.
    """
    found: dict[str, str] = {}
    at: list[str] = []
    count = 0

    def opened(tag: str, _attributes: dict[str, str]) -> None:
        nonlocal count
        at.append(tag.rpartition(":")[2])
        count += at[-2:] == ["Pages", "Page"]
        if len(at) > MAX_DEPTH:
            raise ValueError("too deep")

    def told(text: str) -> None:
        if at and at[-1] in ("Title", "DocRoot") and len(found.get(at[-1], "")) < MAX_TEXT:
            found[at[-1]] = found.get(at[-1], "") + text[:MAX_TEXT]

    def refused(*_: object) -> None:
        raise ValueError("a document type")

    with packed.open(name) as part:
        content = part.read(MAX_XML + 1)
    if len(content) > MAX_XML:
        raise ValueError(f"{name[:80]} is larger than {MAX_XML} bytes")
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.CharacterDataHandler = opened, told
    parser.EndElementHandler = lambda _tag: at.pop()
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refused
    parser.Parse(content, True)  # noqa: FBT003 - its own signature
    return {tag: text.strip() for tag, text in found.items()}, count


def main(argv: list[str]) -> None:
    """Do one task."""
    warnings.simplefilter("ignore")  # of the libraries' warnings only one is a verdict
    warnings.filterwarnings("error", message="Image size")
    task, source, form, scratch, wanted = argv
    if not Path(source).is_file():
        say(flaw="missing", words="")
        return
    {"photo": photo, "pages": pages, "package": package}[task](source, form, scratch, wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
