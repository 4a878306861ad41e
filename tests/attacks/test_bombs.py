"""The flaw: a few kilobytes that become gigabytes (archives in archives, entries that overlap, streams that inflate, forms that draw forms,
headers that claim a hundred thousand pixels a side) take the worker's memory, or its day.

Safeguards: sizes are judged before anything is decoded (`archive.adapters.render_child`); whatever opens them has less than a gigabyte of
memory that is its own (`Limits.memory`) and its processor time counted; a tool that breaks down three times makes a finding, and the item
is marked (`workers.media.examine`). Without `Limits.memory` the forms that draw forms took 1.5 GiB.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import update

from archive.records.jobs import Job
from tests.corpus import crafted
from tests.corpus.inputs import input_file
from tests.corpus.watching import MIB, Watch
from tests.media_files import Workshop, workshop

BOMBS = {
    "nested.zip": "unrecognised",
    "bomb.ofd": None,
    "overlap.docx": None,
    "inflating.pdf": None,
    "image.pdf": None,
    "laughing.pdf": None,
    "circular.pdf": "damaged",
    "vast.pdf": None,
    "header.pdf": "damaged",
    "huge.png": None,
    "huge.jpg": None,
    "huge.tif": None,
    "huge.gif": None,
    "huge.webp": None,
    "huge.mp4": "damaged",
    "large.mp4": "unrecognised",
    "huge.avi": None,
}


def patiently(shop: Workshop, path: Path) -> str:
    """Take a file in and work until nothing is left, retries at once."""
    number = shop.process(path)
    for _ in range(3):
        with shop.resources.transaction() as session:
            session.execute(update(Job).where(Job.state == "waiting").values(run_after=shop.resources.now()))
        shop.work()
    return number


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory):
    with workshop(tmp_path_factory.mktemp("bombs") / "data") as opened:
        yield opened


SLOW = {"laughing.pdf", "image.pdf", "huge.avi"}  # each a few seconds of a processor; in make soak


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.soak] if name in SLOW else []) for name in BOMBS])
def test_a_bomb_gets_a_verdict_and_no_memory(shop: Workshop, name: str):
    path = input_file(name)
    started = time.monotonic()
    with Watch() as watch:
        number = patiently(shop, path)
    found = shop.item(number)
    assert found.condition in ({BOMBS[name]} if BOMBS[name] else {"sound", "damaged", "unrecognised"}), found.findings
    assert found.condition == "sound" or found.findings or found.technical["plan"]["reason"] in ("document", "pictures_too_large")
    assert "examine" in shop.jobs(number)
    assert shop.jobs(number)["examine"].state == "done"
    assert max(watch.peaks.values()) < 1024 * MIB, watch.peaks
    assert time.monotonic() - started < 90
    assert sum(view.size for view in shop.renditions(number).values()) < 8 * MIB


def test_ten_thousand_findings_are_fifty_and_a_count(shop: Workshop):
    found = shop.item(patiently(shop, input_file("circular.pdf")))
    assert len(found.findings) <= 51
    assert found.findings[-1]["code"] == "more_findings" or len(found.findings) < 51


def test_one_page_that_is_a_bomb_keeps_no_other_from_being_shown(shop: Workshop, tmp_path: Path):
    """A book of three pages whose second draws forms that draw forms: the others are drawn, and the finding names it."""
    path = tmp_path / "book.pdf"
    path.write_bytes(crafted.laughing_book())
    number = patiently(shop, path)
    found = shop.item(number)
    assert set(shop.renditions(number)) == {"page-0001", "thumb-0001", "page-0003", "thumb-0003"}
    assert (found.condition, found.findings) == ("damaged", [{"code": "page_unreadable", "facts": {"page": "2"}}])


def test_the_bombs_are_bombs():
    """Small on disk, large inside: what is defused elsewhere is real here."""
    assert len(crafted.nested_zip()) < 10_000
    assert len(crafted.inflating_pdf()) < 10_000
    assert len(crafted.deflated(0, 2_000_000_000)) < 3_000_000
    import zlib  # noqa: PLC0415 - wanted by this test alone

    assert zlib.decompress(crafted.deflated(0x20, 20_000_000)) == b" " * 20_000_000
