"""Small media files for tests, made by the ffmpeg at hand and kept for the session, and a workshop in which real jobs run over them.

The files are synthetic, a second or two long and tiny, so that making and working on them is quick; real cameras' files come through
TEST_SAMPLES.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive import resources
from archive.actions import accession, jobs, person, upload
from archive.actions import item as items
from archive.actions.rendition import RenditionView
from archive.actions.rendition import of as renditions_of
from archive.adapters import signing
from archive.core.access import PersonCaller
from archive.core.digest import Digest, original_key
from archive.core.media.sniff import sniff
from archive.records.migrations import upgrade
from archive.records.session import open_sqlite
from archive.settings import Settings
from workers.handlers import HANDLERS
from workers.runner import run_next

PICTURE = "testsrc2=size=192x108:rate=25"
SOUND = "sine=frequency=440:sample_rate=48000"
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10"]
AAC = ["-c:a", "aac"]
BOTH = ["-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND, "-t", "2"]

RECIPES: dict[str, list[str]] = {
    "plain.mp4": [*BOTH, *H264, *AAC],
    "silent.mp4": ["-f", "lavfi", "-i", PICTURE, "-t", "2", *H264],
    "pcm.mov": [*BOTH, *H264, "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"],
    "h264.avi": [*BOTH, *H264, "-bf", "0", "-c:a", "pcm_s16le"],
    "bframes.avi": [*BOTH, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "3", "-c:a", "libmp3lame"],
    "bare.h264": ["-f", "lavfi", "-i", PICTURE, "-t", "2", *H264, "-f", "h264"],
    "h264.ts": [*BOTH, *H264, *AAC],
    "h264.mkv": [*BOTH, *H264, *AAC],
    "mjpeg.avi": [*BOTH, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"],
    "hevc.mp4": [*BOTH, "-c:v", "libx265", "-x265-params", "log-level=none", "-preset", "ultrafast", *AAC],
    "asp.avi": [*BOTH, "-c:v", "mpeg4", "-c:a", "mp3"],
    "interlaced.ts": [*BOTH, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-top", "1", "-c:a", "mp2"],
    "undecoded.mkv": [*BOTH, "-map", "0", "-map", "1", "-map", "0", *H264, *AAC, "-c:v:1", "ffv1"],
    "one-key.mp4": ["-f", "lavfi", "-i", PICTURE, "-t", "6", *H264, "-g", "1000", "-keyint_min", "1000", "-sc_threshold", "0"],
    "alaw.wav": ["-f", "lavfi", "-i", SOUND, "-t", "2", "-c:a", "pcm_alaw", "-ar", "8000"],
    "tone.wav": ["-f", "lavfi", "-i", SOUND, "-t", "2", "-c:a", "pcm_s16le"],
    "tone.mp3": ["-f", "lavfi", "-i", SOUND, "-t", "2", "-c:a", "libmp3lame"],
    "photo.jpg": ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=1", "-frames:v", "1", "-update", "1"],
    "photo.png": ["-f", "lavfi", "-i", "testsrc2=size=400x300:rate=1", "-frames:v", "1", "-update", "1"],
}


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="liuhen-media-")


def folder() -> Path:
    """Return where made files are kept until the session ends."""
    return Path(_folder().name)


@functools.cache
def media_file(name: str) -> Path:
    """Return a file of `RECIPES`, made on first asking; it must not be changed."""
    if (
        name == "speech.amr"
    ):  # no encoder at hand: a hundred frames of 12.2 kbit/s, 20 ms each, that decode to a murmur (RFC 4867, 5.3)
        path = Path(_folder().name) / name
        path.write_bytes(
            b"#!AMR\n" + b"".join(b"\x3c" + bytes((index * 37 + at * 11) % 256 for at in range(31)) for index in range(100))
        )
        return path
    return made(name, *RECIPES[name])


def made(name: str, *options: str) -> Path:
    """Make a file with ffmpeg's own command line and return it."""
    path = Path(_folder().name) / name
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *options, str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


class Workshop:
    """An archive without a web process: takes files in and runs their jobs, all with the real store, queue and tools."""

    def __init__(self, held: resources.Resources, caller: PersonCaller) -> None:
        self.resources = held
        self.caller = caller
        self._count = 0

    def take_in(self, path: Path) -> str:
        """Store a file, make the accession, return its number."""
        self._count += 1
        content, upload_id, now = path.read_bytes(), f"{self._count:032x}", self.resources.now()
        digest = Digest.of(content)
        placed = self.resources.store.put(original_key(digest), _copied(path, self.resources), digest)
        with self.resources.transaction() as session:
            upload.create(
                session,
                upload_id=upload_id,
                caller=self.caller,
                length=len(content),
                metadata={"filename": path.name.encode()},
                verify=signing.verify,
                now=now,
                expires_at=now,
            )
        with self.resources.transaction() as session:
            done = accession.accept(
                session,
                upload_id=upload_id,
                digest=digest,
                size=len(content),
                placed=placed,
                sniffed=sniff(content),
                agency=self.resources.settings.agency,
                zone=self.resources.settings.tz,
                now=now,
            )
        return done.number

    def work(self) -> None:
        """Run every job there is, and those they promise, until none is due."""
        while any(
            run_next(self.resources, HANDLERS, lane=lane, owner=f"test:{lane}", stopping=lambda: False)
            for lane in ("quick", "verify", "media", "heavy")
        ):
            pass

    def process(self, path: Path) -> str:
        """Take a file in and do all its work."""
        number = self.take_in(path)
        self.work()
        return number

    def item(self, number: str) -> items.ItemView:
        with self.resources.reading() as session:
            return items.find(session, number)

    def renditions(self, number: str) -> dict[str, RenditionView]:
        sha256 = self.item(number).sha256
        with self.resources.reading() as session:
            return {view.recipe: view for view in renditions_of(session, sha256)}

    def content(self, number: str, recipe: str) -> bytes:
        view = self.renditions(number)[recipe]
        data = b"".join(self.resources.store.read(view.key, 0, view.size))
        assert Digest.of(data) == view.digest
        return data

    def jobs(self, number: str) -> dict[str, jobs.JobView]:
        found = self.item(number)
        with self.resources.reading() as session:
            views = jobs.of_item(session, found.id, found.sha256.hex)
        return {f"{view.kind}:{view.payload.get('recipe', '')}".rstrip(":"): view for view in views}


@contextmanager
def workshop(folder: Path, **settings: object) -> Iterator[Workshop]:
    """Open an empty archive under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "liuhen.db").exists():
        shutil.copy(_migrated(), folder / "liuhen.db")
    with resources.opened(Settings(data_dir=folder, agency="131102", **settings)) as held:
        with held.transaction() as session:
            person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=held.now())
        yield Workshop(held, PersonCaller(1, "admin", "管理员"))


@functools.cache
def _migrated() -> Path:
    """An empty database to copy: to make one takes a fifth of a second."""
    path = folder() / "liuhen.db"
    engine = open_sqlite(path)
    upgrade(engine)
    engine.dispose()
    return path


def _copied(path: Path, held: resources.Resources) -> Path:
    copy = held.settings.data_dir / "scratch" / f"taken-{path.name}"
    copy.unlink(missing_ok=True)
    copy.write_bytes(path.read_bytes())
    return copy
