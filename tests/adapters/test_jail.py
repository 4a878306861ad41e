"""What a jailed tool can and cannot do, tried from inside; and the lesser jails where namespaces are missing."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archive.adapters import calls
from archive.adapters.jail import MIB, Jail, Limits, interpreter
from archive.adapters.tool_runner import run
from archive.core.errors import ToolFailed


@pytest.fixture(params=["filtered", "bubblewrap", "unshare", "limits"])
def jail(request: pytest.FixtureRequest) -> Jail:
    made = Jail("bubblewrap", filtered=True) if request.param == "filtered" else Jail(request.param)
    if made.trial() is not None:
        pytest.skip(f"{request.param} cannot be made here: {made.trial()}")
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "secret-folder" / "original.bin"
    path.parent.mkdir()
    path.write_bytes(b"evidence")
    (path.parent / "neighbour.bin").write_bytes(b"another case")
    return path


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def inside(jail: Jail, source: Path, scratch: Path, code: str, **limits) -> str:
    """Run Python in the jail; IN and OUT are what the jail calls the input and the scratch directory."""
    python, readable = interpreter()
    view = jail.view(source, scratch)
    program = [*python, "-c", f"IN={view.source!r}; OUT={view.scratch!r}\n{code}"]
    given = jail.cell(program, source=source, scratch=scratch, limits=Limits(**limits), readable=readable)
    return run(given, tool="python").output.decode()


def test_the_input_is_read_and_the_scratch_is_written(jail: Jail, source: Path, scratch: Path):
    assert inside(jail, source, scratch, "print(open(IN).read()); open(OUT+'/made','w').write('x')") == "evidence\n"
    assert (scratch / "made").read_text() == "x"


def test_a_server_on_this_host_cannot_be_reached(jail: Jail, source: Path, scratch: Path):
    import socket  # noqa: PLC0415 - for this test alone

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        reach = f"socket.create_connection(('127.0.0.1', {port}), 2).close(); print('reached')"
        code = f"import socket\ntry:\n {reach}\nexcept OSError: print('cut off')"
        expected = "reached" if jail.kind == "limits" else "cut off"
        assert inside(jail, source, scratch, code).strip() == expected
    assert jail.describe()["network_cut"] == (expected == "cut off")


def test_the_environment_is_empty(jail: Jail, source: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIUHEN_SECRET", "s3cret")
    said = inside(jail, source, scratch, "import os; print(sorted(os.environ))")
    assert set(eval(said)) <= {"HOME", "LC_ALL", "PATH", "PWD"}


def test_a_file_beyond_the_limit_cannot_be_written(jail: Jail, source: Path, scratch: Path):
    with pytest.raises(ToolFailed):
        inside(jail, source, scratch, "open(OUT+'/bomb','wb').write(b'x'*3000000)", file_size=MIB)
    assert (scratch / "bomb").stat().st_size <= MIB


def test_memory_beyond_the_limit_cannot_be_had(jail: Jail, source: Path, scratch: Path):
    code = "try:\n bytearray(600*1024*1024); print('had')\nexcept MemoryError: print('refused')"
    assert inside(jail, source, scratch, code, address_space=512 * MIB).strip() == "refused"


def test_an_endless_loop_ends(jail: Jail, source: Path, scratch: Path):
    with pytest.raises(ToolFailed) as failed:
        inside(jail, source, scratch, "while True: pass", cpu_seconds=1)
    assert failed.value.facts["exit_code"] in {-signal.SIGKILL, -signal.SIGXCPU, 128 + signal.SIGKILL, 128 + signal.SIGXCPU}


def test_the_tool_has_no_privileges(jail: Jail, source: Path, scratch: Path):
    code = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapBnd', 'NoNewPrivs'))])"
    capabilities = eval(inside(jail, source, scratch, code))
    assert int(capabilities[0], 16) == 0
    assert capabilities[2] == "1"


def test_bubblewrap_hides_every_other_file_and_protects_the_input(source: Path, scratch: Path):
    jail = Jail("bubblewrap")
    if jail.trial() is not None:
        pytest.skip("no bubblewrap here")
    assert "neighbour" not in inside(jail, source, scratch, "import os; print(os.listdir(os.path.dirname(IN)))")
    code = f"import os; print(os.path.exists({str(source)!r}), os.path.exists('/etc/passwd'), sorted(os.listdir('/etc')))"
    said = inside(jail, source, scratch, code)
    assert said.startswith("False False")
    assert set(eval(said.split(" ", 2)[2])) <= {"alternatives", "ld.so.cache"}
    with pytest.raises(ToolFailed, match="Read-only"):
        inside(jail, source, scratch, "open(IN,'wb')")
    assert source.read_bytes() == b"evidence"


CALLS = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def said(number, *given):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "?") if libc.syscall(number, *given) == -1 else "done"
"""


