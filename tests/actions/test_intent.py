"""Claims about what a sender may wish done with an upload, and about documents made of several scans."""

from zoneinfo import ZoneInfo

import pytest

from archive.actions import accession, case, intent, upload
from archive.adapters import signing
from archive.core.access import PersonCaller
from archive.core.cases import Stage
from archive.core.digest import Digest
from archive.core.errors import Malformed, NotFound, PageTaken
from archive.core.instant import Instant
from archive.core.manifest import Page
from archive.core.media.sniff import sniff
from archive.ports import Placed, Put
from archive.records.items import item_by_number
from archive.records.jobs import Job
from archive.records.papers import Paper, PaperPage
from tests.actions.conftest import NOW

ZONE = ZoneInfo("Asia/Shanghai")

PAPER = "0123456789abcdef0123456789abcdef"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"


def _open(house, content, **metadata):
    house.uploads += 1
    upload_id = f"u{house.uploads}"
    with house.writing() as session:
        upload.create(
            session,
            upload_id=upload_id,
            caller=house.person,
            length=len(content),
            metadata={"filename": b"scan.jpg", **{key: str(value).encode() for key, value in metadata.items()}},
            verify=signing.verify,
            now=NOW,
            expires_at=Instant(NOW + 10**12),
        )
    return upload_id


def _accept(house, upload_id, content):
    with house.writing() as session:
        return accession.accept(
            session,
            upload_id=upload_id,
            digest=Digest.of(content),
            size=len(content),
            placed=Placed(Put.WRITTEN),
            sniffed=sniff(content),
            agency="131102",
            zone=ZONE,
            now=NOW,
        )


def _page(number, of=2, paper=PAPER):
    return {"document": paper, "page": number, "pages": of, "title": "现场检查笔录"}


def _assemble_jobs(house):
    with house.reading() as session:
        return [job.payload for job in session.query(Job).filter(Job.kind == "assemble")]


def test_a_person_s_upload_is_bound_to_the_case_and_stage_it_was_meant_for(house):
    with house.writing() as session:
        case_id = case.open_case(session, number="桃市监案〔2026〕114号", title="案", subject="某店", by=house.person, now=NOW)
    content = JPEG + b"1"
    upload_id = _open(house, content, case="桃市监案[2026]114 号", stage="investigation", recorder="DSJ-A1")
    number = _accept(house, upload_id, content).number
    with house.reading() as session:
        bound = case.timeline(session, case_id).bound
        assert [(each.number, each.stage) for each in bound] == [(number, Stage.INVESTIGATION)]
        assert item_by_number(session, number).recorder == "DSJ-A1"


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"case": "无此案", "stage": "investigation"}, NotFound),
        ({"case": "桃市监案〔2026〕114号"}, NotFound),
        ({"recorder": "a\nb"}, Malformed),
        ({"document": "zz", "page": 1, "pages": 1, "title": "a"}, Malformed),
        ({"document": PAPER, "page": 0, "pages": 1, "title": "a"}, Malformed),
        ({"document": PAPER, "page": 2, "pages": 1, "title": "a"}, Malformed),
        ({"document": PAPER, "page": 1, "pages": 9999, "title": "a"}, Malformed),
        ({"document": PAPER, "page": 1, "pages": 1}, Malformed),
        ({"page": 1}, Malformed),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_refused_before_a_byte_is_sent(house, metadata, why):
    with pytest.raises(why):
        _open(house, b"x", **metadata)


def test_the_last_page_of_a_document_promises_to_put_it_together_whatever_the_order(house):
    second, first = JPEG + b"2", JPEG + b"1"
    _accept(house, _open(house, second, **_page(2)), second)
    assert _assemble_jobs(house) == []
    number = _accept(house, _open(house, first, **_page(1)), first).number
    assert _assemble_jobs(house) == [{"paper": PAPER}]
    assert "-WS-" in number, "a page is a document, whatever picture it is"


def test_a_page_that_is_in_is_refused_to_a_person_and_taken_in_by_itself_from_a_station(house):
    content = JPEG + b"1"
    _accept(house, _open(house, content, **_page(1)), content)
    with pytest.raises(PageTaken):
        _open(house, JPEG + b"other", **_page(1))
    with pytest.raises(Malformed):
        _open(house, JPEG + b"other", **_page(2, of=3))
    other = JPEG + b"station"
    upload_id = house.begin(other, document=Page(PAPER, 1, 2, "别的"))
    number = _accept(house, upload_id, other).number
    with house.reading() as session:
        assert session.query(PaperPage).count() == 1
        assert item_by_number(session, number) is not None


def test_two_uploads_of_one_page_under_way_at_once_lose_neither_s_bytes(house):
    one, two = JPEG + b"one", JPEG + b"two"
    first, second = _open(house, one, **_page(1)), _open(house, two, **_page(1))
    kept, other = _accept(house, first, one).number, _accept(house, second, two).number
    with house.reading() as session:
        assert session.query(PaperPage).one().item_id == item_by_number(session, kept).id
        assert item_by_number(session, other) is not None


def test_a_document_put_together_twice_is_one_item_bound_as_its_pages_are(house):
    with house.writing() as session:
        case_id = case.open_case(session, number="1", title="案", subject="某店", by=house.person, now=NOW)
    content = JPEG + b"1"
    _accept(house, _open(house, content, case="1", stage="decision", **_page(1, of=1)), content)
    listed = b'{"pages":[]}'
    made = []
    for _ in range(2):
        with house.writing() as session:
            accepted = accession.assembled(
                session, paper_id=PAPER, digest=Digest.of(listed), size=len(listed), placed=Placed(Put.WRITTEN),
                agency="131102", zone=ZONE, now=NOW,
            )  # fmt: skip
            made.append(accepted.number)
    assert made[0] == made[1]
    with house.reading() as session:
        assert session.get(Paper, PAPER).item_id == item_by_number(session, made[0]).id
        assert made[0] in {each.number for each in case.timeline(session, case_id).bound}
        assert {job.kind for job in session.query(Job).filter(Job.item_id == session.get(Paper, PAPER).item_id)} == {
            "examine",
            "read_back",
        }


def test_a_wish_without_words_is_none(house):
    with house.reading() as session:
        assert intent.of_person(session, {"filename": b"a", "recorder": b"", "case": b""}) is None
    assert isinstance(house.person, PersonCaller)
