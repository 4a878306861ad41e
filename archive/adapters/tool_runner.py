"""Run one tool, carefully: the only place that starts media and document tools.

Invariants: the tool runs in its own process group and never reads our standard input; standard output and standard error are read at the
same time, whatever the tool prints; of standard error the last 64 KiB are kept; a tool that makes no progress is ended (SIGTERM, ten
seconds, SIGKILL to the whole group); nothing is left running when `run` returns or raises, whatever it raises.

Progress is movement: bytes on standard output, a larger `out_time_us` or `total_size` of ffmpeg's `-progress`, or processor time burnt
by the tool, this for as long as `busy_seconds` lets silence last. Silence alone is no lack of progress where a filter gathers an hour of
pictures into one, or a finished file is rewritten with its index in front; the limit on processor time ends a loop in the end.

Not guaranteed: that what the tool wrote is right. Whoever asked for it looks.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from archive.core.errors import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.adapters.jail import Cell

TAIL: Final = 64 * 1024
STALL_SECONDS: Final = 60
UNTIL_CPU_LIMIT: Final = float("inf")
GRACE_SECONDS: Final = 10
BEAT_SECONDS: Final = 5.0
_PIECE: Final = 64 * 1024
_TICK: Final = 0.25
_LAST_WORDS: Final = 2000

Progress = dict[str, str]
"""One block of ffmpeg's `-progress`."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A tool that ended with status 0: what it printed, at most what was asked to be kept, its last words, and how often it complained."""

    output: bytes
    said: str
    complaints: int = 0


