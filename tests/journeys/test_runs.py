"""Ten files of a recorder play through as one in Chromium: every frame in order, no stop at a join, and what was watched is what is logged.

Each file is a second and a bit of grey: the left half says which file it is, the right half grows brighter with every frame, so that a
canvas can read what is on screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from archive.actions import case, person
from archive.adapters import signing
from archive.core.access import PersonCaller
from archive.core.cases import Stage
from archive.core.instant import SECOND, Instant, iso, parse
from archive.resources import Resources, opened
from archive.settings import Settings
from archive.web.app import create_app
from tests.browser import chromium, needs_chromium
from tests.media_files import AAC, H264, made, media_file
from tests.serving import served
from tests.web.pages_world import PASSWORD, Intake, World
from tests.web.window import Window, until
from workers.handlers import HANDLERS
from workers.runner import run_next

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_chromium

FILES = 10
FRAMES = 30
LENGTH = 1_200_000
GAPS = [900_000, 1_000_000, 1_100_000]
DARKEST, BETWEEN_FILES, BETWEEN_FRAMES = 24, 20, 6
"""Levels of grey: of the first, from one file to the next, and from one frame to the next."""
FRAME_MS = 40
LATE = 2
PAUSE_MS = 250
"""What half of the joins must stay below, on two cores that other tests may share; docs/performance.md has a quiet machine's figures."""
NINE = parse("2026-03-12T09:00:00+08:00")
PLAYING = "document.querySelector('lh-player video:not(.lhp-spare)')"

WATCH = """() => {
  window.seen = [];
  window.stops = [];
  const context = new OffscreenCanvas(160, 120).getContext('2d', { willReadFrequently: true });
  const told = new WeakSet();
  const read = (video, now) => {
    if (video.classList.contains('lhp-spare') || video.readyState < 2) return;
    context.drawImage(video, 0, 0, 160, 120);
    const at = (x) => context.getImageData(x, 60, 1, 1).data[0];
    window.seen.push({ now, left: at(40), right: at(120) });
  };
  const watch = (video) => {
    if (told.has(video)) return;
    told.add(video);
    const frame = (now) => { read(video, now); video.requestVideoFrameCallback(frame); };
    video.requestVideoFrameCallback(frame);
    video.addEventListener('waiting', () => { if (video.currentTime > 0) window.stops.push([video.currentSrc, video.currentTime]); });
  };
  const player = document.querySelector('lh-player');
  // A file's first frame was drawn while it waited: it is on screen from the moment its element is shown.
  new MutationObserver((changes) => {
    player.querySelectorAll('video').forEach(watch);
    for (const { target } of changes) if (target instanceof HTMLVideoElement) read(target, performance.now());
  }).observe(player, { childList: true, subtree: true, attributeFilter: ['class'] });
  player.querySelectorAll('video').forEach(watch);
}"""


def footage(index: int) -> bytes:
    """Return a file in which the left half says which file it is and the right half which frame."""
    grey = f"geq=lum='if(lt(X,80),{DARKEST + BETWEEN_FILES * index},{DARKEST}+{BETWEEN_FRAMES}*N)':cb=128:cr=128"
    picture = f"color=c=gray:size=160x120:rate=25:duration=1.2,format=yuv420p,{grey}"
    sound = f"sine=frequency={300 + 40 * index}:sample_rate=48000:duration=1.2"
    return made(
        f"run-{index}.mp4", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *H264, "-crf", "4", *AAC
    ).read_bytes()


