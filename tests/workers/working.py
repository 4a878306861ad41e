"""Workers as processes, for tests of the queue in production: PostgreSQL and RabbitMQ as they are, handlers that do as their job says.

Run as a program it is such a worker. What a job found is a row of `probes` with the job's number, so that a job that took effect twice is
two rows; what it put into the store says which worker and which attempt made it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, update

from archive.actions import jobs
from archive.adapters.doorbell import Doorbell
from archive.adapters.doorbell_celery import CeleryBell
from archive.adapters.jail import Jail
from archive.adapters.local_store import LocalStore
from archive.adapters.signing import open_signer
from archive.adapters.spool import Spool
from archive.commands.common import log_plainly
from archive.core.digest import Digest
from archive.ports import Bell
from archive.records.jobs import Job
from archive.records.postgresql import open_postgresql
from archive.records.session import Tries
from archive.records.stores import Probe
from archive.resources import Resources
from archive.settings import Profile, Settings
from workers import celery_app

KIND, LANE = "canary", "verify"
ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def resources(data: Path, database: str, broker: str | None) -> Iterator[Resources]:
    """Give what a worker holds, with a directory in the place of S3; without a broker nobody is rung for."""
    for name in ("scratch", "run"):
        (data / name).mkdir(parents=True, exist_ok=True)
    settings = Settings(
        profile=Profile.PRODUCTION,
        data_dir=data,
        agency="131102",
        secure_cookies=True,
        database_url=database,
        broker_url=broker or "amqp://nobody:listens@127.0.0.1:9/",
        s3_endpoint="http://127.0.0.1:9",
        s3_access_key="not-asked-for",
        s3_secret_key="not-asked-for-at-all",
        keys_dir=data / "keys",
        web_name="tests",
    )
    engine = open_postgresql(database)
    bell: Bell = CeleryBell(broker) if broker else Doorbell(data / "run" / "nobody")
    made = Resources(
        settings=settings,
        engine=engine,
        turns=Tries(engine),
        store=LocalStore(data / "store"),
        spool=Spool(data / "spool", floor=0),
        signer=open_signer(data / "keys", name="000000"),
        jail=Jail("limits", "tests open nothing"),
        bell=bell,
    )
    try:
        yield made
    finally:
        made.close()


def promise(held: Resources, *numbers: int, do: str = "nothing") -> None:
    """Promise a job for each number, in one transaction."""
    with held.transaction() as session:
        for number in numbers:
            jobs.enqueue(session, kind=KIND, payload={"n": number, "do": do}, now=held.now())


def effects(held: Resources) -> list[int]:
    """Return the numbers of the jobs that took effect, as often as they did."""
    with held.reading() as session:
        return sorted(int(each) for each in session.scalars(select(Probe.store)))


def found(held: Resources, number: int) -> tuple[str, int]:
    """Return what the job of this number published: the key of its bytes, and its attempt."""
    with held.reading() as session:
        facts = session.scalars(select(Probe.facts).where(Probe.store == str(number))).one()
        return facts["key"], facts["attempt"]


def jobs_in(held: Resources, state: str) -> list[Job]:
    with held.reading() as session:
        return list(session.scalars(select(Job).where(Job.state == state).order_by(Job.id)))


def lapse(held: Resources) -> None:
    """Let every lease run out, as a minute without a heartbeat does."""
    with held.transaction() as session:
        session.execute(update(Job).where(Job.state == "running").values(lease_until=1))


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until this holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


def encode(clip: Path, made: Path) -> None:
    """Transcode a clip as a rendition is made, with one thread."""
    argv = ["ffmpeg", "-v", "error", "-threads", "1", "-filter_threads", "1", "-i", clip]
    argv += ["-c:v", "libx264", "-preset", "medium", "-threads", "1", "-f", "mp4", "-y", made]
    subprocess.run(argv, check=True)


def work(held: Resources, job: jobs.ClaimedJob, report) -> Callable[..., None]:
    """Do what the job's payload says, put bytes that only this attempt makes, and give what publishes them."""
    number, do = int(job.payload["n"]), str(job.payload["do"])
    here = held.settings.data_dir / f"{number}-{job.attempt}"
    if do != "nothing":
        here.with_suffix(".begun").touch()
    while do == "wait" and not here.with_suffix(".go").exists():
        report(1, "waiting")
        time.sleep(0.02)
    while do == "deaf" and not here.with_suffix(".go").exists():
        time.sleep(0.02)
    made = held.settings.data_dir / f"{number}-{job.attempt}-{os.getpid()}"
    if do == "encode":
        encode(held.settings.data_dir / "clip.mp4", made)
    else:
        made.write_bytes(f"{number} {job.attempt} {os.getpid()}".encode())
    digest = Digest.of(made.read_bytes())
    key = f"derived/{digest.hex}"
    held.store.put(key, made, digest)
    here.with_suffix(".put").touch()
    facts = {"key": key, "attempt": job.attempt}
    return lambda session, now: session.add(Probe(store=str(number), at=now, kind=KIND, facts=facts, passed=True))


@dataclass
class Worker:
    """A worker's process."""

    process: subprocess.Popen[bytes]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float = 30.0) -> int:
        return self.process.wait(seconds)


@contextlib.contextmanager
def worker(data: Path, database: str, broker: str, *, threads: int = 1) -> Iterator[Worker]:
    """Give a worker on the lane; killed at the end if it still runs."""
    argv = [sys.executable, "-m", "tests.workers.working", str(data), database, broker, str(threads)]
    with subprocess.Popen(argv, cwd=ROOT) as process:
        try:
            yield Worker(process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def main() -> None:
    data, database, broker, threads = sys.argv[1:]
    log_plainly()
    with resources(Path(data), database, broker) as held:
        celery_app.run(held, lanes=[LANE], threads=int(threads), handlers={KIND: work})


if __name__ == "__main__":
    main()
