"""Fixtures of the stores' tests: the same bytes where a store can link them, and where it cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.stores import GOOD

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file as the spool hands it over."""
    path = tmp_path / "spooled"
    path.write_bytes(GOOD)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """The same bytes on another file system, so that no hard link can be made."""
    path = Path("/dev/shm") / f"liuhen-test-{os.getpid()}"
    assert path.parent.stat().st_dev != tmp_path.stat().st_dev
    path.write_bytes(GOOD)
    yield path
    path.unlink()
