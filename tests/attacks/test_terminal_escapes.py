"""A file on a recorder may be named to command the terminal of whoever docks it."""

from archive.dock.carrier import identify
from archive.dock.patterns import shipped
from archive.dock.scan import scan

NAME = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj.mp4\r\n"


def test_no_name_reaches_the_screen_with_a_control_character_in_it(tmp_path):
    (tmp_path / NAME).write_bytes(b"x")
    (tmp_path / (NAME + "link")).symlink_to("nowhere")
    found = scan(tmp_path.resolve(), volume=identify(tmp_path.resolve(), label=NAME), patterns=shipped())
    (source,), (passed,) = found.files, found.passed
    for shown in (source.shown, passed.path, source.carrier.label):
        assert shown.isprintable(), shown
