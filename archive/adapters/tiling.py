"""One page at full resolution as a pyramid of tiles: made in the jail, held against its own geometry, and read tile by tile.

Invariants: what was made is published only if its index is exactly that of a page of the size it tells; a tile is read with one bounded
read. Not guaranteed: that a PDF's page has every pixel of a scan on it; it is drawn at 300 dpi or its image's own resolution, and at most
100 megapixels, unless the whole page is one JPEG.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

from archive.adapters.jail import Jail
from archive.adapters.rendering import Flaw, Line, flaws, render, whole
from archive.core.digest import Digest
from archive.core.errors import Mismatch, NotFound
from archive.core.media import tiles
from archive.ports import ObjectStore

NAME = "tiles.zip"
KEPT = 32
"""Indexes held in memory: one has at most 7,600 entries, about two megabytes."""
_indexes: dict[Digest, dict[tiles.Place, tiles.Entry]] = {}
_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class Pyramid:
    """What was made: the page's size in pixels at full resolution, or the flaws that kept it from being made; peak memory in KiB."""

    width: int
    height: int
    flaws: tuple[Flaw, ...]
    most_kib: int


def make(
    jail: Jail, source: Path, form: str, scratch: Path, *, page: int, on_permille: Callable[[int], None]
) -> tuple[Pyramid, list[str]]:
    """Write `tiles.zip` into `scratch`; return what it holds and the argument list.

    Args:
        jail: where the child runs.
        source: the picture or document.
        form: pdf, tiff, jpeg, png or webp.
        scratch: where the file goes.
        page: which page of it.
        on_permille: called as it goes on; what it raises ends the tool.

    Raises:
        ToolFailed: the tool itself failed.
    """

    def told(line: Line) -> None:
        done = whole(line.get("percent"))
        if done is not None:
            on_permille(min(done, 100) * 9)

    lines, argv = render(jail, "tiles", source, form, scratch, draw=True, wanted=str(page), large=True, on_line=told)
    size = next((line for line in lines if "width" in line), {})
    width, height = (whole(size.get(name)) or 0 for name in ("width", "height"))
    most = next((found for line in lines if (found := whole(line.get("most_kib"))) is not None), 0)
    return Pyramid(width, height, tuple(flaws(lines)), most), argv


def hold_against_geometry(made: Pyramid, file: RawIOBase) -> None:
    """Pass if what was made is the pyramid of a page of the size it tells.

    Raises:
        Mismatch: it is not.
    """
    width, height = made.width, made.height
    if not (width > 0 and height > 0 and width * height <= tiles.MAX_PIXELS):
        raise Mismatch(what="tiles", why="size")
    size = file.seek(0, 2)
    file.seek(max(0, size - tiles.END_SIZE))
    stretch = tiles.directory(file.read(tiles.END_SIZE) or b"", size)
    file.seek(stretch.start)
    tiles.entries(file.read(stretch.stop - stretch.start) or b"", size, width=width, height=height)


def tile(
    store: ObjectStore, key: str, digest: Digest, size: int, *, version: str, width: int, height: int, place: tiles.Place
) -> bytes:
    """Return one tile of a stored pyramid: a JPEG.

    Raises:
        NotFound: the page has no such tile.
        Mismatch: the file is not what was stored.
        ObjectMissing: it is not in the store.
    """
    with _guard:
        index = _indexes.get(digest)
    if index is None:
        index = _read_index(store, key, size, version=version, width=width, height=height)
        with _guard:
            while len(_indexes) >= KEPT:
                del _indexes[next(iter(_indexes))]
            _indexes[digest] = index
    found = index.get(place)
    if found is None:
        raise NotFound(what="tile")
    stretch = found.stretch
    return tiles.tile(b"".join(store.read(key, stretch.start, min(stretch.stop, size), version=version)), found)


def _read_index(
    store: ObjectStore, key: str, size: int, *, version: str, width: int, height: int
) -> dict[tiles.Place, tiles.Entry]:
    stretch = tiles.directory(b"".join(store.read(key, max(0, size - tiles.END_SIZE), size, version=version)), size)
    return tiles.entries(
        b"".join(store.read(key, stretch.start, stretch.stop, version=version)), size, width=width, height=height
    )
