"""Jobs over paper and pictures: page images of documents, previews of photos, and either at full resolution.

Invariants: the original is opened only in the jail; a page that cannot be drawn is left out and told among the item's technical facts; the
pages of a long document are published as they come, each batch under the job's lease, so that a worker that takes over goes on.

Not guaranteed: that a preview shows what the author saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive.actions import rendition, technical
from archive.adapters import documents, photos, tiling
from archive.adapters.documents import Document
from archive.adapters.rendering import versions
from archive.core.errors import RenditionRejected
from archive.core.instant import SECOND, Instant
from workers.bench import Bench, Made, opened, publish

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from archive.actions.jobs import ClaimedJob
    from archive.resources import Resources
    from workers.runner import Checkpoint, Publish, Report

VERSION = 1
BATCH = 16
"""Pages published at once: a transaction and its custody events every second or two, and no more than that to draw again."""
BATCH_LASTS = 1 * SECOND


def first_page(bench: Bench) -> tuple[Document, list[Made]]:
    """Look at a document and draw its first page in the same run of the tool, because it is what somebody waits for.

    Raises:
        ToolFailed: the renderer itself failed.
    """
    document, argv = documents.look(bench.jail, bench.source, bench.sniffed.container, bench.scratch, first=True)
    return document, _kept(bench, [page for page in (1,) if page in document.sizes], argv)


def pages(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Draw the pages of a document that are not drawn yet, large and small: `page-0001`, `thumb-0001` and so on.

    Raises:
        ToolFailed: the renderer itself failed.
        LeaseLost: the job was given to another worker; what was published before that stays.
    """
    with opened(resources, job, report) as bench:
        facts, missing = _missing(resources, bench)
        total = len(facts)
        batch: list[int] = []
        begun = resources.now()

        def drawn(page: int) -> None:
            nonlocal begun
            batch.append(page)
            if len(batch) >= BATCH or resources.now() - begun >= BATCH_LASTS:
                store()
                begun = resources.now()

        def store() -> None:
            made = _kept(bench, batch, [])
            batch.clear()
            missing_now = len(missing) - stored(len(made) // 2)
            report((total - missing_now) * 1000 // max(total, 1), "pages")
            with resources.transaction() as session:
                now = resources.now()
                report.holds(session, now)
                publish(session, bench.original, made, now=now)

        count = 0

        def stored(more: int) -> int:
            nonlocal count
            count += more
            return count

        return lambda _session, _now: None
