"""Page lists: one encoding, and nothing that is not one is read as one."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core import paper
from archive.core.accession import AccessionNumber, Kind
from archive.core.digest import Digest
from archive.core.errors import Malformed
from archive.core.manifest import MAX_PAGES, MAX_SIZE


def page(serial: int = 1, *, size: int = 10, media_type: str = "image/jpeg") -> paper.Page:
    return paper.Page(AccessionNumber("131102", Kind.DOCUMENT, 2026, serial), Digest.of(b"%d" % serial), size, media_type)


TITLES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200).filter(
    lambda text: text == text.strip() and text
)
PAGES = st.lists(st.integers(1, 99_999_999), min_size=1, max_size=8, unique=True).flatmap(
    lambda serials: st.tuples(*(st.builds(page, st.just(serial), size=st.integers(0, MAX_SIZE)) for serial in serials))
)


@given(st.builds(paper.Paper, TITLES, PAGES))
def test_a_page_list_decodes_to_what_was_encoded(listed: paper.Paper) -> None:
    assert paper.decode(listed.encode()) == listed
    assert listed.encode() == paper.decode(listed.encode()).encode()


def test_the_bytes_are_these() -> None:
    listed = paper.Paper("现场检查笔录", (page(2), page(1, media_type="image/tiff")))
    text = (
        '{"pages":['
        '{"media_type":"image/jpeg","number":"131102-WS-2026-00000002","page":1,"sha256":'
        '"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35","size":10},'
        '{"media_type":"image/tiff","number":"131102-WS-2026-00000001","page":2,"sha256":'
        '"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b","size":10}'
        '],"title":"现场检查笔录","type":"liuhen.paper","v":1}'
    )
    assert listed.encode().decode() == text
    assert hashlib.sha256(b"2").hexdigest() in text


def test_the_longest_list_is_read() -> None:
    listed = paper.Paper("长" * 200, tuple(page(serial, size=MAX_SIZE) for serial in range(1, MAX_PAGES + 1)))
    assert paper.decode(listed.encode()) == listed


def _changed(**fields: object) -> bytes:
    value = json.loads(paper.Paper("a", (page(1), page(2))).encode())
    return json.dumps(value | fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _page(**fields: object) -> dict[str, object]:
    return {**json.loads(paper.Paper("a", (page(1),)).encode())["pages"][0], **fields}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b" " + _changed(),
        _changed(type="liuhen.manifest"),
        _changed(v=2),
        _changed(v=True),
        _changed(more=1),
        _changed(title=""),
        _changed(title=" a"),
        _changed(title="a\nb"),
        _changed(title="a" * 201),
        _changed(title=1),
        _changed(pages=[]),
        _changed(pages={}),
        _changed(pages=["1"]),
        _changed(pages=[_page(page=2)]),
        _changed(pages=[_page(page=True)]),
        _changed(pages=[_page(), _page(page=3)]),
        _changed(pages=[_page(), _page(page=2)]),
        _changed(pages=[_page(number="131102-WS-2026-1")]),
        _changed(pages=[_page(number=1)]),
        _changed(pages=[_page(sha256="0" * 63)]),
        _changed(pages=[_page(size=-1)]),
        _changed(pages=[_page(size=True)]),
        _changed(pages=[_page(size="1")]),
        _changed(pages=[_page(media_type="text/html; <script>")]),
        _changed(pages=[_page(more=1)]),
        b"[" * 100_000,
        b"x" * (paper.MAX_ENCODED + 1),
    ],
)
def test_what_is_no_page_list_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        paper.decode(data)


def test_more_pages_than_a_document_has_are_refused() -> None:
    with pytest.raises(Malformed):
        paper.Paper("a", tuple(page(serial) for serial in range(1, MAX_PAGES + 2)))
