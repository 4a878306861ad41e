"""Papers and photos become pages and previews."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from archive.core.instant import parse
from tests.media_files import Workshop, workshop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory):
    with workshop(tmp_path_factory.mktemp("archive")) as opened:
        yield opened


def test_every_page_of_a_pdf_gets_a_picture_and_a_thumbnail(shop: Workshop, tmp_path: Path):
    sheets = [Image.new("RGB", (1240, 1754), colour) for colour in ("white", "lightgrey")]
    path = tmp_path / "record.pdf"
    sheets[0].save(path, "PDF", save_all=True, append_images=sheets[1:], resolution=150)
    number = shop.process(path)
    found = shop.item(number)
    assert (found.kind.value, found.condition) == ("document", "sound")
    assert found.technical["document"]["pages"] == 2
    assert set(shop.renditions(number)) == {"page-0001", "page-0002", "thumb-0001", "thumb-0002"}
    page = Image.open(io.BytesIO(shop.content(number, "page-0002")))
    thumb = Image.open(io.BytesIO(shop.content(number, "thumb-0001")))
    assert (max(page.size), max(thumb.size)) == (1600, 240)
    told = shop.renditions(number)["page-0001"].provenance
    assert told["page"] == 1
    assert "pypdfium2" in told["tool"]
    assert "{original}" in json.dumps(told)


def test_a_scanned_book_from_elsewhere_becomes_six_pages(shop: Workshop, samples: Path):
    number = shop.process(samples / "multipage.pdf")
    assert {recipe for recipe in shop.renditions(number) if recipe.startswith("page-")} == {f"page-{n:04d}" for n in range(1, 7)}


def test_a_pdf_that_cannot_be_read_is_kept_and_called_damaged(shop: Workshop, tmp_path: Path):
    path = tmp_path / "broken.pdf"
    path.write_bytes(b"%PDF-1.7\nnothing more")
    number = shop.process(path)
    found = shop.item(number)
    assert found.condition == "damaged"
    assert [finding["code"] for finding in found.findings] == ["document_unreadable"]
    assert set(shop.jobs(number)) == {"examine", "read_back"}


def test_a_photo_stands_upright_says_when_and_where_and_carries_no_exif(shop: Workshop, tmp_path: Path):
    picture = Image.new("RGB", (400, 200), "navy")
    exif = picture.getexif()
    exif[0x0112] = 6  # turned a quarter clockwise for display
    exif[0x010F], exif[0x0110] = "Liuhen", "DSJ-A1"
    exif.get_ifd(0x8769).update({0x9003: "2026:03:12 09:05:07", 0x9011: "+08:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (39.0, 54.0, 15.12), 3: "E", 4: (116.0, 24.0, 26.64)})
    path = tmp_path / "scene.jpg"
    picture.save(path, exif=exif)
    number = shop.process(path)
    found = shop.item(number)
    assert found.clock_started_at == parse("2026-03-12T09:05:07+08:00")
    photo = found.technical["photo"]
    assert (photo["width"], photo["height"], photo["orientation"], photo["camera"]) == (200, 400, 6, "Liuhen DSJ-A1")
    assert photo["location"] == {"latitude": 39_904_200, "longitude": 116_407_400, "altitude_mm": None}
    view = Image.open(io.BytesIO(shop.content(number, "view")))
    assert view.size == (200, 400)
    assert dict(view.getexif()) == {}


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "I;16", "1", "CMYK"])
def test_pictures_of_every_mode_can_be_shown(shop: Workshop, tmp_path: Path, mode: str):
    path = tmp_path / (f"{mode.replace(';', '')}.jpg" if mode == "CMYK" else f"{mode.replace(';', '')}.png")
    Image.new("L", (300, 20), 200).convert(mode).save(path)
    number = shop.process(path)
    view = Image.open(io.BytesIO(shop.content(number, "view")))
    assert view.size == (300, 20)


def test_a_text_is_kept_and_not_worked_on(shop: Workshop, tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("现场检查笔录")
    number = shop.process(path)
    assert shop.item(number).condition == "unrecognised"
    assert shop.renditions(number) == {}
