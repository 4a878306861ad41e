"""The wheel is the whole program: in a clean environment it serves its pages without the checkout."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent
START_S = 30


def clean_environment() -> dict[str, str]:
    """Our environment less what would lead back to the checkout or to settings of ours."""
    ours = ("LIUHEN_", "PYTHON", "MAKE", "MFLAGS", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def wheel() -> Path:
    run("make", "build", cwd=ROOT)
    (found,) = (ROOT / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean virtual environment with the locked packages and the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "requirements.lock", cwd=folder)
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder


def test_the_wheel_holds_built_pages_and_catalogues_but_not_their_sources(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read("archive/web/static/manifest.json"))
        licences = archive.read("archive/web/static/licences.md").decode()
    for entry in manifest.values():
        for built in [entry["file"], *entry.get("css", []), *entry.get("assets", [])]:
            assert f"archive/web/static/{built}" in names
    assert any(entry.get("isEntry") for entry in manifest.values())
    assert {"htmx.org", "@tabler/core"} <= set(re.findall(r"^## (\S+) -", licences, re.MULTILINE))
    for source in (ROOT / "archive/web/locale").rglob("*.po"):
        assert str(source.relative_to(ROOT).with_suffix(".mo")) in names
    assert not [name for name in names if name.startswith(("tests/", "infra/", "archive/web/ui/"))]


def test_every_module_and_template_of_the_checkout_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tracked = subprocess.run(["git", "ls-files", "archive", "workers"], cwd=ROOT, check=True, capture_output=True, text=True)
    missing = [
        name
        for name in tracked.stdout.splitlines()
        if not name.startswith("archive/web/ui/") and (ROOT / name).is_file() and name not in names
    ]
    assert missing == []


@pytest.mark.timeout(600)
def test_a_server_installed_from_the_wheel_serves_its_pages(installed: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"LIUHEN_DATA_DIR": str(tmp_path / "data"), "LIUHEN_PORT": str(port), "LIUHEN_AGENCY": "131102"}
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [installed / "venv/bin/liuhen", "serve"],
            cwd=tmp_path,
            env={**clean_environment(), **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                wait_until_healthy(client, server, tmp_path / "serve.log")
                page = client.get("/sign-in")
                assert page.status_code == 200
                manifest = json.loads(
                    next(installed.glob("venv/lib/*/site-packages/archive/web/static/manifest.json")).read_text()
                )
                script = next(entry["file"] for entry in manifest.values() if entry.get("isEntry"))
                asset = client.get(f"/static/{script}")
                assert asset.status_code == 200
                assert "javascript" in asset.headers["content-type"]
        finally:
            server.terminate()
            ended = server.wait(timeout=30)
    assert ended == 0, (tmp_path / "serve.log").read_text()


def wait_until_healthy(client: httpx.Client, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return as soon as /healthz answers 200; fail with the server's own words otherwise."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if client.get("/healthz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"no answer within {START_S} s\n{log.read_text()}")
