"""Putting documents of several scans together: the page list into the store, then the item that it is.

Invariants: the list is durable in the store before the row that names it; run twice, or ended at any line and run again, there is one item,
because the list of the same pages is the same bytes and the accession asks whether the document has its item.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archive.actions import accession, document, technical
from archive.actions import item as items
from archive.core import paper
from archive.core.digest import Digest, original_key
from archive.core.errors import Malformed
from archive.failpoints import failpoint
from workers import media

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from archive.actions.jobs import ClaimedJob
    from archive.core.instant import Instant
    from archive.resources import Resources
    from workers.runner import Publish, Report


def assemble(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Write the page list of a document whose last page is in, and give the document its number.

    Raises:
        NotFound: there is no such document.
        TooEarly: a page is missing after all.
        Unavailable: the store did not answer.
    """
    paper_id = str(job.payload.get("paper"))
    with resources.reading() as session:
        encoded = document.gathered(session, paper_id).encode()
    digest = Digest.of(encoded)
    report(100, "storing")
    with resources.scratch() as folder:
        path = folder / "paper.json"
        with path.open("wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        placed = resources.store.put(original_key(digest), path, digest)
    failpoint("paper.after_put")

    def write(session: Session, now: Instant) -> None:
        accession.assembled(
            session,
            paper_id=paper_id,
            digest=digest,
            size=len(encoded),
            placed=placed,
            agency=resources.settings.agency,
            zone=resources.settings.tz,
            now=now,
        )
        failpoint("paper.before_commit")

    return write


def examine(resources: Resources, job: ClaimedJob, report: Report) -> Publish:
    """Examine an item: a page list by reading it, everything else as `media.examine` does.

    Raises:
        ToolFailed: a tool itself failed.
        ObjectMissing: the original is not in the store.
    """
    with resources.reading() as session:
        is_list, stored = document.is_list(session, job.item_id), items.stored(session, Digest(job.sha256))
    if not is_list or stored.size > paper.MAX_ENCODED:
        return media.examine(resources, job, report)
    encoded = b"".join(resources.store.read(original_key(Digest(job.sha256)), 0, stored.size, version=stored.version))
    try:
        listed = paper.decode(encoded)
    except Malformed:
        return lambda session, now: technical.record(
            session,
            item_id=job.item_id,
            condition="damaged",
            findings=[{"code": "document_unreadable", "facts": {}}],
            technical={"container": paper.CONTAINER},
            now=now,
        )
    facts = {"container": paper.CONTAINER, "paper": {"title": listed.title, "pages": len(listed.pages)}}
    return lambda session, now: technical.record(
        session, item_id=job.item_id, condition="sound", findings=[], technical=facts, now=now
    )
