"""Scans of every size: pages as they come, one before its turn, tiles at full resolution, all in memory that does not grow with them."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from archive.actions import item as items
from archive.actions import jobs, page
from archive.actions.page import State
from archive.adapters import rendering, tiling
from archive.adapters.jail import Jail
from archive.core.digest import Digest
from archive.core.errors import NotFound
from archive.core.media import tiles
from tests import scans
from tests.media_files import Workshop, workshop
from workers import documents
from workers.handlers import HANDLERS
from workers.runner import run_next

GIB_IN_KIB = 1024 * 1024
MAKE = """
import pyvips, sys
source, target, form = sys.argv[1:]
picture = pyvips.Image.new_from_file(source, access="sequential")
if form == "jpeg":
    picture.jpegsave(target, Q=60)
else:
    picture.tiffsave(target, compression="ccittfax4", bitdepth=1)
"""


@pytest.fixture
def shop(tmp_path: Path):
    with workshop(tmp_path / "archive") as opened:
        yield opened


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page 35,000 pixels long in every form, written in rows; a program of its own makes them, so that ours holds none of it."""
    folder = tmp_path_factory.mktemp("huge")
    made = {
        "png": scans.wide_png(folder / "grey.png", 35_000, 4_000),
        "bits": scans.wide_png(folder / "bits.png", 4_000, 35_000, depth=1),
        "jpeg": folder / "grey.jpg",
        "tiff": folder / "bits.tif",
    }
    for source, form in (("png", "jpeg"), ("bits", "tiff")):
        subprocess.run([sys.executable, "-c", MAKE, str(made[source]), str(made[form]), form], check=True)
    return made


def run_lane(shop: Workshop, lane: str) -> None:
    while run_next(shop.resources, HANDLERS, lane=lane, owner=f"test:{lane}", stopping=lambda: False):
        pass


def ask(shop: Workshop, number: str, leaf: int, *, tiled: bool = False) -> page.Standing:
    with shop.resources.transaction() as session:
        return page.ask(session, items.find(session, number), leaf=leaf, tiled=tiled, now=shop.resources.now())


def pages(shop: Workshop, number: str) -> list[page.Page]:
    with shop.resources.reading() as session:
        return page.of(session, items.find(session, number))


def test_the_first_page_is_there_with_the_examination_and_any_page_can_be_had_before_its_turn(shop: Workshop, tmp_path: Path):
    number = shop.take_in(scans.book(tmp_path / "book.pdf", 300, size=(413, 585), distinct=3))
    run_lane(shop, "quick")
    listed = pages(shop, number)
    assert [one.page for one in listed] == list(range(1, 301))
    assert (listed[0].width, listed[0].height) == (2480, 3507)
    assert [one.state for one in listed] == [State.READY, *[State.WAITING] * 299]
    assert ask(shop, number, 200).state is State.WAITING
    run_lane(shop, "quick")
    assert [one.page for one in pages(shop, number) if one.state is State.READY] == [1, 200]
    assert ask(shop, number, 200).state is State.READY
    with pytest.raises(NotFound):
        ask(shop, number, 301)


def test_a_worker_that_stops_within_a_book_goes_on_where_it_was(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documents, "BATCH", 4)
    number = shop.take_in(scans.book(tmp_path / "book.pdf", 20, size=(413, 585), distinct=20))
    run_lane(shop, "quick")
    seen = iter([False] * 2)
    run_next(shop.resources, HANDLERS, lane="media", owner="first", stopping=lambda: next(seen, True))
    before = shop.renditions(number)
    drawn = {recipe for recipe in before if recipe.startswith("page-")}
    assert 5 <= len(drawn) < 20
    run_lane(shop, "media")
    after = shop.renditions(number)
    assert {recipe: after[recipe].made_at for recipe in before} == {recipe: view.made_at for recipe, view in before.items()}
    assert len([recipe for recipe in after if recipe.startswith("page-")]) == 20
    assert shop.jobs(number)["pages"].attempt == 1


