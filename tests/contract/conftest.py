"""Fixtures of the stores' tests: the same bytes where a store can link them, and where it cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archive.adapters import s3_buckets
from tests.contract.stores import GOOD, s3_store
from tests.lying import Lying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.adapters.s3_store import S3Store
    from tests.services import S3


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


@pytest.fixture
def lying(s3: S3) -> Iterator[Lying]:
    """A proxy before the gateway, honest until it is told otherwise."""
    with Lying(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def store(s3: S3, lying: Lying, tmp_path: Path) -> Iterator[S3Store]:
    """A store behind a proxy that is honest until it is told otherwise."""
    with s3_store(s3, tmp_path, endpoint=lying.endpoint) as made:
        s3_buckets.make(made.client, made.buckets)
        lying.asked.clear()
        yield made
