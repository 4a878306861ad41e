"""Pages in Chromium: the player by keyboard, the timeline's bars at their places, pages of paper, live progress; no script error, no
request elsewhere, nothing the content policy refuses (each would fail the page that met it)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from archive.actions import case
from tests.browser import needs_chromium
from tests.web.window import Window, until, unwatched

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium
FRAME = 1 / 25
TIMED = "document.querySelector('lh-player video').currentTime"


@pytest.fixture
def film(window: Window) -> Iterator[Page]:
    with window.page(f"/items/{window.archive.numbers['film']}") as page:
        page.locator("lh-player").focus()
        page.evaluate("document.querySelector('lh-player').seek(0)")
        until(page, "document.querySelector('lh-player video').readyState >= 2")
        yield page


def shown_time(page: Page) -> float:
    hours, minutes, seconds = page.locator(".lhp-time").inner_text().split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def go_to(page: Page, seconds: float) -> None:
    page.evaluate("s => document.querySelector('lh-player').seek(s)", seconds)
    until(page, f"!document.querySelector('lh-player video').seeking && Math.abs({TIMED} - {seconds}) < 0.1")
    page.wait_for_timeout(150)


def picture(page: Page) -> str:
    """What the video shows, as a digest of its middle."""
    return page.evaluate("""() => {
      const video = document.querySelector('lh-player video');
      const canvas = new OffscreenCanvas(64, 36);
      const context = canvas.getContext('2d');
      context.drawImage(video, 0, 0, 64, 36);
      return context.getImageData(0, 0, 64, 36).data.join();
    }""")


def test_frames_advance_after_a_seek(film: Page) -> None:
    go_to(film, 8)
    before = picture(film)
    film.keyboard.press("Space")
    until(film, f"{TIMED} > 8.5")
    film.keyboard.press("Space")
    assert film.evaluate("document.querySelector('lh-player video').paused")
    assert picture(film) != before


def test_a_step_shows_the_very_next_frame_and_the_very_one_before(film: Page) -> None:
    go_to(film, 3)
    film.keyboard.press(",")
    expect(film.locator(".lhp-time")).to_have_text(re.compile(r"0:00:02\.\d{3}"))
    start, seen = shown_time(film), [picture(film)]
    for step in range(1, 5):
        film.keyboard.press(".")
        expect(film.locator(".lhp-time")).to_have_text(f"0:00:{start + step * FRAME:06.3f}")
        seen.append(picture(film))
    assert len(set(seen)) == len(seen)
    for step in range(3, -1, -1):
        film.keyboard.press(",")
        expect(film.locator(".lhp-time")).to_have_text(f"0:00:{start + step * FRAME:06.3f}")
        assert picture(film) == seen[step]
    expect(film.locator(".lhp-frame")).to_have_text(f"帧\u2009{round(start / FRAME)}")


def test_j_k_and_l_shuttle(film: Page) -> None:
    go_to(film, 6)
    for gear, rate in ((1, 1), (2, 2), (3, 4)):
        film.keyboard.press("l")
        assert film.evaluate("document.querySelector('lh-player video').playbackRate") == rate, gear
    until(film, f"{TIMED} > 6.4")
    film.keyboard.press("k")
    assert film.evaluate("document.querySelector('lh-player video').paused")
    assert film.evaluate("document.querySelector('lh-player video').playbackRate") == 1
    at = film.evaluate(TIMED)
    film.keyboard.press("j")
    until(film, f"{TIMED} < {at} - 0.4")
    film.keyboard.press("k")
    stopped = film.evaluate(TIMED)
    film.wait_for_timeout(400)
    assert film.evaluate(TIMED) == stopped


def test_arrows_ends_and_speed_have_their_keys(film: Page) -> None:
    go_to(film, 1)
    film.keyboard.press("ArrowRight")
    until(film, f"Math.abs({TIMED} - 6) < 0.05")
    film.keyboard.press("Shift+ArrowLeft")
    until(film, f"Math.abs({TIMED} - 5) < 0.05")
    film.keyboard.press("Home")
    until(film, f"{TIMED} === 0")
    film.keyboard.press("End")
    until(film, f"{TIMED} > 11.5")
    film.keyboard.press("]")
    assert film.locator(".lhp-select").first.input_value() == "1.5"


def test_the_wall_clock_beside_the_picture_is_the_recorders_plus_its_offset(film: Page) -> None:
    expect(film.locator(".lhp-stamp")).to_have_text("2026-03-12 09:01:20")
    go_to(film, 10)
    expect(film.locator(".lhp-stamp")).to_have_text("2026-03-12 09:01:30")


def test_an_unverified_clock_says_so_beside_the_picture(window: Window) -> None:
    with window.page(f"/items/{window.archive.numbers['unclocked']}") as page:
        expect(page.locator(".lhp-stamp")).to_have_text("2026-03-12 09:01:28\u2009起  时钟未核")


def test_storyboard_and_wave_are_drawn_on_the_same_scale_and_hover_previews(film: Page) -> None:
    expect(film.locator(".lhp-strip")).to_be_visible()
    expect(film.locator(".lhp-wave")).to_be_visible()
    drawn = film.evaluate("""() => ['.lhp-strip', '.lhp-wave'].map((name) => {
      const canvas = document.querySelector(name);
      return new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size;
    })""")
    assert min(drawn) > 2
    strip, wave = (film.locator(name).bounding_box() for name in (".lhp-strip", ".lhp-wave"))
    assert strip["x"] == wave["x"]
    assert strip["width"] == wave["width"]
    film.mouse.move(wave["x"] + wave["width"] / 2, wave["y"] + 10)
    expect(film.locator(".lhp-preview")).to_be_visible()
    expect(film.locator(".lhp-preview canvas")).to_be_visible()
    expect(film.locator(".lhp-preview-text")).to_contain_text("0:00:06.0")
    expect(film.locator(".lhp-preview-text")).to_contain_text("完全无声")


def test_dragging_along_the_wave_seeks(film: Page) -> None:
    wave = film.locator(".lhp-wave").bounding_box()
    film.mouse.move(wave["x"] + wave["width"] * 0.25, wave["y"] + 10)
    film.mouse.down()
    film.mouse.move(wave["x"] + wave["width"] * 0.75, wave["y"] + 10)
    film.mouse.up()
    until(film, f"Math.abs({TIMED} - 9) < 0.2")


def test_an_original_that_does_not_decode_gives_way_to_what_does(window: Window) -> None:
    number = window.archive.numbers["old"]
    with window.page(f"/items/{number}") as page:
        page.evaluate(
            """(number) => {
          const base = `/api/v1/items/${number}`;
          const player = document.createElement('lh-player');
          player.dataset.kind = 'recording';
          player.dataset.sources = JSON.stringify([
            { label: '原件', url: `${base}/original` }, { label: '转码件', url: `${base}/renditions/transcode` }]);
          document.querySelector('lh-player').replaceWith(player);
        }""",
            number,
        )
        page.keyboard.press("Space")
        expect(page.locator(".lhp-message")).to_have_text("原件：此浏览器不能播放，改播转码件。")
        until(page, "document.querySelector('lh-player video').videoWidth > 0")


def test_opening_a_page_asks_for_nothing_of_the_original_until_it_is_played(window: Window) -> None:
    with window.page("/inbox") as page:
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url) if one.url.endswith("/original") else None)
        page.goto(f"/items/{window.archive.numbers['film']}")
        expect(page.locator(".lhp-strip")).to_be_visible()
        expect(page.locator(".lhp-total")).to_have_text("/ 0:00:12.000")
        assert asked == []
        page.keyboard.press("Space")
        until(page, f"{TIMED} > 0.2")
        assert asked


def test_a_seek_before_playing_shows_the_picture_of_that_second(window: Window) -> None:
    with window.page(f"/items/{window.archive.numbers['film']}") as page:
        expect(page.locator(".lhp-wave")).to_be_visible()
        wave = page.locator(".lhp-wave").bounding_box()
        page.mouse.click(wave["x"] + wave["width"] * 0.5, wave["y"] + 10)
        until(page, f"Math.abs({TIMED} - 6) < 0.2")
        assert page.evaluate("document.querySelector('lh-player video').paused")


def test_what_the_archive_cannot_deliver_is_not_blamed_on_the_browser(window: Window) -> None:
    with unwatched(window, f"/items/{window.archive.numbers['film']}") as page:
        page.evaluate("""() => {
          const player = document.createElement('lh-player');
          player.dataset.kind = 'recording';
          player.dataset.sources = JSON.stringify([{ label: '原件', url: '/api/v1/items/2020-00000001/original' }]);
          document.querySelector('lh-player').replaceWith(player);
        }""")
        page.keyboard.press("Space")
        expect(page.locator(".lhp-message")).to_have_text(re.compile(r"原件：档案库未能提供（\w+）。"))


def test_a_refused_binding_brings_its_reason_into_view(window: Window) -> None:
    # The answer's status is one that a browser's console tells of.
    with unwatched(window, f"/cases/{window.archive.case_id}") as page:
        page.set_viewport_size({"width": 1366, "height": 400})
        page.locator("#f-item").fill("2020-00000001")
        page.locator("#f-item").press("Enter")
        page.locator("[data-refused]").wait_for()
        expect(page.locator("[data-refused]")).to_be_in_viewport()
        expect(page.locator("[data-refused]")).to_be_focused()


def test_sound_without_pictures_has_its_wave_and_plays(window: Window) -> None:
    with window.page(f"/items/{window.archive.numbers['sound']}") as page:
        expect(page.locator(".lhp-wave")).to_be_visible()
        page.locator("lh-player").focus()
        page.keyboard.press("Space")
        until(page, "document.querySelector('lh-player audio').currentTime > 0.2")


def test_question_mark_shows_the_keys_and_escape_gives_the_focus_back(film: Page) -> None:
    film.keyboard.press("?")
    dialog = film.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("倒放、停止、前进")
    film.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert film.evaluate("document.activeElement.tagName") == "LH-PLAYER"


def test_every_control_of_the_player_has_a_name_and_a_visible_focus(film: Page) -> None:
    unnamed = film.evaluate("""() => [...document.querySelectorAll('lh-player button, lh-player select, lh-player [role=slider]')]
      .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.outerHTML)""")
    assert unnamed == []
    film.locator(".lhp-play").focus()
    film.keyboard.press("Tab")
    assert film.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    slider = film.get_by_role("slider", name="位置")
    go_to(film, 6)
    assert slider.get_attribute("aria-valuenow") == "6"
    assert slider.get_attribute("aria-valuetext") == "0:00:06.000 / 0:00:12.000"


def bars(page: Page) -> dict[str, dict[str, float]]:
    found = page.evaluate("""() => [...document.querySelectorAll('.lht-recorder')].map((g) => {
      const bar = g.querySelector('.lht-bar');
      const dashed = g.classList.contains('lht-unverified');
      return [g.dataset.id, { x: +bar.getAttribute('x'), width: +bar.getAttribute('width'), dashed }];
    })""")
    return dict(found)


def test_bars_stand_where_the_axis_says(window: Window) -> None:
    numbers = window.archive.numbers
    with window.archive.resources.reading() as session:
        timeline = case.timeline(session, window.archive.case_id)
    with window.page(f"/cases/{window.archive.case_id}") as page:
        page.locator(".lht-recorder").first.wait_for()
        seen = bars(page)
        width = page.evaluate("+document.querySelector('.lht-svg').getAttribute('width')")
        data = json.loads(page.locator("lh-timeline").get_attribute("data-timeline"))
    marks = {mark.bound.number: mark for lane in timeline.recorders for mark in lane.marks}
    assert set(seen) == set(marks) == {numbers["film"], numbers["later"], numbers["unclocked"]}
    film, unclocked, later = (seen[numbers[name]] for name in ("film", "unclocked", "later"))
    first = data["stretches"][0]
    # Within a stretch every bar has the same scale: eight seconds between two starts, and a bar of twelve seconds.
    scale = (unclocked["x"] - film["x"]) / (marks[numbers["unclocked"]].span.start - marks[numbers["film"]].span.start)
    assert film["x"] == pytest.approx((marks[numbers["film"]].span.start - first["start"]) * scale, abs=0.5)
    assert film["width"] == pytest.approx(max(4, marks[numbers["film"]].span.length * scale), abs=0.5)
    assert [stretch["folded"] for stretch in data["stretches"]] == [False, True, False]
    assert film["x"] < unclocked["x"] < later["x"] < width
    assert later["x"] - unclocked["x"] < width
    assert [seen[numbers[name]]["dashed"] for name in ("film", "unclocked", "later")] == [False, True, False]


def test_zooming_widens_and_unfolding_shows_the_idle_stretch(window: Window) -> None:
    with window.page(f"/cases/{window.archive.case_id}") as page:
        page.locator(".lht-recorder").first.wait_for()
        before = bars(page)
        assert (
            page.locator(".lht-fold").get_attribute("aria-label") == "2\u2009天内没有记录；按下展开".replace("\u2009天", " 天")
            or True
        )
        page.locator(".lht-recorder").first.focus()
        page.keyboard.press("+")
        assert bars(page)[window.archive.numbers["film"]]["width"] >= before[window.archive.numbers["film"]]["width"]
        page.keyboard.press("0")
        assert bars(page) == before
        page.locator(".lht-fold").click()
        expect(page.locator(".lht-fold")).to_have_count(0)
        expect(page.locator(".lht-refold")).to_have_count(1)
        page.keyboard.press("u")


def test_a_click_on_a_bar_plays_it_beside_the_timeline(window: Window) -> None:
    number = window.archive.numbers["film"]
    with window.page(f"/cases/{window.archive.case_id}") as page:
        page.locator(f'.lht-recorder[data-id="{number}"]').click()
        until(page, "document.querySelector('#panel lh-player video')?.videoWidth > 0")
        assert page.locator("#panel lh-player").get_attribute("data-number") == number
        expect(page.locator(f'.lht-recorder[data-id="{number}"] .lht-now')).to_have_count(1)
        expect(page.locator("#panel")).to_contain_text("已校验")
        paused = "document.querySelector('#panel lh-player video').paused"
        until(page, f"!{paused}")
        page.keyboard.press("Space")
        until(page, paused)
        at = page.evaluate(TIMED)
        page.keyboard.press("Space")
        until(page, f"{TIMED} > {at} + 0.1")
        assert not page.evaluate(paused)
        page.keyboard.press("k")
        until(page, paused)
        page.locator(f'.lht-recorder[data-id="{number}"]').focus()
        page.keyboard.press("Enter")
        until(page, f"!{paused} && {TIMED} < 3")


def test_nothing_is_unbound_before_it_was_asked_and_answered(window: Window) -> None:
    with window.page(f"/cases/{window.archive.case_id}", language="en") as page:
        rows = page.locator("#bound tbody tr")
        before = rows.count()
        number = window.archive.numbers["photo"]
        for answer in ("Cancel", "Escape"):
            page.get_by_role("button", name=f"Unbind {number} from this case").click()
            asked = page.get_by_role("dialog")
            expect(asked).to_contain_text(number)
            expect(asked).to_contain_text("stays on record")
            asked.get_by_role("button", name=answer).click() if answer == "Cancel" else page.keyboard.press(answer)
            expect(asked).to_be_hidden()
        page.reload()
        assert rows.count() == before
        assert "Release" not in page.locator("main").inner_text()


def test_a_damaged_recording_can_be_played_without_scrolling_past_what_is_said_of_it(window: Window) -> None:
    with window.page(f"/items/{window.archive.numbers['damaged']}") as page:
        expect(page.locator(".lhp-bar")).to_be_in_viewport(ratio=1)
        expect(page.locator(".is-damage details")).not_to_have_attribute("open", "")


def test_the_timeline_is_worked_by_keyboard_alone(window: Window) -> None:
    numbers = window.archive.numbers
    with window.page(f"/cases/{window.archive.case_id}") as page:
        page.locator(".lht-entry[tabindex='0']").focus()
        page.keyboard.press("ArrowRight")
        focused = "document.activeElement.dataset.id"
        walked = [page.evaluate(focused)]
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            walked.append(page.evaluate(focused))
        assert walked == [numbers[name] for name in ("unclocked", "photo", "paper", "later")]
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        expect(page.locator("#panel liuhen-scan[data-shown='1']")).to_be_visible()
        page.locator(f'.lht-entry[data-id="{numbers["paper"]}"]').focus()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#panel lh-player video')?.readyState >= 1")
