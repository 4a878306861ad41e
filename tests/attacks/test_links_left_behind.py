"""The flaw: a tool that was taken over sees nothing of the archive, but leaves a link or a pipe for the worker, who sees everything.

A symbolic link named poster.jpg to another item's original would be hashed, stored and shown as this item's poster; a pipe of that name
would make the worker wait for ever. Safeguard: `workers.bench.no_link`, through which everything is read that a tool made. Without it
(`path.open("rb")`) the first test finds the other item's bytes in the store under this item, and the second does not end.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archive.core.digest import Digest, original_key
from archive.core.errors import ToolFailed
from archive.core.media.sniff import UNKNOWN
from tests.media_files import Workshop, media_file, workshop
from workers.bench import Bench, no_link

SECRET = b"another item's bytes" * 100


@pytest.fixture
def shop(tmp_path: Path):
    with workshop(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def bench(shop: Workshop, tmp_path: Path) -> Bench:
    """A job's place after its tool has run, and has left what it liked."""
    scratch = shop.resources.settings.data_dir / "scratch" / "job"
    scratch.mkdir()
    source = media_file("photo.png")
    digest = Digest.of(source.read_bytes())
    view = shop.resources.jail.view(source, scratch)
    return Bench(shop.resources, lambda *_: None, digest, source, source.stat().st_size, scratch, UNKNOWN, view)


def leave(bench: Bench, kind: str, victim: Path) -> None:
    path = bench.scratch / "poster.jpg"
    {
        "symlink": lambda: path.symlink_to(victim),
        "dangling": lambda: path.symlink_to("/nonexistent"),
        "hardlink": lambda: os.link(victim, path),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[kind]()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["symlink", "dangling", "hardlink", "pipe", "folder"])
def test_what_is_no_file_of_the_tools_own_is_neither_read_nor_stored(shop: Workshop, bench: Bench, tmp_path: Path, kind: str):
    victim = tmp_path / "victim"
    victim.write_bytes(SECRET)
    number = shop.take_in(victim)
    key = original_key(shop.item(number).sha256)
    with shop.resources.store.local(key) as path:
        leave(
            bench, kind, path if kind == "hardlink" else victim
        )  # whose one name is its own, so that only the link gives it away
        before = path.stat().st_mode
        with pytest.raises(ToolFailed) as failed:
            bench.keep("poster.jpg", recipe="poster", version=1, media_type="image/jpeg", tool="x")
        assert failed.value.facts["reason"] == "odd_output"
        with pytest.raises(ToolFailed):
            bench.read("poster.jpg")
        assert path.stat().st_mode == before
    assert list(shop.resources.store.keys("derived/")) == []


def test_a_file_of_its_own_is_read(bench: Bench):
    (bench.scratch / "streams.txt").write_bytes(b"0,v,SHA256=ab")
    assert bench.read("streams.txt") == b"0,v,SHA256=ab"
    with no_link(bench.scratch / "streams.txt") as file:
        assert file.read(1) == b"0"
