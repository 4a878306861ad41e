"""Jobs over paper and pictures: page images of PDFs, previews of photos.

Invariants: the original is opened only in the jail; a page that cannot be drawn is left out and told among the item's technical facts.
Not guaranteed: that a preview shows what the author saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive.actions import technical
from archive.adapters import documents, photos
from archive.adapters.rendering import versions
from archive.core.instant import Instant
from workers.bench import Made, opened, publish

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from archive.actions.jobs import ClaimedJob
    from archive.resources import Resources
    from workers.runner import Publish, Report

VERSION = 1


def pages(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Draw every page of a PDF, large and small: `page-0001`, `thumb-0001` and so on.

    Raises:
        ToolFailed: the renderer itself failed.
    """
    made: list[Made] = []
    with opened(resources, job, report) as bench:
        document, argv = documents.draw(
            bench.jail, bench.source, bench.scratch, on_page=lambda done, total: report(done * 800 // total, "pages")
        )
        argvs = [bench.symbolic(argv)]
        for place, page in enumerate(sorted(document.sizes)):
            made += [
                bench.keep(
                    f"{recipe}.jpg",
                    recipe=recipe,
                    version=VERSION,
                    media_type="image/jpeg",
                    tool=versions(),
                    argvs=argvs,
                    page=page,
                )
                for recipe in (f"page-{page:04d}", f"thumb-{page:04d}")
            ]
            report(800 + 190 * place // len(document.sizes), "storing")

    def write(session: Session, now: Instant) -> None:
        publish(session, bench.original, made, now=now)
        technical.merge(session, sha256=bench.original, facts={"document": document.as_json()})

    return write


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
