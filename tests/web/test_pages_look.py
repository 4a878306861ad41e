"""Pages of paper, work in progress, digests, times and lists in Chromium: what they do, and that nothing is cut off or too pale."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser import needs_chromium
from tests.web.pages_world import work
from tests.web.window import Window, until

if TYPE_CHECKING:
    pass

pytestmark = needs_chromium
FRAME = 1 / 25
TIMED = "document.querySelector('lh-player video').currentTime"


def test_pages_of_a_paper_turn_zoom_and_rotate_by_key(window: Window) -> None:
    with window.page(f"/items/{window.archive.numbers['paper']}") as page:
        stage, place, scale = (page.locator(f".lhs-{name}") for name in ("stage", "count", "scale"))
        scan = "document.querySelector('liuhen-scan').dataset"
        expect(place).to_have_text(" / 2")
        until(page, f"{scan}.shown === '1'")
        stage.focus()
        page.keyboard.press("PageDown")
        until(page, f"{scan}.shown === '2'")
        expect(scale).not_to_be_empty()  # it is told when the page's picture has been measured
        fitted = int(scale.text_content().removesuffix("%"))
        page.keyboard.press("+")
        until(page, f"{round(fitted * 1.25)} - parseInt(document.querySelector('.lhs-scale').textContent) <= 1")
        page.keyboard.press("0")
        page.keyboard.press("r")
        until(page, f"{scan}.turn === '90'")
        expect(scale).not_to_have_text(f"{fitted}%")
        page.keyboard.press("PageUp")
        until(page, f"{scan}.shown === '1'")


def test_a_page_follows_the_work_on_its_item_by_itself(window: Window) -> None:
    with window.page(f"/items/{window.archive.numbers['waiting']}") as page:
        expect(page.locator("#progress")).to_contain_text("还有\u20092\u2009项")
        work(window.archive.resources)
        expect(page.locator("lh-player")).to_be_visible(timeout=15_000)
        expect(page.locator("#item-state")).to_contain_text("已校验")
        expect(page.locator(".lhp-strip")).to_be_visible(timeout=15_000)


def test_a_digest_is_copied_whole(window: Window) -> None:
    with window.page(f"/items/{window.archive.numbers['film']}") as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        button = page.get_by_role("button", name="复制完整摘要").first
        button.click()
        expect(page.locator("#lh-status")).to_have_text("已复制")
        assert page.evaluate("navigator.clipboard.readText()") == button.get_attribute("data-copy")


def test_a_time_shows_utc_and_its_age_on_hover(window: Window) -> None:
    with window.page(f"/items/{window.archive.numbers['film']}") as page:
        moment = page.locator(".lh-facts time").first
        assert moment.get_attribute("title") == "2026-03-12 01:01:20 UTC"
        moment.hover()
        assert re.fullmatch(r"2026-03-12 01:01:20 UTC  ·  \d+天(前|后)", moment.get_attribute("title"))


def test_a_filter_left_empty_stays_out_of_the_address(window: Window) -> None:
    with window.page("/items") as page:
        page.locator("select[name=kind]").select_option("photo")
        page.get_by_role("button", name="查找").click()
        page.wait_for_url("**/items?kind=photo")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "lh-search"
        page.keyboard.press("Escape")
        page.locator("body").click(position={"x": 700, "y": 740})
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.textContent") == window.archive.numbers["photo"]
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/items/{window.archive.numbers['photo']}")


def every_address(window: Window) -> list[str]:
    numbers = window.archive.numbers
    fixed = ["/inbox", "/items", "/cases", "/cases/new", "/jobs?state=done", "/quarantine", "/upload"]
    made = [f"/cases/{window.archive.case_id}", f"/items/{numbers['film']}/receipt"]
    kinds = ("film", "old", "paper", "photo", "sound", "damaged", "unknown")
    return [*fixed, *made, *(f"/items/{numbers[name]}" for name in kinds)]


FITS = "document.documentElement.scrollWidth <= innerWidth"
SIZES = {"office": (1366, 768), "large": (1920, 1080), "200 percent zoom": (683, 384)}


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_no_page_is_wider_than_its_window_also_when_that_is_changed(window: Window, language: str) -> None:
    with window.page("/inbox", language=language) as page:
        for address in every_address(window):
            page.set_viewport_size({"width": 1366, "height": 768})
            page.goto(address)
            assert page.evaluate(FITS), address
            for name in ("200 percent zoom", "large"):
                width, height = SIZES[name]
                page.set_viewport_size({"width": width, "height": height})
                until(page, f"innerWidth === {width}")
                assert page.evaluate(FITS), (address, name)


@pytest.mark.soak
@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize(("width", "height"), SIZES.values(), ids=SIZES)
def test_no_page_opened_in_a_window_is_wider_than_it(window: Window, language: str, width: int, height: int) -> None:
    with window.page("/inbox", language=language, width=width, height=height) as page:
        for address in every_address(window):
            page.goto(address)
            assert page.evaluate(FITS), address


def test_nothing_of_a_list_is_cut_off_at_1366_by_768(window: Window) -> None:
    with window.page("/items") as page:
        assert page.evaluate(
            "(() => { const box = document.querySelector('.lh-scroll'); return box.scrollWidth <= box.clientWidth; })()"
        )


@pytest.mark.parametrize("name", ["film", "damaged", "paper"])
def test_text_has_the_contrast_that_wcag_aa_asks(window: Window, name: str) -> None:
    with window.page(f"/items/{window.archive.numbers[name]}") as page:
        poor = page.evaluate("""() => {
          const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
            if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
          const found = [];
          for (const e of document.querySelectorAll('body *')) {
            if (!e.checkVisibility() || e.closest('.lhp-stage, svg, .lh-sr, select, [disabled]')) continue;
            if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
            const style = getComputedStyle(e);
            const [a, b] = [light(parse(style.color)), light(behind(e))].sort((x, y) => y - x);
            const large = parseFloat(style.fontSize) >= 24;
            if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) found.push(`${e.textContent.trim().slice(0, 20)} ${style.color}`);
          }
          return found;
        }""")
        assert poor == []
