"""The page list (页单): what makes several scans one document.

A document of several scans is an item of its own, whose bytes are this list: canonical JSON (RFC 8785) that names every page's item by
number and digest, in order. Whoever holds the list and the pages can check the document with a JSON reader and sha256sum.

Invariants: a list has exactly one encoding; `decode(encode(p)) == p`; pages run from 1 without a gap; a number stands once.

Not guaranteed: that the named items exist or still have these digests. That is the archive's to check (`liuhen fsck`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from archive.core import canonical
from archive.core.accession import AccessionNumber
from archive.core.cases import required_text
from archive.core.digest import Digest
from archive.core.errors import Malformed
from archive.core.manifest import MAX_PAGES, MAX_SIZE

TYPE = "liuhen.paper"
VERSION = 1
MEDIA_TYPE = "application/vnd.liuhen.paper+json"
CONTAINER = "paper"
MAX_ENCODED = 1024 + 400 * MAX_PAGES
"""Bytes; a page takes about two hundred and fifty."""
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}/[a-z0-9][a-z0-9.+-]{0,99}")
_FIELDS = frozenset({"type", "v", "title", "pages"})
_PAGE_FIELDS = frozenset({"page", "number", "sha256", "size", "media_type"})


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the item that it is, by number, digest, size in bytes and media type."""

    number: AccessionNumber
    sha256: Digest
    size: int
    media_type: str

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise Malformed(what="paper", field="size", value=self.size)
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise Malformed(what="paper", field="media_type", value=self.media_type[:40])


@dataclass(frozen=True, slots=True)
class Paper:
    """A document of several scans; impossible to build wrong. `pages` are in order, the first is page 1."""

    title: str
    pages: tuple[Page, ...]

    def __post_init__(self) -> None:
        if required_text("title", self.title) != self.title:
            raise Malformed(what="title", value=self.title[:40])
        if not 1 <= len(self.pages) <= MAX_PAGES:
            raise Malformed(what="paper", field="pages", value=len(self.pages))
        if len({page.number for page in self.pages}) != len(self.pages):
            raise Malformed(what="paper", field="number", reason="twice")

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode(
            {
                "type": TYPE,
                "v": VERSION,
                "title": self.title,
                "pages": [
                    {
                        "page": place,
                        "number": str(page.number),
                        "sha256": page.sha256.hex,
                        "size": page.size,
                        "media_type": page.media_type,
                    }
                    for place, page in enumerate(self.pages, 1)
                ],
            }
        )


def decode(data: bytes) -> Paper:
    """Return the page list that these bytes encode.

    Raises:
        Malformed: too large, not canonical, another type or version, a field missing, unknown or of the wrong type, pages out of order or
            with a gap, or one item named twice.
    """
    if len(data) > MAX_ENCODED:
        raise Malformed(what="paper", reason="too_large", bytes=len(data))
    value = canonical.decode(data)
    if not isinstance(value, dict) or value.get("type") != TYPE:
        raise Malformed(what="paper", reason="type")
    if value.get("v") != VERSION or value["v"] is True:
        raise Malformed(what="paper", reason="version")
    if value.keys() != _FIELDS:
        raise Malformed(what="paper", reason="fields")
    title, pages = value["title"], value["pages"]
    if not isinstance(title, str) or not isinstance(pages, list):
        raise Malformed(what="paper", reason="type")
    return Paper(title, tuple(_page(page, place) for place, page in enumerate(pages, 1)))


def _page(value: canonical.Json, place: int) -> Page:
    if not isinstance(value, dict) or value.keys() != _PAGE_FIELDS:
        raise Malformed(what="paper", field="page", value=place)
    page, number, sha256, size, media_type = (value[name] for name in ("page", "number", "sha256", "size", "media_type"))
    if isinstance(page, bool) or page != place:
        raise Malformed(what="paper", field="page", reason="order", value=place)
    if isinstance(size, bool) or not isinstance(size, int):
        raise Malformed(what="paper", field="size", value=place)
    if not (isinstance(number, str) and isinstance(sha256, str) and isinstance(media_type, str)):
        raise Malformed(what="paper", field="page", reason="type", value=place)
    return Page(AccessionNumber.parse(number), Digest(sha256), size, media_type)
