"""Fixtures of the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import chromium
from tests.web.pages_world import world
from tests.web.window import Window


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with world(tmp_path_factory.mktemp("browser") / "data") as archive, chromium() as browser:
        yield Window(archive, browser)
