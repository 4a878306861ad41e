"""`liuhen serve`: the web process, and in the embedded profile its worker beside it."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

import click
import uvicorn

from archive.actions import person
from archive.adapters import signing
from archive.commands.common import DATA, log_plainly, settings_of
from archive.resources import Resources, opened
from archive.settings import BadSettings, Settings, environment
from archive.web import hosting
from archive.web.app import create_app

WORKER_GRACE = 20
"""Seconds that the worker gets to hand its work back: a tool has ten between being asked and being killed."""
RESTART_AFTER = 1.0


@click.command()
@click.option("--host", help="Address to listen on (LIUHEN_HOST).")
@click.option("--port", type=int, help="Port to listen on (LIUHEN_PORT).")
@DATA
def serve(host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Start the archive: the web process and, beside it, the worker; in production the web process alone."""
    log_plainly()
    settings = settings_of(host=host, port=port, data_dir=data_dir)
    if settings.production and not settings.web_name:
        raise BadSettings("LIUHEN_WEB_NAME is missing; two web hosts without a name would each take every upload for its own")
    with opened(settings) as resources, hosting.named(resources):
        _first_account(resources)
        config = uvicorn.Config(
            create_app(resources),
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=64 * 1024,
        )
        web = uvicorn.Server(config)

        def stop(_number: int, _frame: object) -> None:
            web.should_exit = True

        # uvicorn raises the signal that ended it once more when it is done. Left to the default that would kill us there, before the
        # worker was asked to end and anything was closed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        # Whoever writes to the database gives up the interpreter at each statement, and everybody who uploads waits for them: 5 ms, as
        # shipped, is what a whole accession takes.
        sys.setswitchinterval(0.0005)
        with WorkerChild(settings) if settings.worker and not settings.production else _nothing():
            web.run()


class WorkerChild:
    """The worker as a child process: started again if it dies, told to end when the web process ends."""

    def __init__(self, settings: Settings) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LIUHEN_")},
            **environment(settings),
        }
        self._ending = threading.Event()
        self._process = self._start()
        self._watcher = threading.Thread(target=self._watch, name="worker-watch", daemon=True)

    def __enter__(self) -> None:
        """Begin to watch over the child."""
        self._watcher.start()

    def __exit__(self, *_: object) -> None:
        """Ask the child to end and wait; it hands back what it was doing."""
        self._ending.set()
        self._process.terminate()
        try:
            self._process.wait(WORKER_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._watcher.join()
        if self._process.stdin:
            self._process.stdin.close()

    def _start(self) -> subprocess.Popen[bytes]:
        # The pipe's other end is the child's standard input: when we are gone, however we went, it reads the end of it and stops.
        return subprocess.Popen([sys.executable, "-m", "archive.cli", "work"], env=self._environment, stdin=subprocess.PIPE)

    def _watch(self) -> None:
        while not self._ending.is_set():
            self._process.wait()
            if self._ending.wait(RESTART_AFTER):
                return
            logging.getLogger("liuhen").warning("the worker ended (%s); starting another", self._process.returncode)
            if self._process.stdin:
                self._process.stdin.close()
            self._process = self._start()
            if self._ending.is_set():
                self._process.terminate()


class _nothing:  # noqa: N801 - reads as the word it is
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def _first_account(resources: Resources) -> None:
    """Make the bootstrap account at the first start and print its password, once."""
    with resources.reading() as session:
        if person.anybody(session):
            return
    password = secrets.token_urlsafe(12)
    with resources.transaction() as session:
        made = person.bootstrap(
            session, login="admin", name="管理员", password_hash=signing.hash_password(password), now=resources.now()
        )
    if made:
        click.echo(f"First start: sign in with this account; the password is not shown again.\nname: admin\npassword: {password}")
        sys.stdout.flush()
