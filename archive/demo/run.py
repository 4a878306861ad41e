"""The demonstration: from a recorder's volume to replay in a browser, by the commands a station and an officer would use.

Nothing reaches into the server: it is started as `liuhen serve`, the station is enrolled by `liuhen station enrol`, the volume goes in
by `liuhen dock`, and everything else goes through HTTP. Invariants: only a folder that this program made is ever emptied; what was
started is ended, and nothing else; without a terminal every step is one plain line.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
import httpx
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from archive.core.errors import Unavailable
from archive.core.instant import from_datetime, iso
from archive.demo import footage
from archive.demo.server import Server, free_port
from archive.demo.volume import OFFSETS, SEIZURE, Volume, fabricate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.console import Console

AGENCY = "131102"
AGENCY_NAME = "桃城区市场监管局"
ZONE = ZoneInfo("Asia/Shanghai")
SETTINGS = {"LIUHEN_AGENCY": AGENCY, "LIUHEN_AGENCY_NAME": AGENCY_NAME, "LIUHEN_ZONE": ZONE.key}
STATION = "dock-1"
CASE = {"number": "桃市监罚〔2026〕114 号", "title": "经营超过保质期食品案", "subject": "衡水某食品有限公司"}
MARKER = ".liuhen-demo"
FINISHED = "finished\n"
JOBS_WITHIN_S = 600
"""Two transcodes and a dozen small jobs take a minute on two cores; a bare chroot on a loaded machine takes several."""


class DockFailed(Unavailable):
    """`liuhen dock` did not take the whole volume in."""


class JobsUnfinished(Unavailable):
    """Work was still waiting or running when the demonstration stopped waiting for it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The finished demonstration: the volume, the number each of its files got (by path), the document of scanned sheets, and the case."""

    volume: Volume
    numbers: dict[Path, str]
    document: str
    case_id: int
    credential: Path


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep this folder to one demonstration at a time; the kernel drops the lock with the process.

    Raises:
        UsageError: Another one runs there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as why:
            raise click.UsageError(
                f"{folder} 中正在运行演示，请先停止 a demonstration is running in there; stop it first"
            ) from why
        yield


def prepare(folder: Path, *, keep: bool) -> bool:
    """Make an empty folder of ours, and return whether an earlier demonstration that came to its end is kept in it instead.

    Raises:
        UsageError: It holds something else, which is neither used nor emptied.
    """
    marker = folder / MARKER
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise click.UsageError(f"{folder} 不是演示目录，不会清空 is not a demonstration's folder and is left alone")
    if keep and marker.exists() and marker.read_text("utf-8") == FINISHED:
        return True
    if marker.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marker.touch()
    return False


def at(port: int | None, usual: int) -> int:
    """Return the port that was asked for, or else the usual one or a free one."""
    return usual_port(usual) if port is None else port


def usual_port(port: int) -> int:
    """Return the port people expect, or a free one where somebody else listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return free_port()
    return port


def house(folder: Path, *, port: int | None) -> Server:
    """Return the server of this demonstration, not yet started."""
    return Server(folder / "data", port=port, settings=SETTINGS)


@contextlib.contextmanager
def running(server: Server, console: Console) -> Iterator[Server]:
    """Start the server visibly and end it."""
    with console.status("启动服务器 Starting the server"):
        server.start()
    console.print(f"[green]✓[/] 服务器已启动 Server is up: {server.base_url}", highlight=False)
    jail = httpx.get(f"{server.web_url}/healthz", timeout=10, trust_env=False).json()["jail"]
    if not jail["files_hidden"]:
        console.print(
            f"[yellow]![/] 本机不能建立命名空间，媒体工具仅受较弱约束（{jail['kind']}） "
            f"No namespaces here: media tools run in a lesser jail ({jail['kind']}: {escape(jail['why_not_better'])})",
            highlight=False,
        )
    try:
        yield server
    finally:
        server.stop()


def show(
    folder: Path, server: Server, console: Console, *, rate: int = footage.RATE, docked: Callable[[], None] = lambda: None
) -> Shown:
    """Fabricate, dock, open the case, bind, and wait for the work to end; `docked` is called between docking and binding.

    `rate` is how many frames a second the footage has.

    Raises:
        DockFailed: The dock did not end well.
        JobsUnfinished: Work was left after ten minutes.
    """
    volume = _fabricated(folder / "volume", console, rate=rate)
    credential = server.enrol_station(STATION, "--sm3")
    _dock(server, credential, volume, console)
    docked()
    _say_freed(volume, console)
    with server.sign_in() as client:
        numbers = _numbers(client, volume)
        case_id = _bind(client, volume, numbers)
        console.print(f"[green]✓[/] 已立案并归入 Case opened, items bound: {CASE['number']}", highlight=False)
        _wait(server, console)
        document = _bind_document(client, volume, case_id)
        console.print(f"[green]✓[/] 三页扫描件合为一份文书 Three scans are one document: {document}", highlight=False)
    (folder / MARKER).write_text(FINISHED, "utf-8")
    return Shown(volume, numbers, document, case_id, credential)


