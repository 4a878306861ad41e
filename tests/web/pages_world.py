"""An archive with something of every kind in it, for tests of pages: real files, taken in with signed manifests, worked on by real jobs.

Built once for a whole run, whatever number of processes it has; every test module has a copy. What a test changes (bindings, cases of its
own) must not disturb the others of its module.
"""

from __future__ import annotations

import fcntl
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageDraw

from archive.actions import accession, case, person, station, upload
from archive.adapters import signing
from archive.core.access import PersonCaller, StationCaller
from archive.core.cases import Stage
from archive.core.digest import Digest, original_key
from archive.core.instant import SECOND, Instant, parse
from archive.core.manifest import Carrier, Manifest, signing_bytes
from archive.core.media.sniff import sniff
from archive.ports import Placed, Put
from archive.resources import Resources, opened
from archive.settings import Settings
from archive.web.app import create_app
from tests import services
from tests.media_files import AAC, H264, made, media_file
from tests.serving import served
from workers.handlers import HANDLERS
from workers.runner import run_next

PASSWORD = "an office password"
AGENCY = "桃城区市场监督管理局"
LONG_NAME = "DCIM/100MEDIA/DSJ-A1090_现场检查录像名称写得很长很长以便看出列表里省略号是否照常出现而不把表格撑破_0007.MP4"


@dataclass
class World:
    """The archive, its address, and the numbers of what is in it."""

    resources: Resources
    url: str = ""
    case_id: int = 0
    numbers: dict[str, str] = field(default_factory=dict)

    session: str = ""

    @contextmanager
    def client(self, language: str = "zh-CN", *, anew: bool = False) -> Iterator[httpx.Client]:
        """Give a signed-in client; all share one session but those that ask for one anew, because a sign-in is slow on purpose."""
        with httpx.Client(base_url=self.url, headers={"Origin": self.url}, trust_env=False, follow_redirects=True) as client:
            client.cookies.set("liuhen_language", language)
            if anew or not self.session:
                answer = client.post("/sign-in", data={"login": "admin", "password": PASSWORD})
                assert answer.status_code == httpx.codes.OK
                self.session = self.session or client.cookies["liuhen_session"]
            else:
                client.cookies.set("liuhen_session", self.session)
            yield client


@cache
def clip() -> Path:
    """Twelve seconds, 25 frames a second, each frame its own colour and number; three seconds of silence from the fourth on."""
    picture = "testsrc2=size=320x180:rate=25:duration=12"
    sound = "sine=frequency=440:sample_rate=48000:duration=12,volume='if(between(t,4,8),0,1)':eval=frame"
    return made("pages-clip.mp4", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *H264, *AAC, "-shortest")


@cache
def paper() -> bytes:
    """A scanned record of two pages as PDF."""
    sheets = []
    for number in (1, 2):
        sheet = Image.new("RGB", (420, 594), "white")
        ImageDraw.Draw(sheet).text((40, 40), f"page {number}", fill="black")
        sheets.append(sheet)
    out = io.BytesIO()
    sheets[0].save(out, "PDF", save_all=True, append_images=sheets[1:])
    return out.getvalue()


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Copy the archive to `folder` and serve it."""
    template = _template()
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("run"), dirs_exist_ok=True)
    with opened(_settings(folder)) as resources:
        built = World(resources, **json.loads((template.with_suffix(".json")).read_text("utf-8")))
        with served(create_app(resources)) as url:
            built.url = url
            yield built


def _settings(folder: Path) -> Settings:
    return Settings(data_dir=folder, agency="131102", agency_name=AGENCY, worker=False)


def _template() -> Path:
    """Return the run's one archive that others are copied from, built and its jobs worked off by whoever needs it first."""
    template = services.directory() / "pages-world"
    known = template.with_suffix(".json")
    with template.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            shutil.rmtree(template, ignore_errors=True)
            template.mkdir()
            with opened(_settings(template)) as resources:
                built = World(resources)
                _fill(built)
            known.write_text(json.dumps({"numbers": built.numbers, "case_id": built.case_id}), "utf-8")
    return template


def work(resources: Resources) -> None:
    """Run every job that is due, and those they promise."""
    lanes = ("quick", "verify", "media", "heavy")
    while any(run_next(resources, HANDLERS, lane=lane, owner=f"test:{lane}", stopping=lambda: False) for lane in lanes):
        pass


