"""Chromium as an office PC has it, driven by Playwright, signed in to a running server.

    with chromium() as browser, signed_in(browser, server) as page:
        page.goto(f"/items/{number}")

Debian's own Chromium is used, because it plays H.264 and is installed by `infra/setup.sh test`; nothing is fetched by the browser itself.
A page that logs an error to its console, or asks any other host for anything, fails the test that opened it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from archive.demo.server import Server

PROGRAM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",  # tests may run as root, where Chromium's own sandbox does not start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
VIEWPORT = {"width": 1366, "height": 768}

needs_chromium = pytest.mark.skipif(not PROGRAM.exists(), reason="chromium is not installed (infra/setup.sh test)")

DEEP_VIDEO = """() => {
  const find = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (element instanceof HTMLVideoElement) return element;
      const inner = element.shadowRoot && find(element.shadowRoot);
      if (inner) return inner;
    }
    return null;
  };
  return find(document);
}"""
"""JavaScript: the page's first video element, inside web components too."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium and end it."""
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=str(PROGRAM), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def signed_in(
    browser: Browser, server: Server, *, locale: str = "zh-CN", viewport: dict[str, int] | None = None
) -> Iterator[Page]:
    """Open a page signed in with the bootstrap account, by the form a person would fill in."""
    context = browser.new_context(
        base_url=server.base_url, locale=locale, viewport=viewport or VIEWPORT, timezone_id="Asia/Shanghai"
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("console", lambda said: wrong.append(f"console: {said.text}") if said.type == "error" else None)
    page.on("request", lambda asked: wrong.append(f"elsewhere: {asked.url}") if _elsewhere(asked.url, server) else None)
    account = server.account()
    page.goto("/sign-in")
    page.fill("input[name=login]", account.name)
    page.fill("input[name=password]", account.password)
    with page.expect_navigation():
        page.press("input[name=password]", "Enter")
    try:
        yield page
        assert not wrong, "\n".join(wrong)
    finally:
        context.close()


def _elsewhere(url: str, server: Server) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != urlsplit(server.base_url).netloc
