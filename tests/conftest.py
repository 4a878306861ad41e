"""Fixtures every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import services
from tests.server import RunningServer
from tests.services import postgres_url, rabbit_url, s3

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["postgres_url", "rabbit_url", "s3"]

# The same examples on every run, so that a failure is there again tomorrow; `make soak` draws many, from a seed that it names.
# No deadline: two cores shared with ffmpeg make any single example slow now and then.
settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("soak", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Have a place for PostgreSQL, RabbitMQ and S3, which start when a test asks for them."""
    services.begin(config)


LONG = (
    "demo/test_production.py",
    "soak/test_faults.py",
    "journeys/",
    "demo/",
    "test_wheel.py",
    "workers/",
    "corpus/",
    "attacks/",
)
"""What takes long comes first, so that the last of several test processes is not left alone with it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; files stay whole and in their order."""
    here = Path(__file__).parent

    def turn(item: pytest.Item) -> int:
        name = item.path.relative_to(here).as_posix()
        return next((at for at, long in enumerate(LONG) if name.startswith(long)), len(LONG))

    items.sort(key=turn)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End them."""
    services.finish(config)


@pytest.fixture
def running_server(tmp_path: Path) -> Iterator[RunningServer]:
    """A real server over an empty data directory, started and ended around one test."""
    with RunningServer(tmp_path / "data") as server:
        yield server


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real files from elsewhere, which are not ours to commit."""
    folder = os.environ.get("TEST_SAMPLES")
    if not folder:
        pytest.skip("TEST_SAMPLES names no folder with real media files")
    return Path(folder)
