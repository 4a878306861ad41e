"""Files that no camera makes: boxes, chunks and headers written by hand so that they lie. Bytes in, bytes out; no tool is needed.

Each function makes one kind of lie, and only that, so that a test that uses it shows which safeguard answers.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

SCRIPT = "<script>alert('liuhen')</script>"
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta")


def box(name: bytes, *content: bytes) -> bytes:
    """An ISO media box (ISO/IEC 14496-12 4.2)."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """The boxes of a run of boxes, as name and content."""
    found, at = [], 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        size = size or len(data) - at
        found.append((name, data[at + 8 : at + size]))
        at += max(size, 8)
    return found


def rewritten(data: bytes, name: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The same boxes, with what `change` makes of the content of every box of this name, at any depth. Sizes follow; offsets do not."""
    made = []
    for each, content in boxes(data):
        inner = change(content) if each == name else rewritten(content, name, change) if each in CONTAINERS else content
        made.append(box(each, inner))
    return b"".join(made)


def with_box(data: bytes, inside: bytes, extra: bytes) -> bytes:
    """The same boxes, with one more at the end of every box named `inside`; a movie's index must come last, or its offsets are off."""
    return rewritten(data, inside, lambda content: content + extra)


# Lies of an MP4's tables.


def claims_a_huge_index(film: bytes) -> bytes:
    """An MP4 whose index says that it is 2 GB long."""
    at = film.index(b"moov")
    return film[: at - 4] + struct.pack(">I", 0x7FFFFFF0) + film[at:]


def counts_to_the_sky(film: bytes) -> bytes:
    """An MP4 whose sample tables count 2^32 - 1 entries each and hold a few."""

    def lie(content: bytes) -> bytes:
        return content[:4] + b"\xff\xff\xff\xff" + content[8:]

    for name in (b"stco", b"stsc", b"stts", b"ctts"):
        film = rewritten(film, name, lie)
    return rewritten(film, b"stsz", lambda content: content[:8] + b"\xff\xff\xff\xff" + content[12:])


def edits_in_circles(film: bytes) -> bytes:
    """An MP4 whose edit list plays the same second two thousand times over."""
    entry = struct.pack(">Iihh", 1000, 0, 1, 0)
    looped = box(b"edts", box(b"elst", struct.pack(">II", 0, 2000), entry * 2000))
    return with_box(film, b"trak", looped)


def without_a_timescale(film: bytes) -> bytes:
    """An MP4 whose tracks and movie count time in units of 1/0 second."""
    zero = b"\0\0\0\0"
    for name in (b"mvhd", b"mdhd"):
        film = rewritten(film, name, lambda content: content[:12] + zero + content[16:])
    return film


def lasting(film: bytes, *, each: int, timescale: int) -> bytes:
    """An MP4 each of whose pictures stands for `each` units of 1/`timescale` second: a thousand million a second, or one a year."""
    film = rewritten(film, b"mdhd", lambda content: content[:12] + struct.pack(">I", timescale) + content[16:])
    return rewritten(film, b"stts", lambda content: struct.pack(">III", 0, 1, 0x7FFFFFFF) + struct.pack(">I", each))


def before_its_own_beginning(film: bytes) -> bytes:
    """An MP4 whose pictures are shown up to twelve hours before they are decoded."""
    early = box(b"ctts", struct.pack(">IIIi", 0x01000000, 1, 50, -(2**29)))
    return with_box(film, b"stbl", early)


def of_many_tracks(film: bytes, count: int) -> bytes:
    """An MP4 whose first track is there `count` times."""

    def repeat(content: bytes) -> bytes:
        tracks = [box(name, inner) for name, inner in boxes(content) if name == b"trak"]
        rest = [box(name, inner) for name, inner in boxes(content) if name != b"trak"]
        return b"".join(rest) + tracks[0] * count

    return rewritten(film, b"moov", repeat)


def nested(depth: int) -> bytes:
    """An MP4 whose boxes lie one in another, `depth` deep."""
    total = 8 * depth
    inner = b"".join(struct.pack(">I4s", total - 8 * at, CONTAINERS[at % 5] if at else b"moov") for at in range(depth))
    return box(b"ftyp", b"isom\0\0\0\0isom") + inner + box(b"mdat", b"x" * 64)