def test_a_page_at_full_resolution_goes_before_the_rest_of_a_book(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(documents, "BATCH", 2)
    number = shop.take_in(scans.book(tmp_path / "book.pdf", 12, size=(413, 585), distinct=12))
    run_lane(shop, "quick")

    def working(resources, job, report):
        if job.attempt == 1 and "tiles-0002" not in shop.renditions(number):
            ask(shop, number, 2, tiled=True)
        return documents.pages(resources, job, report)

    handlers = {**HANDLERS, "pages": working}
    for _ in range(3):
        run_next(shop.resources, handlers, lane="media", owner="one", stopping=lambda: False)
    made = shop.renditions(number)
    assert made["tiles-0002"].made_at < made["page-0012"].made_at
    assert len([recipe for recipe in made if recipe.startswith("page-")]) == 12


def test_a_pages_tiles_show_what_the_page_shows(shop: Workshop, tmp_path: Path):
    number = shop.process(scans.book(tmp_path / "book.pdf", 1))
    assert ask(shop, number, 1, tiled=True).state is State.WAITING
    shop.work()
    held = shop.renditions(number)["tiles-0001"]
    width, height = held.provenance["width"], held.provenance["height"]
    assert (width, height) == (2480, 3507)
    raw = shop.content(number, "tiles-0001")
    with zipfile.ZipFile(io.BytesIO(raw)) as packed:  # any ZIP tool opens it
        assert packed.testzip() is None
        whole = Image.open(io.BytesIO(packed.read("tiles_files/0/0_0.jpg"))).convert("L").resize((40, 56))
    view = Image.open(io.BytesIO(shop.content(number, "page-0001"))).convert("L").resize((40, 56))
    assert max(abs(a - b) for a, b in zip(whole.tobytes(), view.tobytes(), strict=True)) < 12
    tile = cut(shop, number, (len(tiles.levels(width, height)) - 1, 1, 2))
    assert Image.open(io.BytesIO(tile)).size == (512, 512)
    with pytest.raises(NotFound):
        cut(shop, number, (9, 0, 0))


def cut(shop: Workshop, number: str, place: tiles.Place) -> bytes:
    held = shop.renditions(number)["tiles-0001"]
    width, height = held.provenance["width"], held.provenance["height"]
    return tiling.tile(
        shop.resources.store, held.key, held.digest, held.size, version="", width=width, height=height, place=place
    )


@pytest.mark.parametrize("form", ["png", "jpeg", "tiff"])
def test_a_page_of_35000_pixels_is_shown_in_far_less_than_a_gigabyte(huge: dict[str, Path], tmp_path: Path, form: str):
    jail = Jail.probe()
    made, _ = tiling.make(jail, huge[form], form, tmp_path, page=1, on_permille=lambda _: None)
    assert made.flaws == ()
    assert max(made.width, made.height) == 35_000
    with (tmp_path / tiling.NAME).open("rb", buffering=0) as file:
        tiling.hold_against_geometry(made, file)
    assert 0 < made.most_kib < GIB_IN_KIB // 4
    task = "pages" if form == "tiff" else "photo"
    lines, _ = rendering.render(jail, task, huge[form], form, tmp_path, draw=True, wanted="1", large=True)
    assert lines[-1]["most_kib"] < GIB_IN_KIB // 4
    with Image.open(tmp_path / ("page-0001.jpg" if form == "tiff" else "view.jpg")) as view:
        assert max(view.size) == 1600


def test_a_huge_photo_is_examined_and_drawn_like_any_other(shop: Workshop, tmp_path: Path):
    number = shop.process(scans.wide_png(tmp_path / "map.png", 8_000, 5_500))
    assert shop.item(number).technical["photo"]["width"] == 8_000
    assert Image.open(io.BytesIO(shop.content(number, "view"))).size == (1600, 1100)
    assert pages(shop, number)[0].tiled


def test_a_tiff_of_many_pages_and_packings_is_a_document(shop: Workshop, tmp_path: Path):
    sheets = [Image.new("1", (800, 1100), 1), Image.new("L", (640, 480), 90), Image.new("RGB", (300, 200), "navy")]
    path = tmp_path / "fax.tif"
    sheets[0].save(path, save_all=True, append_images=sheets[1:], compression="tiff_lzw")
    number = shop.process(path)
    found = shop.item(number)
    assert (found.kind.value, found.container, found.condition) == ("document", "tiff", "sound")
    assert [(one.width, one.height, one.state) for one in pages(shop, number)] == [
        (800, 1100, State.READY), (640, 480, State.READY), (300, 200, State.READY),
    ]  # fmt: skip
    for packing in ("group4", "jpeg"):
        sheet = Image.new("1" if packing == "group4" else "L", (2000, 2600), 1)
        sheet.save(path, compression=packing)
        number = shop.process(path)
        assert Image.open(io.BytesIO(shop.content(number, "page-0001"))).size == (1231, 1600)


def test_one_broken_page_of_a_tiff_is_told_and_the_others_are_shown(shop: Workshop, tmp_path: Path):
    good = bytes(100 * 13)
    path = scans.strip_tiff(tmp_path / "some.tif", [(100, 100, good), (100, 100, b"\0\1\2"), (100, 100, good)], compression=1)
    number = shop.process(path)
    states = [one.state for one in pages(shop, number)]
    assert states[0] is State.READY
    assert states[2] is State.READY
    assert states[1] in (State.READY, State.UNREADABLE)  # libtiff pads a strip that is too short, and says so


def test_a_bomb_of_pixels_is_a_finding_and_never_decoded(shop: Workshop, tmp_path: Path):
    strip = b"\0" * 64
    number = shop.process(scans.strip_tiff(tmp_path / "bomb.tif", [(100_000, 100_000, strip)], compression=4))
    found = shop.item(number)
    assert found.condition != "sound"
    assert "image_too_large" in [one["code"] for one in found.findings]
    assert pages(shop, number) == []


def test_an_ofd_is_kept_counted_and_not_drawn(shop: Workshop, tmp_path: Path):
    path = tmp_path / "decision.ofd"
    path.write_bytes(scans.packed_ofd(pages=5))
    number = shop.process(path)
    found = shop.item(number)
    assert (found.container, found.media_type, found.condition) == ("ofd", "application/ofd", "sound")
    assert found.technical["document"] == {"pages": 5, "points": False, "title": "行政处罚决定书"}
    assert shop.renditions(number) == {}
    assert pages(shop, number) == []


BILLION = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


def test_an_ofd_whose_xml_has_entities_is_not_read_further(shop: Workshop, tmp_path: Path):
    path = tmp_path / "billion.ofd"
    path.write_bytes(scans.packed_ofd(more=BILLION))
    found = shop.item(shop.process(path))
    assert [one["code"] for one in found.findings] == ["document_unreadable"]


def test_an_office_document_is_known_by_its_parts(shop: Workshop, tmp_path: Path):
    path = tmp_path / "record.docx"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        packed.writestr("word/document.xml", "<w/>")
    found = shop.item(shop.process(path))
    assert found.container == "office"
    assert found.media_type.endswith("wordprocessingml.document")
    assert found.condition == "sound"


def test_what_a_page_was_made_with_stands_beside_it(shop: Workshop, tmp_path: Path):
    number = shop.process(scans.book(tmp_path / "book.pdf", 2, size=(413, 585)))
    told = json.dumps(shop.renditions(number)["page-0002"].provenance)
    assert "pyvips-binary" in told
    assert "{original}" in told
    with shop.resources.reading() as session:
        found = items.find(session, number)
        assert jobs.of_item(session, found.id, found.sha256.hex)
        assert isinstance(found.sha256, Digest)


def test_a_page_at_which_the_tool_breaks_down_keeps_no_other_from_being_drawn(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The flaw: one page ends its renderer, every attempt ends at it, and the pages after it are never seen."""
    number = shop.take_in(scans.book(tmp_path / "book.pdf", 6, size=(413, 585)))
    run_lane(shop, "quick")
    child = tmp_path / "render_child.py"
    whole = Path(rendering.render_child.__file__).read_text("utf-8")
    child.write_text(
        whole.replace(
            "                page = document[number - 1]\n",
            "                assert number != 4\n                page = document[number - 1]\n",
        )
    )
    monkeypatch.setattr(rendering.render_child, "__file__", str(child))
    run_lane(shop, "media")
    assert [one.state for one in pages(shop, number)] == [*[State.READY] * 3, State.UNREADABLE, State.READY, State.READY]
    assert shop.jobs(number)["pages"].state == "done"


HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAAAERAAAEA"
    "AQAAAAABoQABAAAAAAAAABoAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmND"
    "AQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAA"
    "AAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAA"
    "Av////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAACJtZGF0AAAAFigBrxmA70mlv//yg+Ee7Eb761pj5uA="
)
"""64 × 48 pixels of dark blue as a telephone packs them; nothing here can make one."""


def test_a_telephones_photo_is_shown(shop: Workshop, tmp_path: Path):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(HEIC)
    number = shop.process(path)
    found = shop.item(number)
    assert (found.kind.value, found.container, found.condition) == ("photo", "heif", "sound")
    view = Image.open(io.BytesIO(shop.content(number, "view")))
    assert view.size == (64, 48)
    assert max(abs(a - b) for a, b in zip(view.getpixel((30, 20)), (0, 0, 128), strict=True)) < 12
    Image.new("RGB", (1800, 1200), "olive").save(path, "AVIF")
    number = shop.process(path)
    assert ask(shop, number, 1, tiled=True).state is State.WAITING
    shop.work()
    assert shop.renditions(number)["tiles-0001"].provenance["width"] == 1800


def test_half_of_a_huge_picture_is_shown_and_called_cut(shop: Workshop, tmp_path: Path):
    path = scans.wide_png(tmp_path / "map.png", 9_000, 5_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    number = shop.process(path)
    assert [one["code"] for one in shop.item(number).findings] == ["image_truncated"]
    assert Image.open(io.BytesIO(shop.content(number, "view"))).size == (1600, 889)
