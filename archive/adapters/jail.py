"""The jail in which tools open what strangers made: bubblewrap where it works, less where it does not, and it says which.

Invariants: a tool sees one input, read-only, and one scratch directory, and nothing else of the archive; it has no network; its
environment is empty but for a locale; its address space, file size, processor time and open files are bounded. It ends when we end.

    bubblewrap   all of the above (user, mount, network, process and IPC namespaces; no capabilities), and the system calls of
                 `archive.adapters.calls` refused where the processor is known and bubblewrap can
    unshare      no mount namespace can be made (inside a chroot): no network, limits, empty environment, no new privileges
    limits       neither can be made: limits, empty environment, no new privileges

Not guaranteed: in the two lesser jails a tool that is taken over can read what this user can read. `describe` says so, and so do
/healthz and the status page. The kernel is shared by all of them.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archive.adapters import calls

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB: Final = 1024 * 1024
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
_PROBE_SECONDS: Final = 10
_INSIDE_SOURCE: Final = "/in/original"
_INSIDE_SCRATCH: Final = "/scratch"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use at most.

    `address_space` bounds what a decoder can be talked into reserving, and `memory` (RLIMIT_DATA, None: as much) what of it can be its
    own and written to, which is what the machine has to find; `file_size` bounds what a bomb can write, for each file; `cpu_seconds` what
    an endless loop can burn; `open_files` is far above what one input and a few outputs need.
    """

    address_space: int = 4096 * MIB
    memory: int | None = None
    file_size: int = 1024 * MIB
    cpu_seconds: int = 600
    open_files: int = 64


