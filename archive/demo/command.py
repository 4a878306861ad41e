"""`liuhen demo`: show the whole road, or, with `--check`, walk it and say whether every step of it holds."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx
from rich.console import Console

from archive.core.errors import LiuhenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from archive.demo.server import Server

DONE, FLAWED, FAULT = 0, 1, 3
PORT = 8080


@click.command("demo")
@click.option(
    "--check",
    is_flag=True,
    help="Do and verify it in a temporary folder on a free port, with few frames a second; end with 0 or 1.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-data"),
    show_default=True,
    help="The folder for volume and archive; made afresh unless --keep.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=None, help=f"The port to serve on; {PORT} if it is free.")
@click.option("--keep", is_flag=True, help="Serve what an earlier demonstration left in the folder, instead of making it anew.")
def demo(*, check: bool, data: Path, port: int | None, keep: bool) -> None:
    """Show footage going from a recorder through the dock into the archive and onto a timeline, and stay up.

    Ends with 0 when stopped, 1 when --check finds a flaw, 3 when something broke.
    """
    from archive.demo import run  # noqa: PLC0415 - no other command should load what draws and encodes

    if check:
        sys.exit(carry_out(lambda console: checked(console, lambda folder: run.house(folder, port=port)), stopped=FLAWED))
    folder = data.resolve()
    sys.exit(carry_out(lambda console: shown(console, folder, lambda: run.house(folder, port=run.at(port, PORT)), keep=keep)))


def carry_out(act: Callable[[Console], int], *, stopped: int = DONE) -> int:
    """Do this, and return the code that the command ends with; what breaks is told in a line or two, and `stopped` stands for a signal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Chinese gets question marks, not a traceback
    # A console of the terminal's own width, or one wide enough for a line of a log.
    console = Console(width=None if sys.stdout.isatty() else 120)
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return act(console)
    except KeyboardInterrupt:
        console.print("已停止 Stopped", highlight=False)
        return stopped
    except LiuhenError as why:
        console.print(f"[red]✗[/] {type(why).__name__}: {why.code}", highlight=False)
        for name, value in why.facts.items():
            console.print(f"  {name}: {value}", markup=False, highlight=False)
    except (httpx.HTTPError, subprocess.SubprocessError, OSError) as why:
        console.print(f"[red]✗[/] {type(why).__name__}: {why}", highlight=False)
        if isinstance(why, subprocess.CalledProcessError) and why.stderr:
            console.print(why.stderr.decode("utf-8", errors="replace")[-2000:], markup=False, highlight=False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return FAULT


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Make both signals end the program through its `finally` blocks, and only once: what ends things must not be interrupted."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def shown(
    console: Console, folder: Path, house: Callable[[], Server], *, keep: bool, clear: Callable[[], None] = lambda: None
) -> int:
    """Run the demonstration in this folder and stay up until a signal comes or the server ends.

    `clear` is called before anything is done in the folder.
    """
    from archive.demo import run  # noqa: PLC0415 - no other command should load what draws and encodes

    with run.alone(folder):
        clear()
        made = run.prepare(folder, keep=keep)
        server = house()
        with server.engines(console), run.running(server, console):
            done = None if made else run.show(folder, server, console)
            console.print(run.farewell(server, done))
            while not server.ended(wait_s=3600):
                pass
            console.print(f"[red]✗[/] 服务器已自行结束 The server ended by itself:\n{server.last_words()}", highlight=False)
    return FAULT


def checked(console: Console, house: Callable[[Path], Server]) -> int:
    """Run the demonstration in a temporary folder and hold the archive to what the volume promised."""
    from archive.demo import check as checks  # noqa: PLC0415 - no other command should load what draws and encodes
    from archive.demo import footage, run  # noqa: PLC0415 - the same

    folder = Path(tempfile.mkdtemp(prefix="liuhen-demo-"))
    try:
        server = house(folder)
        with server.engines(console):
            with run.running(server, console):
                done = run.show(folder, server, console, rate=footage.SPARSE)
                found = checks.verify(server, done)
                found += [checks.Check(what, flaw) for what, flaw in server.flaws().items()]
            found.append(checks.fsck(server))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for each in found:
        mark = "[green]✓[/]" if each.flaw is None else "[red]✗[/]"
        console.print(f"{mark} {each.what}", highlight=False)
        if each.flaw is not None:
            console.print(f"    {each.flaw}", markup=False, highlight=False)
    flaws = sum(each.flaw is not None for each in found)
    console.print(f"{len(found)} 项核对 checks, {flaws} 项不符 flaws", highlight=False)
    return FLAWED if flaws else DONE
