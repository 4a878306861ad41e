"""Run the benches one after the other and write their figures into docs/performance.md.

    python tests/bench/run.py [NAME…]          all of tests/bench/bench_*.py, or those named (`playable`)

Each bench is a program that prints a markdown table and ends with 0 if its targets hold, 1 if not. What stands between its markers in
docs/performance.md is replaced by what it printed, so that a run of one bench leaves the figures of the others as they were; a section
says when, on which machine and from which commit its figures are.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HOUSE = Path(__file__).parents[2]
FIGURES = HOUSE / "docs" / "performance.md"
HEAD = """# Performance

Measured by `make bench`; each table says when, on what and from which commit. Ratios compare within one run on one machine, because
absolute times say more about the machine. A bench that misses its target ends `make bench` with 1.
"""


def main() -> int:
    """Run what is asked for and return 1 if any target was missed."""
    wanted = sys.argv[1:]
    benches = {path.stem.removeprefix("bench_"): path for path in sorted(Path(__file__).parent.glob("bench_*.py"))}
    if unknown := set(wanted) - benches.keys():
        print(f"no such bench: {', '.join(sorted(unknown))}; there are {', '.join(benches)}", file=sys.stderr)
        return 2
    missed = [name for name in wanted or benches if not measured(name, benches[name])]
    if missed:
        print(f"targets missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def measured(name: str, program: Path) -> bool:
    """Run one bench, write its figures down, and return whether its targets hold."""
    print(f"## {name}", flush=True)
    environment = {**os.environ, "PYTHONPATH": str(HOUSE), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, str(program)], cwd=HOUSE, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False
    )
    print(done.stdout, flush=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    if rows:
        target = "targets met" if done.returncode == 0 else "**target missed**"
        write_down(name, f"{machine()}; {target}.\n\n" + "\n".join(rows))
    return done.returncode == 0


def write_down(name: str, figures: str) -> None:
    """Put a bench's figures between its markers, which are made if they are not there."""
    text = FIGURES.read_text("utf-8") if FIGURES.exists() else HEAD
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    section = f"{begin}\n{figures}\n{end}"
    old = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    text = old.sub(lambda _: section, text) if old.search(text) else f"{text.rstrip()}\n\n## {name}\n\n{section}\n"
    FIGURES.write_text(text, "utf-8")


def machine() -> str:
    """Return the line that says when, on what, and from which commit."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = next(
        int(line.split()[1]) // 2**20 for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    commit = subprocess.run(["git", "-C", HOUSE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"{when}, {os.cpu_count()} × {cpu}, {memory} GiB, Linux {platform.release()}, commit {commit.stdout.strip()}"


if __name__ == "__main__":
    sys.exit(main())
