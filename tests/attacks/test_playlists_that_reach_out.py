"""The flaw: a file that is a list of other files makes a tool read another item's bytes, or call an address, for whoever uploads it.

Safeguards, each enough alone for what it names, and each tried with the others taken away:
    sniffing          a list is text, and text is never handed to a tool (`core.media.sniff`, `core.media.media_plan`)
    forced demuxer    what is handed over is opened as what it was sniffed to be (`archive.adapters.ffmpeg.Source.guards`)
    no references     an index that points elsewhere is not followed (`enable_drefs 0` there)
    the jail          there is no other file to see and no network to call (`archive.adapters.jail`)
"""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archive.adapters import ffmpeg
from archive.adapters.jail import Jail, Limits
from archive.adapters.tool_runner import run
from archive.core.errors import ToolFailed
from archive.core.media.media_plan import CONTAINERS
from archive.core.media.sniff import sniff
from tests.corpus import crafted
from tests.corpus.inputs import input_file, playlist_in_avi
from tests.media_files import made, workshop

RED = ["-f", "lavfi", "-i", "color=red:size=64x64:rate=10", "-t", "1", "-c:v", "libx264", "-pix_fmt", "yuv420p"]


@contextmanager
def listening() -> Iterator[tuple[int, list[str]]]:
    """A server that notes who calls; gives its port and the callers."""
    callers: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    caller, where = server.accept()
                except TimeoutError:
                    continue
                callers.append(str(where))
                caller.close()

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server.getsockname()[1], callers
        finally:
            done.set()
            thread.join()


def lures(folder: Path, port: int) -> dict[str, bytes]:
    """Every kind of list there is, pointing at the neighbour `other.*` and at the listening port."""
    there = f"http://127.0.0.1:{port}/x"
    film = input_file("silent.mp4").read_bytes()
    return {
        "m3u8.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{folder}/other.ts\n#EXTINF:2,\n{there}.ts\n#EXT-X-ENDLIST\n".encode(),
        "concat.mp4": f"ffconcat version 1.0\nfile {folder}/other.ts\nfile {there}.ts\n".encode(),
        "dash.mp4": f'<?xml version="1.0"?><MPD><Period><BaseURL>{there}</BaseURL></Period></MPD>'.encode(),
        "smil.mp4": f'<smil><body><video src="{there}"/></body></smil>'.encode(),
        "sdp.mp4": b"v=0\nc=IN IP4 127.0.0.1\nm=video %d RTP/AVP 96\na=rtpmap:96 H264/90000\n" % port,
        "asx.avi": f'<asx version="3.0"><entry><ref href="{there}"/></entry></asx>'.encode(),
        "images.mp4": b"other%03d.jpg\n",
        "reference.mov": crafted.elsewhere(film, f"{folder}/other.mov"),
        "address.mp4": crafted.elsewhere_by_url(film, there),
        "linked.mkv": crafted.linked_matroska(b"\2" * 16),
        "subtitle.avi": playlist_in_avi(),
    }


@pytest.mark.parametrize("kind", ["bubblewrap", "limits"])
def test_no_list_reaches_another_items_bytes_or_the_network(tmp_path: Path, kind: str):
    """With `limits` the jail hides nothing, so that what is left are sniffing, demuxers and references switched off."""
    if Jail(kind).trial() is not None:
        pytest.skip(f"no {kind} here")
    for name, options in {"other.ts": [], "other.mov": []}.items():
        (tmp_path / name).write_bytes(made(f"red-{name}", *RED, *options).read_bytes())
    with listening() as (port, callers), workshop(tmp_path / "data") as shop:
        shop.resources = dataclasses.replace(shop.resources, jail=Jail(kind))
        other = shop.process(tmp_path / "other.ts")
        red = {view.digest for view in shop.renditions(other).values()}
        for name, content in lures(tmp_path, port).items():
            path = tmp_path / name
            path.write_bytes(content)
            number = shop.process(path)
            found = shop.item(number)
            assert found.condition in ("unrecognised", "damaged", "sound"), name
            assert found.duration_us is None or name in ("reference.mov", "address.mp4", "linked.mkv", "subtitle.avi"), name
            copies = shop.renditions(number)
            assert not {view.digest for view in copies.values()} & red, name
            assert "poster" not in copies or name == "subtitle.avi", name  # whose own pictures are MJPEG
        assert callers == []


def test_the_reference_is_followed_by_a_tool_that_may(tmp_path: Path):
    """So the lure is a real one: what stops it is the option, and in bubblewrap there being no neighbour."""
    whole = made("red-other.mov", *RED)
    (tmp_path / "other.mov").write_bytes(whole.read_bytes())
    lure = tmp_path / "lure.mov"
    lure.write_bytes(crafted.elsewhere(whole.read_bytes(), "/other.mov"))

    def pictures(*options: str) -> bool:
        command = ["ffmpeg", "-nostdin", "-v", "error", *options, "-i", str(lure), "-frames:v", "1", "-f", "null", "-xerror", "-"]
        ran = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        return ran.returncode == 0 and b"Error" not in ran.stderr and b"unspecified" not in ran.stderr

    assert pictures("-enable_drefs", "1")
    assert not pictures("-enable_drefs", "0")
    guards = ffmpeg.Source("/in/original", "mov").guards()
    assert (guards["enable_drefs"], guards["use_absolute_path"]) == ("0", "0")


@pytest.mark.parametrize("name", ["m3u8.mp4", "concat.mp4", "dash.mp4", "smil.mp4", "sdp.mp4", "asx.avi", "images.mp4"])
def test_a_list_is_no_container_of_ours(tmp_path: Path, name: str):
    assert sniff(lures(tmp_path, 1)[name]).container == "text"
    assert "text" not in CONTAINERS


@pytest.mark.parametrize("container", ["mov", "avi", "mpegts", "matroska"])
def test_even_handed_to_a_tool_as_anything_it_is_not_followed(tmp_path: Path, container: str):
    """The forced demuxer alone: no sniffing, no walls."""
    with listening() as (port, callers):
        for name in ("m3u8.mp4", "concat.mp4", "sdp.mp4"):
            path = tmp_path / name
            path.write_bytes(lures(tmp_path, port)[name])
            (tmp_path / "other.ts").write_bytes(made("red-other.ts", *RED).read_bytes())
            jail = Jail("limits")
            origin = ffmpeg.Source(str(path), container)
            cell = jail.cell(ffmpeg.probe(origin), source=path, scratch=tmp_path, limits=Limits(cpu_seconds=10))
            try:
                ran = run(cell, tool="ffprobe")
            except ToolFailed:
                continue
            assert b'"width"' not in ran.output
        assert callers == []