def run(
    cell: Cell,
    *,
    tool: str,
    keep: int = 16 * 1024 * 1024,
    on_bytes: Callable[[bytes], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    beat: Callable[[], None] | None = None,
    stall_seconds: float = STALL_SECONDS,
    busy_seconds: float = 0,
    complaint: re.Pattern[bytes] | None = None,
) -> Ran:
    """Run a tool to its end.

    Args:
        cell: the command, jailed.
        tool: its name, for `ToolFailed`.
        keep: how many bytes of standard output to keep; more is a failure, so that a small file cannot fill our memory.
        on_bytes: takes standard output as it comes; nothing is kept then.
        on_progress: takes the blocks of ffmpeg's `-progress pipe:1`; nothing is kept then.
        beat: called every few seconds while the tool runs. What any of the three callbacks raises ends the tool and comes out here.
        stall_seconds: how long nothing may move.
        busy_seconds: how long a tool that burns processor time may be silent; `UNTIL_CPU_LIMIT` leaves it to the jail.
        complaint: lines of standard error to be counted, all of them, though only the last are kept.

    Raises:
        ToolFailed: it could not be started, ended with another status than 0, printed too much, or made no progress.
    """
    try:
        process = subprocess.Popen(
            cell.argv,
            env=cell.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(tool=tool, reason="not_started", tail=str(error)) from error
    assert process.stdout is not None
    assert process.stderr is not None
    tail, complaints = bytearray(), _Count(complaint)
    pieces: queue.Queue[bytes] = queue.Queue(maxsize=16)  # bounded: a tool that outruns us waits in its write
    threads = [
        threading.Thread(target=_keep_tail, args=(process.stderr, tail, complaints), daemon=True),
        threading.Thread(target=_pass_on, args=(process.stdout, pieces), daemon=True),
    ]
    for thread in threads:
        thread.start()
    watch = _Watch(process, stall_seconds, busy_seconds)
    output = _Output(keep, watch, on_bytes, on_progress)
    try:
        reason = _attend(process, pieces, watch, output, beat)
    finally:
        _end(process)
        _drain(pieces, threads)
        process.stdout.close()
        process.stderr.close()
    said = tail.decode("utf-8", errors="replace")
    if reason is None and process.returncode != 0:
        reason = "exit"
    if reason is not None:
        raise ToolFailed(tool=tool, reason=reason, exit_code=process.returncode, tail=said[-_LAST_WORDS:])
    return Ran(bytes(output.kept), said, complaints.seen)


def _attend(
    process: subprocess.Popen[bytes],
    pieces: queue.Queue[bytes],
    watch: _Watch,
    output: _Output,
    beat: Callable[[], None] | None,
) -> str | None:
    """Take what the tool prints until it has ended; return why it must be ended before, or None."""
    beaten = time.monotonic()
    closed = False
    while not closed or process.poll() is None:
        piece = _next(process, pieces, closed=closed)
        closed = closed or piece == b""
        if piece and not output.take(piece):
            return "too_much_output"
        now = time.monotonic()
        if beat is not None and now - beaten >= BEAT_SECONDS:
            beaten = now
            beat()
        if watch.stalled():
            return "no_progress"
    return None


def _next(process: subprocess.Popen[bytes], pieces: queue.Queue[bytes], *, closed: bool) -> bytes | None:
    """Wait a tick for the next piece, or, with the output closed, for the end."""
    try:
        if not closed:
            return pieces.get(timeout=_TICK)
        process.wait(timeout=_TICK)
    except (queue.Empty, subprocess.TimeoutExpired):
        pass
    return None


class _Watch:
    """What was last seen moving, and when."""

    def __init__(self, process: subprocess.Popen[bytes], stall_seconds: float, busy_seconds: float) -> None:
        self._process = process
        self._stall_seconds, self._busy_seconds = stall_seconds, max(busy_seconds, stall_seconds)
        self._moved_at = self._busy_at = self._looked_at = time.monotonic()
        self._mark = (0, 0)
        self._burnt = 0

    def moved(self) -> None:
        self._moved_at = time.monotonic()

    def progress(self, block: Progress) -> None:
        """Note a block; only a picture further on or a larger file is movement, a repeated block is not."""
        mark = (_int(block.get("out_time_us")), _int(block.get("total_size")))
        if mark > self._mark:
            self._mark = mark
            self.moved()

    def stalled(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at >= 1:
            self._looked_at = now
            burnt = _cpu_ticks(self._process.pid) if self._busy_seconds > self._stall_seconds else 0
            if burnt > self._burnt:
                self._burnt, self._busy_at = burnt, now
        idle = now - max(self._moved_at, self._busy_at)
        return idle > self._stall_seconds or now - self._moved_at > self._busy_seconds


class _Output:
    """Where standard output goes: to a callback as bytes, to one as blocks of progress, or into memory."""

    def __init__(
        self,
        keep: int,
        watch: _Watch,
        on_bytes: Callable[[bytes], None] | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.kept = bytearray()
        self._keep, self._watch, self._on_bytes, self._on_progress = keep, watch, on_bytes, on_progress
        self._rest = b""
        self._block: Progress = {}

    def take(self, piece: bytes) -> bool:
        """Take the next piece; False if it is more than may be kept."""
        if self._on_progress is not None:
            for block in self._blocks(piece):
                self._watch.progress(block)
                self._on_progress(block)
            return True
        self._watch.moved()
        if self._on_bytes is not None:
            self._on_bytes(piece)
            return True
        self.kept += piece
        return len(self.kept) <= self._keep

    def _blocks(self, piece: bytes) -> list[Progress]:
        """Cut ffmpeg's `key=value` lines into blocks, each ended by `progress=`."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()[-_PIECE:]
        done: list[Progress] = []
        for line in lines:
            key, _, value = line.decode("utf-8", errors="replace").partition("=")
            self._block[key.strip()[:64]] = value.strip()[:200]
            if key == "progress" or len(self._block) > 256:  # noqa: PLR2004  ffmpeg prints about twenty
                done.append(self._block)
                self._block = {}
        return done


class _Count:
    """How many lines match; a line longer than a piece is judged by its beginning."""

    def __init__(self, wanted: re.Pattern[bytes] | None) -> None:
        self.seen = 0
        self._wanted, self._rest = wanted, b""

    def take(self, piece: bytes) -> None:
        if self._wanted is None:
            return
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()[:_PIECE]
        self.seen += sum(self._wanted.search(line) is not None for line in lines)


def _keep_tail(stream: IO[bytes], tail: bytearray, complaints: _Count) -> None:
    while piece := stream.read1(_PIECE):  # type: ignore[attr-defined]  # a pipe is a BufferedReader
        tail += piece
        del tail[:-TAIL]
        complaints.take(piece)


def _pass_on(stream: IO[bytes], pieces: queue.Queue[bytes]) -> None:
    while piece := stream.read1(_PIECE):  # type: ignore[attr-defined] # a pipe of Popen's is buffered
        pieces.put(piece)
    pieces.put(b"")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the tool's whole process group if any of it is left; gently first."""
    for number, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        if process.poll() is not None:
            break
        _signal_group(process.pid, number)
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
    _signal_group(process.pid, signal.SIGKILL)  # whatever the leader left behind holds our pipes open


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _drain(pieces: queue.Queue[bytes], threads: list[threading.Thread]) -> None:
    """Let the reading threads come to their end: with the tool gone, the pipes are closed and at most the queue is full.

    A grandchild that left the group could hold a pipe open; it is waited for no longer than a tool is.
    """
    until = time.monotonic() + GRACE_SECONDS
    while any(thread.is_alive() for thread in threads) and time.monotonic() < until:
        try:
            pieces.get(timeout=0.02)
        except queue.Empty:
            continue


def _cpu_ticks(pid: int) -> int:
    """Processor time burnt by a process and what it started, in clock ticks; 0 where /proc does not tell."""
    total, left = 0, [pid]
    while left:
        one = left.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            left += [
                int(child) for task in Path(f"/proc/{one}/task").iterdir() for child in (task / "children").read_text().split()
            ]
        except (OSError, ValueError):
            continue
        total += sum(int(ticks) for ticks in fields[11:15])  # utime, stime and those of children already waited for: proc(5)
    return total


def _int(text: str | None) -> int:
    return int(text) if text is not None and text.lstrip("-").isdecimal() else 0
