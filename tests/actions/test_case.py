"""Cases: opening, binding, and what stands on the timeline."""

import itertools

import pytest
from sqlalchemy import update

from archive.actions import case, custody, item, technical
from archive.core.accession import Kind
from archive.core.cases import Stage
from archive.core.digest import Digest
from archive.core.errors import AlreadyBound, CaseExists, Malformed, NotFound
from archive.core.instant import MINUTE, Instant, parse
from archive.core.media.sniff import Sniffed
from archive.records.items import Item
from tests.actions.conftest import NOW


def opened(house, number="桃市监罚〔2026〕114 号"):
    with house.writing() as session:
        return case.open_case(
            session, number=number, title="经营超过保质期食品案", subject="衡水某食品有限公司", by=house.person, now=NOW
        )


def bind(house, case_id, number, stage=Stage.INVESTIGATION, at=None):
    with house.writing() as session:
        return case.bind(session, case_id=case_id, number=number, stage=stage, at=at, by=house.person, now=NOW)


def test_a_number_is_taken_once(house):
    opened(house)
    for spelled in ("  桃市监罚〔2026〕114 号 ", "桃市监罚[2026]114号", "桃市监罚（２０２６）114号"):
        with pytest.raises(CaseExists) as refused:
            opened(house, number=spelled)
        assert refused.value.facts["number"] == "桃市监罚〔2026〕114 号"
    opened(house, number="桃市监罚〔2026〕115 号")


def test_a_case_is_found_by_its_number(house):
    case_id = opened(house)
    with house.reading() as session:
        assert case.by_number(session, " 桃市监罚〔2026〕114 号") == case_id
        assert case.by_number(session, "桃市监罚【2026】114号") == case_id
        with pytest.raises(NotFound):
            case.by_number(session, "桃市监罚")


def test_a_case_without_a_subject_is_refused(house):
    with pytest.raises(Malformed), house.writing() as session:
        case.open_case(session, number="1", title="t", subject="  ", by=house.person, now=NOW)


def test_an_item_is_bound_once_to_a_stage_and_may_serve_several_cases(house):
    first, second = opened(house, "1"), opened(house, "2")
    number = house.take_in(b"film").number
    bind(house, first, number)
    with pytest.raises(AlreadyBound):
        bind(house, first, number)
    bind(house, first, number, Stage.DECISION)
    bind(house, second, number)
    with house.reading() as session:
        assert [bound.case_number for bound in item.find(session, number).bindings] == ["1", "1", "2"]
        assert case.find(session, first).items == 1


def test_an_item_is_bound_by_the_number_that_pages_show(house):
    case_id, number = opened(house), house.take_in(b"film").number
    bind(house, case_id, f" {number.partition('-')[2].lower()} ")
    with house.reading() as session:
        assert [bound.case_id for bound in item.find(session, number).bindings] == [case_id]
    for nothing in ("LX-2026-99999999", "%-2026-00000001", number[-8:]):
        with pytest.raises(NotFound):
            bind(house, case_id, nothing)


def test_a_short_number_that_two_agencies_gave_means_neither(house):
    case_id, number = opened(house), house.take_in(b"film").number
    house.take_in(b"film 2")
    with house.writing() as session:
        session.execute(update(Item).where(Item.id == 2).values(number="999999" + number[6:]))
    with pytest.raises(NotFound):
        bind(house, case_id, number[7:])


def test_an_unbound_item_is_back_in_the_inbox_and_its_binding_is_on_record(house):
    case_id, number = opened(house), house.take_in(b"film").number
    binding = bind(house, case_id, number)
    with house.reading() as session:
        assert item.unbound_count(session) == 0
    with house.writing() as session:
        case.unbind(session, case_id=case_id, binding_id=binding, by=house.person, now=NOW)
    with house.reading() as session:
        assert item.unbound_count(session) == 1
        assert [event.kind.value for event in custody.of_item(session, 1)] == ["ingestion", "binding", "unbinding"]
    with pytest.raises(NotFound), house.writing() as session:
        case.unbind(session, case_id=case_id, binding_id=binding, by=house.person, now=NOW)


def test_recordings_stand_at_their_corrected_time_and_papers_at_the_time_on_them(house):
    case_id = opened(house)
    film = house.take_in(b"film").number
    unsure = house.take_in(b"film 2", clock_offset_us=None, recorder="DSJ-A1077").number
    paper = house.accept(
        house.begin(b"pdf", started_at=None, started_from=None), b"pdf", sniffed=Sniffed(Kind.DOCUMENT, "application/pdf", "pdf")
    )
    undated = house.accept(
        house.begin(b"p2", started_at=None, started_from=None), b"p2", sniffed=Sniffed(Kind.DOCUMENT, "application/pdf", "pdf")
    )
    for item_id in (1, 2):
        with house.writing() as session:
            technical.record(
                session, item_id=item_id, condition="sound", findings=[], technical={}, duration_us=10 * MINUTE, now=NOW
            )
    written = parse("2026-03-12T10:42:00+08:00")
    for number, at in ((film, None), (unsure, None), (paper.number, written), (undated.number, None)):
        bind(house, case_id, number, at=at)
    with house.reading() as session:
        drawn = case.timeline(session, case_id)
    assert [lane.recorder for lane in drawn.recorders] == ["DSJ-A1023", "DSJ-A1077"]
    bar = drawn.recorders[0].marks[0]
    assert bar.span.start == parse("2026-03-12T09:01:23+08:00")
    assert bar.span.length == 10 * MINUTE
    assert bar.bound.clock_verified
    assert not drawn.recorders[1].marks[0].bound.clock_verified
    assert [mark.span.start for mark in drawn.documents.marks] == [written]
    assert [each.number for each in drawn.undated] == [undated.number]
    assert any(stretch.folded for stretch in drawn.axis)


