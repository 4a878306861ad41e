"""What the machine under an archive says of itself: its disk, its tools, how large a folder is. Looks, and changes nothing.

Not guaranteed: that a figure still holds when it is read. Sizes are those of a moment in which uploads come and go.
"""

from __future__ import annotations

import functools
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from archive.adapters.jail import Jail, Limits
from archive.adapters.tool_runner import run
from archive.core.errors import ToolFailed

TOOLS = ("ffmpeg", "ffprobe")
LIBRARIES = ("pillow", "pypdfium2", "pyvips")


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that the archive lies on, in bytes; `free` is what our own user may still write."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Tool:
    """A program or library that opens what strangers made; `version` is None where it does not answer."""

    name: str
    version: str | None


def disk(folder: Path) -> Disk:
    """Return the size of the file system under a folder, and what is free of it."""
    status = os.statvfs(folder)
    return Disk(status.f_frsize * status.f_blocks, status.f_frsize * status.f_bavail)


def size(folder: Path) -> int:
    """Return how many bytes the files of a folder have, those directly in it but hidden ones; what goes away meanwhile does not count."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                counts = entry.is_file(follow_symlinks=False) and not entry.name.startswith(".")
                total += entry.stat(follow_symlinks=False).st_size if counts else 0
    return total


@functools.cache
def tools(jail: Jail) -> tuple[Tool, ...]:
    """Return the tools and libraries with their versions, asked in the jail they work in, once for each process."""
    programs = [Tool(name, _answer(jail, name)) for name in TOOLS]
    return (*programs, *(Tool(name, _library(name)) for name in LIBRARIES), Tool("python", platform.python_version()))


def _answer(jail: Jail, name: str) -> str | None:
    here = Path("/usr/bin/env")
    try:
        ran = run(jail.cell([name, "-version"], source=here, scratch=Path("/tmp"), limits=Limits()), tool=name)  # noqa: S108 - nothing is written
    except ToolFailed:
        return None
    words = ran.output.decode("utf-8", errors="replace").split()
    return words[2][:60] if len(words) > 2 else None  # noqa: PLR2004  «ffmpeg version 5.1.9»


def _library(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
