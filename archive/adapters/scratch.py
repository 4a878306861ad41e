"""Scratch directories of several processes on one host, and clearing up after those that were killed.

Whoever works in one holds a lock on it that the kernel drops when that process is gone, however it went. So what can be locked is nobody's.

Not guaranteed: that a directory made a moment ago is told apart from one that was left; those are passed over until they are `NEW` old.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

NEW: Final = 60.0
"""Seconds within which a directory that is not locked may be about to be."""


@contextmanager
def held(parent: Path) -> Iterator[Path]:
    """Give an empty directory that is this process's while the block lasts, and gone afterwards."""
    with tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as path:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield Path(path)
        finally:
            os.close(descriptor)


def clear(parent: Path) -> int:
    """Remove what nobody works in any more; return how many directories that were."""
    removed = 0
    for left in parent.iterdir():
        with suppress(OSError):  # its owner removed it meanwhile, or works in it
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if time.time() - os.fstat(descriptor).st_mtime < NEW:
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
                removed += 1
            finally:
                os.close(descriptor)
    return removed