def test_an_empty_case_has_an_empty_timeline(house):
    case_id = opened(house)
    with house.reading() as session:
        drawn = case.timeline(session, case_id)
    assert (list(drawn.axis), list(drawn.recorders), list(drawn.bound)) == ([], [], [])
    with house.reading() as session, pytest.raises(NotFound):
        case.timeline(session, 99)


def test_the_media_s_own_start_is_used_only_where_the_station_knew_none(house):
    known, unknown = (
        house.take_in(b"a").number,
        house.take_in(b"b", started_at=None, started_from=None, clock_offset_us=None).number,
    )
    said = parse("2020-01-01T00:00:00Z")
    for item_id in (1, 2):
        with house.writing() as session:
            technical.record(session, item_id=item_id, condition="sound", findings=[], technical={}, started_at=said, now=NOW)
    with house.reading() as session:
        assert item.find(session, known).clock_started_at == parse("2026-03-12T09:01:20+08:00")
        assert (item.find(session, unknown).clock_started_at, item.find(session, unknown).started_from) == (said, "media")


class TestLists:
    """Filters, order and pages."""

    @pytest.fixture
    def many(self, house):
        for index in range(25):
            content = f"{index}".encode()
            began = Instant(parse("2026-03-12T00:00:00Z") + (index % 7) * MINUTE)
            upload_id = house.begin(content, started_at=began, clock_offset_us=None, officer="李娜" if index % 2 else "张伟")
            house.accept(upload_id, content, now=Instant(NOW + index // 3))
        return house

    def test_pages_show_everything_once_in_order(self, many):
        for sort, descending in itertools.product(item.Sort, (True, False)):
            seen, after = [], None
            with many.reading() as session:
                while True:
                    page = item.page(session, item.Filter(), sort=sort, descending=descending, after=after, limit=4)
                    assert page.total == 25
                    seen += page.rows
                    after = page.after
                    if after is None:
                        break
            assert len({row.number for row in seen}) == len(seen) == 25
            values = [{"stored": r.stored_at, "started": r.started_at, "size": r.size}[sort.value] for r in seen]
            assert values == sorted(values, reverse=descending), (sort, descending)

    def test_filters_narrow(self, many):
        with many.reading() as session:
            count = lambda **wanted: item.page(session, item.Filter(**wanted)).total  # noqa: E731 - reads as a count
            assert count(officer="李娜") == 12
            assert count(q="DSJ-A1023") == 25
            assert count(q="100%") == 0
            assert count(kind=Kind.PHOTO) == 0
            assert count(state="verified") == 0
            assert count(state="stored") == 25
            assert count(start=Instant(parse("2026-03-12T00:00:00Z") + 6 * MINUTE)) == 3
            assert count(end=parse("2026-03-12T00:01:00Z")) == 4
            assert item.choices(session) == (["DSJ-A1023"], ["张伟", "李娜"])

    def test_officers_and_recorders_are_found_by_a_part_in_either_case(self, many):
        with many.reading() as session:
            count = lambda **wanted: item.page(session, item.Filter(**wanted)).total  # noqa: E731 - reads as a count
            assert count(officer="李") == 12
            assert count(recorder="dsj-a10") == count(q="dsj-a10") == 25
            assert count(recorder="DSJ_A10") == 0

    def test_an_item_is_found_by_its_digest_as_pages_shorten_it(self, many):
        digest = Digest.of(b"7")
        with many.reading() as session:
            for q in (digest.hex, digest.hex[:8], digest.hex[:20].upper(), digest.short, digest.short.replace("…", "...")):
                assert [row.sha256 for row in item.page(session, item.Filter(q=q)).rows] == [digest], q
            for q in (digest.hex[:7], digest.hex[8:16], f"{digest.hex[:8]}…00000000", f"{digest.hex[:8]}…"):
                assert item.page(session, item.Filter(q=q)).total == 0, q

    def test_an_item_is_found_by_its_short_number_and_by_its_cases_subject(self, many):
        with many.reading() as session:
            first = item.page(session, item.Filter(), descending=False, limit=1).rows[0].number
            assert item.page(session, item.Filter(q=first.partition("-")[2].lower())).total == 1
            assert item.page(session, item.Filter(q="衡水某食品")).total == 0
        bind(many, opened(many), first)
        with many.reading() as session:
            assert [row.number for row in item.page(session, item.Filter(q="衡水某食品")).rows] == [first]
