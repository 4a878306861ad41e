"""The import contracts hold, and hold for a reason: each notices the violation it is there for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# contract → what is planted: (module that imports, module imported). Every arrow that the design forbids stands here once.
PLANTED = {
    "rings": [
        ("archive.core", "archive.failpoints"),
        ("archive.core", "archive.ports"),
        ("archive.failpoints", "archive.core"),
        ("archive.ports", "archive.records"),
        ("archive.records", "archive.actions"),
        ("archive.records", "archive.adapters"),
        ("archive.actions", "archive.adapters"),
        ("archive.adapters", "archive.actions"),
        ("archive.actions", "archive.settings"),
        ("archive.adapters", "archive.settings"),
        ("archive.settings", "archive.resources"),
        ("archive.resources", "archive.web"),
        ("archive.resources", "workers"),
        ("archive.web", "archive.dock"),
        ("archive.web", "workers"),
        ("archive.dock", "archive.web"),
        ("archive.dock", "workers"),
        ("workers", "archive.web"),
        ("workers", "archive.dock"),
        ("archive.web", "archive.cli"),
        ("archive.web", "archive.demo"),
        ("archive.demo", "archive.cli"),
        ("archive.commands", "archive.cli"),
        ("archive.demo", "archive.commands"),
    ],
    "web-through-actions": [("archive.web", "archive.records")],
    "adapters-know-no-records": [("archive.adapters", "archive.records")],
    "no-framework-inside": [
        (inner, framework)
        for inner in ("archive.actions", "archive.adapters", "archive.records", "archive.ports", "archive.core")
        for framework in ("fastapi", "uvicorn")
    ],
    "no-broker-inside": [
        (inner, broker)
        for inner in ("archive.actions", "archive.records", "archive.ports", "archive.core")
        for broker in ("celery", "kombu")
    ],
    "core-is-pure": [
        ("archive.core", imported) for imported in ("pydantic", "os", "time", "random", "logging", "asyncio", "archive.ports")
    ],
    "dock-is-small": [
        ("archive.dock", imported) for imported in ("fastapi", "sqlalchemy", "archive.actions", "archive.settings")
    ],
}


def contracts(folder: Path) -> dict[str, dict[str, object]]:
    """The contracts that a checkout's pyproject.toml states, by id."""
    stated = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    return {contract["id"]: contract for contract in stated}


def lint(folder: Path, contract: str) -> subprocess.CompletedProcess[str]:
    """Hold the tree under `folder` against one contract."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--contract", contract],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, where they may be spoiled."""
    for package in ("archive", "workers", "infra"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "static", "ui"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def source_of(folder: Path, module: str) -> Path:
    """Where a module's text is."""
    path = folder.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_every_contract_has_a_violation_planted_here() -> None:
    assert set(PLANTED) == set(contracts(ROOT))


@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_violation_is_seen(contract: str, copy: Path) -> None:
    assert lint(copy, contract).returncode == 0, "the tree is broken before anything was planted"
    for importer, imported in PLANTED[contract]:
        with source_of(copy, importer).open("a", encoding="utf-8") as source:
            source.write(f"\n\nimport {imported}\n")
    seen = lint(copy, contract)
    assert seen.returncode == 1
    for importer, imported in PLANTED[contract]:
        assert f"{importer} -> {imported} " in seen.stdout.replace("-\n", "- "), (
            f"{importer} -> {imported} went unseen\n{seen.stdout}"
        )
