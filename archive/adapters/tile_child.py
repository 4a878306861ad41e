"""Runs inside the jail, as a file of its own: opens pictures that are too large to hold, and the pages of TIFF files, with libvips.

    tile_child.py tiles SOURCE FORMAT SCRATCH PAGE     tiles.zip: one page at full resolution, as a pyramid
    tile_child.py pages SOURCE tiff   SCRATCH PAGES    page-0001.jpg and thumb-0001.jpg … , one line of JSON a page; PAGES as `1,5-9`
    tile_child.py pages SOURCE tiff   SCRATCH first    facts, and pictures of the first page; with SCRATCH `-` facts only
    tile_child.py photo SOURCE FORMAT SCRATCH -        view.jpg and thumb.jpg; with SCRATCH `-` it is decoded and nothing is written

libvips reads a picture in rows and holds a few of them, whatever its size. A picture whose own form must be held whole (progressive JPEG,
interlaced PNG, one that must be turned upright) is only opened where that fits; elsewhere it is `image_too_large`.

It imports nothing of the archive and prints lines of JSON that the parent checks, as `render_child` does; the last tells the most memory
it held, in KiB. All loaders are blocked but the one that the parent names.
"""

# ruff: noqa: ANN401 - the libraries are untyped, and are loaded only by the task that needs them

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import sys
from pathlib import Path
from typing import Any

MAX_PIXELS = 1_500_000_000
MAX_PAGES = 2000
HELD = 600_000_000
"""Bytes of a picture that is held whole; with what decodes it, that stays under a gigabyte."""
PDF_PIXELS = 100_000_000
"""What a PDF's page is drawn with at most: PDFium holds a page's image decoded, at up to four bytes a pixel."""
PDF_DPI, PDF_MOST_DPI = 300, 1200
STRIP = 16_000_000
VIEW_SIDE, THUMB_SIDE = 1600, 240
TILE = 512
JPEG = {"Q": 80, "keep": "none"}
_LOADERS = {
    "jpeg": ("VipsForeignLoadJpegFile", "jpegload"),
    "png": ("VipsForeignLoadPngFile", "pngload"),
    "tiff": ("VipsForeignLoadTiffFile", "tiffload"),
    "webp": ("VipsForeignLoadWebpFile", "webpload"),
}
HELD_FORMATS = {"gif": ["GIF"], "heif": ["HEIF", "AVIF"]}
HELD_PIXELS = 40_000_000
_TURNED = frozenset(range(2, 9))
_M_ARENA_MAX = -8


class Unreadable(Exception):
    """The file says no: a flaw's code and the words for it."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


def say(**facts: Any) -> None:
    """Print one line for the parent."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def vips(form: str, scratch: str) -> Any:
    """Load libvips with every loader blocked but this form's, two threads, and room for what must be held in the scratch directory."""
    os.environ["VIPS_CONCURRENCY"] = "2"
    os.environ["TMPDIR"] = "/tmp" if scratch == "-" else scratch  # noqa: S108 - the jail's own
    import pyvips  # noqa: PLC0415 - its settings are read as it loads

    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)  # noqa: FBT003 - its own signature
    pyvips.operation_block_set("VipsForeignLoad", True)  # noqa: FBT003 - its own signature
    pyvips.operation_block_set(_LOADERS[form][0] if form in _LOADERS else "VipsForeignLoadRaw", False)  # noqa: FBT003 - its own signature
    return pyvips


def load(pyvips: Any, source: str, form: str, **how: Any) -> Any:
    """Open a picture for one pass from top to bottom, or, if it must be turned or is not stored in rows, held.

    Raises:
        Unreadable: it is larger than what is opened, or than what can be held.
    """
    loader = getattr(pyvips.Image, _LOADERS[form][1])
    picture = loader(source, access="sequential", **how)
    width, height = picture.width, picture.height
    if width * height > MAX_PIXELS:
        raise Unreadable("image_too_large", f"{width}x{height}")
    names = picture.get_fields()
    many = any(name in names and picture.get(name) for name in ("interlaced", "jpeg-multiscan"))
    turned = "orientation" in names and picture.get("orientation") in _TURNED
    if many or turned:
        # A progressive JPEG's coefficients take two bytes a sample; a decoded picture what its samples take.
        each = (2 if "jpeg-multiscan" in names else 1) * picture.bands * (2 if picture.format == "ushort" else 1)
        if width * height * each > HELD:
            raise Unreadable("image_too_large", f"{width}x{height}, {'progressive' if many else 'turned'}")
    if turned:
        picture = loader(source, access="random", **how).autorot()
    return picture


