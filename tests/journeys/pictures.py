"""Take the README's pictures from a demonstration that is really running: 1366×768, Chinese.

python tests/journeys/pictures.py [--to docs/pictures]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))

from archive.demo import run
from archive.demo.volume import A, Replay
from tests.browser import DEEP_VIDEO, chromium, signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"

SHOW_AT = """async (second) => {
  const video = (FIND)();
  if (video.readyState < 1) {
    const known = new Promise((done) => video.addEventListener('loadedmetadata', done, { once: true }));
    video.preload = 'metadata';
    video.load();
    await known;
  }
  video.pause();
  const seeked = new Promise((done) => video.addEventListener('seeked', done, { once: true }));
  video.currentTime = second;
  await seeked;
}""".replace("FIND", DEEP_VIDEO)


def take(page: Page, shown: run.Shown, folder: Path) -> None:
    """Go where an officer would go and keep what they would see."""
    second_file = sorted(
        deposit.path
        for deposit in shown.volume.deposits
        if deposit.recorder == A.recorder and deposit.replay is Replay.ORIGINAL and deposit.letters == "LX"
    )[1]
    page.goto(f"/items/{shown.numbers[second_file]}")
    page.wait_for_selector("video", state="attached")
    page.evaluate(SHOW_AT, 18.3)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / "item.png")

    page.goto(f"/cases/{shown.case_id}")
    page.locator(f"[data-id][aria-label*='{shown.numbers[second_file][-8:]}'] .lht-bar").first.click()
    page.wait_for_selector("video", state="attached")
    page.evaluate(SHOW_AT, 18.3)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / "timeline.png")

    record = next(path for path in shown.numbers if path.suffix == ".pdf")
    page.goto(f"/items/{shown.numbers[record]}")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / "document.png")


def inbox(page: Page, folder: Path) -> None:
    """Take the inbox as it is when a recorder has just come in."""
    page.goto("/inbox")
    page.wait_for_timeout(1000)  # what it asks for by itself has come by then; it goes on asking, so that it is never idle
    page.screenshot(path=folder / "inbox.png")


def main() -> None:
    """Run a demonstration in a temporary folder and take the pictures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--to", type=Path, default=PICTURES)
    target: Path = options.parse_args().to
    target.mkdir(parents=True, exist_ok=True)
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="liuhen-pictures-"))
    try:
        with (
            run.running(run.house(folder, port=None), console) as server,
            chromium() as browser,
            signed_in(browser, server) as page,
        ):
            shown = run.show(folder, server, console, docked=lambda: inbox(page, target))
            take(page, shown, target)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