def level(shown: int) -> float:
    """Return the luma that a canvas showed as this grey."""
    return shown * 219 / 255 + 16


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """An archive with ten files of one recorder that follow one another, and two of another of which the second is not prepared yet."""
    folder: Path = tmp_path_factory.mktemp("runs") / "data"
    folder.mkdir()
    with opened(Settings(data_dir=folder, agency="131102", worker=False)) as resources:
        archive = World(resources)
        with resources.transaction() as session:
            person.bootstrap(
                session, login="admin", name="王敏", password_hash=signing.hash_password(PASSWORD), now=resources.now()
            )
        intake = Intake(resources)
        at = NINE
        for index in range(FILES):
            started = iso(Instant(at + 8 * 3600 * SECOND)).removesuffix("Z")
            name = f"DCIM/DSJ-A1023_{index:04d}.MP4"
            archive.numbers[str(index)] = intake.take(
                footage(index), name, started=started, offset=-3 * SECOND, recorder="DSJ-A1023", officer="张伟"
            )
            at = Instant(at + LENGTH + GAPS[index % len(GAPS)])
        hers = {"recorder": "DSJ-A1077", "officer": "李娜"}
        archive.numbers["first"] = intake.take(
            media_file("plain.mp4").read_bytes(), "A.MP4", started="2026-03-12T14:00:00", **hers
        )
        run(resources, "quick")
        # Pictures and sound of the first files are enough to be looked at.
        run(resources, "media", most=6)
        archive.numbers["next"] = intake.take(
            media_file("mjpeg.avi").read_bytes(), "B.AVI", started="2026-03-12T14:00:02", **hers
        )
        run(resources, "quick")
        me = PersonCaller(1, "admin", "王敏")
        with resources.transaction() as session:
            archive.case_id = case.open_case(session, number="114", title="t", subject="s", by=me, now=resources.now())
            for index in (2, 3, 5):
                number = archive.numbers[str(index)]
                case.bind(
                    session,
                    case_id=archive.case_id,
                    number=number,
                    stage=Stage.INVESTIGATION,
                    at=None,
                    by=me,
                    now=resources.now(),
                )
        with served(create_app(resources)) as url, chromium() as browser:
            archive.url = url
            yield Window(archive, browser)


def run(resources: Resources, lane: str, *, most: int = 100) -> None:
    """Run a lane's jobs, so many at most."""
    while most and run_next(resources, HANDLERS, lane=lane, owner="test", stopping=lambda: False):
        most -= 1


def looks(day: Window, name: str) -> list[str]:
    """Return what was logged of looks at a file, oldest first."""
    with day.archive.client() as client:
        events = client.get(f"/api/v1/items/{day.archive.numbers[name]}/events").raise_for_status().json()
    return [event["facts"]["what"] for event in events if event["kind"] == "viewing"]


def item(day: Window, name: str) -> str:
    return f"/items/{day.archive.numbers[name]}"


def test_a_file_fetched_ahead_and_not_played_is_logged_as_sent_ahead_and_not_as_a_replay(day: Window) -> None:
    with day.page(item(day, "8")) as page:
        page.keyboard.press("Space")
        until(page, "document.querySelector('.lhp-spare')?.readyState >= 2 && document.querySelector('.lhp-spare').currentSrc")
        page.keyboard.press("k")
        expect(page.locator(".lhp-of")).to_have_text("第\u20099\u2009/\u200910\u2009个文件")
        assert looks(day, "9") == ["ahead"]
        assert "replay" in looks(day, "8")
        assert looks(day, "6") == []
        page.wait_for_timeout(100)


