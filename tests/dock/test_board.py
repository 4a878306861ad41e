"""Claims about what a person sees while the dock works."""

import io

from rich.console import Console

from archive.dock.board import Board


def a_board(*, terminal):
    return Board(Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None))


def said(board):
    return board._console.file.getvalue()


def test_on_a_terminal_every_file_and_the_whole_have_a_bar():
    board = a_board(terminal=True)
    board.expect("sending", 100)
    with board.shown():
        bar = board.file("DCIM/REC_0001.MP4", "sending", 100)
        bar.at(60)
        bar.at(40)
        tasks = {task.description: task.completed for task in board._progress.tasks}
        bar.end()
        bar.at(100)
    assert tasks == {"[bold]sending all": 40, "sending DCIM/REC_0001.MP4": 40}
    assert "sending DCIM/REC_0001.MP4" in said(board)


def test_elsewhere_there_are_plain_lines_and_no_bars():
    board = a_board(terminal=False)
    board.expect("sending", 100)
    with board.shown():
        bar = board.file("a", "sending", 100)
        bar.at(50)
        bar.end()
        board.line("stored  a")
    assert said(board) == "stored  a\n"


def test_a_name_is_never_taken_for_markup():
    board = a_board(terminal=True)
    with board.shown():
        board.line("[red]name[/red] [/nothing]")
        board.file("[bold]x[/bold].mp4", "hashing", 1).end()
    assert "[red]name[/red] [/nothing]" in said(board)
