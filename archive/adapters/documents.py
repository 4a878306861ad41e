"""Documents: how many pages, how large, and pictures of them, made in the jail by PDFium (PDF) and libvips (TIFF).

Invariants: a page's picture is at most 1600 pixels long and its thumbnail 240; pages are numbered from 1. A PDF's page sizes are
thousandths of a point, a TIFF's pixels. An OFD's pages are counted and its title read, and nothing of it is drawn.

Not guaranteed: that a page looks as the author's program printed it; the original is the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archive.adapters.jail import Jail
from archive.adapters.rendering import Flaw, Line, command, flaws, render, whole

MAX_TITLE = 200
PACKAGES = frozenset({"ofd", "office"})
"""Documents whose container is read and whose pages are not drawn."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document's pages: how many it says it has, and the sizes of those that could be opened, by page number."""

    pages: int
    sizes: dict[int, tuple[int, int]]
    flaws: tuple[Flaw, ...]
    points: bool = True
    title: str = ""

    @property
    def unread(self) -> tuple[int, ...]:
        """The pages that cannot be drawn, by what was found so far."""
        return tuple(flaw.page for flaw in self.flaws if flaw.page is not None)

    def as_json(self) -> dict[str, object]:
        """Return the facts as plain objects; sizes as [page, width, height]."""
        facts: dict[str, object] = {"pages": self.pages, "points": self.points}
        if self.sizes:
            facts["page_sizes"] = [[page, *size] for page, size in sorted(self.sizes.items())]
        return facts | ({"title": self.title} if self.title else {})


def look(jail: Jail, source: Path, form: str, scratch: Path, *, first: bool = False) -> tuple[Document, list[str]]:
    """Open a document and return its facts and the argument list; one that cannot be opened has flaws and no pages.

    Args:
        jail: where the child runs.
        source: the document.
        form: pdf, tiff, ofd or office.
        scratch: an empty directory.
        first: whether to draw the first page into it meanwhile, `page-0001.jpg` and `thumb-0001.jpg`: somebody waits for that one.

    Raises:
        ToolFailed: the tool itself failed.
    """
    task = "package" if form in PACKAGES else "pages"
    draw = first and form not in PACKAGES
    lines, argv = render(jail, task, source, form, scratch, draw=draw, wanted="first" if draw else "-", large=form == "tiff")
    return _document(lines, form), argv


def draw(
    jail: Jail, source: Path, form: str, scratch: Path, *, wanted: list[int], on_page: Callable[[int, list[str]], None]
) -> tuple[Document, list[str]]:
    """Write `page-0001.jpg` and `thumb-0001.jpg` and so on into `scratch`; return the facts and the argument list.

    Args:
        jail: where the child runs.
        source: the document.
        form: pdf or tiff.
        scratch: where the pictures go.
        wanted: which pages, in the order to draw them.
        on_page: called with each page whose pictures are there, and the argument list; what it raises ends the tool.

    Raises:
        ToolFailed: the tool itself failed.
    """

    def told(line: Line) -> None:
        done = whole(line.get("page"))
        if done is not None and done in asked and "flaw" not in line:
            on_page(done, argv)

    asked, large = frozenset(wanted), form == "tiff"
    argv = command(jail.view(source, scratch), "pages", form, draw=True, wanted=spans(wanted), large=large)
    lines, _ = render(jail, "pages", source, form, scratch, draw=True, wanted=spans(wanted), large=large, on_line=told)
    return _document(lines, form), argv


def spans(pages: list[int]) -> str:
    """Return page numbers as the children read them: `1,5-9`."""
    found: list[list[int]] = []
    for page in pages:
        if found and found[-1][1] == page - 1:
            found[-1][1] = page
        else:
            found.append([page, page])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in found)


def _document(lines: list[Line], form: str) -> Document:
    count = next((found for line in lines if (found := whole(line.get("pages"))) is not None), 0)
    sizes: dict[int, tuple[int, int]] = {}
    for line in lines:
        page, width, height = (whole(line.get(name)) for name in ("page", "width", "height"))
        if page is not None and width is not None and height is not None and 1 <= page <= count:
            sizes[page] = (width, height)
    title = next((text for line in lines if isinstance(text := line.get("title"), str)), "")
    printable = "".join(letter for letter in title if letter.isprintable())[:MAX_TITLE]
    return Document(count, sizes, tuple(flaws(lines)), form == "pdf", printable)
