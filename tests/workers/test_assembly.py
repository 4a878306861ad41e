"""Documents of several scans: put together once whatever happens, bound as their pages were, and held against the record by fsck."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select, text

from archive.actions import accession, custody, document, fixity, fsck, page, upload
from archive.actions import case as cases
from archive.actions import item as items
from archive.actions.jobs import ClaimedJob
from archive.adapters import signing
from archive.core import paper
from archive.core.cases import Stage
from archive.core.digest import Digest, original_key
from archive.core.errors import TooEarly
from archive.core.instant import HOUR, Instant
from archive.core.media.sniff import sniff
from archive.records.jobs import Job
from tests.media_files import Workshop, media_file, workshop
from workers import assembly

PAPER = "0123456789abcdef0123456789abcdef"
TITLE = "现场检查笔录"


@pytest.fixture
def shop(tmp_path: Path):
    with workshop(tmp_path) as made:
        yield made


def take(shop: Workshop, content: bytes, page: int, of: int, **more: str) -> str:
    """Take in one page of the document."""
    resources, upload_id, digest = shop.resources, f"{page:032x}", Digest.of(content)
    path = resources.settings.data_dir / "scratch" / f"page-{page}"
    path.write_bytes(content)
    placed = resources.store.put(original_key(digest), path, digest)
    path.unlink()
    said = {"filename": f"扫描_{page}.jpg", "document": PAPER, "page": page, "pages": of, "title": TITLE, **more}
    with resources.transaction() as session:
        now = resources.now()
        upload.create(
            session, upload_id=upload_id, caller=shop.caller, length=len(content),
            metadata={key: str(value).encode() for key, value in said.items()},
            verify=signing.verify, now=now, expires_at=Instant(now + HOUR),
        )  # fmt: skip
        return accession.accept(
            session, upload_id=upload_id, digest=digest, size=len(content), placed=placed, sniffed=sniff(content),
            agency=resources.settings.agency, zone=resources.settings.tz, now=now,
        ).number  # fmt: skip


def scans() -> tuple[bytes, bytes]:
    jpeg = media_file("photo.jpg").read_bytes()
    return jpeg, media_file("photo.png").read_bytes()


def promised(shop: Workshop) -> ClaimedJob:
    """The promise to put the document together, as a worker holds it."""
    with shop.resources.reading() as session:
        job = session.scalar(select(Job).where(Job.kind == "assemble"))
        assert job is not None
        return ClaimedJob(job.id, job.kind, job.lane, job.item_id, job.sha256, job.payload, 1, "test")


def flaws(shop: Workshop) -> set[str]:
    with shop.resources.reading() as session:
        now = Instant(shop.resources.now() + HOUR)
        return {
            found.code
            for found in fsck.check(session, shop.resources.store, deep=False, now=now, progress=lambda *_: None)
            if found.flaw
        }


def made(shop: Workshop) -> SimpleNamespace:
    """The document item, its leaves and its list."""
    with shop.resources.reading() as session:
        (number,) = [row.number for row in items.page(session, items.Filter()).rows if row.name == TITLE]
        item = items.find(session, number)
        content = b"".join(shop.resources.store.read(original_key(item.sha256), 0, item.size))
        return SimpleNamespace(item=item, leaves=document.leaves(session, item.id), listed=paper.decode(content))


def test_a_document_is_an_item_that_lists_its_pages_with_a_receipt_of_its_own(shop: Workshop) -> None:
    with shop.resources.transaction() as session:
        case_id = cases.open_case(session, number="1", title="案", subject="某店", by=shop.caller, now=shop.resources.now())
    second, first = scans()
    numbers = [take(shop, second, 2, 2, case="1", stage="decision"), take(shop, first, 1, 2, case="1", stage="decision")][::-1]
    shop.work()
    document_ = made(shop)
    assert document_.listed.title == TITLE
    assert [str(each.number) for each in document_.listed.pages] == numbers
    assert [each.sha256 for each in document_.listed.pages] == [Digest.of(first), Digest.of(second)]
    assert [each.media_type for each in document_.listed.pages] == ["image/png", "image/jpeg"]
    assert (document_.item.kind.value, document_.item.container, document_.item.condition) == ("document", "paper", "sound")
    assert {(bound.case_id, Stage(bound.stage)) for bound in document_.item.bindings} == {(case_id, Stage.DECISION)}
    with shop.resources.reading() as session:
        assert fixity.receipt(session, number=document_.item.number).sha256 == document_.item.sha256
        assert document.place_of(session, document_.leaves[1].item_id) == document.Place(TITLE, 2, 2, document_.item.number)
        assert [event.kind.value for event in custody.of_item(session, document_.item.id)][:1] == ["ingestion"]
        assert [(each.page, each.number, each.leaf) for each in page.of(session, document_.item)] == [
            (1, numbers[0], 1),
            (2, numbers[1], 1),
        ]
        assert document.waiting(session) == []
        assert set(document.recipes(session, document_.leaves)) == {Digest.of(first), Digest.of(second)}
        assert not document.at_work(session, document_.leaves)
    assert flaws(shop) == set()


def test_put_together_twice_or_after_a_crash_it_is_one_document(shop: Workshop) -> None:
    first, second = scans()
    take(shop, first, 1, 2)
    take(shop, second, 2, 2)
    job = promised(shop)
    report = lambda _done, _note: None  # noqa: E731 - a report nobody reads
    assembly.assemble(shop.resources, job, report)  # the process ended before the row: bytes without a record, and no harm
    again = assembly.assemble(shop.resources, job, report)
    for publish in (again, again, assembly.assemble(shop.resources, job, report)):
        with shop.resources.transaction() as session:
            publish(session, shop.resources.now())
    shop.work()
    assert len(made(shop).leaves) == 2
    assert flaws(shop) == set()


def test_a_document_waits_for_its_missing_page_and_says_which(shop: Workshop) -> None:
    take(shop, scans()[1], 2, 3, recorder="DSJ-A1")
    shop.work()
    with shop.resources.reading() as session:
        (waits,) = document.waiting(session, caller=shop.caller)
        assert (waits.title, waits.arrived, waits.missing, waits.source, waits.recorder) == (
            TITLE,
            (2,),
            (1, 3),
            "管理员",
            "DSJ-A1",
        )
        assert document.standings(session, [PAPER, "f" * 32], caller=shop.caller) == {PAPER: document.Standing((2,), None)}
        with pytest.raises(TooEarly):
            document.gathered(session, PAPER)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE paper_pages SET page = 3 - page + 10 WHERE page = 1",
        "UPDATE paper_pages SET item_id = (SELECT item_id FROM paper_pages WHERE page = 2) WHERE page = 1",
        "DELETE FROM paper_pages WHERE page = 2",
        "UPDATE items SET sha256 = (SELECT sha256 FROM items WHERE id = 2), upload_id = upload_id WHERE id = 1",
    ],
)
def test_pages_that_are_not_those_of_the_list_are_a_flaw(shop: Workshop, statement: str) -> None:
    first, second = scans()
    take(shop, first, 1, 2)
    take(shop, second, 2, 2)
    shop.work()
    with shop.resources.engine.begin() as connection:
        connection.execute(text(statement))
    assert "paper_differs" in flaws(shop)


def test_a_page_list_that_rotted_is_told_as_such(shop: Workshop) -> None:
    take(shop, scans()[0], 1, 1)
    shop.work()
    path = shop.resources.settings.data_dir / "store" / original_key(made(shop).item.sha256)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"v":1', b'"v":7'))
    assert "paper_unreadable" in flaws(shop)
