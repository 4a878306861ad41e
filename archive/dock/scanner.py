"""A scanner's output folder: which images are one document, and what is still being written.

A subfolder that holds images of one page each and nothing else is one document; its pages are in the natural order of their names (page 2
before page 10). Everything else is by itself: a single image is a document of one page, a PDF or a TIFF of several pages is a file like
any other. Each image stays an original. What is found in a folder after its document was signed is another document: nobody who saw the
first is shown another one in its place.

Invariants: a document's id is made from station, carrier, folder and its pages' names, sizes and times, so that a run that died is gone
on with under the same id; a document of which no page went yet and whose bytes were all docked as the same pages before, in another
folder, is not sent again.

Not guaranteed: that all pages were there. A scanner that pauses for longer than the setting leaves two documents.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from archive.core import manifest
from archive.core.errors import Malformed, SourceChanged
from archive.core.manifest import MAX_LABEL, MAX_PAGES, Page
from archive.dock import reading
from archive.dock.scan import Passed, Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from archive.dock.journal import Entry, Journal
    from archive.dock.scan import Source

_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*", b"BM", b"\x00\x00\x00\x0cjP  ", b"GIF8")
_TIFF = (b"II*\x00", b"MM\x00*")
_DIGITS = re.compile(r"(\d+)")
_HEAD = 16
_MAX_DIGITS = 18


@dataclass(slots=True)
class Stillness:
    """Which files have held still: seen with one size and time for `settle_s` seconds, by the station's own clock.

    A file whose last change the file system itself dates that far back counts as still at the first look.
    """

    settle_s: float
    clock: Callable[[], float]
    wall: Callable[[], float]
    _seen: dict[bytes, tuple[int, int, float]] = field(default_factory=dict)

    def settled(self, scan: Scan) -> Scan:
        """Return the scan without what may still be written; of a folder with one such file, without all of it."""
        now, wall = self.clock(), self.wall()
        before, self._seen = self._seen, {}
        restless: set[tuple[str, ...]] = set()
        for source in scan.files:
            size, mtime_ns, since = before.get(source.key, (-1, -1, now))
            if (size, mtime_ns) != (source.size, source.mtime_ns):
                since = now
            self._seen[source.key] = (source.size, source.mtime_ns, since)
            if now - since < self.settle_s and not self._old(source, wall):
                restless.add(source.parts[:-1])
        early = [source for source in scan.files if source.parts[:-1] in restless]
        passed = tuple(Passed(f"{scan.volume.root}/{source.shown}", "being_written") for source in early)
        kept = tuple(source for source in scan.files if source.parts[:-1] not in restless)
        return replace(scan, files=kept, passed=scan.passed + passed)

    def _old(self, source: Source, wall: float) -> bool:
        try:
            status = source.path.lstat()
        except OSError:
            return False
        # the time of the inode's change is the kernel's: a copy that keeps the file's time cannot set it
        return max(status.st_mtime, status.st_ctime) <= wall - self.settle_s


def documents(scan: Scan, root: Path, *, station: str, archive: str, journal: Journal) -> Scan:
    """Return the scan of a scanner's folder with every image's place in its document.

    What cannot be read is by itself, and is told of when its turn comes.
    """
    grouped: dict[tuple[str, ...], list[Source]] = {}
    for source in scan.files:
        grouped.setdefault(source.parts[:-1], []).append(source)
    placed: list[Source] = []
    for folder, sources in grouped.items():
        images = {source: _is_page(source) for source in sources}
        together = root.is_dir() and sources[0].path.parent != root and all(images.values())
        if together:
            placed += _together(folder, sources, station=station, archive=archive, journal=journal)
        else:
            placed += [_alone(source, station) if image else source for source, image in images.items()]
    return replace(scan, files=tuple(placed))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return the key by which names are put in order as people read them: digits by their value, letters without their case."""
    parts = _DIGITS.split(unicodedata.normalize("NFKC", name.encode("utf-8", "replace").decode()).casefold())
    return tuple(
        (0, int(part[-_MAX_DIGITS:]), "") if index % 2 and part.isascii() else (1, 0, part)
        for index, part in enumerate(parts)
        if part
    )