def test_ten_files_play_through_as_one(day: Window, capsys: pytest.CaptureFixture[str]) -> None:
    with day.page(item(day, "0")) as page:
        expect(page.locator(".lhp-file")).to_have_count(FILES)
        page.evaluate(WATCH)
        page.keyboard.press("Space")
        until(page, f"{PLAYING}.ended && document.querySelector('.lhp-of').textContent.includes('10\u2009/\u200910')", seconds=60)
        seen = page.evaluate("window.seen")
        stops = page.evaluate("window.stops")
        assert page.evaluate(f"{PLAYING}.paused")
    shown = [
        (round((level(each["left"]) - DARKEST) / BETWEEN_FILES), round((level(each["right"]) - DARKEST) / BETWEEN_FRAMES))
        for each in seen
    ]
    assert shown == sorted(shown)
    for index in range(FILES):
        frames = {frame for file, frame in shown if file == index}
        # A browser that is late drops frames; it must not drop a file's beginning or end.
        assert min(frames) <= LATE
        assert max(frames) >= FRAMES - 1 - LATE
        assert len(frames) >= FRAMES // 2, f"file {index}: {len(frames)} frames were seen"
    assert stops == []
    # Between two frames lie as many frames' time as their numbers say, and whatever the join took.
    at = {key: each["now"] for key, each in zip(reversed(shown), reversed(seen), strict=True)}
    pauses = []
    for index in range(1, FILES):
        last = max(frame for file, frame in shown if file == index - 1)
        first = min(frame for file, frame in shown if file == index and frame >= 1)
        pauses.append(at[index, first] - at[index - 1, last] - (FRAMES - 1 - last + first + 1) * FRAME_MS)
    with capsys.disabled():
        print("\na join took this long beside its frames, ms:", [round(pause) for pause in pauses])
    assert sorted(pauses)[len(pauses) // 2] < PAUSE_MS
    for index in range(FILES):
        assert looks(day, str(index)).count("replay") == 1, index


def test_keys_and_the_rail_go_over_joins_and_the_address_names_file_and_second(day: Window) -> None:
    numbers = day.archive.numbers
    with day.page(item(day, "2")) as page:
        page.keyboard.press("PageDown")
        until(page, f"{PLAYING}.readyState >= 2")
        expect(page.locator(".lhp-of")).to_have_text("第\u20094\u2009/\u200910\u2009个文件")
        expect(page.locator(".lhp-stamp")).to_have_text("2026-03-12 09:00:03")
        expect(page.locator(".lhp-own-clock")).to_have_text("记录仪\u200909:00:06")
        page.keyboard.press("Shift+ArrowLeft")
        expect(page.locator(".lhp-of")).to_have_text("第\u20093\u2009/\u200910\u2009个文件")
        page.keyboard.press("PageUp")
        expect(page.locator(".lhp-of")).to_have_text("第\u20092\u2009/\u200910\u2009个文件")
        until(page, f"window.location.hash === '#at={numbers['1']},0'")
        rail = page.locator(".lhp-rail").bounding_box()
        page.mouse.click(rail["x"] + rail["width"] * 0.999, rail["y"] + 9)
        expect(page.locator(".lhp-of")).to_have_text("第\u200910\u2009/\u200910\u2009个文件")
        until(page, f"window.location.hash.startsWith('#at={numbers['9']},1.')")
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        expect(page.locator(".lhp-of")).to_have_text("第\u200910\u2009/\u200910\u2009个文件")
        expect(page.locator(".lhp-stamp")).to_contain_text("09:00:1")


def test_a_gap_is_marked_and_said_and_pictures_of_every_file_can_be_had(day: Window) -> None:
    with day.page(item(day, "4")) as page:
        expect(page.locator(".lhp-join")).to_have_count(FILES - 1)
        join, rail = page.locator(".lhp-join").nth(3).bounding_box(), page.locator(".lhp-rail").bounding_box()
        page.mouse.move(join["x"] + join["width"] / 2, rail["y"] + 12)
        expect(page.locator(".lhp-preview-text")).to_contain_text("秒无记录")
        expect(page.locator(".lhp-preview canvas")).to_be_hidden()
        file = page.locator(".lhp-file").nth(7).bounding_box()
        page.mouse.move(file["x"] + file["width"] / 2, rail["y"] + 12)
        page.mouse.move(file["x"] + file["width"] / 2 + 1, rail["y"] + 12)
        expect(page.locator(".lhp-preview-text")).to_contain_text("第\u20098\u2009/\u200910\u2009个文件")
        until(page, "document.querySelector('.lhp-strip').offsetWidth > 0")
        expect(page.locator("#run tbody tr")).to_have_count(FILES)
        expect(page.locator("#run [aria-current] strong")).to_have_text(day.archive.numbers["4"].partition("-")[2])
        expect(page.locator("#run tbody tr").nth(1)).to_contain_text("间隔\u2009")


def test_while_another_file_plays_the_page_says_whose_facts_stand_on_it(day: Window) -> None:
    numbers = day.archive.numbers
    with day.page(item(day, "2")) as page:
        told, playing = page.locator("[data-elsewhere]"), page.locator("#run .is-playing")
        expect(playing).to_have_attribute("data-file", numbers["2"])
        expect(told).to_be_hidden()
        page.keyboard.press("PageDown")
        expect(told).to_have_text(
            f"现正播放第\u20094\u2009个文件\u2009{numbers['3']}；以下内容属于\u2009{numbers['2']}", use_inner_text=False
        )
        expect(told.get_by_role("link", name=numbers["3"])).to_have_attribute("href", f"/items/{numbers['3']}")
        assert told.bounding_box()["y"] < page.get_by_role("heading", name="技术事实").bounding_box()["y"]
        expect(playing).to_have_attribute("data-file", numbers["3"])
        expect(page.locator("#run [aria-current]")).to_have_attribute("data-file", numbers["2"])
        page.keyboard.press("PageUp")
        expect(told).to_be_hidden()


def test_playback_stops_with_words_at_a_file_that_is_still_being_prepared(day: Window) -> None:
    with day.page(item(day, "first")) as page:
        page.keyboard.press("Space")
        expect(page.locator(".lhp-message")).to_have_text(
            "第\u20092\u2009个文件正在准备：播放停在此处。按播放键再试。", timeout=15_000
        )
        assert page.evaluate(f"{PLAYING}.paused")
        expect(page.locator(".lhp-of")).to_have_text("第\u20092\u2009/\u20092\u2009个文件")
        run(day.archive.resources, "heavy")
        page.keyboard.press("Space")
        until(page, f"{PLAYING}.currentTime > 0.2")
        expect(page.locator(".lhp-message")).to_be_hidden()


def test_a_run_is_one_bar_of_its_case_plays_where_it_is_clicked_and_its_other_files_are_bound_by_one_act(day: Window) -> None:
    numbers = day.archive.numbers
    with day.page(f"/cases/{day.archive.case_id}") as page:
        bar = page.locator(".lht-recorder .lht-bar")
        expect(bar).to_have_count(1)
        expect(page.locator(".lht-notch")).to_have_count(3)
        expect(page.locator(".lht-unbound")).to_have_count(1)
        expect(page.locator(".lh-partly")).to_contain_text("另有\u20097\u2009个文件未归入本案")
        for _ in range(12):
            page.keyboard.press("Tab") if page.locator(".lht-entry:focus").count() == 0 else page.keyboard.press("+")
        box = page.locator(".lht-recorder .lht-bar").bounding_box()
        page.mouse.click(box["x"] + box["width"] * 0.95, box["y"] + 5)
        until(page, f"{PLAYING}?.currentTime > 0")
        assert page.evaluate("document.querySelector('lh-player').dataset.number") == numbers["5"]
        page.keyboard.press("k")
        page.get_by_role("button", name="全部归入").click()
        expect(page.locator(".lh-partly")).to_have_count(0)
        expect(page.locator(".lht-notch")).to_have_count(FILES - 1)
        expect(page.locator("#bound tbody tr")).to_have_count(FILES)


def test_the_interface_tells_a_run_with_its_joins(day: Window) -> None:
    with day.archive.client() as client:
        told = client.get(f"/api/v1{item(day, '5')}/run").raise_for_status().json()
    assert (told["place"], told["files"], told["whole"], told["recorder"]) == (6, FILES, True, "DSJ-A1023")
    assert [member["item"] for member in told["members"]] == [day.archive.numbers[str(index)] for index in range(FILES)]
    assert {join["by"] for join in told["joins"]} == {"sequence"}
    assert all(0 < join["gap_us"] <= 2 * SECOND for join in told["joins"])
    assert told["recorded_us"] == sum(member["duration_us"] for member in told["members"])
