"""The queue on PostgreSQL: what a job costs, whether a long queue makes it dearer, and what a second worker brings.

An empty job goes the whole way of a real one: claimed, run with its heartbeat, finished, each in its own transaction on a server that
syncs. Beside it, in the same run, what one transaction costs there at best: `SELECT 1` and a commit, and one row written and committed.
Claims from a short and from a long queue are made in turn, against one server. Files are transcoded by real workers, told by RabbitMQ,
one thread each; counted from the promise to the last result, with the workers up and idle before.

    python tests/bench/bench_jobs.py [--jobs 300] [--waiting 100000] [--seconds 20]
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import Engine, text

sys.path.insert(0, str(Path(__file__).parents[2]))

from archive.actions import jobs
from archive.core.instant import Instant
from archive.records.migrations import upgrade
from archive.records.postgresql import open_postgresql
from archive.records.session import writing
from infra.services import postgres, rabbitmq
from tests.workers.working import KIND, LANE, effects, promise, resources, until, worker
from workers.runner import run_next

MOST_MS = 15
MOST_SLOWER = 1.25
MOST_OF_ONE = 0.6
FILES = 4
FEW = 1000

FILL = text(
    """
    INSERT INTO jobs (kind, lane, key, sha256, agency, source, turn, payload, priority,
                      state, run_after, attempt, permille, note, created_at)
    SELECT 'canary', 'verify', 'filled:' || n, 'x', 'agency-' || (n % 5), 'station:' || (n % 200), n, '{}', 20 + n % 3,
           'waiting', n, 0, 0, '', n
    FROM generate_series(1, :count) AS n
    """
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=20, help="footage of each file that is transcoded")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being ended ends the servers
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="liuhen-bench-"))
    folder.chmod(0o755)  # the servers run as others
    try:
        with postgres.running(folder / "postgres") as server, rabbitmq.running(folder / "rabbit") as broker:
            empty, bare, written = overhead(folder / "data", fresh(server, "overhead"), count=given.jobs)
            few, many = claims(fresh(server, "few"), fresh(server, "many"), waiting=given.waiting, count=given.jobs)
            one, two = files(folder / "files", fresh(server, "files"), broker.url(), seconds=given.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [
        ("An empty job, claimed, run and finished (median)", f"{empty * 1e3:.1f} ms", f"under {MOST_MS} ms"),
        ("`SELECT 1` and a commit (median)", f"{bare * 1e3:.2f} ms", ""),
        ("One row written and committed (median)", f"{written * 1e3:.2f} ms", ""),
        (f"A claim, {FEW} jobs waiting (median)", f"{few * 1e3:.2f} ms", ""),
        (f"A claim, {given.waiting} jobs waiting (median)", f"{many * 1e3:.2f} ms", ""),
        ("… of the former", f"{many / few:.2f}", f"at most {MOST_SLOWER}"),
        (f"{FILES} files through 1 one-thread worker", f"{one:.1f} s", ""),
        (f"{FILES} files through 2 one-thread workers", f"{two:.1f} s", ""),
        ("… of the former", f"{two / one:.2f}", f"at most {MOST_OF_ONE}"),
    ]
    print("| jobs | figure | target |\n| --- | ---: | --- |")
    for what, figure, target in rows:
        print(f"| {what} | {figure} | {target} |")
    return 0 if empty * 1e3 < MOST_MS and many / few <= MOST_SLOWER and two / one <= MOST_OF_ONE else 1


def fresh(server: postgres.Postgres, name: str) -> str:
    """Return the address of a migrated database of this name."""
    url = server.create(name)
    engine = open_postgresql(url, patient=True)
    upgrade(engine)
    engine.dispose()
    return url


def overhead(data: Path, url: str, *, count: int) -> tuple[float, float, float]:
    """Return the median seconds of an empty job, of a bare transaction, and of one that writes a row; taken in turn."""
    with resources(data, url, None) as held:
        promise(held, *range(count))
        nothing = {KIND: lambda *_: lambda _session, _now: None}
        jobs_took, bare, written = [], [], []
        for number in range(count):
            began = time.perf_counter()
            assert run_next(held, nothing, lane=LANE, owner="bench", stopping=lambda: False)
            jobs_took.append(time.perf_counter() - began)
            bare.append(timed(held.engine, "SELECT 1"))
            written.append(timed(held.engine, f"INSERT INTO lane_turns VALUES ('heavy', 'bench-{number}', 0)"))
    return statistics.median(jobs_took), statistics.median(bare), statistics.median(written)


def timed(engine: Engine, statement: str) -> float:
    began = time.perf_counter()
    with engine.begin() as connection:
        connection.execute(text(statement))
    return time.perf_counter() - began


def claims(short: str, long: str, *, waiting: int, count: int) -> tuple[float, float]:
    """Return the median seconds of a claim, its commit with it, from a short queue and from a long one, taken in turn."""
    took: dict[str, list[float]] = {short: [], long: []}
    with contextlib.ExitStack() as stack:
        engines = {url: open_postgresql(url, patient=True) for url in took}
        for url, engine in engines.items():
            stack.callback(engine.dispose)
            with writing(engine) as session:
                session.execute(FILL, {"count": waiting if url == long else FEW})
            with engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE jobs"))
        for turn in range(count + 20):
            for url, engine in engines.items():
                now = Instant(time.time_ns() // 1000)
                began = time.perf_counter()
                with writing(engine) as session:
                    job = jobs.claim(session, lane=LANE, owner="bench", now=now)
                if turn >= 20:
                    took[url].append(time.perf_counter() - began)
                assert job is not None
                with writing(engine) as session:
                    jobs.finish(session, job, now=now)
    return statistics.median(took[short]), statistics.median(took[long])


def files(data: Path, url: str, broker: str, *, seconds: int) -> tuple[float, float]:
    """Return the seconds that files take through one worker, and through two."""
    data.mkdir(parents=True)
    footage = f"testsrc2=size=1280x720:rate=25:duration={seconds}"
    argv = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", footage, "-c:v", "mpeg4", "-q:v", "4", data / "clip.mp4"]
    subprocess.run(argv, check=True)
    took = []
    with resources(data, url, broker) as held, contextlib.ExitStack() as stack:
        done = 0
        for _ in (1, 2):
            stack.enter_context(worker(data, url, broker))
            time.sleep(8)  # it is up, and rests
            began = time.monotonic()
            promise(held, *range(done, done + FILES), do="encode")
            done += FILES
            until(lambda: len(effects(held)) == done, 3600)  # noqa: B023 - asked within the turn
            took.append(time.monotonic() - began)
        assert effects(held) == list(range(done))
    return took[0], took[1]


if __name__ == "__main__":
    sys.exit(main())
