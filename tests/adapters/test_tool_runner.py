"""The runner ends what hangs, keeps what was said last, and leaves nothing running."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from archive.adapters.jail import Cell
from archive.adapters.tool_runner import TAIL, UNTIL_CPU_LIMIT, run
from archive.core.errors import LeaseLost, ToolFailed


def cell(code: str) -> Cell:
    return Cell((sys.executable, "-c", code), {"PATH": os.environ["PATH"]})


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_a_tool_prints_is_kept():
    ran = run(cell("import sys; print('out'); print('err', file=sys.stderr)"), tool="python")
    assert (ran.output, ran.said) == (b"out\n", "err\n")


def test_a_tool_that_floods_both_pipes_at_once_does_not_block_and_its_last_words_are_kept():
    code = (
        "import sys\nfor i in range(3000):\n sys.stderr.write('e'*1000); sys.stdout.write('o'*1000)\nsys.stderr.write('the end')"
    )
    got = []
    ran = run(cell(code), tool="python", on_bytes=lambda piece: got.append(len(piece)))
    assert sum(got) == 3_000_000
    assert len(ran.said) == TAIL
    assert ran.said.endswith("the end")


def test_complaints_are_counted_though_only_the_last_words_are_kept():
    code = "import sys\nfor i in range(4000): sys.stderr.write(f'[h264] concealing {i} DC\\n' + 'x'*50 + '\\n')"
    ran = run(cell(code), tool="python", complaint=re.compile(rb"concealing \d+ DC"))
    assert ran.complaints == 4000
    assert ran.said.count("concealing") < 4000


def test_a_failing_tool_says_its_status_and_last_words():
    with pytest.raises(ToolFailed) as failed:
        run(cell("import sys; print('no such thing', file=sys.stderr); sys.exit(7)"), tool="python")
    assert failed.value.facts == {"tool": "python", "reason": "exit", "exit_code": 7, "tail": "no such thing\n"}


def test_a_tool_that_is_not_there_is_a_failure_and_no_crash():
    with pytest.raises(ToolFailed) as failed:
        run(Cell(("/nonexistent/tool",), {}), tool="tool")
    assert failed.value.facts["reason"] == "not_started"


def test_output_is_bounded():
    with pytest.raises(ToolFailed) as failed:
        run(cell("import sys\nwhile True: sys.stdout.write('x'*65536)"), tool="python", keep=1 << 20)
    assert failed.value.facts["reason"] == "too_much_output"


def test_a_silent_tool_is_ended_with_its_children(tmp_path: Path):
    child = tmp_path / "pid"
    code = (
        "import subprocess,sys,time\n"
        f"p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(600)']); open({str(child)!r},'w').write(str(p.pid))\n"
        "time.sleep(600)"
    )
    started = time.monotonic()
    with pytest.raises(ToolFailed) as failed:
        run(cell(code), tool="python", stall_seconds=1.5)
    assert failed.value.facts["reason"] == "no_progress"
    assert time.monotonic() - started < 12
    time.sleep(0.2)
    assert not alive(int(child.read_text()))


def test_a_tool_that_closed_its_output_and_stays_is_ended_too():
    with pytest.raises(ToolFailed) as failed:
        run(cell("import os,time; os.close(1); time.sleep(600)"), tool="python", stall_seconds=1)
    assert failed.value.facts["reason"] == "no_progress"


def test_a_tool_that_ignores_the_polite_signal_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("archive.adapters.tool_runner.GRACE_SECONDS", 1)
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    started = time.monotonic()
    with pytest.raises(ToolFailed):
        run(cell(code), tool="python", stall_seconds=1)
    assert time.monotonic() - started < 8


def test_busy_silence_is_progress_where_it_counts_and_not_elsewhere():
    busy = "import time\nend=time.monotonic()+4\nwhile time.monotonic()<end: pass"
    run(cell(busy), tool="python", stall_seconds=2.5, busy_seconds=UNTIL_CPU_LIMIT)
    for patience in (0, 2):
        with pytest.raises(ToolFailed):
            run(cell(busy), tool="python", stall_seconds=1.5, busy_seconds=patience)


def test_repeated_blocks_without_movement_are_no_progress():
    code = "import time\nwhile True:\n print('out_time_us=5\\nprogress=continue', flush=True); time.sleep(0.1)"
    blocks = []
    with pytest.raises(ToolFailed) as failed:
        run(cell(code), tool="ffmpeg", on_progress=blocks.append, stall_seconds=1.5)
    assert failed.value.facts["reason"] == "no_progress"
    assert blocks[0] == {"out_time_us": "5", "progress": "continue"}


def test_a_block_cut_between_reads_is_one_block():
    code = (
        "import time\n"
        "for piece in ('out_ti','me_us=1','0\\nspeed=2x\\nprog','ress=end\\n'):\n print(piece, end='', flush=True); time.sleep(0.1)"
    )
    blocks = []
    run(cell(code), tool="ffmpeg", on_progress=blocks.append)
    assert blocks == [{"out_time_us": "10", "speed": "2x", "progress": "end"}]


def test_a_lost_lease_ends_the_tool_and_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("archive.adapters.tool_runner.BEAT_SECONDS", 0.3)
    mark = tmp_path / "pid"
    code = f"import os,time; open({str(mark)!r},'w').write(str(os.getpid())); time.sleep(600)"

    def lost() -> None:
        if mark.exists() and mark.read_text():
            raise LeaseLost(job=1, kind="rendition", attempt=1)

    with pytest.raises(LeaseLost):
        run(cell(code), tool="python", beat=lost)
    assert not alive(int(mark.read_text()))
