"""The flaw: thousands of tracks cost every tool a decoder each, and every page a line each.

Safeguards: more tracks than a setting says (64) are refused by the tool before any is opened (`max_streams` among the guards of
`archive.adapters.ffmpeg`), which is a finding in words; of what a probe prints, so many are taken up (`tracks.MAX_STREAMS`).
Without the first, 700 tracks took nineteen seconds for one item.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.core.media import tracks
from tests.corpus import crafted
from tests.corpus.inputs import input_file
from tests.media_files import workshop


@pytest.mark.parametrize("name", ["tracks.mp4", "tracks-700.mp4", "tracks.mkv"])
def test_a_file_of_too_many_tracks_is_kept_and_says_so(tmp_path: Path, name: str):
    with workshop(tmp_path / "data") as shop:
        number = shop.process(input_file(name))
        found = shop.item(number)
        assert (found.condition, found.findings) == ("unrecognised", [{"code": "too_many_tracks", "facts": {"most": 64}}])
        assert {job.state for job in shop.jobs(number).values()} == {"done"}
        assert shop.renditions(number) == {}


def test_how_many_is_a_setting(tmp_path: Path):
    path = tmp_path / "three.mp4"
    path.write_bytes(crafted.of_many_tracks(input_file("silent.mp4").read_bytes(), 3))
    for most, condition in ((2, "unrecognised"), (3, "sound")):
        with workshop(tmp_path / f"data-{most}", max_tracks=most) as shop:
            assert shop.item(shop.process(path)).condition == condition


def test_of_what_a_probe_prints_no_more_is_taken_up_than_is_shown():
    probed = {"streams": [{"index": at, "codec_type": "audio", "codec_name": "aac"} for at in range(5000)]}
    assert len(tracks.facts(probed).audio) == tracks.MAX_STREAMS
