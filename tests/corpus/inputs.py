"""The corpus's files, by name: made by the ffmpeg at hand, by Pillow, or by hand; real ones come from TEST_SAMPLES.

All are tiny (a second or two, 160×120) and are made once for the session. What each is for, and what must become of it, stands in
`tests/corpus/table.py`.
"""

from __future__ import annotations

import functools
import io
import math
import struct
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.corpus import crafted
from tests.corpus.crafted import SCRIPT
from tests.media_files import AAC, H264, folder, made

SEEN = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25"]
HEARD = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
BOTH = [*SEEN, *HEARD, "-t", "2"]
ONE = ["-frames:v", "1", "-update", "1"]
UNEVEN = ["-vf", "setpts='if(lt(N,10),N/25,0.4+(N-10)/5)/TB'", "-fps_mode", "vfr", "-frames:v", "18"]

FFMPEG: dict[str, list[str]] = {
    "plain.mp4": [*BOTH, *H264, *AAC],
    "silent.mp4": [*SEEN, "-t", "2", *H264],
    "turned.mov": [*BOTH, *H264, *AAC, "-metadata:s:v:0", "rotate=90"],
    "uneven.mp4": [*SEEN, *UNEVEN, *H264],
    "uneven.mkv": [*SEEN, *UNEVEN, "-c:v", "mpeg4"],
    "fragments.mp4": [*BOTH, *H264, *AAC, "-movflags", "frag_keyframe+empty_moov+default_base_moof"],
    "alaw.mov": [*BOTH, *H264, "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"],
    "pcm.mov": [*BOTH, *H264, "-c:a", "pcm_s16le"],
    "ima.mov": [*BOTH, *H264, "-c:a", "adpcm_ima_qt", "-ac", "1"],
    "hevc.mp4": [*BOTH, "-c:v", "libx265", "-x265-params", "log-level=none", "-preset", "ultrafast", *AAC],
    "high422.mp4": [*SEEN, "-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv422p"],
    "mjpeg.avi": [*BOTH, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"],
    "adpcm.avi": [*BOTH, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "adpcm_ms"],
    "h264.avi": [*BOTH, *H264, "-bf", "0", "-c:a", "pcm_mulaw", "-ar", "8000"],
    "bframes.avi": [*BOTH, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "3", "-c:a", "libmp3lame"],
    "asp.avi": [*BOTH, "-c:v", "mpeg4", "-c:a", "mp3"],
    "h264.ts": [*BOTH, *H264, *AAC],
    "hevc.ts": [*BOTH, "-c:v", "libx265", "-x265-params", "log-level=none", "-preset", "ultrafast", *AAC],
    "blocks.m2ts": [*BOTH, *H264, *AAC, "-mpegts_m2ts_mode", "1", "-f", "mpegts"],
    "interlaced.ts": [*BOTH, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-top", "1", "-c:a", "mp2"],
    "program.mpg": [*BOTH, "-c:v", "mpeg2video", "-c:a", "mp2", "-f", "vob"],
    "h264.mkv": [*BOTH, *H264, *AAC],
    "two-views.mkv": [*BOTH, "-map", "0", "-map", "0", "-map", "1", *H264, *AAC],
    "archive-codec.mkv": [*SEEN, "-t", "1", "-c:v", "ffv1"],
    "vp8.webm": [*BOTH, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libvorbis"],
    "vp9.webm": [*BOTH, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"],
    "h264.flv": [*BOTH, *H264, "-c:a", "aac", "-ar", "44100"],
    "bare.h264": [*SEEN, "-t", "2", *H264, "-f", "h264"],
    "tone.wav": [*HEARD, "-t", "2", "-c:a", "pcm_s16le"],
    "alaw.wav": [*HEARD, "-t", "2", "-c:a", "pcm_alaw", "-ar", "8000"],
    "ima.wav": [*HEARD, "-t", "2", "-c:a", "adpcm_ima_wav"],
    "tone.mp3": [*HEARD, "-t", "2", "-c:a", "libmp3lame"],
    "tone.m4a": [*HEARD, "-t", "2", "-c:a", "aac"],
    "tone.aac": [*HEARD, "-t", "2", "-c:a", "aac"],
    "tone.flac": [*HEARD, "-t", "2", "-c:a", "flac"],
    "tone.ogg": [*HEARD, "-t", "2", "-c:a", "libvorbis"],
    "photo.jpg": ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=1", *ONE],
    "photo.webp": ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=1", *ONE],
    "moving.gif": [*SEEN, "-t", "0.4"],
}


def film(name: str = "plain.mp4") -> bytes:
    return input_file(name).read_bytes()


def cut(name: str, percent: int = 65) -> Callable[[], bytes]:
    """The first part of another input, as a recorder leaves it whose battery was pulled."""
    return lambda: (whole := input_file(name).read_bytes())[: len(whole) * percent // 100]


def drawn(mode: str, form: str, size: tuple[int, int] = (300, 200), *, pages: int = 1, **options: object) -> Callable[[], bytes]:
    def draw() -> bytes:
        out = io.BytesIO()
        leaves = [Image.linear_gradient("L").resize(size).rotate(index * 90).convert(mode) for index in range(pages)]
        more = {"save_all": True, "append_images": leaves[1:]} if pages > 1 else {}
        leaves[0].save(out, form, **more, **options)
        return out.getvalue()

    return draw


def turned_photo(**texts: str) -> bytes:
    picture = Image.new("RGB", (400, 200), "navy")
    exif = picture.getexif()
    exif[0x0112] = 6  # a quarter turn clockwise for display
    exif[0x010F], exif[0x0110] = texts.get("make", "Liuhen"), "DSJ-A1"
    exif[0x010E], exif[0x013B] = texts.get("title", "scene"), texts.get("artist", "officer")
    exif.get_ifd(0x8825).update({1: "N", 2: (39.0, 54.0, 15.12), 3: "E", 4: (116.0, 24.0, 26.64)})
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif)
    return out.getvalue()


def murmur() -> bytes:
    """AMR without an encoder: a hundred frames of 12.2 kbit/s, 20 ms each, that decode to a murmur (RFC 4867 5.3)."""
    return b"#!AMR\n" + b"".join(b"\x3c" + bytes((at * 37 + inner * 11) % 256 for inner in range(31)) for at in range(100))


def telephone() -> bytes:
    """A 3GP as old telephones made them: H.263 and AMR."""
    seen = ["-f", "lavfi", "-i", "testsrc2=size=176x144:rate=15"]
    sound = ["-i", str(input_file("speech.amr")), "-map", "0", "-map", "1", "-c:a", "copy", "-c:v", "h263"]
    return made("corpus-telephone.3gp", *seen, *sound, "-t", "2").read_bytes()


def told_in_html() -> bytes:
    tags = [word for key in ("title", "comment", "artist", "description") for word in ("-metadata", f"{key}={SCRIPT}")]
    track = ["-metadata:s:v:0", f"handler_name={SCRIPT}", "-metadata:s:a:0", f"handler_name={SCRIPT}"]
    return made("corpus-html.mp4", "-i", str(input_file("plain.mp4")), "-c", "copy", *tags, *track).read_bytes()


def subtitled(form: str) -> bytes:
    words = folder() / "corpus-words.srt"
    words.write_text(
        f"1\n00:00:00,000 --> 00:00:01,000\n{SCRIPT}\n\n2\n00:00:01,000 --> 00:00:02,000\n<img src=x onerror=alert(1)>\n"
    )
    kind, extra = ("mov_text", []) if form == "mp4" else ("srt", ["-attach", str(_font()), "-metadata:s:t", "mimetype=font/ttf"])
    options = ["-i", str(input_file("plain.mp4")), "-i", str(words), "-map", "0", "-map", "1", "-c", "copy", "-c:s", kind, *extra]
    return made(f"corpus-subtitled.{form}", *options).read_bytes()


def _font() -> Path:
    path = folder() / "corpus-font.ttf"
    path.write_bytes(b"\0\1\0\0" + b"font" * 5000)
    return path


def paged() -> bytes:
    return drawn("L", "PDF", pages=3)()


def playlist_in_avi() -> bytes:
    """An AVI with a subtitle chunk (GAB2) that is a playlist: how files were once read out through a video site's converter."""
    data = film("mjpeg.avi")
    words = b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    gab = b"GAB2\0\2\0" + struct.pack("<I", 2) + b"x\0" + b"\4\0" + struct.pack("<I", len(words)) + words
    text = b"LIST" + struct.pack("<I", 4 + 8 + 56 + 8 + 40) + b"strl" + b"strh" + struct.pack("<I", 56) + b"txts" + b"\0" * 16
    text += struct.pack("<II", 1, 25) + b"\0" * 28 + b"strf" + struct.pack("<I", 40) + b"\0" * 40
    at, head = data.index(b"LIST"), data.index(b"movi")
    size = struct.unpack_from("<I", data, at + 4)[0]
    header = data[at : at + 4] + struct.pack("<I", size + len(text)) + data[at + 8 : at + 8 + size] + text
    chunk = b"02tx" + struct.pack("<I", len(gab)) + gab + b"\0" * (len(gab) % 2)
    movi = struct.pack("<I", struct.unpack_from("<I", data, head - 4)[0] + len(chunk))
    body = data[at + 8 + size : head - 4] + movi + b"movi" + chunk + data[head + 4 :]
    made_of = data[8:at] + header + body
    return b"RIFF" + struct.pack("<I", len(made_of)) + made_of


def many_boxes() -> bytes:
    return crafted.box(b"ftyp", b"isom\0\0\0\0isom") + crafted.box(b"free") * 200_000 + film()[28:]


BYTES: dict[str, Callable[[], bytes]] = {
    "speech.amr": murmur,
    "telephone.3gp": telephone,
    "private.dav": lambda: b"DHAV" + bytes(range(256)) * 4,
    "photo.png": drawn("RGB", "PNG"),
    "deep.png": drawn("I;16", "PNG"),
    "print.jpg": drawn("CMYK", "JPEG"),
    "turned.jpg": turned_photo,
    "pages.tif": drawn("L", "TIFF", pages=3),
    "fax.tif": drawn("1", "TIFF", compression="group4"),
    "paper.pdf": paged,
    "locked.pdf": crafted.locked_pdf,
    "record.ofd": crafted.ofd,
    "letter.docx": lambda: crafted.archive([("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w/>")]),
    "old.doc": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512,
    "locked.zip": crafted.locked_zip,
    "notes.txt": "现场检查笔录:当事人在场。\n".encode,
    "notes-gbk.txt": lambda: "现场检查笔录,当事人在场。\n".encode("gb18030"),
    "page.html": f"<!doctype html><title>x</title>{SCRIPT}".encode,
    "drawing.svg": f"<svg xmlns='http://www.w3.org/2000/svg'>{SCRIPT}</svg>".encode,
    "noise.bin": lambda: bytes(int(128 + 127 * math.sin(at * at)) for at in range(5000)),
    "nothing.bin": lambda: b"",
    "tail.mp4": lambda: film() + b"\0" * 4096,
    "index-lost.mp4": lambda: film()[: film().index(b"moov") - 4],
    "playlist.mp4": lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat.mp4": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "dash.mp4": lambda: (
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>http://127.0.0.1/</BaseURL></MPD>'
    ),
    "session.mp4": lambda: (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ),
    "elsewhere.mov": lambda: crafted.elsewhere(film(), "/other.mov"),
    "address.mp4": lambda: crafted.elsewhere_by_url(film(), "http://127.0.0.1:9/other.mp4"),
    "playlist.avi": playlist_in_avi,
    "linked.mkv": lambda: crafted.linked_matroska(b"\1" * 16),
    "huge.png": lambda: crafted.png(100_000, 100_000),
    "huge.jpg": lambda: crafted.wide_jpeg(film("photo.jpg")),
    "huge.tif": crafted.wide_tiff,
    "huge.gif": crafted.wide_gif,
    "huge.webp": crafted.wide_webp,
    "huge.mp4": lambda: crafted.wide_h264(film("silent.mp4")),
    "large.mp4": lambda: crafted.wide_h264(film("silent.mp4"), 8192),
    "huge.avi": lambda: crafted.lying_avi(film("mjpeg.avi")),
    "tracks.mp4": lambda: crafted.of_many_tracks(film("silent.mp4"), 5000),
    "tracks-700.mp4": lambda: crafted.of_many_tracks(film("silent.mp4"), 700),
    "tracks.mkv": lambda: crafted.matroska(1000),
    "html.mp4": told_in_html,
    "html.jpg": lambda: turned_photo(make=SCRIPT, title=SCRIPT, artist=SCRIPT),
    "html.pdf": lambda: crafted.titled_pdf(SCRIPT),
    "subtitled.mp4": lambda: subtitled("mp4"),
    "subtitled.mkv": lambda: subtitled("mkv"),
    "polyglot.gif": lambda: film("moving.gif") + b"/*" + SCRIPT.encode() + b"*/=1;alert(1)",
    "polyglot.pdf": lambda: b"<html>" + SCRIPT.encode() + b"\n" + paged(),
    "index-2gb.mp4": lambda: crafted.claims_a_huge_index(film()),
    "counts.mp4": lambda: crafted.counts_to_the_sky(film()),
    "circles.mp4": lambda: crafted.edits_in_circles(film()),
    "no-scale.mp4": lambda: crafted.without_a_timescale(film()),
    "fast.mp4": lambda: crafted.lasting(film("silent.mp4"), each=1, timescale=1_000_000_000),
    "slow.mp4": lambda: crafted.lasting(film("silent.mp4"), each=31_536_000, timescale=1),
    "backwards.mp4": lambda: crafted.before_its_own_beginning(film("silent.mp4")),
    "nested.mp4": lambda: crafted.nested(10_000),
    "boxes.mp4": many_boxes,
    "nested.zip": lambda: crafted.nested_zip("a.txt"),
    "bomb.ofd": crafted.nested_zip,
    "overlap.docx": lambda: crafted.overlapping_zip("[Content_Types].xml"),
    "header.pdf": lambda: b"%PDF-1.7\n",
    "inflating.pdf": crafted.inflating_pdf,
    "image.pdf": crafted.image_pdf,
    "laughing.pdf": crafted.laughing_pdf,
    "circular.pdf": crafted.circular_pdf,
    "vast.pdf": crafted.vast_pdf,
    **{
        f"cut-{name}": cut(name)
        for name in ("plain.mp4", "fragments.mp4", "alaw.mov", "h264.ts", "mjpeg.avi", "h264.mkv", "vp8.webm")
    },
    **{
        f"cut-{name}": cut(name)
        for name in ("h264.flv", "program.mpg", "tone.wav", "tone.mp3", "tone.flac", "tone.ogg", "speech.amr")
    },
    **{
        f"cut-{name}": cut(name)
        for name in ("photo.jpg", "photo.png", "pages.tif", "moving.gif", "photo.webp", "paper.pdf", "record.ofd")
    },
}


@functools.cache
def input_file(name: str) -> Path:
    """Return an input, made on first asking; it must not be changed."""
    if name in FFMPEG:
        return made(f"corpus-{name}", *FFMPEG[name])
    path = folder() / f"corpus-{name}"
    path.write_bytes(BYTES[name]())
    return path
