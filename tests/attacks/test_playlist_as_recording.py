"""The flaw: a playlist named .mp4 makes ffmpeg fetch another case's footage, or another host's, into this one's rendition.

ffmpeg's own defaults refuse /etc/passwd and HTTP here, but follow a playlist to another local `.ts`. What stops it: our sniffing calls it
text and text is never handed to a tool; and should it be, the forced demuxer and the format's allow-list refuse it, each alone.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from archive.adapters import ffmpeg
from archive.adapters.jail import Jail, Limits
from archive.adapters.tool_runner import run
from archive.core.errors import ToolFailed
from archive.core.media.sniff import HEAD_SIZE, sniff
from tests.media_files import media_file, workshop


@pytest.fixture
def lure(tmp_path: Path) -> Path:
    """A playlist named .mp4 beside somebody else's recording."""
    (tmp_path / "other-case.ts").write_bytes(media_file("h264.ts").read_bytes())
    path = tmp_path / "lure.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{tmp_path}/other-case.ts\n#EXT-X-ENDLIST\n")
    return path


def decodes(*options: str, path: Path) -> bool:
    """Whether bare ffmpeg gets pictures out of the file."""
    command = ["ffmpeg", "-nostdin", "-v", "error", *options, "-i", f"file:{path}", "-frames:v", "1", "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0


def test_without_our_guards_the_lure_works(lure: Path):
    assert decodes("-protocol_whitelist", "file", path=lure)


@pytest.mark.parametrize("guard", [["-format_whitelist", "mov"], ["-f", "mov"]])
def test_each_guard_alone_stops_it(lure: Path, guard: list[str]):
    assert not decodes(*guard, path=lure)


@pytest.mark.parametrize("container", ["mov", "mpegts", "h264"])
def test_even_sniffed_wrongly_it_is_not_followed(lure: Path, tmp_path: Path, container: str):
    jail = Jail("limits")  # the jail that hides no file, so that only the argument list protects
    origin = ffmpeg.Source(jail.view(lure, tmp_path).source, container)
    try:
        ran = run(jail.cell(ffmpeg.probe(origin), source=lure, scratch=tmp_path, limits=Limits()), tool="ffprobe")
    except ToolFailed:
        return
    assert b'"width"' not in ran.output


def test_a_playlist_is_text_and_text_is_never_handed_to_a_tool(lure: Path, tmp_path: Path):
    assert sniff(lure.read_bytes()[:HEAD_SIZE]).container == "text"
    with workshop(tmp_path / "data") as opened:
        number = opened.process(lure)
        assert opened.item(number).kind.value == "document"
        assert opened.item(number).condition == "unrecognised"
        assert opened.renditions(number) == {}
        assert set(opened.jobs(number)) == {"examine", "read_back"}


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile other-case.ts\n", "<svg xmlns='x'/>", "#EXTM3U8\n", "RTSP/1.0 200\n"]
)
def test_other_texts_that_some_demuxer_follows_are_text_too(text: str):
    assert sniff(text.encode()).container == "text"
    assert "text" not in ffmpeg.DEMUXERS
