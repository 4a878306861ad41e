"""Claims about what is found on a carrier, and what is passed over."""

import os
import socket

import pytest

from archive.dock.carrier import identify
from archive.dock.patterns import shipped
from archive.dock.scan import scan


def look(source):
    source = source.resolve()
    return scan(source, volume=identify(source), patterns=shipped())


def names(found):
    return [row.shown for row in found.files]


def reasons(found, root):
    return {os.path.relpath(row.path, root): row.reason for row in found.passed}


def test_every_real_file_is_found_recognised_or_not(tmp_path):
    for name in [
        "DCIM/100MEDIA/REC_0001.MP4",
        "DCIM/101MEDIA/a/b/c/x",
        "noname",
        ".hidden",
        "empty.wav",
        "FOUND.000/FILE0000.CHK",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"" if name == "empty.wav" else b"bytes")
    assert sorted(names(look(tmp_path))) == [
        ".hidden",
        "DCIM/100MEDIA/REC_0001.MP4",
        "DCIM/101MEDIA/a/b/c/x",
        "FOUND.000/FILE0000.CHK",
        "empty.wav",
        "noname",
    ]


def test_what_systems_leave_behind_is_passed_over_and_reported(tmp_path):
    for folder in [".Trashes/501", "System Volume Information", "$recycle.bin", ".Trash-1000/files", "DCIM"]:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "REC_0001.MP4").write_bytes(b"x")
    for name in [".DS_Store", "DCIM/._REC_0001.MP4", "DCIM/THUMBS.DB"]:
        (tmp_path / name).write_bytes(b"x")
    found = look(tmp_path)
    assert names(found) == ["DCIM/REC_0001.MP4"]
    assert reasons(found, tmp_path) == dict.fromkeys(
        [
            ".Trashes",
            "System Volume Information",
            "$recycle.bin",
            ".Trash-1000",
            ".DS_Store",
            "DCIM/._REC_0001.MP4",
            "DCIM/THUMBS.DB",
        ],
        "junk",
    )


def test_links_are_never_followed(tmp_path):
    card = tmp_path / "card"
    (card / "DCIM").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"secret")
    (card / "to-file").symlink_to(tmp_path / "secret" / "key")
    (card / "to-folder").symlink_to(tmp_path / "secret")
    (card / "to-itself").symlink_to(card)
    (card / "broken").symlink_to(tmp_path / "nowhere")
    found = look(card)
    assert names(found) == []
    assert reasons(found, card) == dict.fromkeys(["to-file", "to-folder", "to-itself", "broken"], "symlink")


def test_pipes_and_sockets_are_reported_and_never_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert reasons(look(tmp_path), tmp_path) == {"pipe": "special", "socket": "special"}


def test_a_name_that_is_no_text_is_kept_byte_for_byte(tmp_path):
    raw = os.fsencode(tmp_path) + b"/\xca\xd3\xff.MP4"
    with open(raw, "wb") as file:  # noqa: PTH123 - a bytes path
        file.write(b"x")
    (found,) = look(tmp_path).files
    assert found.key == b"\xca\xd3\xff.MP4"
    assert found.shown == "%CA%D3%FF.MP4"


def test_a_folder_that_cannot_be_read_is_a_flaw(tmp_path):
    # deeper than any path the system can name: unreadable for everybody, root included
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("f" * 250, dir_fd=at)
        below = os.open("f" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    (tmp_path / "REC_0001.MP4").write_bytes(b"x")
    found = look(tmp_path)
    assert names(found) == ["REC_0001.MP4"]
    assert [(row.reason, row.is_flaw) for row in found.passed] == [("unreadable", True)]


def test_a_folder_that_vanishes_under_the_scan_is_a_flaw(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    volume = identify(gone)
    found = scan(gone, volume=volume, patterns=shipped())
    assert found.files == ()
    gone.rmdir()
    with pytest.raises(OSError, match="No such file"):
        identify(gone)


def test_a_single_file_may_be_named(tmp_path):
    (tmp_path / "one.mp4").write_bytes(b"x")
    (tmp_path / "two.mp4").write_bytes(b"x")
    assert names(look(tmp_path / "one.mp4")) == ["one.mp4"]


def test_files_come_in_the_order_of_their_paths(tmp_path):
    for name in ["b/2", "a/1", "c", "a/0", "b/a/9"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(look(tmp_path)) == ["c", "a/0", "a/1", "b/2", "b/a/9"]
