"""What a sender wishes done with an upload at its accession: recorder, case and stage, and its place in a document of several scans.

Invariants: a wish is held to its form and to what is on record when the upload is opened, and carried out in the accession's own
transaction. A wish never keeps bytes out that a station vouches for: a page that has come already makes the next one an item by itself.

Not guaranteed: that what was true at the opening still is at the accession; a page that another upload brought in meanwhile stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.orm import Session

from archive.actions import case, jobs
from archive.core.access import PersonCaller
from archive.core.cases import Stage, required_text
from archive.core.errors import AlreadyBound, Malformed, NotFound, PageTaken
from archive.core.instant import Instant
from archive.core.manifest import MAX_PAGES, Manifest
from archive.records.items import Item
from archive.records.locks import own
from archive.records.papers import Paper, PaperPage, pages_in
from archive.records.people import Person
from archive.records.uploads import Upload

_PAPER = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_PAGE_KEYS = ("document", "page", "pages", "title")


def of_person(session: Session, metadata: Mapping[str, bytes]) -> dict[str, Any] | None:
    """Return the wishes in a person's upload metadata, None if there are none.

    The keys are `recorder`, `case` (its number, in any spelling) with `stage`, and together `document` (32 hexadecimal digits that the
    sender makes), `page`, `pages` and `title`.

    Raises:
        Malformed: a value has not the form it must have, or one is missing beside another.
        NotFound: no such case is open.
    """
    wish: dict[str, Any] = {}
    if metadata.get("recorder"):
        wish["recorder"] = required_text("recorder", _text(metadata, "recorder"))
    if metadata.get("case"):
        number = _text(metadata, "case")
        wish["case"] = case.by_number(session, number)
        wish["stage"] = Stage.named(_text(metadata, "stage")).value
    if any(key in metadata for key in _PAGE_KEYS):
        wish["document"] = _page(metadata)
    return wish or None


def of_manifest(signed: Manifest) -> dict[str, Any] | None:
    """Return the wishes in a station's manifest, None if there are none."""
    page = signed.document
    return None if page is None else {"document": {"id": page.id, "page": page.page, "of": page.of, "title": page.title}}


def open_paper(session: Session, upload: Upload, *, now: Instant) -> None:
    """Open the document that the upload is a page of, if it is one and nobody has.

    A station's page that does not fit what is on record becomes an item by itself.

    Raises:
        Malformed: a person's document has another number of pages or another sender.
        PageTaken: this page of a person's document has come.
    """
    wish = None if upload.intent is None else upload.intent.get("document")
    if wish is None:
        return
    if _new_paper(session, upload, wish, now=now):
        return
    paper = session.get(Paper, wish["id"])
    assert paper is not None
    theirs = (paper.station_id, paper.person_id, paper.pages) == (upload.station_id, upload.person_id, wish["of"])
    taken = session.get(PaperPage, (paper.id, wish["page"])) is not None
    if theirs and not taken:
        return
    if upload.station_id is not None:
        upload.intent = None
    elif taken:
        raise PageTaken(document=paper.id, page=wish["page"])
    else:
        raise Malformed(what="document", field="pages")


def _new_paper(session: Session, upload: Upload, wish: Mapping[str, Any], *, now: Instant) -> bool:
    """Write the document unless somebody has, and say whether it was written; whoever does so at the same moment waits."""
    if session.get(Paper, wish["id"]) is not None:
        return False
    insert = insert_postgresql if session.get_bind().dialect.name == "postgresql" else insert_sqlite
    made = session.scalar(
        insert(Paper)
        .values(
            id=wish["id"],
            title=wish["title"],
            pages=wish["of"],
            station_id=upload.station_id,
            person_id=upload.person_id,
            intent={key: value for key, value in (upload.intent or {}).items() if key != "document"} or None,
            created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(Paper.id)
    )
    if made is not None:
        own(session, Paper, made)
    return made is not None


def carry_out(session: Session, upload: Upload, item: Item, *, now: Instant) -> None:
    """Do what was wished with the item that the upload has become: bind it, put it into its document. It has its recorder already."""
    wish = upload.intent or {}
    place = wish.get("document")
    if place is None or session.get(PaperPage, (place["id"], place["page"])) is not None:
        bind(session, wish, item, person_id=upload.person_id, now=now)
        return
    # A page of a document goes where the document goes, which is bound itself once it is put together. The accession holds the document,
    # so that of its last two pages at once one sees the other.
    session.add(PaperPage(paper_id=place["id"], page=place["page"], item_id=item.id))
    session.flush()
    if pages_in(session, place["id"]) == place["of"]:
        jobs.enqueue(session, kind="assemble", item_id=item.id, sha256=item.sha256, payload={"paper": place["id"]}, now=now)


def bind(session: Session, wish: Mapping[str, Any], item: Item, *, person_id: int | None, now: Instant) -> None:
    """Bind the item to the case and stage that a person wished; a wish that is fulfilled already, or whose case is gone, is none."""
    person = None if person_id is None or "case" not in wish else session.get(Person, person_id)
    if person is None:
        return
    by = PersonCaller(person.id, person.login, person.name)
    try:
        case.bind(session, case_id=wish["case"], number=item.number, stage=Stage(wish["stage"]), at=None, by=by, now=now)
    except (AlreadyBound, NotFound):
        return


def _page(metadata: Mapping[str, bytes]) -> dict[str, Any]:
    found = {key: _text(metadata, key) for key in _PAGE_KEYS}
    if not _PAPER.fullmatch(found["document"]):
        raise Malformed(what="document", value=found["document"][:40])
    numbers = {key: _number(key, found[key]) for key in ("page", "pages")}
    if not numbers["page"] <= numbers["pages"] <= MAX_PAGES:
        raise Malformed(what="page", value=found["page"])
    title = required_text("title", found["title"])
    return {"id": found["document"], "page": numbers["page"], "of": numbers["pages"], "title": title}


def _number(key: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Malformed(what=key, value=text[:20])
    return int(text)


def _text(metadata: Mapping[str, bytes], key: str) -> str:
    try:
        return metadata.get(key, b"").decode("utf-8")
    except UnicodeDecodeError as why:
        raise Malformed(what=key, reason="utf8") from why