@dataclass(frozen=True, slots=True)
class View:
    """How a tool in the jail names its input and its scratch directory."""

    source: str
    scratch: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A command ready to be started: the whole argument list and environment."""

    argv: tuple[str, ...]
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Jail:
    """The best jail this host gives; `kind` is bubblewrap, unshare or limits, `why` says what kept it from a better one."""

    kind: str
    why: str = ""
    proc: bool = True
    filtered: bool = False

    @classmethod
    def probe(cls) -> Jail:
        """Find out, by doing it, which jail can be made here; tried once, at start."""
        whys: list[str] = []
        best = cls("bubblewrap", filtered=calls.program() is not None)
        for candidate in (best, replace(best, proc=False), cls("bubblewrap"), cls("bubblewrap", proc=False), cls("unshare")):
            why = candidate.trial()
            if why is None:
                return replace(candidate, why="; ".join(dict.fromkeys(whys)))
            whys.append(why)
        return cls("limits", "; ".join(dict.fromkeys(whys)))

    def trial(self) -> str | None:
        """Run a program that does nothing in this jail; return why that failed, or None."""
        if shutil.which("bwrap" if self.kind == "bubblewrap" else "unshare") is None:
            return f"{self.kind}: not installed"
        cell = self.cell(["/usr/bin/env", "true"], source=Path("/usr/bin/env"), scratch=Path("/tmp"), limits=Limits())  # noqa: S108 - only bound
        try:
            ran = subprocess.run(
                cell.argv,
                env=cell.environment,
                capture_output=True,
                timeout=_PROBE_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{self.kind}: {error}"[:200]
        said = ran.stderr.decode(errors="replace").strip().splitlines()
        return None if ran.returncode == 0 else f"{self.kind}: {said[-1] if said else ran.returncode}"[:200]

    def describe(self) -> dict[str, str | bool]:
        """Return what the health page says of this jail."""
        return {
            "kind": self.kind,
            "network_cut": self.kind != "limits",
            "files_hidden": self.kind == "bubblewrap",
            "limits": True,
            "calls_filtered": self.filtered,
            "why_not_better": self.why,
        }

    def view(self, source: Path, scratch: Path) -> View:
        """Return the names under which a tool in this jail finds its input and its scratch directory."""
        if self.kind == "bubblewrap":
            return View(_INSIDE_SOURCE, _INSIDE_SCRATCH)
        return View(str(source.absolute()), str(scratch.absolute()))

    def cell(self, program: Sequence[str], *, source: Path, scratch: Path, limits: Limits, readable: Sequence[Path] = ()) -> Cell:
        """Return the command that runs `program` in this jail.

        Args:
            program: the tool and its arguments, with the names that `view` gave.
            source: the one input file; the tool may read it.
            scratch: the one directory the tool may write to.
            limits: what it may use at most.
            readable: further paths it may read under their own names (an interpreter and its libraries).
        """
        bounds = (
            "prlimit",
            f"--as={limits.address_space}",
            *(() if limits.memory is None else (f"--data={limits.memory}",)),
            f"--fsize={limits.file_size}",
            f"--cpu={limits.cpu_seconds}",
            f"--nofile={limits.open_files}",
            "--core=0",
            "--",
        )
        if self.kind == "bubblewrap":
            walls = self._walls(source, scratch, readable)
            if self.filtered:
                # bubblewrap reads the filter from a descriptor to its end, so each run needs one of its own: the shell opens it anew.
                walls = [
                    "sh",
                    "-c",
                    f'exec "$@" {_FILTER_FD}<"$0"',
                    _filter_path(),
                    *walls[:1],
                    "--seccomp",
                    _FILTER_FD,
                    *walls[1:],
                ]
            return Cell((*walls, *bounds, *program), {"PATH": _ENVIRONMENT["PATH"]} if self.filtered else {})
        # The lesser jails: the tool is killed with us (pdeathsig), gains nothing by set-uid programs, and drops what root could do.
        tied = ["setpriv", "--pdeathsig", "KILL", "--no-new-privs"]
        if os.geteuid() == 0:  # only root may shrink the bounding set; for others there is nothing in it to lose
            tied += ["--inh-caps=-all", "--bounding-set=-all"]
        cut = ("unshare", "--net", "--") if self.kind == "unshare" else ()
        return Cell((*cut, *tied, "--", *bounds, *program), dict(_ENVIRONMENT))

    def _walls(self, source: Path, scratch: Path, readable: Sequence[Path]) -> list[str]:
        walls = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
        for name, value in _ENVIRONMENT.items():
            walls += ["--setenv", name, value]
        walls += ["--ro-bind", "/usr", "/usr"]
        for top in ("/lib", "/lib64", "/bin", "/sbin"):
            if Path(top).is_symlink():
                walls += ["--symlink", str(Path(top).readlink()), top]
            elif Path(top).is_dir():
                walls += ["--ro-bind", top, top]
        # Debian reaches its BLAS, which ffmpeg links, through /etc/alternatives; the loader's cache spares it a search.
        for needed in ("/etc/alternatives", "/etc/ld.so.cache"):
            walls += ["--ro-bind-try", needed, needed]
        walls += ["--proc", "/proc"] if self.proc else []
        walls += ["--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - its own, empty one
        for path in readable:
            walls += ["--ro-bind", str(path), str(path)]
        walls += ["--ro-bind", str(source.absolute()), _INSIDE_SOURCE, "--bind", str(scratch.absolute()), _INSIDE_SCRATCH]
        return [*walls, "--chdir", _INSIDE_SCRATCH, "--"]


_FILTER_FD: Final = "9"


@functools.cache
def _filter_fd(pid: int) -> int:
    """The filter in a file without a name, which lives as long as this process; after a fork there is another."""
    assert pid == os.getpid()
    fd = os.memfd_create("liuhen-calls")
    program = calls.program()
    assert program is not None
    os.write(fd, program)
    return fd


def _filter_path() -> str:
    return f"/proc/{os.getpid()}/fd/{_filter_fd(os.getpid())}"


def interpreter() -> tuple[list[str], list[Path]]:
    """Return how to start this Python in a jail, isolated from user settings, and what it must be able to read."""
    given = [Path(prefix) for prefix in (sys.prefix, sys.base_prefix)]
    # Both as named and as resolved: a virtual environment's python is a chain of links, each of which must lead somewhere.
    paths = list(dict.fromkeys([*given, *(path.resolve() for path in given)]))
    return [sys.executable, "-I", "-B"], [path for path in paths if not path.is_relative_to("/usr") and path != Path("/")]
