"""A browser with one archive to look at, for the tests of pages in Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.web.pages_world import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request


@dataclass
class Window:
    """A browser with one archive to look at.

    One tab for each language goes from test to test, because a tab of its own is a process of its own, and that starts ten times as slowly
    as a page loads. What a page did is gone when the next address is opened; nothing of these pages is kept in the browser.
    """

    archive: World
    browser: Browser
    tabs: dict[str, Page] = field(default_factory=dict)

    @contextmanager
    def page(self, address: str, *, language: str = "zh-CN", width: int = 1366, height: int = 768) -> Iterator[Page]:
        """Open a page signed in; it fails the test if it logs an error or asks another host."""
        page = self.tabs.pop(language, None) or self._tab(language)
        wrong: list[str] = []

        def script(error: Error) -> None:
            wrong.append(f"script: {error}")

        def console(said: ConsoleMessage) -> None:
            if said.type in ("error", "warning"):
                wrong.append(said.text)

        def elsewhere(asked: Request) -> None:
            if not asked.url.startswith((self.archive.url, "blob:", "data:")):
                wrong.append(asked.url)

        listeners = {"pageerror": script, "console": console, "request": elsewhere}
        for event, listener in listeners.items():
            page.on(event, listener)
        try:
            page.set_viewport_size({"width": width, "height": height})
            page.mouse.move(0, 0)
            page.goto(address)
            yield page
            page.evaluate("0")  # what was logged before has been heard once this is answered
            assert not wrong, "\n".join(wrong)
        except BaseException:
            page.context.close()  # nobody knows what state it is in
            raise
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        page.context.clear_permissions()
        self.tabs[language] = page

    def _tab(self, language: str) -> Page:
        with self.archive.client():
            pass
        context = self.browser.new_context(base_url=self.archive.url, locale=language)
        for name, value in (("liuhen_session", self.archive.session), ("liuhen_language", language)):
            context.add_cookies([{"name": name, "value": value, "url": self.archive.url}])
        return context.new_page()


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
