"""The flaw: a photo or PDF that is small on disk and endless in memory, or that is none, takes the worker down.

The flaw: a photo or PDF that is small on disk and endless in memory, or that is no such thing, takes the worker down.
is a finding, not a failure.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from archive.adapters import documents, photos
from archive.adapters.jail import Jail
from tests.media_files import media_file


@pytest.fixture(scope="module")
def jail() -> Jail:
    return Jail.probe()


def png(width: int, height: int, data: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_bomb_of_pixels_is_refused_before_it_is_decoded(jail: Jail, tmp_path: Path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(60_000, 60_000, zlib.compress(b"\0" * 10_000_000)))
    found = photos.look(jail, path, "png", tmp_path)
    assert [flaw.code for flaw in found.flaws] == ["image_too_large"]
    assert found.width is None


def test_half_a_photo_is_shown_and_called_truncated(jail: Jail, tmp_path: Path):
    whole = media_file("photo.jpg").read_bytes()
    path = tmp_path / "half.jpg"
    path.write_bytes(whole[: len(whole) // 2])
    found, _ = photos.draw(jail, path, "jpeg", tmp_path)
    assert [flaw.code for flaw in found.flaws] == ["image_truncated"]
    assert (found.width, found.height) == (640, 360)
    assert (tmp_path / "view.jpg").stat().st_size > 0


def test_bytes_that_are_no_picture_are_unreadable(jail: Jail, tmp_path: Path):
    path = tmp_path / "no.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + b"x" * 100)
    assert [flaw.code for flaw in photos.look(jail, path, "jpeg", tmp_path).flaws] == ["image_unreadable"]


def test_a_picture_is_opened_only_as_what_it_was_sniffed_to_be(jail: Jail, tmp_path: Path):
    path = tmp_path / "x.jpg"
    path.write_bytes(media_file("photo.png").read_bytes())
    assert photos.look(jail, path, "jpeg", tmp_path).flaws[0].code == "image_unreadable"


@pytest.mark.parametrize(
    "body", [b"%PDF-1.7\n", b"%PDF-1.7\n" + b"[" * 100_000, b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 1 0 R>>endobj"]
)
def test_a_pdf_that_is_none_is_unreadable_and_nothing_else(jail: Jail, tmp_path: Path, body: bytes):
    path = tmp_path / "x.pdf"
    path.write_bytes(body)
    found = documents.look(jail, path, "pdf", tmp_path)[0]
    assert found.pages == 0
    assert [flaw.code for flaw in found.flaws] == ["document_unreadable"]


def test_a_page_of_absurd_size_is_drawn_small(jail: Jail, tmp_path: Path):
    path = tmp_path / "wide.pdf"
    path.write_bytes(pdf(["[0 0 14400 3]", "[0 0 1 1]"]))
    found, _ = documents.look(jail, path, "pdf", tmp_path, first=True)
    assert found.pages == 2
    assert found.sizes[1] == (14_400_000, 3_000)
    assert (tmp_path / "page-0001.jpg").is_file()


def pdf(boxes: list[str]) -> bytes:
    """A PDF of empty pages with these media boxes."""
    kids = " ".join(f"{index + 3} 0 R" for index in range(len(boxes)))
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Count {len(boxes)}/Kids[{kids}]>>"]
    objects += [f"<</Type/Page/Parent 2 0 R/MediaBox{box}>>" for box in boxes]
    body, offsets = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj{text}endobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    start = len(body)
    count = len(objects) + 1
    return (
        body
        + f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer<</Size {count}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF".encode()
    )
