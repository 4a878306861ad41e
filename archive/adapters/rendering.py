"""Start `render_child` or `tile_child` in the jail and read what it prints, trusting none of it.

Invariants: the child sees one file, one scratch directory, the interpreter and its libraries; its lines are JSON objects of at most
`MAX_LINES`; a line that is none is a failure of the tool, not an answer.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from archive.adapters import render_child, tile_child
from archive.adapters.jail import MIB, Jail, Limits, View, interpreter
from archive.adapters.tool_runner import UNTIL_CPU_LIMIT, run
from archive.core.errors import ToolFailed
from archive.core.media.tiles import MAX_FILE

MAX_LINES: Final = 10_000
ONE_PAGE_SECONDS: Final = 60
"""Processor time of one page, for which somebody waits: the worst of a real scanner's took two."""
_LIMITS: Final = Limits(
    address_space=1536 * MIB,  # a picture of forty megapixels in four bytes, twice, a page of PDFium's, and the libraries
    memory=896 * MIB,  # so that with the libraries a worker stays below a gigabyte, whatever a page draws inside itself
    file_size=64 * MIB,  # one preview; none of 1600 pixels comes near
    cpu_seconds=1200,  # a book of two thousand scanned pages
    open_files=64,
)
_LARGE_LIMITS: Final = Limits(
    address_space=2560 * MIB,  # of which less than a gigabyte is ever memory: the rest is threads' stacks and what is only mapped
    file_size=MAX_FILE,
    cpu_seconds=1200,  # a picture of 1.2 gigapixels takes twenty seconds
    open_files=64,
)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with the file itself: a stable code, the page where there is one, and the parser's words."""

    code: str
    words: str
    page: int | None = None

    def finding(self) -> dict[str, object]:
        """Return it as examination records it."""
        facts: dict[str, object] = {"words": self.words}
        if self.page is not None:
            facts["page"] = self.page
        return {"code": self.code, "facts": facts}


Line = dict[str, object]


def render(
    jail: Jail,
    task: str,
    source: Path,
    form: str,
    scratch: Path,
    *,
    draw: bool,
    wanted: str = "-",
    large: bool = False,
    on_line: Callable[[Line], None] = lambda _: None,
) -> tuple[list[Line], list[str]]:
    """Run one task; return the lines it printed and the argument list, for the rendition's provenance.

    Args:
        jail: where the child runs.
        task: what it does.
        source: the one file it reads.
        form: the format it opens it as.
        scratch: where pictures go, if it is to draw any.
        draw: whether it is.
        wanted: the pages that are meant, as `1,5-9`; `-` for what has none.
        large: whether libvips does it, in rows.
        on_line: called with each line as it comes; what it raises ends the child.

    Raises:
        ToolFailed: the child crashed, hung, or printed something else than lines of JSON.
    """
    view = jail.view(source, scratch)
    python, readable = interpreter()
    child = tile_child.__file__ if large else render_child.__file__
    script = Path(child).absolute()
    words = command(view, task, form, draw=draw, wanted=wanted, large=large)
    program = [*python, str(script), *words[words.index(script.name) + 1 :]]
    limits = _LARGE_LIMITS if large else _LIMITS
    if wanted == "first" or wanted.isdecimal():
        limits = replace(limits, cpu_seconds=ONE_PAGE_SECONDS if task == "pages" else limits.cpu_seconds)
    cell = jail.cell(program, source=source, scratch=scratch, limits=limits, readable=[*readable, script])
    lines: list[Line] = []
    rest = bytearray()

    def take(piece: bytes) -> None:
        rest.extend(piece)
        while (end := rest.find(b"\n")) >= 0:
            lines.append(_line(bytes(rest[:end])))
            del rest[: end + 1]
            on_line(lines[-1])
        if len(lines) > MAX_LINES or len(rest) > MIB:
            raise ToolFailed(tool=script.stem, reason="too_much_output", tail="")

    run(cell, tool=script.stem, on_bytes=take, busy_seconds=UNTIL_CPU_LIMIT)
    return lines, words


def command(view: View, task: str, form: str, *, draw: bool, wanted: str = "-", large: bool = False) -> list[str]:
    """Return the argument list of a task as provenance tells it: without this machine's paths to interpreter and script."""
    script = "tile_child.py" if large else "render_child.py"
    return ["python", "-I", "-B", script, task, view.source, form, view.scratch if draw else "-", wanted]


def _line(raw: bytes) -> Line:
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ToolFailed(tool="render_child", reason="odd_output", tail=raw[:200].decode("utf-8", errors="replace"))
    return value


def flaws(lines: list[Line]) -> list[Flaw]:
    """Return the flaws among the lines."""
    return [
        Flaw(
            str(line["flaw"])[:40], str(line.get("words", ""))[:500], page if isinstance(page := line.get("page"), int) else None
        )
        for line in lines
        if "flaw" in line
    ]


def whole(value: object) -> int | None:
    """Return a plausible count or size, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 40 else None


def versions() -> str:
    """Return what renders: interpreter and libraries, for provenance."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pillow", "pi-heif", "pypdfium2", "pyvips-binary"))
    return f"python {platform.python_version()}, {libraries}"
