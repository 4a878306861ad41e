"""What a running process holds: database, store, spool, key, jail and bell. The only module that picks a profile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from archive.actions.jobs import RING
from archive.adapters import s3_buckets, scratch
from archive.adapters.copies import Copies
from archive.adapters.doorbell import Doorbell
from archive.adapters.doorbell_celery import CeleryBell
from archive.adapters.jail import Jail
from archive.adapters.local_store import LocalStore
from archive.adapters.peers import Peers
from archive.adapters.s3_client import S3Client
from archive.adapters.s3_incoming import Incoming
from archive.adapters.s3_parts import Streams
from archive.adapters.s3_presign import Keys
from archive.adapters.s3_probe import Target
from archive.adapters.s3_store import Buckets, S3Store
from archive.adapters.signing import Signer, open_signer
from archive.adapters.spool import Spool
from archive.core.errors import Unavailable
from archive.core.instant import Instant
from archive.ports import Bell, ObjectStore
from archive.records.gathering import Gathering
from archive.records.migrations import UnknownStep, head, upgrade
from archive.records.postgresql import examine, open_postgresql
from archive.records.session import Result, Tries, Turns, asking, open_sqlite, reading
from archive.settings import BadSettings, Settings

_log = logging.getLogger("liuhen")


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that actions and handlers need from the outside; made once for each process and closed at its end."""

    settings: Settings
    engine: Engine
    turns: Turns | Tries
    store: ObjectStore
    spool: Spool
    signer: Signer
    jail: Jail
    bell: Bell
    replica: ObjectStore | None = None
    """The second store, which gets a copy of every original; production only, and only where one is named."""
    incoming: Incoming | None = None
    """Where stations send to straight; production only."""
    streams: Streams | None = None
    """What sends uploads' parts to a store elsewhere while they come in; production only."""
    peers: Peers = field(default_factory=lambda: Peers(Settings.model_fields["web_gone_seconds"].default))
    """What was seen of the web hosts."""

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give a session in a writing transaction; it commits when the block ends, and only then is the worker's bell rung."""
        with self.turns.alone() as session:
            yield session
        self.bell.ring(session.info.get(RING, ()))

    def together(self, run: Callable[[Session], Result]) -> Result:
        """Do this in a writing transaction that others may share, and return its result when that is committed and the bell rung.

        For what is short and often done at once by many; what it raises undoes it alone.
        """
        rings: list[str] = []

        def noted(session: Session) -> Result:
            result = run(session)
            rings.extend(session.info.get(RING, ()))
            return result

        result = self.turns.together(noted)
        self.bell.ring(rings)
        return result

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one moment of the database and writes nothing."""
        with reading(self.engine) as session:
            yield session

    @contextmanager
    def asking(self) -> Iterator[Session]:
        """Give a session for one question, or several that need not see the same moment; it writes nothing."""
        with asking(self.engine) as session:
            yield session

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty directory that is gone afterwards; on the store's file system, so that what is made there is linked, not copied."""
        with scratch.held(self.settings.data_dir / "scratch") as path:
            yield path

    def now(self) -> Instant:
        """Read the clock; entry points do so once for each request or job."""
        return _now()

    def close(self) -> None:
        """Let go of everything."""
        self.bell.close()
        if self.streams is not None:
            self.streams.close()
        for store in (self.store, self.replica):
            if isinstance(store, S3Store):
                store.close()
        self.engine.dispose()


def bell_path(settings: Settings) -> Path:
    """Return where the embedded worker listens."""
    return settings.data_dir / "run" / "bell"


def _same_archive(data: Path, settings: Settings) -> None:
    """Hold the name that receipts are signed under against the one that this archive began with: who holds a receipt knows only that."""
    path = settings.keys / "name"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(settings.signer_name + "\n", "utf-8")
    kept = path.read_text("utf-8").strip()
    if kept != settings.signer_name:
        raise BadSettings(
            f"{data.absolute()} signs as {kept}, these settings say {settings.signer_name}; give the server's own LIUHEN_AGENCY, "
            f"or LIUHEN_LOG_NAME={kept} to keep the name under another agency code"
        )


@contextmanager
def opened(settings: Settings, *, new: bool = True) -> Iterator[Resources]:
    """Give the resources of the settings' profile.

    Embedded: SQLite, a local directory, and a bell that the child worker hears. Production: PostgreSQL, S3 and RabbitMQ. `new` lets an
    embedded archive be made where there is none; a command that looks at one, or adds to it, asks for one that is there.

    Raises:
        BadSettings: there is no archive in this directory, or it signs under another name than these settings say.
    """
    made = _production(settings) if settings.production else _embedded(settings, new=new)
    try:
        yield made
    finally:
        made.close()


