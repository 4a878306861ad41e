"""The bench a media job works at: the original at a path, what it is, an empty scratch directory, and the way into the store.

Invariants: what a tool made is hashed and made durable before it is put into the store, and put before the database hears of it; every
rendition carries how it was made: recipe, version, tool, argument list, jail, threads, and the digests of what went in and came out.

Not guaranteed: that a rendition is unique work. A job that lost its lease may have made the same one; the store then keeps one of them, and
the transaction that finishes the job is fenced.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from sqlalchemy.orm import Session

from archive.actions import item, rendition
from archive.actions.jobs import ClaimedJob
from archive.adapters import ffmpeg
from archive.adapters.durable import sync_file
from archive.adapters.jail import MIB, Jail, Limits, View
from archive.adapters.tool_runner import Progress, Ran, run
from archive.core.digest import Digest, derived_key, original_key
from archive.core.errors import ToolFailed
from archive.core.instant import Instant
from archive.core.media.boxes import Outline, outline
from archive.core.media.sniff import HEAD_SIZE, TAIL_SIZE, Sniffed, sniff
from archive.failpoints import failpoint
from archive.ports import Beat
from archive.resources import Resources
from workers.runner import Report

_PIECE = 4 * MIB


@dataclass(frozen=True, slots=True)
class Made:
    """A rendition that is in the store and not yet in the database."""

    recipe: str
    version: int
    key: str
    digest: Digest
    size: int
    stored_version: str
    media_type: str
    provenance: dict[str, object]


@dataclass(frozen=True, slots=True)
class Bench:
    """One job's place. `argvs` gathers what was run, with the jail's paths made symbolic; `derived` names a rendition that is worked on."""

    resources: Resources
    report: Report
    original: Digest
    source: Path
    size: int
    scratch: Path
    sniffed: Sniffed
    view: View
    argvs: list[list[str]] = field(default_factory=list)
    tolerated: list[str] = field(default_factory=list)
    derived: Digest | None = None

    @property
    def jail(self) -> Jail:
        """Where tools run."""
        return self.resources.jail

    @property
    def origin(self) -> ffmpeg.Source:
        """The original as ffmpeg's argument lists name it."""
        settings = self.resources.settings
        return ffmpeg.Source(
            self.view.source,
            self.sniffed.container,
            tuple(self.tolerated),
            most_tracks=settings.max_tracks,
            most_pixels=settings.max_picture_pixels,
        )

    def inside(self, name: str) -> str:
        """Return what a tool calls a file in the scratch directory."""
        return f"{self.view.scratch}/{name}"

    def outline(self) -> Outline | None:
        """Walk the original's boxes; see `archive.core.media.boxes`."""
        with self.source.open("rb", buffering=0) as file:

            def read_at(offset: int, count: int) -> bytes:
                file.seek(offset)
                return file.read(count)

            return outline(self.sniffed.container, self.size, read_at)

    def limits(self, *, duration_us: int | None = None, factor: int = 8) -> Limits:
        """Return what a run over this original may use.

        A tool gets so much processor time for every second of footage and ten minutes besides, and may write `factor` times the original
        and 256 MiB. Bytes stand for seconds where a file says that it is short: four million of them for one, which is 32 Mbit/s.
        """
        settings = self.resources.settings
        seconds = (duration_us or 0) // 1_000_000
        return Limits(
            address_space=settings.tool_memory,
            file_size=factor * self.size + 256 * MIB,
            cpu_seconds=600 + min(settings.tool_cpu_factor * max(seconds, self.size // (4 * MIB)), 7 * 86_400),
            open_files=256,
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        limits: Limits,
        note: str,
        duration_us: int | None = None,
        on_bytes: Callable[[bytes], None] | None = None,
        span: tuple[int, int] = (0, 1000),
        busy_seconds: float = 0,
        source: Path | None = None,
        complaint: re.Pattern[bytes] | None = None,
        on_block: Callable[[Progress], None] | None = None,
    ) -> Ran:
        """Run a tool in the jail and report its progress within `span` permille, under a short note.

        Raises:
            ToolFailed: it failed or made no progress.
            LeaseLost: the job was taken away; the tool has been ended.
        """
        start, stop = span
        done = start
        follows = "-progress" in argv

        def told(block: Progress) -> None:
            nonlocal done
            at = block.get("out_time_us", "")
            if duration_us and at.isdecimal():
                done = start + min(int(at), duration_us) * (stop - start) // duration_us
            self.report(done, note)
            if on_block is not None:
                on_block(block)

        self.report(done, note)
        self.argvs.append(self.symbolic(argv))
        return run(
            self.jail.cell(argv, source=source or self.source, scratch=self.scratch, limits=limits),
            tool=argv[0],
            on_bytes=on_bytes,
            on_progress=told if follows else None,
            beat=lambda: self.report(done, note),
            stall_seconds=self.resources.settings.tool_stall_seconds,
            busy_seconds=busy_seconds,
            complaint=complaint,
        )

    def symbolic(self, argv: Sequence[str]) -> list[str]:
        """Return an argument list with this job's paths replaced, so that it can be read and compared."""
        return [word.replace(self.view.source, "{original}").replace(self.view.scratch, "{scratch}") for word in argv]

    def keep(
        self,
        name: str,
        *,
        recipe: str,
        version: int,
        media_type: str,
        tool: str,
        argvs: Sequence[Sequence[str]] | None = None,
        quiet: bool = False,
        **more: object,
    ) -> Made:
        """Put a file of the scratch directory into the store as a rendition; `quiet` where it is one of many and tells no progress.

        Its bytes are on their way to the disk while they are hashed, so that durability costs little more than the hash.
        """
        path = self.scratch / name
        if not quiet:
            self.report(990, "storing")
        digest, size = _hash_while_syncing(path)
        failpoint("rendition.made")
        # The name carries the digest: made twice with different bytes (encoders may), neither copy is taken for the other gone bad.
        key = derived_key(self.original, recipe, version, f"{digest.hex[:16]}-{name}")
        placed = self.resources.store.put(key, path, digest)
        failpoint("rendition.put")
        provenance: dict[str, object] = {
            "recipe": recipe,
            "version": version,
            "tool": tool,
            "commands": [list(argv) for argv in (self.argvs if argvs is None else argvs)],
            "jail": self.jail.kind,
            "threads": self.resources.settings.transcode_threads,
            "processors": os.cpu_count() or 1,
            "input": {"sha256": (self.derived or self.original).hex, "size": self.size, "container": self.sniffed.container},
            "output": {"sha256": digest.hex, "size": size},
            **more,
        }
        return Made(recipe, version, key, digest, size, placed.version, media_type, provenance)

    def made(self, name: str) -> bool:
        """Say whether a tool made a file of this name that has something in it."""
        path = self.scratch / name
        return path.is_file() and path.stat().st_size > 0

    def read(self, name: str) -> bytes:
        """Return a file that a tool made in the scratch directory, and nothing that it made a name for.

        Raises:
            ToolFailed: it is no file of its own.
        """
        with no_link(self.scratch / name) as file:
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a small file into the scratch directory, to be kept."""
        (self.scratch / name).write_bytes(content)


@contextmanager
def opened(resources: Resources, job: ClaimedJob, report: Report) -> Iterator[Bench]:
    """Give the bench of a job; scratch and whatever is in it are gone afterwards.

    A job whose payload says `of` a recipe works on that rendition in the original's stead.

    Raises:
        ObjectMissing: the original is not in the store.
        NotFound: there is no such rendition.
    """
    digest = Digest(job.sha256)
    key, derived = original_key(digest), None
    with resources.reading() as session:
        version = item.stored(session, digest).version
        if "of" in job.payload:
            copy = rendition.find(session, digest, str(job.payload["of"]))
            key, version, derived = copy.key, copy.stored_version, copy.digest
    with resources.store.local(key, version=version, beat=fetching(report)) as source, resources.scratch() as scratch:
        size = source.stat().st_size
        with source.open("rb") as file:
            head = file.read(HEAD_SIZE)
            file.seek(max(0, size - TAIL_SIZE))
            tail = file.read(TAIL_SIZE)
        view = resources.jail.view(source, scratch)
        yield Bench(resources, report, digest, source, size, scratch, sniff(head, tail), view, derived=derived)


def publish(session: Session, original: Digest, made: Sequence[Made], *, now: Instant) -> None:
    """Record renditions that are in the store, in the job's last transaction."""
    for one in made:
        rendition.publish(
            session,
            sha256=original,
            recipe=one.recipe,
            version=one.version,
            key=one.key,
            digest=one.digest,
            size=one.size,
            stored_version=one.stored_version,
            media_type=one.media_type,
            provenance=one.provenance,
            now=now,
        )


def fetching(report: Report) -> Beat:
    """Return what tells of a fetch, as the first twentieth of a job, and lets the job be ended meanwhile."""

    def beat(done: int, of: int) -> None:
        report(min(done, of) * 50 // max(of, 1), "reading")

    return beat


@contextmanager
def no_link(path: Path) -> Iterator[FileIO]:
    """Open what a tool left in its scratch directory, for reading.

    A tool that was taken over sees nothing of the archive, but it can leave a symbolic link behind for us, who see everything, to follow;
    or a pipe for us to wait at.

    Raises:
        ToolFailed: it is a link, a pipe, or has another name elsewhere.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ToolFailed(tool="scratch", reason="odd_output", tail=f"{path.name}: {error.strerror}") from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(fd)
        raise ToolFailed(tool="scratch", reason="odd_output", tail=f"{path.name}: no file of its own")
    with FileIO(fd, "rb") as file:
        yield file


def _hash_while_syncing(path: Path) -> tuple[Digest, int]:
    """Return digest and size of a file that is made durable meanwhile; a failed sync ends the process, as everywhere."""
    whole, size = hashlib.sha256(), 0
    with no_link(path) as file:
        flusher = threading.Thread(target=sync_file, args=(file.fileno(),), daemon=True)
        flusher.start()
        while piece := file.read(_PIECE):
            whole.update(piece)
            size += len(piece)
        flusher.join()
    return Digest(whole.hexdigest()), size


@functools.cache
def tool_version(jail: Jail, tool: str) -> str:
    """Return the first line of `tool -version`, asked once for each process."""
    here = Path("/usr/bin/env")
    cell = jail.cell([tool, "-version"], source=here, scratch=Path("/tmp"), limits=Limits())  # noqa: S108 - nothing is written
    lines = run(cell, tool=tool).output.decode("utf-8", errors="replace").splitlines()
    return " ".join(lines[0].split()[:3]) if lines else tool
