"""The command `liuhen`. Exit codes: 0 done, 1 refused or flawed, 2 misuse, 3 fault."""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import click
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from archive.actions import fsck as fsck_action
from archive.actions import person, rule, station
from archive.adapters import signing
from archive.commands.common import DATA, log_plainly, settings_of
from archive.commands.migrate import migrate
from archive.commands.store import store_group
from archive.commands.work import beat, work
from archive.core.canonical import Json, encode
from archive.core.errors import Fault, Malformed, Refusal
from archive.core.instant import iso
from archive.core.release import CarrierRule
from archive.demo.command import demo
from archive.dock import words
from archive.dock.command import dock
from archive.resources import Resources, opened
from archive.settings import BadSettings, Settings, environment
from archive.web import hosting
from archive.web.app import create_app

REFUSED, MISUSE, FAULT = 1, 2, 3
WORKER_GRACE = 20
"""Seconds that the worker gets to hand its work back: a tool has ten between being asked and being killed."""
RESTART_AFTER = 1.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="liuhen")
def cli() -> None:
    """Liuhen (留痕): an archive for recordings and documents of administrative enforcement."""


@cli.command()
@click.option("--host", help="Address to listen on (LIUHEN_HOST).")
@click.option("--port", type=int, help="Port to listen on (LIUHEN_PORT).")
@DATA
def serve(host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Start the archive: the web process and, beside it, the worker; in production the web process alone."""
    log_plainly()
    settings = settings_of(host=host, port=port, data_dir=data_dir)
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


@cli.group("station")
def station_group() -> None:
    """Docking stations: enrol, list, revoke."""


@station_group.command("enrol")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the credential here; default NAME.credential.json."
)
@click.option("--sm3", is_flag=True, help="Hash what it brings with SM3 as well, beside SHA-256.")
@DATA
def enrol(name: str, out: Path | None, sm3: bool, data_dir: Path | None) -> None:  # noqa: FBT001 - a flag
    """Enrol a station and write its credential, which is shown nowhere else.

    NAME has letters (A-Z, a-z), digits and . _ - only, at most 64, a letter or digit first and last.
    """
    settings = settings_of(data_dir=data_dir)
    path = out or Path(f"{name}.credential.json")
    seed = signing.new_seed()
    with opened(settings, new=False) as resources, resources.transaction() as session:
        station.enrol(session, name=name, public_key=signing.public_of(seed), by="operator", now=resources.now(), sm3=sm3)
        facts: dict[str, Json] = {
            "type": "liuhen.credential",
            "v": 1,
            "station": name,
            "private_key": base64.b64encode(seed).decode(),
            "server_keys": [str(resources.signer.key)],
            "agency": settings.agency,
            "zone": settings.zone,
        }
        if sm3:  # a dock of the first release takes a field that it does not know for a spoilt credential
            facts["sm3"] = True
        credential = encode(facts)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as why:
            raise click.ClickException(f"{path} is there already; give another --out") from why
        with os.fdopen(descriptor, "wb") as file:
            file.write(credential + b"\n")
            file.flush()
            os.fsync(file.fileno())
    click.echo(f"{name}: {path}")


@station_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@DATA
def list_stations(as_json: bool, data_dir: Path | None) -> None:  # noqa: FBT001 - a flag
    """List enrolled stations."""
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.reading() as session:
        found = station.stations(session)
    if as_json:
        for each in found:
            revoked_at = None if each.revoked_at is None else iso(each.revoked_at)
            facts = {"station": each.name, "enrolled_at": iso(each.enrolled_at), "revoked_at": revoked_at, "sm3": each.sm3}
            click.echo(json.dumps(facts))
        return
    width = max([len("station"), *(len(each.name) for each in found)])
    click.echo(f"{'station':<{width}}  {'enrolled':<27}  {'revoked':<27}  hashes")
    for each in found:
        revoked = "" if each.revoked_at is None else iso(each.revoked_at)
        hashes = "SHA-256, SM3" if each.sm3 else "SHA-256"
        click.echo(f"{each.name:<{width}}  {iso(each.enrolled_at):<27}  {revoked:<27}  {hashes}")


@station_group.command("revoke")
@click.argument("name")
@DATA
def revoke(name: str, data_dir: Path | None) -> None:
    """Stop accepting a station's key and tokens."""
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.transaction() as session:
        station.revoke(session, name=name, by="operator", now=resources.now())


@cli.group("rule")
def rule_group() -> None:
    """Rules that differ by place: shown, and set with their legal basis."""


@rule_group.group("carrier")
def carrier_rule() -> None:
    """What keeps a file on its recorder after docking."""


@carrier_rule.command("show")
@DATA
def show_carrier_rule(data_dir: Path | None) -> None:
    """Print the carrier rule in force, as JSON."""
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.reading() as session:
        _print_rule(rule.carrier(session))


@carrier_rule.command("history")
@DATA
def carrier_rule_history(data_dir: Path | None) -> None:
    """Print every version there was, one a line, the shipped one first."""
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.reading() as session:
        for version in rule.carrier_history(session):
            _print_rule(version, indent=None)


@carrier_rule.command("set")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@DATA
def set_carrier_rule(file: TextIO, data_dir: Path | None) -> None:
    """Put the rule in FILE (JSON; - for standard input) in force and print it.

    FILE holds what `show` prints, or its field `rule` alone. The version before is kept, and the change is a custody event.
    """
    try:
        given = json.load(file)
    except (ValueError, RecursionError) as why:
        raise Malformed(what="carrier_rule", reason="no_json") from why
    wanted = CarrierRule.of(given["rule"] if isinstance(given, dict) and "rule" in given else given)
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.transaction() as session:
        made = rule.set_carrier(session, rule=wanted, by="operator", now=resources.now())
    _print_rule(made)


def _print_rule(view: rule.CarrierRuleView, *, indent: int | None = 2) -> None:
    made_at = None if view.made_at is None else iso(view.made_at)
    facts = {"version": view.version, "rule": view.rule.facts(), "made_by": view.made_by, "made_at": made_at}
    click.echo(json.dumps(facts, ensure_ascii=False, indent=indent))


@cli.group("admin")
def admin_group() -> None:
    """Accounts, and the database's steps."""


@admin_group.command("password")
@click.argument("login", default="admin")
@DATA
def new_password(login: str, data_dir: Path | None) -> None:
    """Give an account a new password, printed once, and sign it out everywhere."""
    password = secrets.token_urlsafe(12)
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.transaction() as session:
        person.set_password(
            session, login=login, password=password, password_hash=signing.hash_password(password), now=resources.now()
        )
    click.echo(f"name: {login}\npassword: {password}")


@cli.command()
@click.option("--deep", is_flag=True, help="Re-read and re-hash every original and rendition.")
@click.option("--json", "as_json", is_flag=True, help="One finding a line, for programs.")
@DATA
def fsck(deep: bool, as_json: bool, data_dir: Path | None) -> None:  # noqa: FBT001 - flags
    """Check that everything acknowledged is there, once, and unchanged. Exit code 1 if it is not."""
    found = 0
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.reading() as session, _bar() as bar:
        settings, name = resources.settings, resources.settings.replica_name
        second = None if resources.replica is None else fsck_action.Second(name, resources.replica)
        looked_at = ("originals", "renditions") if second is None else ("originals", "renditions", "copies")
        tasks = {name: bar.add_task(name, total=None) for name in looked_at}
        counted = dict.fromkeys(tasks, 0)

        def progress(what: str, done: int, total: int) -> None:
            counted[what] = done
            bar.update(tasks[what], completed=done, total=total)

        for finding in fsck_action.check(
            session,
            resources.store,
            deep=deep,
            now=resources.now(),
            progress=progress,
            locks=settings.production,
            second=second,
        ):
            found += finding.flaw
            if as_json:
                facts = {"code": finding.code, "subject": finding.subject, "detail": finding.detail, "flaw": finding.flaw}
                click.echo(json.dumps(facts, ensure_ascii=False))
            else:
                click.echo(f"{'flaw' if finding.flaw else 'note'}\t{finding.code}\t{finding.subject}\t{finding.detail}")
    if not as_json:
        looked = ", ".join(f"{counted[name]} {name}" for name in counted)
        where = settings.store_name if settings.production else settings.data_dir.absolute()
        click.echo(
            f"{'clean' if not found else f'{found} flaws'}: {looked} in {where}, {'read and hashed' if deep else 'sizes compared'}"
        )
    sys.exit(REFUSED if found else 0)


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


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
    )


admin_group.add_command(migrate)
cli.add_command(dock)
cli.add_command(demo)
cli.add_command(work)
cli.add_command(beat)
cli.add_command(store_group)


def main() -> None:
    """Run the command and end with its code."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as why:
        why.show()
        sys.exit(MISUSE)
    except BadSettings as why:
        click.UsageError(str(why)).show()
        sys.exit(MISUSE)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.Exit as why:
        sys.exit(why.exit_code)
    except Refusal as why:
        click.echo(words.ending(why, words.language(os.environ)), err=True)
        sys.exit(REFUSED)
    except Fault as why:
        click.echo(words.ending(why, words.language(os.environ)), err=True)
        sys.exit(FAULT)


if __name__ == "__main__":
    main()
