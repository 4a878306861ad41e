"""What holds for the house as a whole: its files, its words, its promises to readers."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import tomllib
from pathlib import Path

import archive
import workers
from archive.core.errors import LiuhenError

ROOT = Path(__file__).resolve().parent.parent
LONGEST_MODULE = 450
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
    )
]
LEFTOVER = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME")) + r")\b")
EXCUSE = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<codes>:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|\[[\w\-, ]+\])?(?P<rest>.*)")


def our_files() -> list[Path]:
    """Everything git tracks or would track, as paths that exist."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    return [path for name in listing.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def text_files() -> list[tuple[Path, str]]:
    """Our files that are text, with their text; lock files are other people's words."""
    found = []
    for path in our_files():
        if path.suffix == ".lock" or path.name == "package-lock.json":
            continue
        try:
            found.append((path.relative_to(ROOT), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def shell_commands(readme: str) -> list[str]:
    """The commands of a README's fenced `sh` blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / readme).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def every_module() -> list[str]:
    """The dotted name of every module of the program."""
    return [
        module.name
        for package in (archive, workers)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not re.search(r"\.(migrations|__main__)\b", module.name)  # Alembic runs those; importing these runs them
    ]


def coded_errors() -> dict[str, list[str]]:
    """Every code that a class of ours declares, with the classes that declare it."""
    for name in every_module():
        importlib.import_module(name)
    codes: dict[str, list[str]] = {}
    waiting = [LiuhenError]
    while waiting:
        waiting.extend((error := waiting.pop()).__subclasses__())
        if "code" in vars(error):
            codes.setdefault(error.code, []).append(f"{error.__module__}.{error.__qualname__}")
    return codes


def test_both_readmes_show_the_same_commands() -> None:
    assert shell_commands("README.zh-CN.md") == shell_commands("README.md")


def test_every_make_target_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path, text in text_files():
        if path.suffix == ".md":
            named = set(re.findall(r"`make ([a-z-]+)", text))
            assert named <= targets, f"{path} names targets that are not there: {named - targets}"


def test_every_relative_link_in_a_document_leads_somewhere() -> None:
    for path, text in text_files():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (ROOT / path.parent / target).exists(), f"{path} links to {target}, which is not there"


def test_every_code_belongs_to_one_error_only() -> None:
    assert {code: classes for code, classes in coded_errors().items() if len(classes) > 1} == {}


def test_every_code_is_explained_in_the_document_of_refusals() -> None:
    text = (ROOT / "docs/refusals.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert explained == set(coded_errors())


def test_every_code_that_can_reach_http_has_a_status_and_the_document_says_the_same() -> None:
    from archive.web.errors import STATUS  # noqa: PLC0415 - so that the other tests run while the pages are broken

    assert set(STATUS) == {code for code, (error, *_) in coded_errors().items() if error.startswith("archive.core.errors.")}
    text = (ROOT / "docs/refusals.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| (\d{3}|–) \|", text, re.MULTILINE))
    assert documented == {code: str(STATUS.get(code, "–")) for code in coded_errors()}


def test_every_protocol_has_a_contract_test_that_names_it() -> None:
    tree = ast.parse((ROOT / "archive/ports.py").read_text(encoding="utf-8"))
    protocols = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
    ]
    contracts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests/contract").glob("test_*.py")}
    assert protocols
    for protocol in protocols:
        assert any(re.search(rf"\b{protocol}\b", text) for text in contracts.values()), f"no contract test names {protocol}"


def test_protocols_stand_in_ports_and_nowhere_else() -> None:
    for path, text in text_files():
        if path.suffix == ".py" and path.parts[0] in {"archive", "workers"} and path != Path("archive/ports.py"):
            assert not re.search(r"^class \w+\(.*\bProtocol\b", text, re.MULTILINE), f"{path} declares a Protocol"


def test_no_module_is_longer_than_one_sitting() -> None:
    lengths = {str(path): text.count("\n") for path, text in text_files() if path.suffix in {".py", ".ts", ".css"}}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_no_file_says_where_packages_come_from() -> None:
    for path in our_files():
        content = path.read_bytes()
        for host in REGISTRY_HOSTS:
            assert host.encode() not in content, f"{path.relative_to(ROOT)} names a package registry"


def test_nothing_is_left_for_later() -> None:
    for path, text in text_files():
        found = LEFTOVER.search(text)
        assert not found, f"{path} has a {found[0]}"


def test_every_rule_that_is_switched_off_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    ignored = {*lint["ignore"], *(code for codes in lint["per-file-ignores"].values() for code in codes)}
    for code in ignored:
        lines = re.findall(rf'^\s*"{code}",(.*)$', text, re.MULTILINE)
        assert lines, f"{code} does not stand on a line of its own"
        assert all(re.search(r"#\s*\S+", line) for line in lines), f"{code} is switched off without a reason"


def test_every_excuse_in_the_code_names_its_rule_and_its_reason() -> None:
    bare = []
    for path, text in text_files():
        if path.suffix != ".py" or path == Path(__file__).relative_to(ROOT):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            excuse = EXCUSE.search(line)
            if excuse and not (excuse["codes"] and re.search(r"\w{3}", excuse["rest"])):
                bare.append(f"{path}:{number}: {line.strip()}")
    assert bare == []


def test_every_setting_is_in_the_operations_document_with_its_default() -> None:
    from archive.settings import PREFIX, Settings  # noqa: PLC0415 - so that the other tests run while settings are broken

    rows = [
        f"| `{PREFIX}{name.upper()}` | {f'`{shown}`' if (shown := setting_default(field.default)) else 'empty'} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    documented = [line for line in text.splitlines() if line.startswith(f"| `{PREFIX}")]
    assert documented == rows, "docs/operations.md should say:\n" + "\n".join(rows)


def setting_default(value: object) -> str:
    """A default as one would write it in the environment."""
    return "" if value is None else str(int(value) if isinstance(value, bool) else value)


def test_every_decision_says_what_enforces_it_and_that_exists() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert decisions
    for path in decisions:
        last = path.read_text(encoding="utf-8").rstrip().splitlines()[-1]
        assert last.startswith("enforced by: "), f"{path.name} does not end with «enforced by: …»"
        named = re.findall(r"`([\w./-]+\.(?:py|toml|sh)|Makefile)", last)
        assert named, f"{path.name} names nothing that enforces it"
        for target in named:
            assert (ROOT / target).is_file(), f"{path.name} names {target}, which is not there"


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_lock_files_carry_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-build.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        for pinned in re.split(r"\n(?=[a-z])", text)[1:]:
            assert "==" in pinned
            assert "--hash=sha256:" in pinned, f"{name}: {pinned.splitlines()[0]} has no hash"
    npm = (ROOT / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in npm
    assert npm.count('"integrity"') >= npm.count('"node_modules/') - npm.count('"inBundle": true')


def test_the_one_unfixed_package_is_needed_by_ffmpeg_python_alone() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = re.search(r"^future==.*\n(?:    .*\n)+", lock, re.MULTILINE)
    assert pinned, "`future` is gone: close docs/decisions/0011 and this test"
    assert re.findall(r"# via (.*)", pinned[0]) == ["ffmpeg-python"]
    for path, text in text_files():
        if path.suffix == ".py" and path.parts[0] in {"archive", "workers"}:
            assert not re.search(r"^\s*(import|from) (future|past|builtins\.future)\b", text, re.MULTILINE)
            if re.search(r"^\s*import ffmpeg\b", text, re.MULTILINE):
                assert not re.search(r"\bffmpeg\.(run|run_async|probe)\(|\.run\(|\.run_async\(", text), f"{path} starts a program"