def plain(pyvips: Any, picture: Any) -> Any:
    """Return the picture in eight bits, sRGB or grey, on white."""
    if "icc-profile-data" in picture.get_fields() and picture.format in ("uchar", "ushort"):
        try:
            picture = picture.icc_transform("srgb", embedded=True, depth=8)
        except pyvips.Error:
            picture = picture.copy()
    if picture.interpretation in ("grey16", "b-w") or picture.bands < 3:  # noqa: PLR2004 - red, green, blue
        picture = picture.colourspace("b-w")
    elif picture.interpretation != "srgb":
        picture = picture.colourspace("srgb")
    if picture.hasalpha():
        picture = picture.flatten(background=255)
    return picture if picture.format == "uchar" else picture.cast("uchar")


def small(pyvips: Any, picture: Any, path: str, thumb: str) -> None:
    """Write the view of a picture and, from it, its thumbnail."""
    view = plain(pyvips, picture).thumbnail_image(VIEW_SIDE, height=VIEW_SIDE, size="down", no_rotate=True).copy_memory()
    view.jpegsave(path, Q=85, keep="none")
    view.thumbnail_image(THUMB_SIDE, height=THUMB_SIDE, size="down").jpegsave(thumb, Q=85, keep="none")


def pyramid(picture: Any, scratch: str) -> None:
    """Write the tiles of a picture and tell how far it is."""
    told = -1

    def going(_image: Any, progress: Any) -> None:
        nonlocal told
        done = int(progress.percent)
        if done > told:
            told = done
            say(percent=done)

    picture.set_progress(True)
    picture.signal_connect("eval", going)
    suffix = ".jpg[Q={Q},keep={keep}]".format(**JPEG)
    picture.dzsave(
        f"{scratch}/tiles.zip",
        layout="dz",
        suffix=suffix,
        tile_size=TILE,
        overlap=0,
        depth="onetile",
        container="zip",
        compression=0,
        keep="none",
    )
    say(width=picture.width, height=picture.height)