def _embedded(settings: Settings, *, new: bool) -> Resources:
    data = settings.data_dir
    if not new and not (data / "liuhen.db").exists():
        raise BadSettings(
            f"{data.absolute()} holds no archive; name its directory (LIUHEN_DATA_DIR), or start `liuhen serve` there first"
        )
    _prepared(settings)
    engine = open_sqlite(data / "liuhen.db")
    try:
        upgrade(engine)
    except UnknownStep as why:
        engine.dispose()
        raise BadSettings(str(why)) from why
    return Resources(
        settings=settings,
        engine=engine,
        turns=Turns(engine),
        store=LocalStore(data / "store"),
        spool=Spool(data / "spool", floor=settings.free_space_floor),
        signer=open_signer(settings.keys, name=settings.signer_name),
        jail=Jail.probe(),
        bell=Doorbell(bell_path(settings)),
        peers=Peers(settings.web_gone_seconds),
    )


def _production(settings: Settings) -> Resources:
    """Open PostgreSQL, the object store and the broker; the database is migrated by its own command, never here."""
    engine = open_postgresql(settings.database_url)
    try:
        standing = examine(engine, revision=head())
    except BaseException:
        engine.dispose()
        raise
    for note in standing.notes:
        _log.warning("database: %s", note)
    if standing.flaws:
        engine.dispose()
        raise BadSettings("\n".join(f"database: {flaw}" for flaw in standing.flaws))
    _prepared(settings)
    store = _object_store(settings)
    try:
        _refuse_flawed(store)
    except BaseException:
        store.close()
        engine.dispose()
        raise
    return Resources(
        settings=settings,
        engine=engine,
        turns=Gathering(engine),
        store=store,
        spool=Spool(settings.data_dir / "spool", floor=settings.free_space_floor),
        signer=open_signer(settings.keys, name=settings.signer_name),
        jail=Jail.probe(),
        bell=CeleryBell(settings.broker_url),
        replica=_replica(settings),
        incoming=Incoming(
            store,
            settings.s3_public_endpoint or settings.s3_endpoint,
            Keys(settings.s3_access_key, settings.s3_secret_key, settings.s3_region),
        ),
        streams=Streams(store),
        peers=Peers(settings.web_gone_seconds),
    )


def _object_store(settings: Settings) -> S3Store:
    client = S3Client(
        settings.s3_endpoint,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
        region=settings.s3_region,
    )
    copies = Copies(settings.data_dir / "copies", most=settings.copies_bytes, sm3=settings.sm3, clock=_now)
    buckets = Buckets(settings.s3_originals, settings.s3_derived, settings.s3_incoming)
    return S3Store(client, buckets, lock_days=settings.lock_days, copies=copies, clock=_now)


def _replica(settings: Settings) -> S3Store | None:
    if not settings.replica_endpoint:
        return None
    client = S3Client(
        settings.replica_endpoint,
        access_key=settings.replica_access_key,
        secret_key=settings.replica_secret_key,
        region=settings.s3_region,
    )
    bucket = settings.replica_bucket
    return S3Store(client, Buckets(bucket, bucket, bucket), lock_days=settings.lock_days, copies=None, clock=_now)


def object_stores(settings: Settings) -> dict[str, S3Store]:
    """Return the object stores by their names, for whoever prepares or examines them; to be closed one by one. Nothing is asked yet."""
    second = _replica(settings)
    return {settings.store_name: _object_store(settings), **({} if second is None else {settings.replica_name: second})}


def _refuse_flawed(store: S3Store) -> None:
    """Refuse buckets that would not keep what they are given; a store that is away now is waited for by whoever needs it."""
    try:
        flaws = s3_buckets.flaws(store.client, store.buckets)
    except Unavailable as why:
        _log.warning("the object store does not answer yet: %s", why)
        return
    if flaws:
        raise BadSettings("\n".join(f"object store: {flaw}; run `liuhen store prepare`" for flaw in flaws))


def tried(settings: Settings) -> Mapping[str, Target]:
    """Return the buckets that are tried for what they enforce, by the name of their store: that of originals, and the second store's."""
    if not settings.production:
        return {}
    keys = settings.s3_access_key, settings.s3_secret_key
    found = {settings.store_name: Target(settings.s3_endpoint, settings.s3_region, *keys, settings.s3_originals)}
    if settings.replica_endpoint:
        keys = settings.replica_access_key, settings.replica_secret_key
        found[settings.replica_name] = Target(settings.replica_endpoint, settings.s3_region, *keys, settings.replica_bucket)
    return found


def _now() -> Instant:
    return Instant(time.time_ns() // 1000)


def _prepared(settings: Settings) -> None:
    _same_archive(settings.data_dir, settings)
    for name in ("scratch", "run"):
        (settings.data_dir / name).mkdir(parents=True, exist_ok=True)
