"""Jobs over paper and pictures: page images of documents, previews of photos, and either at full resolution.

Invariants: the original is opened only in the jail; a page that cannot be drawn is left out and told among the item's technical facts; the
pages of a long document are published as they come, each batch under the job's lease, so that a worker that takes over goes on.

Not guaranteed: that a preview shows what the author saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.actions import jobs, rendition, technical
from archive.adapters import documents, photos, tiling
from archive.adapters.documents import Document
from archive.adapters.rendering import versions
from archive.core.errors import RenditionRejected, ToolFailed
from archive.core.instant import SECOND, Instant
from archive.core.jobs import KINDS
from archive.failpoints import failpoint
from workers.bench import Bench, Made, no_link, opened, publish
from workers.runner import HandBack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from archive.actions.jobs import ClaimedJob
    from archive.resources import Resources
    from workers.runner import Publish, Report

VERSION = 1
BATCH = 16
"""Pages published at once: a transaction and its custody events every second or two, and no more than that to draw again."""
BATCH_LASTS = 1 * SECOND
BREAKDOWNS = 20
"""Pages of one document at which the tool may break down before the document itself is held to be what breaks it."""
_NAMED = 12
"""How many pages a finding names."""
SOMEBODY_WAITS = KINDS["tiles"].priority
"""Jobs of this priority go before the rest of a long document: it is handed back, and goes on where it was."""


def first_page(bench: Bench) -> tuple[Document, list[Made]]:
    """Look at a document and draw its first page in the same run of the tool, because it is what somebody waits for.

    Raises:
        ToolFailed: the renderer itself failed.
    """
    try:
        document, argv = documents.look(bench.jail, bench.source, bench.sniffed.container, bench.scratch, first=True)
    except ToolFailed:
        # Whatever drawing the first page does to the tool, the others may do well; what there is can be told without drawing.
        return documents.look(bench.jail, bench.source, bench.sniffed.container, bench.scratch)[0], []
    return document, _kept(bench, [page for page in (1,) if page in document.sizes], argv)


def pages(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Draw the pages of a document that are not drawn yet, large and small: `page-0001`, `thumb-0001` and so on.

    Raises:
        ToolFailed: the renderer itself failed.
        LeaseLost: the job was given to another worker; what was published before that stays.
        HandBack: the worker is stopping, or somebody waits for another page at full resolution; the rest is done later.
    """
    with opened(resources, job, report) as bench:
        facts = _facts(resources, bench)
        missing = [page for page in facts.sizes if page not in facts.drawn]
        batch = _Batch(bench, job, report, done=len(facts.sizes) - len(missing), total=len(facts.sizes))
        unread = _drawn(bench, batch, missing)

    def write(session: Session, _now: Instant) -> None:
        if unread:
            lost = sorted({*facts.unread, *unread})
            technical.merge(session, sha256=bench.original, facts={"pages_unread": lost})
            named = ", ".join(map(str, lost[:_NAMED])) + ("…" if len(lost) > _NAMED else "")
            technical.found(session, sha256=bench.original, code="page_unreadable", facts={"page": named})

    return write


def _drawn(bench: Bench, batch: _Batch, missing: list[int]) -> set[int]:
    """Draw these pages, passing over those at which the tool breaks down; return the pages that cannot be drawn.

    Raises:
        ToolFailed: it breaks down whatever it is given.
    """
    unread: set[int] = set()
    wanted = sorted(missing)
    for left in range(BREAKDOWNS, -1, -1):
        if not wanted:
            break
        try:
            document, _ = documents.draw(
                bench.jail, bench.source, bench.sniffed.container, bench.scratch, wanted=wanted, on_page=batch.add
            )
        except ToolFailed as failed:
            batch.store()
            wanted = [page for page in wanted if page not in batch.seen]
            if not left or not wanted or failed.facts.get("reason") == "not_started":
                raise
            unread.add(wanted.pop(0))
        else:
            unread.update(document.unread)
            break
    batch.store()
    return unread


