"""SM3 in the read-back: reckoned from the store where the agency asks for it, and on the receipt."""

import pytest

from archive.actions import fixity, item
from archive.sm3 import Sm3
from tests.media_files import media_file, workshop
from workers.handlers import HANDLERS
from workers.runner import run_next


@pytest.mark.parametrize("asked", [False, True])
def test_the_read_back_reckons_sm3_where_the_agency_asks_for_it(tmp_path, asked):
    source = media_file("photo.jpg")
    running = Sm3()
    running.update(source.read_bytes())
    with workshop(tmp_path / "data", sm3=asked) as shop:
        number = shop.take_in(source)
        run_next(shop.resources, HANDLERS, lane="verify", owner="test", stopping=lambda: False)
        with shop.resources.reading() as session:
            found, receipt = item.find(session, number), fixity.receipt(session, number=number)
    assert found.verdict == "intact"
    assert found.sm3 == receipt.sm3 == (running.hexdigest() if asked else None)
