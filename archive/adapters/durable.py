"""Making files and names survive a power cut.

Source: `fsync(2)`, `rename(2)`, and what happened to those who asked twice: after a failed fsync the kernel may call the dropped pages
clean, so a second fsync reports success for bytes that never reached the disk. Therefore a failed sync ends the process here and now;
whoever restarts it reads what is really there.

Not guaranteed: that the disk itself tells the truth about its cache.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

SYNC_FAILED: Final = 74
"""Exit status after a failed sync (EX_IOERR of sysexits.h)."""

_MOST_KNOWN: Final = 10_000  # a few megabytes; forgetting costs a sync and nothing else
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Say whether this error means that there is no room: on the disk, in a quota, or under a file size limit."""
    return error.errno in _FULL


def sync_file(fd: int, *, kept: int | None = None) -> None:
    """Make the file's bytes and what is needed to read them durable, or end the process.

    Args:
        fd: The file.
        kept: How many bytes are known to be durable. If the sync fails, the file is first cut back to them, so that pages which
            the kernel dropped but still shows are not taken for bytes on the disk after the restart.
    """
    try:
        os.fdatasync(fd)
    except OSError as error:
        if kept is not None:
            with suppress(OSError):
                os.ftruncate(fd, kept)
        die(error)


def sync_path(path: Path) -> None:
    """Make a file with its attributes, or a directory's names, durable, or end the process.

    Raises:
        OSError: It cannot be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            os.fsync(fd)
        except OSError as error:
            die(error)
    finally:
        os.close(fd)


def make_directories(root: Path, directory: Path, *, known: set[Path] | None = None) -> None:
    """Make `directory` under `root`, and the names of all directories between them durable.

    A directory that is already there is synced too: whoever made it may have died before doing so.

    Args:
        root: Where durable names begin.
        directory: What is to be made.
        known: Directories whose names this process has made durable; they are not synced again, and more are added. Only for trees
            from which nobody removes directories.

    Raises:
        OSError: One of them cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True)
    step, synced = directory, set[Path]()
    while step != root and (known is None or step not in known):
        sync_path(step.parent)
        synced.add(step)
        step = step.parent
    if known is not None:
        if len(known) > _MOST_KNOWN:
            known.clear()
        known |= synced


def die(error: OSError) -> NoReturn:
    """End the process because the disk did not take what it was given; nothing may run that would answer as if it had."""
    sys.stderr.write(f"liuhen: the disk did not take what was written ({error}); ending, so that nothing is acknowledged\n")
    sys.stderr.flush()
    os._exit(SYNC_FAILED)