def page(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Draw one page before its turn, because somebody opened it.

    Raises:
        ToolFailed: the renderer itself failed.
        RenditionRejected: the page cannot be drawn.
    """
    number = _page_of(job)
    made: list[Made] = []
    with opened(resources, job, report) as bench:
        facts = _facts(resources, bench)
        if number in facts.sizes and number not in facts.drawn:
            form = bench.sniffed.container
            document, argv = documents.draw(
                bench.jail, bench.source, form, bench.scratch, wanted=[number], on_page=lambda _page, _argv: None
            )
            if number not in document.sizes:
                raise RenditionRejected(recipe=f"page-{number:04d}", tail="; ".join(flaw.words for flaw in document.flaws))
            made = _kept(bench, [number], argv)
    return lambda session, now: publish(session, bench.original, made, now=now)


def tiles(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Make the pyramid of one page at full resolution: `tiles-0001`.

    Raises:
        ToolFailed: the tool itself failed.
        RenditionRejected: the page cannot be drawn that large; the facts say why.
        Mismatch: what was made is not what it says.
    """
    number = _page_of(job)
    recipe = f"tiles-{number:04d}"
    with opened(resources, job, report) as bench:
        form = bench.sniffed.container
        report(0, "tiles")
        pyramid, argv = tiling.make(
            bench.jail, bench.source, form, bench.scratch, page=number, on_permille=lambda done: report(done, "tiles")
        )
        if pyramid.flaws:
            raise RenditionRejected(recipe=recipe, tail="; ".join(f"{flaw.code}: {flaw.words}" for flaw in pyramid.flaws))
        with no_link(bench.scratch / tiling.NAME) as file:
            tiling.hold_against_geometry(pyramid, file)
        made = bench.keep(
            tiling.NAME,
            recipe=recipe,
            version=VERSION,
            media_type="application/zip",
            tool=versions(),
            argvs=[bench.symbolic(argv)],
            page=number,
            width=pyramid.width,
            height=pyramid.height,
            most_kib=pyramid.most_kib,
        )
    return lambda session, now: publish(session, bench.original, [made], now=now)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What examination found of a document's pages, and which are drawn already."""

    sizes: frozenset[int]
    drawn: frozenset[int]
    unread: frozenset[int]


def _facts(resources: Resources, bench: Bench) -> _Facts:
    with resources.reading() as session:
        known = technical.of_bytes(session, bench.original)
        made = rendition.recipes(session, bench.original)
    sizes = (known.get("document") or {}).get("page_sizes") or ()
    numbers = [int(size[0]) for size in sizes]
    return _Facts(
        frozenset(numbers),
        frozenset(number for number in numbers if {f"page-{number:04d}", f"thumb-{number:04d}"} <= made),
        frozenset(known.get("pages_unread") or ()),
    )


def _page_of(job: ClaimedJob) -> int:
    return int(job.payload.get("page", 1))


class _Batch:
    """Pages that are drawn and not published: stored when there are enough of them, or when the first has waited long enough."""

    def __init__(self, bench: Bench, job: ClaimedJob, report: Report, *, done: int, total: int) -> None:
        self._bench, self._job, self._report = bench, job, report
        self._done, self._total = done, total
        self._pages: list[int] = []
        self.seen: set[int] = set()
        self._argv: list[str] = []
        self._stored_at = bench.resources.now()

    def add(self, page: int, argv: list[str]) -> None:
        """Take a page whose pictures are in the scratch directory."""
        self._pages.append(page)
        self.seen.add(page)
        self._argv = argv
        if len(self._pages) >= BATCH or self._bench.resources.now() - self._stored_at >= BATCH_LASTS:
            self.store()

    def store(self) -> None:
        """Publish what there is, in a transaction of its own that holds only while the job is ours."""
        resources = self._bench.resources
        made = _kept(self._bench, self._pages, self._argv)
        self._done += len(self._pages)
        self._pages.clear()
        permille = self._done * 1000 // max(self._total, 1)
        if made:
            with resources.transaction() as session:
                now = resources.now()
                jobs.keep(session, self._job, permille=permille, note="pages", now=jobs.clock(session, now=now))
                publish(session, self._bench.original, made, now=now)
                yields = jobs.waits(session, lane=self._job.lane, above=SOMEBODY_WAITS - 1)
            failpoint("pages.batch")
            if yields and self._done < self._total:
                raise HandBack
        self._stored_at = resources.now()
        self._report(permille, "pages")


def _kept(bench: Bench, numbers: Sequence[int], argv: Sequence[str]) -> list[Made]:
    """Put the pictures of these pages into the store and take them out of the scratch directory."""
    made: list[Made] = []
    for number in numbers:
        for recipe in (f"page-{number:04d}", f"thumb-{number:04d}"):
            name = f"{recipe}.jpg"
            argvs = [bench.symbolic(argv)]
            made.append(
                bench.keep(
                    name,
                    recipe=recipe,
                    version=VERSION,
                    media_type="image/jpeg",
                    tool=versions(),
                    argvs=argvs,
                    quiet=True,
                    page=number,
                )
            )
            (bench.scratch / name).unlink()
    return made


def photo(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Draw a photo upright, to read and to find: `view` and `thumb`.

    Raises:
        ToolFailed: the renderer itself failed.
    """
    made: list[Made] = []
    with opened(resources, job, report) as bench:
        report(0, "photo")
        picture, argv = photos.draw(bench.jail, bench.source, bench.sniffed.container, bench.scratch)
        if picture.width is not None:
            for recipe in ("view", "thumb"):
                argvs = [bench.symbolic(argv)]
                made.append(
                    bench.keep(
                        f"{recipe}.jpg", recipe=recipe, version=VERSION, media_type="image/jpeg", tool=versions(), argvs=argvs
                    )
                )
    return lambda session, now: publish(session, bench.original, made, now=now)
