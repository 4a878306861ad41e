"""A sender's book holds what it was told, and notices when it is told two things."""

from __future__ import annotations

import pytest

from tests.soak.books import Book, Deposit
from tests.soak.material import PART, file_of

SHA = "ab" * 32


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path / "dock-1.jsonl", "dock-1")


def test_what_was_noted_is_there_for_whoever_opens_it_again(book):
    book.offered("a", sha256=SHA, size=3)
    book.acknowledged("a", number="N-1", sha256=SHA)
    book.receipted("a", receipt="said")
    book.offered("b", sha256=SHA, size=4)
    again = Book(book.path, "dock-1")
    assert again.deposits() == book.deposits() == [Deposit("dock-1", "a", SHA, 3, "N-1", "said"), Deposit("dock-1", "b", SHA, 4)]
    assert again.flaws() == []


def test_a_line_that_was_cut_off_was_never_said(book):
    book.offered("a", sha256=SHA, size=3)
    with book.path.open("ab") as file:
        file.write(b'{"what": "acknowl')
    again = Book(book.path, "dock-1")
    again.offered("b", sha256=SHA, size=4)
    assert [deposit.name for deposit in Book(book.path, "dock-1").deposits()] == ["a", "b"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda book: book.acknowledged("a", number="N-2", sha256=SHA),
        lambda book: book.acknowledged("a", number="N-1", sha256="cd" * 32),
        lambda book: book.acknowledged("b", number="N-3", sha256=SHA),
        lambda book: book.refused("a", status=400, why="malformed"),
    ],
    ids=["another number", "other bytes", "a file never offered", "a refusal"],
)
def test_an_answer_that_contradicts_an_earlier_one_is_a_flaw(book, answer):
    book.offered("a", sha256=SHA, size=3)
    book.acknowledged("a", number="N-1", sha256=SHA)
    assert book.flaws() == []
    answer(book)
    assert len(book.flaws()) == 1
    assert Book(book.path, "dock-1").flaws() == book.flaws()


def test_the_same_answer_twice_is_none(book):
    book.offered("a", sha256=SHA, size=3)
    for _ in range(2):
        book.acknowledged("a", number="N-1", sha256=SHA)
    assert book.flaws() == []


def test_a_station_s_files_are_made_again_from_their_seed_and_no_two_are_alike():
    files = [file_of(7, station, serial, large=False) for station in ("a", "b") for serial in range(24)]
    assert files == [file_of(7, station, serial, large=False) for station in ("a", "b") for serial in range(24)]
    assert len({file.sha256 for file in files}) == len({file.name for file in files}) == 48
    assert {file.name.rpartition(".")[2] for file in files} == {"DAT", "JPG", "MP4"}
    assert len(file_of(7, "a", 0, large=True).content) > PART