class Intake:
    """A station that takes files in without the detour over HTTP."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._key = Ed25519PrivateKey.generate()
        self._count = 0
        self._public = self._key.public_key().public_bytes_raw()
        with resources.transaction() as session:
            station.enrol(session, name="dock-2", public_key=self._public, by="operator", now=resources.now())
        self._caller = StationCaller(1, "dock-2", self._public)

    def take(self, content: bytes, name: str, *, started: str | None = None, offset: int | None = 0, **facts: str) -> str:
        """Take bytes in under a signed manifest and return the number."""
        self._count += 1
        resources, upload_id, now = self._resources, f"{self._count:032x}", self._resources.now()
        digest = Digest.of(content)
        manifest = Manifest(
            station="dock-2",
            name=name,
            sha256=digest,
            size=len(content),
            recorder=facts.get("recorder"),
            officer=facts.get("officer"),
            sequence=self._count,
            started_at=None if started is None else parse(f"{started}+08:00"),
            started_from=None if started is None else "name",
            clock_offset_us=offset if started is not None else None,
            clock_offset_from=None if started is None or offset is None else "given",
            carrier=Carrier("TF 卡", "0x5a31f0c2", "volume"),
            modified=now,
            station_clock=now,
        ).encode()
        metadata = {"manifest": manifest, "signature": self._key.sign(signing_bytes(manifest)), "filename": name.encode()}
        with resources.transaction() as session:
            upload.create(
                session,
                upload_id=upload_id,
                caller=self._caller,
                length=len(content),
                metadata=metadata,
                verify=signing.verify,
                now=now,
                expires_at=Instant(now + 3600 * SECOND),
            )
        path = resources.settings.data_dir / "scratch" / upload_id
        path.write_bytes(content)
        placed = resources.store.put(original_key(digest), path, digest)
        path.unlink()
        with resources.transaction() as session:
            return accession.accept(
                session,
                upload_id=upload_id,
                digest=digest,
                size=len(content),
                placed=placed,
                sniffed=sniff(content),
                agency=resources.settings.agency,
                zone=resources.settings.tz,
                now=now,
            ).number


def _fill(built: World) -> None:
    resources, now = built.resources, built.resources.now()
    with resources.transaction() as session:
        password = signing.hash_password(PASSWORD)
        person.bootstrap(session, login="admin", name="王敏", password_hash=password, now=now)
    intake, film = Intake(resources), clip().read_bytes()
    numbers = built.numbers
    mine = {"recorder": "DSJ-A1023", "officer": "张伟"}
    hers = {"recorder": "DSJ-A1077", "officer": "李娜"}
    plain = media_file("plain.mp4").read_bytes()
    numbers["film"] = intake.take(film, "DCIM/DSJ-A1023_000231.MP4", started="2026-03-12T09:01:23", offset=-3_000_000, **mine)
    numbers["later"] = intake.take(plain, "DCIM/DSJ-A1023_000240.MP4", started="2026-03-14T14:30:15", offset=-3_000_000, **mine)
    numbers["unclocked"] = intake.take(plain, "DCIM/DSJ-A1077_000236.MP4", started="2026-03-12T09:01:28", offset=None, **hers)
    numbers["old"] = intake.take(media_file("mjpeg.avi").read_bytes(), LONG_NAME, started="2026-03-15T10:00:00", **hers)
    numbers["sound"] = intake.take(media_file("tone.mp3").read_bytes(), "VOICE/0001.MP3", started="2026-03-15T11:00:00", **hers)
    numbers["photo"] = intake.take(
        media_file("photo.jpg").read_bytes(), "DCIM/IMG_0012.JPG", started="2026-03-12T09:10:00", **mine
    )
    numbers["paper"] = intake.take(paper(), "扫描件/现场检查笔录.pdf")
    numbers["damaged"] = intake.take(film[: len(film) // 2], "DCIM/DSJ-A1023_000259.MP4", started="2026-03-15T09:00:00", **mine)
    numbers["unknown"] = intake.take(b"\x00\x01 a maker's own form \x02" * 500, "DCIM/PRIVATE.DAV")
    work(resources)
    numbers["waiting"] = intake.take(film + b"\x00\x00\x00\x08free", "DCIM/DSJ-A1023_000270.MP4", **mine)
    me = PersonCaller(1, "admin", "王敏")
    with resources.transaction() as session:
        built.case_id = case.open_case(
            session, number="桃市监罚〔2026〕114号", title="经营超过保质期食品案", subject="衡水某食品有限公司", by=me, now=now
        )
        bound = [("film", None), ("later", None), ("unclocked", None), ("photo", None), ("paper", "2026-03-12T09:20:00")]
        for name, at in bound:
            written = None if at is None else parse(f"{at}+08:00")
            case.bind(session, case_id=built.case_id, number=numbers[name], stage=Stage.INVESTIGATION, at=written, by=me, now=now)
        upload.create(
            session,
            upload_id="e" * 32,
            caller=me,
            length=1000,
            metadata={"filename": "坏件.MP4".encode(), "sha256": Digest.of(b"declared").hex.encode()},
            verify=signing.verify,
            now=now,
            expires_at=Instant(now + 3600 * SECOND),
        )
        accession.quarantine(
            session,
            upload_id="e" * 32,
            declared=Digest.of(b"declared"),
            actual=Digest.of(b"came"),
            size=1000,
            placed=Placed(Put.WRITTEN),
            now=now,
        )
        upload.create(
            session,
            upload_id="f" * 32,
            caller=me,
            length=4_000_000_000,
            metadata={"filename": b"DSJ-A1023_000271.MP4"},
            verify=signing.verify,
            now=now,
            expires_at=Instant(now + 3600 * SECOND),
        )