def pages_of_tiff(head: bytes, read: Callable[[int, int], bytes]) -> int:
    """Return 1 for a TIFF of one page, 2 for one of several, 0 for one that is no good (TIFF 6.0, section 2: the next directory's offset).

    `read` gives `count` bytes from an offset of the file.
    """
    order = "<" if head[:2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(order + "I", head, 4)
        (entries,) = struct.unpack(order + "H", read(first, 2))
        (following,) = struct.unpack(order + "I", read(first + 2 + 12 * entries, 4))
    except struct.error:
        return 0
    return 2 if following else 1


def _is_page(source: Source) -> bool:
    """Whether this is an image of one page."""
    try:
        with reading.opened(source) as descriptor:
            head = os.pread(descriptor, _HEAD, 0)
            if not head.startswith(_IMAGES):
                return False
            return not head.startswith(_TIFF) or pages_of_tiff(head, lambda at, count: os.pread(descriptor, count, at)) == 1
    except (OSError, SourceChanged):
        return False


def _alone(source: Source, station: str) -> Source:
    title = _title(source.parts[-1].rpartition(".")[0] or source.parts[-1])
    return replace(source, page=Page(_id([source], station), 1, 1, title))


def _together(
    folder: tuple[str, ...], sources: Sequence[Source], *, station: str, archive: str, journal: Journal
) -> list[Source]:
    """Return a folder's images with their places: those of documents that were signed before, then those of a new one."""
    earlier = {source: _kept_page(journal.entry(archive, source)) for source in sources}
    begun: dict[str, Page] = {page.id: page for page in earlier.values() if page is not None}
    new = [source for source, page in earlier.items() if page is None]
    for known, page in begun.items():
        # a run that died between two signatures: what is missing from that document is still in the folder as it was
        members = _in_order([each for each, other in earlier.items() if other is None or other.id == known])
        if new and len(members) == page.of and _id(members, station) == known:
            return [replace(source, page=Page(known, index, page.of, page.title)) for index, source in enumerate(members, 1)] + [
                replace(source, page=earlier[source]) for source in sources if source not in members
            ]
    placed = [replace(source, page=page) for source, page in earlier.items() if page is not None]
    title = folder[-1] if not begun else f"{folder[-1]} ({len(begun) + 1})"
    ordered = _in_order(new)
    for begin in range(0, len(ordered), MAX_PAGES):
        part = ordered[begin : begin + MAX_PAGES]
        pages = [Page(_id(part, station), index, len(part), _title(title)) for index in range(1, len(part) + 1)]
        moved = _docked_before(part, pages, archive=archive, journal=journal)
        placed += part if moved else [replace(source, page=page) for source, page in zip(part, pages, strict=True)]
    return placed


def _in_order(sources: Iterable[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: (natural(source.parts[-1]), source.key))


def _kept_page(entry: Entry | None) -> Page | None:
    return None if entry is None else page_of(entry)


def page_of(entry: Entry) -> Page | None:
    """Return the place in a document that a file was signed with."""
    try:
        return manifest.decode(entry.manifest).document
    except Malformed:
        return None


def _docked_before(sources: Sequence[Source], pages: Sequence[Page], *, archive: str, journal: Journal) -> bool:
    """Whether these images are a docked document that somebody moved: the same bytes, as the same pages of one document."""
    found: set[str] = set()
    for source, page in zip(sources, pages, strict=True):
        try:
            digest = reading.hash_file(source, position=lambda _: None).sha256
        except (OSError, SourceChanged):
            return False
        known = journal.docked(archive, digest, source.size)
        earlier = None if known is None else page_of(known)
        if earlier is None or (earlier.page, earlier.of) != (page.page, page.of):
            return False
        found.add(earlier.id)
    return len(found) == 1


def _id(sources: Sequence[Source], station: str) -> str:
    first = sources[0]
    told: Mapping[str, object] = {source.shown: (source.size, source.mtime_ns) for source in sources}
    return hashlib.sha256(repr((station, first.carrier.identity, list(told.items()))).encode()).hexdigest()[:32]


def _title(text: str) -> str:
    shown = " ".join(manifest.portable_name([text]).split())[:MAX_LABEL].strip()
    return shown or "-"
