"""Real databases for the actions: SQLite and PostgreSQL, not doubles. What asks for `house` is told of both."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from archive.actions import accession, person, rendition, station, upload
from archive.actions.accession import Accepted
from archive.adapters import signing
from archive.core.access import PersonCaller, StationCaller
from archive.core.accession import Kind
from archive.core.digest import Digest
from archive.core.instant import Instant, parse
from archive.core.manifest import Carrier, Manifest
from archive.core.media.sniff import Sniffed
from archive.ports import Placed, Put
from archive.records.base import Base
from archive.records.migrations import upgrade
from archive.records.postgresql import open_postgresql
from archive.records.session import open_sqlite, reading, writing
from tests import services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

NOW = parse("2026-03-12T04:00:00Z")
SHANGHAI = ZoneInfo("Asia/Shanghai")
MP4 = Sniffed(Kind.RECORDING, "video/mp4", "mov")
SEED = bytes(range(32))


@dataclass
class House:
    """A database with one station and one person, and short words for what tests do with them."""

    engine: Engine
    station: StationCaller
    person: PersonCaller
    uploads: int = 0

    def writing(self):
        return writing(self.engine)

    def reading(self):
        return reading(self.engine)

    def manifest(self, content: bytes, **facts) -> Manifest:
        given = {
            "station": self.station.name,
            "name": "DCIM/100MEDIA/A.MP4",
            "sha256": Digest.of(content),
            "size": len(content),
            "recorder": "DSJ-A1023",
            "officer": "张伟",
            "sequence": self.uploads,
            "started_at": parse("2026-03-12T09:01:20+08:00"),
            "started_from": "name",
            "clock_offset_us": 3_000_000,
            "carrier": Carrier("TF", "0x5a31f0c2", "volume"),
            "modified": NOW,
            "station_clock": NOW,
        }
        given.update(facts)
        given.setdefault("clock_offset_from", None if given["clock_offset_us"] is None else "given")
        return Manifest(**given)

    def begin(self, content: bytes, *, caller=None, **facts) -> str:
        self.uploads += 1
        upload_id = f"u{self.uploads}"
        signed = self.manifest(content, **facts)
        metadata = {"manifest": signed.encode(), "signature": sign(signed.signing_bytes()), "sha256": signed.sha256.hex.encode()}
        with self.writing() as session:
            upload.create(
                session,
                upload_id=upload_id,
                caller=caller or self.station,
                length=len(content),
                metadata=metadata if caller is None else {"filename": b"x.mp4"},
                verify=signing.verify,
                now=NOW,
                expires_at=Instant(NOW + 10**12),
            )
        return upload_id

    def accept(
        self,
        upload_id: str,
        content: bytes,
        *,
        put: Put = Put.WRITTEN,
        version: str = "",
        sniffed: Sniffed = MP4,
        now: Instant = NOW,
    ) -> Accepted:
        with self.writing() as session:
            return accession.accept(
                session,
                upload_id=upload_id,
                digest=Digest.of(content),
                size=len(content),
                placed=Placed(put, version),
                sniffed=sniffed,
                agency="131102",
                zone=SHANGHAI,
                now=now,
            )

    def take_in(self, content: bytes, **facts) -> Accepted:
        return self.accept(self.begin(content, **facts), content)


def publish_rendition(session: Session, *, of: bytes, recipe: str, content: bytes) -> None:
    """Publish a rendition of an original of these bytes, as a worker does that has put it."""
    rendition.publish(
        session,
        sha256=Digest.of(of),
        recipe=recipe,
        version=1,
        key="derived/x",
        digest=Digest.of(content),
        size=len(content),
        stored_version="v",
        media_type="image/webp",
        provenance={},
        now=NOW,
    )


def sign(message: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - for this fixture alone

    return Ed25519PrivateKey.from_private_bytes(SEED).sign(message)


def settled(engine: Engine) -> House:
    """Put one station and one person into a migrated database."""
    public = signing.public_of(SEED)
    with writing(engine) as session:
        station.enrol(session, name="dock-1", public_key=public, by="operator", now=NOW)
        person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=NOW)
    return House(engine, StationCaller(1, "dock-1", public), PersonCaller(1, "admin", "管理员"))


@pytest.fixture(scope="session")
def kept_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy; every step takes a tenth of a second."""
    path = tmp_path_factory.mktemp("sqlite") / "liuhen.db"
    engine = open_sqlite(path)
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def on_sqlite(kept_sqlite: Path, tmp_path: Path) -> Iterator[Engine]:
    engine = open_sqlite(Path(shutil.copy(kept_sqlite, tmp_path / "liuhen.db")))
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def kept_postgresql() -> Iterator[Engine]:
    """One database for all these tests of a process: it is emptied for each in two milliseconds and made in a hundred."""
    with services.fresh_database() as url:
        engine = open_postgresql(url)
        yield engine
        engine.dispose()


@pytest.fixture
def on_postgresql(kept_postgresql: Engine) -> Engine:
    emptied(kept_postgresql)
    return kept_postgresql


def emptied(engine: Engine) -> None:
    """Remove every row, guards or no guards: only the server's first role may do that."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        counters = driver.execute("SELECT sequencename FROM pg_sequences").fetchall()
        driver.execute("SET LOCAL session_replication_role = 'replica'")
        for table in Base.metadata.tables:
            driver.execute(f"DELETE FROM {table}")
        for (name,) in counters:
            driver.execute(f"SELECT setval('{name}', 1, false)")
        driver.commit()


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest) -> House:
    return settled(request.getfixturevalue(f"on_{request.param}"))
