"""Every journey is made on both profiles: on one machine's SQLite and directory, and on PostgreSQL, RabbitMQ and S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server import PROFILES, RunningServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=PROFILES, scope="session")
def profile(request: pytest.FixtureRequest) -> str:
    """Which engines stand behind the journey."""
    return str(request.param)


@pytest.fixture
def running_server(tmp_path: Path, profile: str) -> Iterator[RunningServer]:
    """A real server over an empty data directory, started and ended around one test."""
    with RunningServer(tmp_path / "data", profile=profile) as server:
        yield server
