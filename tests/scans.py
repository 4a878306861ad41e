"""Scans for tests and benches, written in rows and strips, so that making a huge one takes no more memory than opening one should."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterable

A4_AT_200 = (1654, 2339)


def sheet(size: tuple[int, int], number: int, *, quality: int = 75) -> bytes:
    """A grey page of print-like lines with its number on it, as JPEG."""
    picture = Image.new("L", size, 250)
    pen = ImageDraw.Draw(picture)
    for y in range(size[1] // 10, size[1] - size[1] // 10, 36):
        for x in range(size[0] // 10, size[0] - size[0] // 10, 23):
            pen.line((x, y, x + 5 + (x * y * (number + 1)) % 13, y + (x + number) % 17), fill=(x + y) % 90, width=3)
    pen.text((size[0] // 3, 20), f"page {number}", fill=0, font_size=max(12, size[1] // 20))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def book(path: Path, pages: int, *, size: tuple[int, int] = A4_AT_200, distinct: int | None = None) -> Path:
    """Write a PDF of image-only A4 pages, as a scanner does; `distinct` pages are different pictures, the others repeat them."""
    count = pages if distinct is None else distinct
    with path.open("wb") as file:
        offsets: list[int] = []

        def put(body: bytes) -> int:
            offsets.append(file.tell())
            file.write(b"%d 0 obj\n" % len(offsets) + body + b"\nendobj\n")
            return len(offsets)

        file.write(b"%PDF-1.4\n")
        images = [put(_image(size, sheet(size, number + 1))) for number in range(count)]
        contents = put(b"<</Length 31>>stream\nq 595.2 0 0 841.8 0 0 cm /I Do Q\nendstream")
        tree = len(offsets) + pages + 1
        for number in range(pages):
            put(
                b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 595.2 841.8]/Resources<</XObject<</I %d 0 R>>>>/Contents %d 0 R>>"
                % (tree, images[number % count], contents)
            )
        kids = b" ".join(b"%d 0 R" % page for page in range(contents + 1, contents + 1 + pages))
        put(b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, kids))
        root = put(b"<</Type/Catalog/Pages %d 0 R>>" % tree)
        start = file.tell()
        table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
        file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1) + table)
        file.write(b"trailer<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(offsets) + 1, root, start))
    return path


def _image(size: tuple[int, int], jpeg: bytes) -> bytes:
    head = (
        b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/DCTDecode/Length %d>>"
    )
    return head % (*size, len(jpeg)) + b"stream\n" + jpeg + b"\nendstream"


def wide_png(path: Path, width: int, height: int, *, depth: int = 8) -> Path:
    """Write a grey PNG row by row: bands of print with white between them."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    length = (width * depth + 7) // 8
    rows = [b"\0" + bytes(length - length % 61) + b"\xff" * (length % 61), b"\0" + b"\xff" * length]
    packer = zlib.compressobj(1)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)))
        for y in range(height):
            if body := packer.compress(rows[y // 97 % 2]):
                file.write(chunk(b"IDAT", body))
        file.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))
    return path


def strip_tiff(path: Path, pages: Iterable[tuple[int, int, bytes]], *, compression: int, bits: int = 1) -> Path:
    """Write a TIFF of pages that are one strip each: (width, height, the strip as it is compressed)."""
    with path.open("wb") as file:
        file.write(b"II*\0\0\0\0\0")
        link = 4
        for width, height, strip in pages:
            at = file.tell()
            file.write(strip + b"\0" * (len(strip) % 2))
            here = file.tell()
            entries = [
                (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, compression), (262, 3, 0 if bits == 1 else 1),
                (273, 4, at), (277, 3, 1), (278, 4, height), (279, 4, len(strip)),
            ]  # fmt: skip
            rows = b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in entries)
            file.write(struct.pack("<H", len(entries)) + rows + b"\0\0\0\0")
            file.seek(link)
            file.write(struct.pack("<L", here))
            file.seek(0, 2)
            link = here + 2 + 12 * len(entries)
    return path


def packed_ofd(*, title: str = "行政处罚决定书", pages: int = 3, more: str = "") -> bytes:
    """An OFD with as much in it as a reader of its outline needs (GB/T 33190-2016, 7)."""
    import zipfile  # noqa: PLC0415 - for this one form

    space = 'xmlns:ofd="http://www.ofdspec.org/2016"'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        info = f"<ofd:DocInfo><ofd:DocID>0</ofd:DocID><ofd:Title>{title}</ofd:Title></ofd:DocInfo>"
        body = f"<ofd:DocBody>{info}<ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot></ofd:DocBody>"
        packed.writestr("OFD.xml", f'<?xml version="1.0" encoding="UTF-8"?>{more}<ofd:OFD {space} Version="1.0">{body}</ofd:OFD>')
        listed = "".join(f'<ofd:Page ID="{page}" BaseLoc="Pages/Page_{page}/Content.xml"/>' for page in range(pages))
        packed.writestr("Doc_0/Document.xml", f"<ofd:Document {space}><ofd:Pages>{listed}</ofd:Pages></ofd:Document>")
    return out.getvalue()