def elsewhere(film: bytes, target: str) -> bytes:
    """A MOV whose media lie in another file, which an alias as QuickTime wrote them names as a neighbour; no bytes of its own."""
    path = target.encode()
    padded = path + b"\0" * (len(path) % 2)
    alias = b"\0" * 10 + b"\0" * 28 + b"\0" * 12 + b"\0" * 64 + b"\0" * 16 + struct.pack(">hh", 1, 1) + b"\0" * 16
    alias += struct.pack(">hH", 2, len(padded)) + padded + struct.pack(">hH", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    film = rewritten(film, b"dref", lambda _: struct.pack(">II", 0, 1) + entry)
    return b"".join(box(name, content) for name, content in boxes(film) if name != b"mdat")


def elsewhere_by_url(film: bytes, url: str) -> bytes:
    """An MP4 whose media lie at an address (ISO/IEC 14496-12 8.7.2, `url `)."""
    entry = box(b"url ", struct.pack(">I", 0), url.encode() + b"\0")
    film = rewritten(film, b"dref", lambda _: struct.pack(">II", 0, 1) + entry)
    return b"".join(box(name, content) for name, content in boxes(film) if name != b"mdat")


# Pictures that claim to be huge.


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", data or zlib.compress(b"\0" * 100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def wide_jpeg(photo: bytes, width: int = 65_500, height: int = 65_500) -> bytes:
    """A JPEG whose frame header says it is this large."""
    at = min(found for mark in (b"\xff\xc0\x00\x11\x08", b"\xff\xc2\x00\x11\x08") if (found := photo.find(mark)) >= 0) + 5
    return photo[:at] + struct.pack(">HH", height, width) + photo[at + 4 :]


def wide_tiff(width: int = 100_000, height: int = 100_000) -> bytes:
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, 100),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + b"\0" * 100


def wide_gif() -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HH", 65_535, 65_535)
        + b"\xf0\0\0"
        + b"\0" * 6
        + b",\0\0\0\0"
        + struct.pack("<HH", 65_535, 65_535)
        + b"\0\x02\x02D\x01\0;"
    )


def wide_webp() -> bytes:
    """An extended WebP whose canvas is 100,000 pixels a side."""
    canvas = (99_999).to_bytes(3, "little") * 2
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def golomb(value: int) -> str:
    """An unsigned Exp-Golomb code (ITU-T H.264 9.1) as bits."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def wide_h264(film: bytes, side: int = 16_384) -> bytes:
    """An MP4 whose H.264 says it has pictures of this side: box, sample entry and sequence parameters all agree."""
    macroblocks = side // 16 - 1
    # baseline, level 6.2, one reference picture, order type 2; frames only, no cropping, no VUI: ITU-T H.264 7.3.2.1.1
    said = golomb(0) + golomb(0) + golomb(2) + golomb(1) + "0" + golomb(macroblocks) * 2 + "1" + "1" + "0" + "0" + "1"
    said += "0" * (-len(said) % 8)
    payload = int(said, 2).to_bytes(len(said) // 8, "big")
    escaped = payload.replace(b"\0\0\0", b"\0\0\3\0")
    sps = b"\x67\x42\xc0\x3e" + escaped

    def entry(content: bytes) -> bytes:
        at = content.index(b"avcC")
        old = struct.unpack_from(">H", content, at + 10)[0]
        rest = content[at + 12 + old : at - 4 + struct.unpack_from(">I", content, at - 4)[0]]
        config = box(b"avcC", content[at + 4 : at + 10], struct.pack(">H", len(sps)), sps, rest)
        inner = content[16:40] + struct.pack(">HH", side, side) + content[44 : at - 4] + config
        return content[:8] + box(content[12:16], inner)

    return rewritten(film, b"stsd", entry)


def lying_avi(film: bytes, *, width: int = 30_000, height: int = 30_000, rate: int = 1_000_000_000) -> bytes:
    """An AVI whose headers lie about its pictures' size and rate."""
    data = bytearray(film)
    at = data.index(b"avih") + 8
    struct.pack_into("<I", data, at, 1)  # microseconds a frame
    struct.pack_into("<II", data, at + 32, width, height)
    at = data.index(b"strh") + 8
    struct.pack_into("<II", data, at + 20, 1, rate)
    at = data.index(b"strf") + 8
    struct.pack_into("<ii", data, at + 4, width, height)
    return bytes(data)


# Bombs in archives and documents.