def test_calls_that_no_tool_needs_are_refused_and_tools_work(source: Path, scratch: Path):
    """Each call below is one that bubblewrap alone lets through to the kernel's own judgement, or to success."""
    jail = Jail("bubblewrap", filtered=True)
    if jail.trial() is not None:
        pytest.skip(f"no filter here: {jail.trial()}")
    tried = {name: numbers[0 if platform.machine() == "x86_64" else 1] for name, numbers in calls._DENIED.items()}
    code = f"{CALLS}print({{name: said(number, 0, 0, 0, 0, 0) for name, number in {tried!r}.items() if name != 'vmsplice'}})"
    assert set(eval(inside(jail, source, scratch, code)).values()) == {"EPERM"}
    new_user = "import os\ntry:\n os.fork() or os._exit(0); os.wait(); print('forked')\nexcept OSError as e: print(e)"
    assert inside(jail, source, scratch, new_user).strip() == "forked"
    clone, three = (56, 435) if platform.machine() == "x86_64" else (220, 435)
    assert inside(jail, source, scratch, f"{CALLS}print(said({clone}, 0x10000000 | 17, 0, 0, 0, 0))").strip() == "EPERM"
    assert inside(jail, source, scratch, f"{CALLS}print(said({three}, 0, 0))").strip() == "ENOSYS"
    assert jail.describe()["calls_filtered"] is True
    open_to_it = inside(
        Jail("bubblewrap"), source, scratch, "import socket; socket.socket(socket.AF_UNIX).close(); print('made')"
    )
    assert open_to_it.strip() == "made", "bubblewrap alone lets sockets be made, so the filter is what stops them"


def test_a_processor_without_a_table_gets_no_filter():
    assert calls.program("riscv64") is None
    for machine in ("x86_64", "aarch64"):
        program = calls.program(machine)
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) // 8 < 256, "a jump reaches no further"


def test_the_filter_goes_with_each_of_many_runs_at_once(source: Path, scratch: Path):
    jail = Jail("bubblewrap", filtered=True)
    if jail.trial() is not None:
        pytest.skip("no filter here")
    code = f"{CALLS}print(said({41 if platform.machine() == 'x86_64' else 198}, 1, 1, 0))"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: inside(jail, source, scratch, code).strip(), range(8)))
    assert answers == ["EPERM"] * 8


def test_the_tool_dies_with_its_parent(jail: Jail, source: Path, scratch: Path):
    view = jail.view(source, scratch)
    cell = jail.cell(["/usr/bin/sleep", "654.25"], source=source, scratch=scratch, limits=Limits())
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.Popen({list(cell.argv)!r}, env={cell.environment!r}).wait()"]
    )
    assert view.source
    until = time.monotonic() + 10
    while not sleepers() and time.monotonic() < until:
        time.sleep(0.05)
    assert sleepers()
    parent.kill()
    parent.wait()
    until = time.monotonic() + 10
    while sleepers() and time.monotonic() < until:
        time.sleep(0.05)
    assert not sleepers()


def sleepers() -> list[str]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                command = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if command[:2] == [b"/usr/bin/sleep", b"654.25"]:
                found.append(path.name)
    return found


def test_the_probe_takes_the_best_that_works_and_says_why_not_better():
    found = Jail.probe()
    assert found.trial() is None
    assert found.describe()["kind"] == found.kind
    assert (found.why == "") == (found.kind == "bubblewrap" and found.proc)


def test_in_a_chroot_the_jail_falls_back_and_says_so(tmp_path: Path):
    """Inside a chroot the kernel makes no user namespace and bubblewrap cannot change root; tools must run all the same."""
    if os.geteuid() != 0 or shutil.which("chroot") is None:
        pytest.skip("only root can chroot")
    root = tmp_path / "root"
    homes = {Path(prefix).resolve().parts[1] for prefix in (sys.prefix, sys.base_prefix, __file__)}
    tops = sorted(homes | {"usr", "proc", "dev"})
    links = [top for top in ("lib", "lib64", "bin", "sbin") if Path("/", top).is_symlink()]
    probe = f"import sys; sys.path[:0] = {sys.path!r}\nfrom archive.adapters.jail import Jail\nprint(Jail.probe().describe())"
    steps = [
        f"mount -t tmpfs none {root}",
        *(f"mkdir -p {root}/{top} && mount --rbind /{top} {root}/{top}" for top in tops),
        *(f"ln -s {Path('/', top).readlink()} {root}/{top}" for top in links),
        f"mkdir -p {root}/tmp {root}/etc",
        shlex.join(["exec", "chroot", str(root), sys.executable, "-c", probe]),
    ]
    root.mkdir()
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", " && ".join(steps)], capture_output=True, text=True, check=False, cwd="/"
    )
    if ran.returncode != 0 and any(word in ran.stderr for word in ("unshare:", "mount:", "chroot:")):
        pytest.skip(f"no mount namespace here: {ran.stderr[:200]}")
    assert "'kind': 'unshare'" in ran.stdout or "'kind': 'limits'" in ran.stdout, ran.stdout + ran.stderr
    assert "bubblewrap: " in ran.stdout
