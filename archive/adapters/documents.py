"""PDF documents: how many pages, how large, and pictures of them, made by PDFium in the jail.

Invariants: a page's picture is at most 1600 pixels long and its thumbnail 240; pages are numbered from 1. Page sizes are thousandths of a
point. Not guaranteed: that a page looks as the author's program printed it; the original is the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archive.adapters.jail import Jail
from archive.adapters.rendering import Flaw, Line, flaws, render, whole


@dataclass(frozen=True, slots=True)
class Document:
    """A document's pages: how many it says it has, and the sizes of those that could be opened, by page number."""

    pages: int
    sizes: dict[int, tuple[int, int]]
    flaws: tuple[Flaw, ...]

    def as_json(self) -> dict[str, object]:
        """Return the facts as plain objects; sizes as [page, width, height]."""
        return {"pages": self.pages, "page_sizes": [[page, *size] for page, size in sorted(self.sizes.items())]}


def look(jail: Jail, source: Path, scratch: Path) -> Document:
    """Open a PDF and return its facts; one that cannot be opened has flaws and no pages.

    Raises:
        ToolFailed: the tool itself failed.
    """
    return _document(render(jail, "pages", source, "pdf", scratch, draw=False)[0])


def draw(jail: Jail, source: Path, scratch: Path, *, on_page: Callable[[int, int], None]) -> tuple[Document, list[str]]:
    """Write `page-0001.jpg` and `thumb-0001.jpg` and so on into `scratch`; return the facts and the argument list.

    Args:
        jail: where the child runs.
        source: the PDF.
        scratch: where the pictures go.
        on_page: called with (pages done, pages in all).

    Raises:
        ToolFailed: the tool itself failed.
    """
    total = 0

    def told(line: Line) -> None:
        nonlocal total
        total = whole(line.get("pages")) or total
        done = whole(line.get("page"))
        if done is not None:
            on_page(done, max(total, done))

    lines, argv = render(jail, "pages", source, "pdf", scratch, draw=True, on_line=told)
    return _document(lines), argv


def _document(lines: list[Line]) -> Document:
    count = next((found for line in lines if (found := whole(line.get("pages"))) is not None), 0)
    sizes: dict[int, tuple[int, int]] = {}
    for line in lines:
        page, width, height = (whole(line.get(name)) for name in ("page", "width", "height"))
        if page is not None and width is not None and height is not None and 1 <= page <= count:
            sizes[page] = (width, height)
    return Document(count, sizes, tuple(flaws(lines)))
