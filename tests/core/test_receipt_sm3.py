"""Receipts with SM3 beside SHA-256, and those of the first release, which have none."""

import pytest

from archive.core.accession import AccessionNumber
from archive.core.digest import Digest
from archive.core.errors import Malformed
from archive.core.instant import Instant
from archive.core.receipt import Receipt

FIRST = (
    '{"number":"131102-LX-2026-00000001","sha256":"' + "a" * 64 + '","size":7,"station":"dock-1",'
    '"stored_at":"2026-03-12T04:04:51.000000Z","verified_at":"2026-03-12T04:04:52.000000Z"}\n'
)


def test_a_receipt_of_the_first_release_is_read_and_written_as_it_was():
    assert Receipt.parse(FIRST).sm3 is None
    assert Receipt.parse(FIRST).text() == FIRST


def test_a_receipt_with_sm3_comes_back_as_it_was():
    number = AccessionNumber.parse("131102-LX-2026-00000001")
    made = Receipt(number, Digest("a" * 64), 7, None, Instant(1), Instant(2), "b" * 64)
    assert Receipt.parse(made.text()) == made


@pytest.mark.parametrize("sm3", ['"sm3":null,', '"sm3":"B",', '"sm3":7,', '"sm4":"' + "b" * 64 + '",'])
def test_a_false_sm3_or_another_field_is_no_receipt(sm3):
    with pytest.raises(Malformed):
        Receipt.parse(FIRST.replace('"station"', sm3 + '"station"'))
