"""What SQLite's one writer made safe is safe with many: each claim is raced on PostgreSQL by two transactions on two connections.

The first does its part, writes all of it, and holds still just before its commit, until the second waits for it or has gone past it. So
whoever looks without waiting looks too early, every time.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import func, select, text

from archive.actions import (
    accession,
    case,
    concatenation,
    custody,
    fixity,
    jobs,
    person,
    release,
    rule,
    station,
    technical,
    upload,
    viewing,
)
from archive.adapters import signing
from archive.core.accession import Kind
from archive.core.cases import Stage
from archive.core.custody import EventKind, flaws
from archive.core.digest import Digest
from archive.core.errors import AlreadyBound, CaseExists, HostGone, LiuhenError, NonceSpent, NotFound, StationExists, UploadGone
from archive.core.instant import DAY, HOUR, Instant
from archive.core.manifest import Page
from archive.core.media.sniff import Sniffed
from archive.core.release import SHIPPED
from archive.core.tus import Concat
from archive.ports import Placed, Put
from archive.records.custody import CustodyEvent
from archive.records.items import Item, Rendition, StoredObject, Viewing
from archive.records.jobs import Job
from archive.records.papers import Paper
from archive.records.people import Person
from archive.records.releases import Release
from archive.records.session import at_last, reading, writing
from archive.records.uploads import Upload
from tests.actions.conftest import NOW, SHANGHAI, House, publish_rendition, settled, sign

LATER = Instant(NOW + HOUR)
NEXT_YEAR = Instant(NOW + 366 * DAY)
PDF = Sniffed(Kind.DOCUMENT, "application/pdf", "pdf")


class Undone(Exception):
    """The first of two changes its mind at the last moment."""


@dataclass
class Race:
    """Two transactions at once, the second while the first has written everything and committed nothing."""

    house: House
    answers: dict[str, Any] = field(default_factory=dict)

    def run(self, first, second, *, undo: bool = False) -> tuple[Any, Any]:
        """Return what each answered or was refused with, the first's then the second's."""
        standing_still, go_on = threading.Event(), threading.Event()

        def hold_still():
            standing_still.set()
            assert go_on.wait(30)
            if undo:
                raise Undone

        def do(name, work, at_end):
            try:
                with writing(self.house.engine) as session:
                    self.answers[name] = work(session)
                    if at_end:
                        session.flush()
                        at_last(session, at_end)
            except (LiuhenError, Undone) as why:
                self.answers[name] = why

        threads = [
            threading.Thread(target=do, args=("first", first, hold_still)),
            threading.Thread(target=do, args=("second", second, None)),
        ]
        threads[0].start()
        assert standing_still.wait(30), self.answers
        threads[1].start()
        while threads[1].is_alive() and not self._waits():
            time.sleep(0.002)
        go_on.set()
        for thread in threads:
            thread.join(30)
        return self.answers.get("first"), self.answers.get("second")

    def _waits(self) -> bool:
        with self.house.engine.connect() as connection:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            return bool(connection.execute(text(waiting)).scalar())


@pytest.fixture
def house(on_postgresql) -> House:
    return settled(on_postgresql)


@pytest.fixture
def race(house) -> Race:
    return Race(house)


def count(house, table, *where) -> int:
    with reading(house.engine) as session:
        return session.scalar(select(func.count()).select_from(table).where(*where)) or 0


def events(house, kind: EventKind) -> int:
    return count(house, CustodyEvent, CustodyEvent.kind == kind.value)


def taking(upload_id: str, content: bytes, *, now: Instant = NOW):
    """Take an upload in; two that are taken in at one turn of the year do not meet at the counter of numbers."""

    def take(session):
        return accession.accept(
            session,
            upload_id=upload_id,
            digest=Digest.of(content),
            size=len(content),
            placed=Placed(Put.WRITTEN, ""),
            sniffed=PDF,
            agency="131102",
            zone=SHANGHAI,
            now=now,
        )

    return take


def opening(house, upload_id: str, content: bytes, *, caller=None, metadata=None, concat=None, host="", gone=(), **facts):
    signed = house.manifest(content, **facts)
    if metadata is None:
        metadata = {"manifest": signed.encode(), "signature": sign(signed.signing_bytes())}

    def create(session):
        return upload.create(
            session,
            upload_id=upload_id,
            caller=caller or house.station,
            length=len(content),
            metadata=metadata,
            verify=signing.verify,
            now=NOW,
            expires_at=LATER,
            concat=concat,
            host=host,
            gone=gone,
        )

    return create


def item_id(house, number: str) -> int:
    with reading(house.engine) as session:
        return session.scalars(select(Item.id).where(Item.number == number)).one()


def test_the_chain_has_every_event_once_and_in_one_line(race):
    def tell(subject):
        return lambda session: custody.record(
            session, kind=EventKind.SIGNED_IN, at=NOW, actor="a", subject=subject, facts={"who": subject}
        )

    race.run(tell("one"), tell("other"))
    with reading(race.house.engine) as session:
        chain = list(custody.chain(session))
    assert flaws(chain) == []
    assert sum('"subject":"one"' in link.body or '"subject":"other"' in link.body for link in chain) == 2


@pytest.mark.parametrize("undo", [False, True])
def test_numbers_are_taken_once_and_one_that_is_undone_leaves_no_gap(race, undo):
    ids = [race.house.begin(content) for content in (b"one", b"other")]
    _, second = race.run(taking(ids[0], b"one"), taking(ids[1], b"other"), undo=undo)
    assert second.number.endswith("1" if undo else "2")
    assert count(race.house, Item) == (1 if undo else 2)


def test_of_two_accessions_of_the_same_bytes_the_second_names_the_first(race):
    ids = [race.house.begin(b"same") for _ in range(2)]
    first, second = race.run(taking(ids[0], b"same"), taking(ids[1], b"same", now=NEXT_YEAR))
    assert (first.same_bytes_as, second.same_bytes_as) == (None, first.number)
    assert count(race.house, StoredObject) == 1


def test_an_upload_finished_twice_is_one_item_and_both_hear_its_number(race):
    upload_id = race.house.begin(b"one")
    first, second = race.run(taking(upload_id, b"one"), taking(upload_id, b"one"))
    assert first == second
    assert (count(race.house, Item), events(race.house, EventKind.STORED)) == (1, 1)


def test_an_upload_that_is_being_taken_in_is_neither_ended_nor_given_up(race):
    for way in (upload.terminate, lambda session, upload_id, *, now: upload.expire(session, now=Instant(LATER + 10**13))):
        upload_id = race.house.begin(f"{way}".encode())
        _, second = race.run(
            taking(upload_id, f"{way}".encode()), lambda session, way=way, upload_id=upload_id: way(session, upload_id, now=NOW)
        )
        assert second == [] or isinstance(second, UploadGone)
    assert count(race.house, Upload, Upload.state == "stored") == 2


def test_a_signed_manifest_that_comes_twice_opens_one_upload(race):
    first, second = race.run(opening(race.house, "a" * 32, b"one"), opening(race.house, "b" * 32, b"one"))
    assert first == second == "a" * 32
    assert count(race.house, Upload) == 1


def test_what_a_host_that_came_back_takes_in_is_not_opened_anew(race):
    one, other = "a" * 32, "b" * 32
    with writing(race.house.engine) as session:
        opening(race.house, one, b"one", host="away")(session)
    _, second = race.run(taking(one, b"one"), opening(race.house, other, b"one", gone=("away",)))
    assert second == one
    assert count(race.house, Upload) == 1


def test_what_a_host_that_is_gone_held_ends_when_it_is_opened_anew(race):
    one, other = "a" * 32, "b" * 32
    with writing(race.house.engine) as session:
        opening(race.house, one, b"one", host="away")(session)
    with writing(race.house.engine) as session:
        assert opening(race.house, other, b"one", gone=("away",))(session) == other
    assert count(race.house, Upload, Upload.id == one, Upload.state == "expired", Upload.refusal == HostGone.code) == 1


def test_parts_go_to_one_final_upload(race):
    me, parts = race.house.person, ["c" * 32, "d" * 32]
    for part in parts:
        with writing(race.house.engine) as session:
            opening(race.house, part, b"12", caller=me, metadata={}, concat=Concat.PARTIAL)(session)

    def final(upload_id):
        return lambda session: concatenation.create(
            session,
            upload_id=upload_id,
            caller=me,
            parts=[f"/api/v1/uploads/{part}" for part in parts],
            sizes=dict.fromkeys(parts, 2),
            metadata={"filename": b"x.mp4"},
            verify=signing.verify,
            maximum=100,
            now=NOW,
            expires_at=LATER,
        )

    first, second = race.run(final("e" * 32), final("f" * 32))
    assert first == second == "e" * 32


def page(number: int) -> Page:
    return Page(id="7" * 32, page=number, of=2, title="询问笔录")


def test_the_last_two_pages_of_a_document_at_once_make_it_whole_once(race):
    for number in (1, 2):
        with writing(race.house.engine) as session:
            opening(race.house, f"page{number}", f"page {number}".encode(), document=page(number))(session)
    race.run(taking("page1", b"page 1"), taking("page2", b"page 2", now=NEXT_YEAR))
    assert count(race.house, Job, Job.kind == "assemble") == 1


def test_a_document_whose_pages_come_at_once_is_opened_once(race):
    first, second = race.run(
        opening(race.house, "page1", b"page 1", document=page(1)), opening(race.house, "page2", b"page 2", document=page(2))
    )
    assert (first, second) == ("page1", "page2")
    assert count(race.house, Paper) == 1


def test_the_first_account_is_made_once(race):
    with writing(race.house.engine) as session:
        session.delete(session.get(Person, 1))

    def first(session):
        return person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=NOW)

    assert race.run(first, first) == (True, False)


def test_a_case_number_is_given_once_in_whatever_spelling(race):
    def opened(number):
        return lambda session: case.open_case(session, number=number, title="t", subject="s", by=race.house.person, now=NOW)

    _, second = race.run(opened("桃市监罚〔2026〕1 号"), opened("桃市监罚[2026]1号"))
    assert isinstance(second, CaseExists)


def test_an_item_is_bound_once_and_unbound_once(race):
    number = race.house.take_in(b"film").number
    with writing(race.house.engine) as session:
        case_id = case.open_case(session, number="1", title="t", subject="s", by=race.house.person, now=NOW)

    def bind(session):
        return case.bind(session, case_id=case_id, number=number, stage=Stage.OPENING, at=None, by=race.house.person, now=NOW)

    binding, second = race.run(bind, bind)
    assert isinstance(second, AlreadyBound)

    def unbind(session):
        case.unbind(session, case_id=case_id, binding_id=binding, by=race.house.person, now=NOW)

    _, second = race.run(unbind, unbind)
    assert isinstance(second, NotFound)
    assert (events(race.house, EventKind.BOUND), events(race.house, EventKind.UNBOUND)) == (1, 1)


def test_leave_is_given_once_and_a_removal_told_twice_is_one_event(race):
    manifest = race.house.manifest(b"film")
    accepted = race.house.take_in(b"film", sequence=manifest.sequence + 1)
    signed = race.house.manifest(b"film", sequence=1)
    own = release.Signed(signed.encode(), sign(signed.signing_bytes()))
    with writing(race.house.engine) as session:
        session.execute(text("UPDATE items SET verified_at = 1, condition = 'sound'"))
        session.execute(text("UPDATE objects SET verdict = 'intact'"))
    given = {"number": accepted.number, "signed": own, "caller": race.house.station, "verify": signing.verify, "now": NOW}

    def ask(session):
        return release.ask(session, **given).state

    def tell(session):
        return release.report(session, **given, kept=None).state

    assert race.run(ask, ask) == ("granted", "granted")
    assert race.run(tell, tell) == ("done", "done")
    assert (count(race.house, Release), events(race.house, EventKind.RELEASED)) == (1, 1)


def test_each_version_of_a_rule_has_a_number_of_its_own(race):
    def setting(**facts):
        from dataclasses import replace  # noqa: PLC0415 - for these two rules alone

        return lambda session: rule.set_carrier(session, rule=replace(SHIPPED, **facts), by="operator", now=NOW).version

    assert race.run(setting(basis="one"), setting(basis="other")) == (1, 2)


def test_requests_of_one_replay_are_one_viewing(race):
    number = race.house.take_in(b"film").number
    found = item_id(race.house, number)

    def look(session):
        viewing.look(session, item_id=found, caller=race.house.person, what="replay", now=NOW)

    race.run(look, look)
    assert (count(race.house, Viewing), events(race.house, EventKind.VIEWED)) == (1, 1)


def test_what_two_jobs_find_out_about_the_same_bytes_is_all_there(race):
    number = race.house.take_in(b"film").number
    digest = Digest.of(b"film")
    race.run(
        lambda session: technical.merge(session, sha256=digest, facts={"one": 1}),
        lambda session: technical.merge(session, sha256=digest, facts={"other": 2}),
    )
    race.run(
        lambda session: technical.found(session, sha256=digest, code="one"),
        lambda session: technical.found(session, sha256=digest, code="other"),
    )
    with reading(race.house.engine) as session:
        row = session.scalars(select(Item).where(Item.number == number)).one()
        assert (row.technical, [each["code"] for each in row.findings]) == ({"one": 1, "other": 2}, ["one", "other"])


def test_a_rendition_made_twice_at_once_is_there_once(race):
    race.house.take_in(b"film")

    def publish(session):
        publish_rendition(session, of=b"film", recipe="page-0001", content=b"page")

    assert race.run(publish, publish) == (None, None)
    assert (count(race.house, Rendition), events(race.house, EventKind.RENDITION)) == (1, 1)


def test_the_same_work_promised_twice_at_once_is_promised_once(race):
    found = item_id(race.house, race.house.take_in(b"film").number)

    def promise(session):
        return jobs.enqueue(session, kind="page", item_id=found, sha256=Digest.of(b"film").hex, payload={"page": 3}, now=NOW)

    assert race.run(promise, promise) == (True, False)


def test_of_two_read_backs_of_the_same_bytes_the_second_knows_what_the_first_found(race):
    numbers = [race.house.take_in(b"film").number, race.house.take_in(b"film").number]
    ids = [item_id(race.house, number) for number in numbers]

    def read_back(found, sm3):
        return lambda session: fixity.record(
            session, item_id=found, verdict=fixity.Verdict.INTACT, leaves=[Digest.of(b"film")], now=NOW, sm3=sm3
        )

    assert race.run(read_back(ids[0], "1" * 64), read_back(ids[1], "2" * 64)) == (fixity.Verdict.INTACT, fixity.Verdict.ALTERED)


def test_a_station_s_name_and_a_nonce_are_used_once(race):
    def enrol(session):
        station.enrol(session, name="dock-2", public_key=race.house.station.public_key, by="operator", now=NOW)

    assert isinstance(race.run(enrol, enrol)[1], StationExists)
    with writing(race.house.engine) as session:
        station.give_nonce(session, name="dock-1", nonce="n", now=NOW)

    def prove(token):
        return lambda session: station.give_token(
            session,
            name="dock-1",
            nonce="n",
            signature=sign(station.signed_by_station("dock-1", "n")),
            verify=signing.verify,
            token=token,
            now=NOW,
        )

    assert isinstance(race.run(prove("one"), prove("other"))[1], NonceSpent)
