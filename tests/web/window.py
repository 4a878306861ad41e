"""A browser with one archive to look at, for the tests of pages in Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.web.pages_world import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass(frozen=True)
class Window:
    """A browser with one archive to look at."""

    archive: World
    browser: Browser

    @contextmanager
    def page(self, address: str, *, language: str = "zh-CN", width: int = 1366, height: int = 768) -> Iterator[Page]:
        """Open a page signed in; it fails the test if it logs an error or asks another host."""
        with self.archive.client():
            pass
        context = self.browser.new_context(
            base_url=self.archive.url, viewport={"width": width, "height": height}, locale=language
        )
        for name, value in (("liuhen_session", self.archive.session), ("liuhen_language", language)):
            context.add_cookies([{"name": name, "value": value, "url": self.archive.url}])
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on(
            "request",
            lambda asked: wrong.append(asked.url) if not asked.url.startswith((self.archive.url, "blob:", "data:")) else None,
        )
        try:
            page.goto(address)
            yield page
            assert not wrong, "\n".join(wrong)
        finally:
            context.close()


@contextmanager
def unwatched(window: Window, address: str) -> Iterator[Page]:
    """Open a page signed in that may meet refusals, which a browser logs as errors."""
    with window.browser.new_context(base_url=window.archive.url, locale="zh-CN") as context:
        for name, value in (("liuhen_session", window.archive.session), ("liuhen_language", "zh-CN")):
            context.add_cookies([{"name": name, "value": value, "url": window.archive.url}])
        page = context.new_page()
        page.goto(address)
        yield page


def until(page: Page, true: str, *, seconds: float = 20) -> None:
    """Wait until an expression holds. Playwright's own wait would evaluate it in the page, which the content policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(true):
        assert time.monotonic() < deadline, true
        page.wait_for_timeout(25)
