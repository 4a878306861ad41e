"""From a camera's card to moving pictures: a real camera's file through the real dock, server, worker and browser."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

from archive.core import manifest, note
from archive.core.receipt import Receipt
from archive.dock import credential
from tests.browser import DEEP_VIDEO, chromium, needs_chromium, signed_in
from tests.server import RunningServer, wait_for_jobs, wait_until_verified

if TYPE_CHECKING:
    from pathlib import Path

PLAY_AFTER_SEEK = """async () => {
  const video = (FIND)();
  const once = (name) => new Promise((done) => video.addEventListener(name, done, { once: true }));
  video.muted = true;
  // Nothing is loaded before it is played.
  if (video.readyState < 1) {
    const known = once('loadedmetadata');
    await video.play();
    await known;
    video.pause();
  }
  const seeked = once('seeked');
  video.currentTime = 7.5;
  await seeked;
  const shown = [];
  const presented = new Promise((done) => {
    const next = (_now, frame) => {
      shown.push(frame.mediaTime);
      if (shown.length < 12) video.requestVideoFrameCallback(next); else done();
    };
    video.requestVideoFrameCallback(next);
  });
  const before = video.getVideoPlaybackQuality().totalVideoFrames;
  await video.play();
  await presented;
  video.pause();
  return {
    shown,
    decoded: video.getVideoPlaybackQuality().totalVideoFrames - before,
    time: video.currentTime,
    size: [video.videoWidth, video.videoHeight],
    source: new URL(video.currentSrc).pathname,
    error: video.error && video.error.message,
  };
}""".replace("FIND", DEEP_VIDEO)


def docked(server: RunningServer, card: Path) -> Path:
    """Dock a card with the real dock and return the station's credential."""
    station = server.enrol_station("dock-1")
    done = server.dock(station, card)
    assert done.returncode == 0, done.stdout + done.stderr
    return station


@needs_chromium
def test_a_real_cameras_file_docks_and_its_frames_advance_after_a_seek(
    running_server: RunningServer, samples: Path, tmp_path: Path
) -> None:
    card = tmp_path / "card" / "DCIM" / "100GOPRO"
    card.mkdir(parents=True)
    shutil.copyfile(samples / "karma.mp4", card / "GX010123.MP4")
    digest = hashlib.sha256((samples / "karma.mp4").read_bytes()).hexdigest()
    station = docked(running_server, tmp_path / "card")

    with running_server.sign_in() as client:
        (row,) = client.get("/api/v1/items").raise_for_status().json()["items"]
        number = row["number"]
        text = wait_until_verified(client, number)
        wait_for_jobs(client, number)
        item = client.get(f"/api/v1/items/{number}").raise_for_status().json()
        stored = hashlib.sha256(client.get(f"/api/v1/items/{number}/download").raise_for_status().content)

    known = credential.load(station)
    receipt = Receipt.parse(note.read(text, keys=known.server_keys, verify=credential.verify))
    signed = manifest.decode(item["manifest"].encode())
    assert {stored.hexdigest(), receipt.sha256.hex, signed.sha256.hex, item["sha256"]} == {digest}
    assert str(receipt.number) == number
    assert known.sign(manifest.signing_bytes(item["manifest"].encode())).hex() == item["signature"]
    assert item["condition"] == "sound", json.dumps(item["findings"])

    with chromium() as browser, signed_in(browser, running_server) as page:
        page.goto(f"/items/{number}")
        page.wait_for_selector("video", state="attached")
        played = page.evaluate(PLAY_AFTER_SEEK)
    assert played["error"] is None
    assert played["size"] == [854, 480]
    assert played["source"] == f"/api/v1/items/{number}/original"
    times = played["shown"]
    assert times == sorted(times)
    assert len(set(times)) >= 10
    assert min(times) >= 7.4
    assert played["decoded"] >= 10
    assert played["time"] > 7.5
