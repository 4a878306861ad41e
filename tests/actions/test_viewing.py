"""A look is logged, whatever the clocks of web hosts say."""

from sqlalchemy import func, select

from archive.actions import viewing
from archive.core.custody import EventKind
from archive.core.instant import DAY, MINUTE, Instant
from archive.records.custody import CustodyEvent
from archive.records.items import Item
from tests.actions.conftest import NOW


def looked(house, caller, now):
    """Look at an item and return how many looks are logged by then."""
    with house.writing() as session:
        item_id = session.scalar(select(func.min(Item.id)))
        viewing.look(session, item_id=item_id, caller=caller, what="replay", now=Instant(now))
    with house.reading() as session:
        return session.scalar(select(func.count()).select_from(CustodyEvent).where(CustodyEvent.kind == EventKind.VIEWED.value))


def test_a_look_under_a_clock_that_is_ahead_hides_none_that_come_after_it(house):
    house.take_in(b"film")
    caller = house.person
    assert looked(house, caller, NOW + DAY) == 1
    assert looked(house, caller, NOW) == 2, "a day ahead: another look"
    assert looked(house, caller, NOW + MINUTE) == 2, "and that one goes on"
    assert looked(house, caller, NOW + MINUTE - MINUTE // 2) == 2, "hosts half a minute apart see one look"