def photo(source: str, form: str, scratch: str, _pages: str) -> None:
    """Draw a large picture small; one that breaks off is shown as far as it goes, and told."""
    pyvips = vips(form, scratch)
    folder = "/tmp" if scratch == "-" else scratch  # noqa: S108 - the jail's own
    shrink = {}
    if form == "jpeg":
        head = load(pyvips, source, form)
        fits = [by for by in (8, 4, 2) if max(head.width, head.height) // by >= VIEW_SIDE]
        shrink = {"shrink": fits[0]} if fits else {}
    for strict in ("truncated", "none"):
        try:
            picture = load(pyvips, source, form, fail_on=strict, **shrink)
            small(pyvips, picture, f"{folder}/view.jpg", f"{folder}/thumb.jpg")
        except pyvips.Error as error:
            if strict == "none":
                raise
            words = str(error)
        else:
            if strict == "none":
                say(flaw="image_truncated", words=words[:500])
            return


def pages(source: str, form: str, scratch: str, wanted: str) -> None:
    """Tell the sizes of a TIFF file's pages in pixels, and draw those that are wanted."""
    pyvips = vips(form, scratch)
    first = load(pyvips, source, form)
    names = first.get_fields()
    count = first.get("n-pages") if "n-pages" in names else 1
    say(pages=count)
    if count > MAX_PAGES:
        say(flaw="too_many_pages", words=str(count))
    count = min(count, MAX_PAGES)
    drawn = [] if scratch == "-" else [1] if wanted == "first" else chosen(wanted, count)
    for page in drawn if drawn and wanted != "first" else range(1, count + 1):
        try:
            picture = load(pyvips, source, form, page=page - 1)
            width, height = picture.width, picture.height
            if page in drawn:
                small(pyvips, picture, f"{scratch}/page-{page:04d}.jpg", f"{scratch}/thumb-{page:04d}.jpg")
        except Unreadable as error:
            say(flaw=error.code, page=page, words=str(error)[:500])
        except pyvips.Error as error:
            say(flaw="page_unreadable", page=page, words=str(error)[:500])
        else:
            say(page=page, width=width, height=height)


def chosen(wanted: str, count: int) -> list[int]:
    """Return the pages that `1,5-9` names, of those there are."""
    found: list[int] = []
    for part in wanted.split(","):
        start, _, stop = part.partition("-")
        found += range(int(start), int(stop or start) + 1)
    return [page for page in found if 1 <= page <= count]


def tiles(source: str, form: str, scratch: str, wanted: str) -> None:
    """Make the pyramid of one page."""
    page = int(wanted)
    if form == "pdf":
        pdf_tiles(source, scratch, page)
        return
    if form in HELD_FORMATS:
        held_tiles(source, form, scratch)
        return
    pyvips = vips(form, scratch)
    how = {"page": page - 1} if form == "tiff" else {}
    pyramid(plain(pyvips, load(pyvips, source, form, **how)), scratch)


def held_tiles(source: str, form: str, scratch: str) -> None:
    """Make the pyramid of a photo whose form is decoded as a whole, by Pillow, as its view is."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - each task loads only its own parser

    if form == "heif":
        import pi_heif  # noqa: PLC0415 - each task loads only its own parser

        pi_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = HELD_PIXELS
    picture = Image.open(source, formats=HELD_FORMATS[form])
    if picture.width * picture.height > HELD_PIXELS:
        raise Unreadable("image_too_large", f"{picture.width}x{picture.height}")
    over = (ImageOps.exif_transpose(picture) or picture).convert("RGBA")
    ground = Image.new("RGB", over.size, "white")
    ground.paste(over, mask=over.getchannel("A"))
    Path(f"{scratch}/page.raw").write_bytes(ground.tobytes())
    pyvips = vips("raw", scratch)
    pyramid(pyvips.Image.rawload(f"{scratch}/page.raw", *ground.size, 3).copy(interpretation="srgb"), scratch)
    Path(f"{scratch}/page.raw").unlink()


def pdf_tiles(source: str, scratch: str, number: int) -> None:
    """Draw one page of a PDF in strips, or take the one JPEG that the page is and that is too large to be drawn."""
    import pypdfium2  # noqa: PLC0415 - each task loads only its own parser
    from pypdfium2 import raw  # noqa: PLC0415 - each task loads only its own parser

    document = pypdfium2.PdfDocument(source)
    if document.get_formtype() != raw.FORMTYPE_NONE:
        document.init_forms()
    page = document[number - 1]
    width, height = page.get_size()
    dpi, jpeg = _images(page, raw, f"{scratch}/whole")
    if jpeg:
        pyvips = vips("jpeg", scratch)
        pyramid(plain(pyvips, load(pyvips, f"{scratch}/whole.jpg", "jpeg")), scratch)
        return
    scale = min(max(PDF_DPI, dpi), PDF_MOST_DPI) / 72
    scale = min(scale, math.sqrt(PDF_PIXELS / max(width * height, 0.01)), 65_000 / max(width, height, 0.01))
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    rows = max(16, STRIP // across)
    with Path(f"{scratch}/page.raw").open("wb") as strips:
        for top in range(0, down, rows):
            high = min(rows, down - top)
            bitmap = pypdfium2.PdfBitmap.new_native(across, high, raw.FPDFBitmap_BGRx)
            bitmap.fill_rect((255, 255, 255, 255), 0, 0, across, high)
            place = (0, -top, across, down, 0, raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER)
            raw.FPDF_RenderPageBitmap(bitmap, page, *place)
            if document.formenv:
                raw.FPDF_FFLDraw(document.formenv, bitmap, page, *place)
            strips.write(memoryview(bitmap.buffer)[: high * across * 4])
            bitmap.close()
            say(percent=50 * (top + high) // down)
    page.close()
    pyvips = vips("raw", scratch)
    picture = pyvips.Image.rawload(f"{scratch}/page.raw", across, down, 4).extract_band(0, n=3).copy(interpretation="srgb")
    pyramid(picture, scratch)
    Path(f"{scratch}/page.raw").unlink()


def _images(page: Any, raw: Any, name: str) -> tuple[float, bool]:
    """Return the finest resolution among a page's images, and whether the page is one JPEG too large to draw, written to `name`.jpg."""
    objects = list(page.get_objects(max_depth=3))
    finest, found = 0.0, []
    for one in objects:
        if one.type != raw.FPDF_PAGEOBJ_IMAGE:
            continue
        left, bottom, right, top = one.get_bounds()
        across, down = one.get_px_size()
        longest = max(right - left, top - bottom)
        if longest > 0:
            finest = max(finest, max(across, down) * 72 / longest)
        found.append((one, across, down))
    if len(objects) == 1 and len(found) == 1 and page.get_rotation() == 0:
        one, across, down = found[0]
        matrix = one.get_matrix()
        upright = matrix.a > 0 and matrix.d > 0 and not matrix.b and not matrix.c
        if upright and across * down > PDF_PIXELS and one.get_filters(skip_simple=True) == ["DCTDecode"]:
            one.extract(name)
            return finest, Path(f"{name}.jpg").is_file()
    return finest, False


def main(argv: list[str]) -> None:
    """Do one task, and tell the most memory it took."""
    # One arena for all threads: what is freed by one is there for the next, and is not kept beside it.
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    task, source, form, scratch, wanted = argv
    try:
        {"photo": photo, "pages": pages, "tiles": tiles}[task](source, form, scratch, wanted)
    except Unreadable as error:
        say(flaw=error.code, words=str(error)[:500])
    except Exception as error:
        kind = type(error).__module__.partition(".")[0]
        if kind not in ("pyvips", "pypdfium2", "PIL", "pi_heif") and not isinstance(error, (OSError, ValueError)):
            raise
        say(flaw="document_unreadable" if task == "pages" else "image_unreadable", words=str(error)[:500])
    say(most_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main(sys.argv[1:])
