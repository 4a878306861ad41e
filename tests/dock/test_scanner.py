"""Claims about a scanner's folder and about rooms: what is one document, in which order, and when it is taken."""

import json
import os
import struct

import pytest

from archive.core import manifest
from archive.core.errors import Malformed
from archive.core.instant import Instant
from archive.dock.journal import Journal
from archive.dock.patterns import shipped
from archive.dock.places import Place, Rule, load, look, place_of
from archive.dock.reading import hash_file
from archive.dock.scanner import Stillness, documents, natural

NOW = Instant(1_773_300_000_000_000)
JPEG = b"\xff\xd8\xff\xe0"
SCANNER = Place("scanner", None, 10)


def tiff(pages):
    """The directories of a TIFF without entries, one after the other."""
    head = b"II*\x00" + struct.pack("<I", 8)
    return head + b"".join(struct.pack("<HI", 0, 8 + 6 * (page + 1) if page + 1 < pages else 0) for page in range(pages))


def put(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def journal(tmp_path):
    with Journal.locked(tmp_path / "journal") as opened:
        yield opened


@pytest.fixture
def scans(tmp_path):
    folder = (tmp_path / "scans").resolve()
    folder.mkdir()
    return folder


def placed(folder, journal):
    found = look(folder, SCANNER, label=None, patterns=shipped())
    return documents(found, folder, station="dock-1", archive="a", journal=journal).files


def signed(journal, source, number=None):
    digest = hash_file(source, position=lambda _: None).sha256
    said = manifest.Manifest(
        station="dock-1", name=source.shown, sha256=digest, size=source.size, recorder=None, officer=None, sequence=None,
        started_at=None, started_from=None, clock_offset_us=None, carrier=source.carrier, modified=NOW, station_clock=NOW,
        document=source.page,
    )  # fmt: skip
    entry = journal.signed("a", source, digest=digest, manifest=said.encode(), signature=b"s" * 64, now=NOW)
    if number is not None:
        journal.stored(entry, number=number, same_bytes_as=None, now=NOW)


def told(files):
    return {source.shown: source.page and (source.page.page, source.page.of, source.page.title) for source in files}


def test_a_folder_of_images_is_one_document_in_the_order_people_read(scans, journal):
    for number in (10, 9, 2, 1):
        put(scans, f"询问笔录/第{number}页.jpg", JPEG + bytes([number]))
    files = placed(scans, journal)
    assert {source.carrier.kind for source in files} == {"scanner"}
    assert len({source.page.id for source in files}) == 1
    in_order = sorted(files, key=lambda source: source.page.page)
    assert [source.parts[-1] for source in in_order] == ["第1页.jpg", "第2页.jpg", "第9页.jpg", "第10页.jpg"]
    assert {(source.page.of, source.page.title) for source in files} == {(4, "询问笔录")}


def test_what_has_pages_of_its_own_is_a_document_of_its_own(scans, journal):
    put(scans, "single.jpg", JPEG)
    put(scans, "report.pdf", b"%PDF-1.7")
    put(scans, "mixed/1.jpg", JPEG)
    put(scans, "mixed/2.pdf", b"%PDF-1.7")
    put(scans, "tiffs/1.tif", tiff(1))
    put(scans, "tiffs/2.tif", tiff(1) + b"x")
    put(scans, "many/1.tif", tiff(2))
    put(scans, "many/2.tif", tiff(1))
    put(scans, "cut/1.tif", b"II*\x00\xff")
    assert told(placed(scans, journal)) == {
        "single.jpg": (1, 1, "single"),
        "report.pdf": None,
        "mixed/1.jpg": (1, 1, "1"),
        "mixed/2.pdf": None,
        "tiffs/1.tif": (1, 2, "tiffs"),
        "tiffs/2.tif": (2, 2, "tiffs"),
        "many/1.tif": None,
        "many/2.tif": (1, 1, "2"),
        "cut/1.tif": None,
    }


def test_a_run_that_died_between_two_signatures_goes_on_with_the_same_document(scans, journal):
    for number in (1, 2, 3):
        put(scans, f"a/{number}.jpg", JPEG + bytes([number]))
    first = placed(scans, journal)
    signed(journal, first[1])
    assert {source.shown: source.page for source in placed(scans, journal)} == {source.shown: source.page for source in first}


def test_a_late_page_is_another_document_and_changes_nothing_of_the_first(scans, journal):
    for number in (1, 3):
        put(scans, f"a/{number}.jpg", JPEG + bytes([number]))
    first = placed(scans, journal)
    for index, source in enumerate(first):
        signed(journal, source, f"131102-WS-2026-0000000{index + 1}")
    put(scans, "a/2.jpg", JPEG + b"late")
    assert told(placed(scans, journal)) == {"a/1.jpg": (1, 2, "a"), "a/3.jpg": (2, 2, "a"), "a/2.jpg": (1, 1, "a (2)")}


def test_a_document_that_somebody_moved_is_not_sent_again(scans, journal):
    for number in (1, 2):
        put(scans, f"a/{number}.jpg", JPEG + bytes([number]))
    for index, source in enumerate(placed(scans, journal)):
        signed(journal, source, f"131102-WS-2026-0000000{index + 1}")
    (scans / "a").rename(scans / "done")
    assert told(placed(scans, journal)) == {"done/1.jpg": None, "done/2.jpg": None}
    put(scans, "done/3.jpg", JPEG + b"new")
    assert told(placed(scans, journal)) == {
        "done/1.jpg": (1, 3, "done"),
        "done/2.jpg": (2, 3, "done"),
        "done/3.jpg": (3, 3, "done"),
    }


def test_names_are_put_in_order_by_the_value_of_their_numbers():
    names = ["页10", "页9", "页２", "Page 1b", "page 1a", "1", "01", "²"]
    assert sorted(names, key=natural) == ["1", "01", "²", "page 1a", "Page 1b", "页２", "页9", "页10"]


def test_what_is_still_written_is_left_with_all_of_its_folder(scans):
    moment = [0.0]
    still = Stillness(10, clock=lambda: moment[0], wall=lambda: 0.0)
    put(scans, "a/1.jpg", JPEG)
    put(scans, "a/2.jpg", JPEG)
    put(scans, "b/1.jpg", JPEG)

    def seen():
        found = still.settled(look(scans, SCANNER, label=None, patterns=shipped()))
        assert all(row.is_early for row in found.passed)
        return sorted(source.shown for source in found.files)

    assert seen() == []
    moment[0] = 9
    put(scans, "a/2.jpg", JPEG + b"more")
    assert seen() == []
    moment[0] = 10
    assert seen() == ["b/1.jpg"]
    moment[0] = 19
    assert seen() == ["a/1.jpg", "a/2.jpg", "b/1.jpg"]


def test_what_was_last_changed_long_ago_is_taken_at_the_first_look(scans):
    path = put(scans, "a/1.jpg", JPEG)
    os.utime(path, (1, 1))  # a copy that keeps old times is not old for that: the inode's own time says so
    wall = path.stat().st_ctime
    found = look(scans, SCANNER, label=None, patterns=shipped())
    assert Stillness(10, clock=lambda: 0.0, wall=lambda: wall + 9).settled(found).files == ()
    assert len(Stillness(10, clock=lambda: 0.0, wall=lambda: wall + 10).settled(found).files) == 1


def test_an_exports_files_carry_their_room(tmp_path):
    put(tmp_path, "询问室一/2026-03-12/REC.mp4", b"x")
    put(tmp_path, "听证室/REC.mp4", b"x")
    put(tmp_path, "REC.mp4", b"x")
    found = look(tmp_path, Place("rooms"), label=None, patterns=shipped())
    assert {source.shown: source.room for source in found.files} == {
        "询问室一/2026-03-12/REC.mp4": "询问室一",
        "听证室/REC.mp4": "听证室",
        "REC.mp4": None,
    }
    assert {source.carrier.kind for source in found.files} == {"room"}
    found = look(tmp_path, Place("room", "第一询问室"), label=None, patterns=shipped())
    assert {source.room for source in found.files} == {"第一询问室"}
    found = look(tmp_path / "听证室", Place("room"), label=None, patterns=shipped())
    assert {source.room for source in found.files} == {"听证室"}


def test_a_places_file_says_what_each_folder_is(tmp_path):
    path = tmp_path / "places.toml"
    path.write_text(
        "[[place]]\nfolder = '扫描*'\nkind = 'scanner'\nsettle_s = 30\n"
        "[[place]]\nfolder = 'ROOM1'\nkind = 'room'\nroom = '第一询问室'\n"
        "[[place]]\nfolder = 'K*'\nkind = 'recorder'\n",
        "utf-8",
    )
    rules = load(path)
    assert place_of("扫描仪2", rules, mounted=False) == Place("scanner", None, 30.0)
    assert place_of("room1", rules, mounted=False).room == "第一询问室"
    assert place_of("K7", rules, mounted=True).settle_s == 0
    assert place_of("other", rules, mounted=True) == Place("recorder")
    assert place_of("other", rules, mounted=False).settle_s > 0


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[place]\n",
        "[[place]]\nfolder = 'a'\n",
        "[[place]]\nfolder = 'a'\nkind = 'cellar'\n",
        "[[place]]\nfolder = 'a'\nkind = 'scanner'\nroom = 'x'\n",
        "[[place]]\nfolder = 'a'\nkind = 'scanner'\nsettle_s = -1\n",
        "[[place]]\nfolder = 'a'\nkind = 'scanner'\ncolour = 1\n",
        "[[other]]\nfolder = 'a'\n",
    ],
)
def test_a_places_file_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "places.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(Malformed):
        load(path)


def test_a_rule_is_of_a_kind_there_is():
    with pytest.raises(Malformed):
        Rule("a", Place("attic"))
    assert json.dumps(Rule("a", Place("room")).folder) == '"a"'