def archive(entries: Sequence[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            made.writestr(name, content)
    return out.getvalue()


def ofd() -> bytes:
    """An OFD of one empty page (GB/T 33190-2016 7)."""
    space = b'xmlns:ofd="http://www.ofdspec.org/2016"'
    entry = (
        b"<ofd:DocInfo><ofd:Title>\xe7\xac\x94\xe5\xbd\x95</ofd:Title></ofd:DocInfo><ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot>"
    )
    page = b'<ofd:Pages><ofd:Page ID="1" BaseLoc="Pages/Page_0/Content.xml"/></ofd:Pages>'
    return archive(
        [
            ("OFD.xml", b'<ofd:OFD %b Version="1.0" DocType="OFD"><ofd:DocBody>%b</ofd:DocBody></ofd:OFD>' % (space, entry)),
            ("Doc_0/Document.xml", b"<ofd:Document %b>%b</ofd:Document>" % (space, page)),
            ("Doc_0/Pages/Page_0/Content.xml", b"<ofd:Page %b/>" % space),
        ]
    )


def nested_zip(first: str = "OFD.xml", depth: int = 5) -> bytes:
    """Ten copies of ten copies of … 10 MB of nothing: 10^5 times that, in a few kB."""
    inner = archive([("0", b"\0" * 10_000_000)])
    for _ in range(depth):
        inner = archive([(f"{index}.zip", inner) for index in range(10)])
    return archive([(first, b"<ofd/>"), ("inner.zip", inner)])


def overlapping_zip(first: str = "OFD.xml", count: int = 2000) -> bytes:
    """Every entry of the directory names the same compressed bytes, as in Fifield's bombs: 2,000 times 10 MB of one file of 10 kB."""
    made = archive([(first, b"\0" * 10_000_000)])
    at = made.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<I", made, at + 16)[0]
    entry = made[start:at]
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(entry) * count, start, 0)
    return made[:start] + entry * count + end


def locked_zip() -> bytes:
    """A ZIP whose one entry says it is encrypted."""
    data = bytearray(archive([("笔录.txt", b"x" * 100)]))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def pdf(objects: Sequence[bytes], *, trailer: bytes = b"") -> bytes:
    """A PDF of these objects; the first is the catalogue."""
    body, offsets = b"%PDF-1.7\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, text)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    end = b"xref\n0 %d\n0000000000 65535 f \n%btrailer<</Size %d/Root 1 0 R%b>>\nstartxref\n%d\n%%%%EOF"
    return body + end % (count, table, count, trailer, len(body))


def stream(dictionary: bytes, content: bytes) -> bytes:
    return b"<<%b/Length %d>>stream\n%b\nendstream" % (dictionary, len(content), content)


def _page(more: bytes = b"", size: bytes = b"[0 0 612 792]") -> bytes:
    return b"<</Type/Page/Parent 2 0 R/MediaBox%b%b>>" % (size, more)


_TREE = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 1/Kids[3 0 R]>>"]


def deflated(byte: int, count: int) -> bytes:
    """`count` times the same byte as a zlib stream (RFC 1950), made without compressing it all: one block, again and again."""
    block = 1_000_000
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = press.compress(bytes([byte]) * block) + press.flush(zlib.Z_FULL_FLUSH)
    count -= count % block
    low, high = (1 + byte * count) % 65521, (count + byte * (count * (count + 1) // 2)) % 65521
    return b"\x78\xda" + piece * (count // block) + b"\x03\0" + struct.pack(">I", high << 16 | low)


def inflating_pdf(size: int = 2_000_000_000) -> bytes:
    """A page whose content is two thousand million blanks, compressed twice over."""
    content = stream(b"/Filter[/FlateDecode/FlateDecode]", zlib.compress(deflated(0x20, size), 9))
    return pdf([*_TREE, _page(b"/Contents 4 0 R"), content])


def image_pdf(side: int = 60_000) -> bytes:
    """A page that shows one picture of this side, all black, in a few kB."""
    facts = b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8" % (side, side)
    picture = stream(facts + b"/Filter[/FlateDecode/FlateDecode]", zlib.compress(deflated(0, side * side), 9))
    shown = stream(b"", b"q 612 0 0 792 0 0 cm /I Do Q")
    return pdf([*_TREE, _page(b"/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>"), shown, picture])


def laughing_pdf(levels: int = 9) -> bytes:
    """A page that draws a form that draws ten forms that draw ten forms …"""
    page = _page(b"/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>")
    return pdf([*_TREE, page, stream(b"", b"/F Do"), *_forms(levels, 6)])


def laughing_book() -> bytes:
    """Three pages, of which the second is that one."""
    tree = b"<</Type/Pages/Count 3/Kids[3 0 R 4 0 R 3 0 R]>>"
    page = _page(b"/Contents 5 0 R/Resources<</XObject<</F 6 0 R>>>>")
    return pdf([_TREE[0], tree, _page(), page, stream(b"", b"/F Do"), *_forms(9, 7)])


def _forms(levels: int, following: int) -> list[bytes]:
    """Forms each of which draws the next ten times; `following` is the number of the second one."""
    facts = b"/Type/XObject/Subtype/Form/BBox[0 0 612 792]"
    drawn = [
        stream(facts + b"/Resources<</XObject<</F %d 0 R>>>>" % (following + level), b"/F Do " * 10) for level in range(levels)
    ]
    return [*drawn, stream(facts, b"0 0 600 700 re f " * 100)]


def circular_pdf() -> bytes:
    """A page tree of ten thousand pages that is its own grandchild."""
    return pdf(
        [_TREE[0], b"<</Type/Pages/Count 10000/Kids[3 0 R 2 0 R]>>", b"<</Type/Pages/Parent 2 0 R/Count 9999/Kids[2 0 R 3 0 R]>>"]
    )


def vast_pdf() -> bytes:
    """A page of a thousand kilometres a side, and one without a side."""
    sizes = [b"[0 0 2834645669 2834645669]", b"[0 0 0 0]", b"[0 0 1e38 -1e38]"]
    kids = b" ".join(b"%d 0 R" % (3 + at) for at in range(len(sizes)))
    return pdf([_TREE[0], b"<</Type/Pages/Count %d/Kids[%b]>>" % (len(sizes), kids), *(_page(size=size) for size in sizes)])


def titled_pdf(title: str) -> bytes:
    words = title.replace("(", "\\(").replace(")", "\\)").encode()
    return pdf([*_TREE, _page(), b"<</Title(%b)/Author(%b)>>" % (words, words)], trailer=b"/Info 4 0 R")


def locked_pdf() -> bytes:
    """A PDF that wants a password nobody has (ISO 32000-1 7.6)."""
    lock = b"<</Filter/Standard/V 1/R 2/P -4/O<%b>/U<%b>>>" % (b"ab" * 32, b"cd" * 32)
    return pdf([*_TREE, _page(), lock], trailer=b"/Encrypt 4 0 R/ID[<00><00>]")


# Matroska, by hand: an element is an id and a size of eight bytes (RFC 8794).


def ebml(name: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return bytes.fromhex(name) + (len(body) | 1 << 56).to_bytes(8, "big") + body


def matroska(tracks: int, *, info: bytes = b"") -> bytes:
    """A Matroska file of so many tracks of uncompressed sound, each with one block."""
    head = ebml("1A45DFA3", ebml("4282", b"matroska"), ebml("4287", b"\x04"), ebml("4285", b"\x02"))
    sound = ebml("E1", ebml("B5", struct.pack(">d", 8000.0)), ebml("9F", b"\x01"), ebml("6264", b"\x10"))
    entries = [
        ebml(
            "AE",
            ebml("D7", struct.pack(">H", at + 1)),
            ebml("73C5", struct.pack(">H", at + 1)),
            ebml("83", b"\x02"),
            ebml("86", b"A_PCM/INT/LIT"),
            sound,
        )
        for at in range(tracks)
    ]
    blocks = [ebml("A3", (at + 1 | 0x4000).to_bytes(2, "big"), b"\0\0\x80", b"\0\0" * 800) for at in range(min(tracks, 64))]
    facts = ebml("1549A966", ebml("2AD7B1", (1_000_000).to_bytes(4, "big")), info)
    return head + ebml("18538067", facts, ebml("1654AE6B", *entries), ebml("1F43B675", ebml("E7", b"\0"), *blocks))


def linked_matroska(neighbour: bytes) -> bytes:
    """A Matroska file that asks for another before and after it, by identity and by name (RFC 9559 17)."""
    links = ebml("3CB923", neighbour), ebml("3C83AB", b"other.mkv"), ebml("3EB923", neighbour), ebml("3E83BB", b"other.mkv")
    return matroska(1, info=b"".join(links))