def _fabricated(root: Path, console: Console, *, rate: int) -> Volume:
    with _bar(console) as bar:
        task = bar.add_task("录制素材 Recording footage", total=None)

        def step(_name: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        volume = fabricate(root, now=from_datetime(datetime.now(UTC)), zone=ZONE, rate=rate, step=step)
    console.print(
        f"[green]✓[/] 记录仪卷 Recorder volume: {len(volume.deposits)} 个文件 files, {volume.size / 1e6:.0f} MB", highlight=False
    )
    return volume


def _dock(server: Server, credential: Path, volume: Volume, console: Console) -> None:
    """Run the real dock with its own bars on our terminal; it frees the recorders of what the archive has."""
    console.print("采集站接入并释放 Docking the volume, and freeing it", highlight=False)
    offsets = [f"--clock-offset={recorder}={offset // 1_000_000}" for recorder, offset in OFFSETS.items()]
    for sources in ([*map(str, volume.recorders), *offsets], [str(volume.scanner), "--scanner"]):
        command = [sys.executable, "-m", "archive.cli", "dock", *sources, "--release"]
        command += ["--server", server.base_url, "--credential", str(credential)]
        with subprocess.Popen(command, env=server.environment, stdin=subprocess.DEVNULL) as dock:
            try:
                code = dock.wait()
            except BaseException:
                dock.terminate()
                raise
        if code:
            raise DockFailed(exit=code)
    console.print("[green]✓[/] 全部文件已入档，并有已校验回执 Every file is in, with its verified receipt", highlight=False)


def _say_freed(volume: Volume, console: Console) -> None:
    """Say what the recorders were freed of, by what is there, and what stays by the carrier rule."""
    kept = [deposit.path.name for deposit in volume.deposits if deposit.path.exists()]
    freed = len(volume.deposits) - len(kept)
    console.print(
        f"[green]✓[/] 凭回执释放 {freed} 个文件；按原始载体规则留存 {len(kept)} 个（重点标记或损坏） "
        f"Recorders freed of {freed} files; kept by the carrier rule: {escape(', '.join(kept))}",
        highlight=False,
    )


def _numbers(client: httpx.Client, volume: Volume) -> dict[Path, str]:
    """Return the accession number of each file, found by the digest that it had on the volume."""
    items = every_item(client)
    by_digest = {item["sha256"]: item["number"] for item in items}
    found = {}
    for deposit in volume.deposits:
        if deposit.digest not in by_digest:
            raise DockFailed(exit=0, missing=deposit.path.name)
        found[deposit.path] = by_digest[deposit.digest]
    return found


def every_item(client: httpx.Client) -> list[dict[str, Any]]:
    """Return all items of the list, page by page."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = client.get("/api/v1/items", params={"limit": "100", **after}).raise_for_status().json()
        found += page["items"]
        if page.get("after") is None:
            return found
        after = {"after": page["after"]}


def _bind(client: httpx.Client, volume: Volume, numbers: dict[Path, str]) -> int:
    """Open the case and bind: media to the investigation, the paper at the time that stands on it, the rest is left to do."""
    case_id: int = client.post("/api/v1/cases", json=CASE).raise_for_status().json()["id"]
    for deposit in volume.deposits:
        if not deposit.bound:
            continue
        paper = deposit.letters == "WS"
        binding = {
            "item": numbers[deposit.path],
            "stage": "investigation",
            "at": iso(volume.paper_at) if paper else None,
        }
        client.post(f"/api/v1/cases/{case_id}/bindings", json=binding).raise_for_status()
    return case_id


def _bind_document(client: httpx.Client, volume: Volume, case_id: int) -> str:
    """Bind the document that the scanned sheets became, at the time that stands on it, and return its number."""
    for item in every_item(client):
        if item["kind"] == "document" and item["name"] == SEIZURE:
            binding = {"item": item["number"], "stage": "enforcement", "at": iso(volume.paper_at)}
            client.post(f"/api/v1/cases/{case_id}/bindings", json=binding).raise_for_status()
            return str(item["number"])
    raise DockFailed(exit=0, missing=SEIZURE)


def _wait(server: Server, console: Console) -> None:
    """Wait until no job is waiting or running."""
    deadline = time.monotonic() + JOBS_WITHIN_S
    with _bar(console) as bar, httpx.Client(timeout=60, trust_env=False) as client:
        task = bar.add_task("处理 Processing", total=None)
        while True:
            counts = client.get(f"{server.web_url}/readyz").raise_for_status().json()["jobs"]
            left, all_jobs = counts.get("waiting", 0) + counts.get("running", 0), sum(counts.values())
            bar.update(task, completed=all_jobs - left, total=all_jobs)
            if left == 0:
                break
            if time.monotonic() > deadline:
                raise JobsUnfinished(left=left)
            time.sleep(0.25)
    console.print(f"[green]✓[/] 处理完成 {all_jobs} jobs done", highlight=False)


def _bar(console: Console) -> Progress:
    """Return the one look of a bar; without a terminal nothing is drawn, and the line that follows each step says it all."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def farewell(server: Server, shown: Shown | None) -> Panel:
    """Return the panel that says where to look and how to sign in."""
    account = server.account()
    table = Table.grid(padding=(0, 2))
    table.add_row("地址 Address", f"[bold]{server.base_url}/[/]")
    table.add_row("用户 Name", account.name)
    table.add_row("密码 Password", f"[bold]{account.password}[/]")
    if shown is not None:
        table.add_row("时间线 Timeline", f"{server.base_url}/cases/{shown.case_id}")
        first = next(number for path, number in shown.numbers.items() if path.suffix == ".MP4")
        table.add_row("重放 Replay", f"{server.base_url}/items/{first}")
    for name, where in server.addresses():
        table.add_row(name, where)
    table.add_row("数据 Data", str(server.data_dir))
    return Panel(table, title="留痕 Liuhen", subtitle="Ctrl-C 结束 to stop", expand=False, border_style="blue")
