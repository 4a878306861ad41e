"""The flaw: a file's name leads out of a folder, breaks a header in two, is a formula, or turns the line around that it stands in.

Safeguards: no name is ever a path of ours (objects are named by digest, uploads by random numbers); of a sender's name the last part is
kept, without control or bidirectional characters (`archive.core.manifest.portable_name`); headers carry an encoded form
(`archive.web.api.ranges.disposition`); pages escape; CSV quotes formulas. Each name below passes where its safeguard is taken away.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import unicodedata
from pathlib import Path

import httpx
import pytest

from archive.actions import person
from archive.web.app import create_app
from archive.web.identity import COOKIE
from tests.corpus.inputs import input_file
from tests.media_files import workshop
from tests.serving import served
from tests.web.tus import BODY, PATH, metadata

NAMES = {
    "climbing": "../../../../etc/cron.d/evil.jpg",
    "windows": r"..\..\keys\evil.jpg",
    "absolute": "/etc/passwd",
    "nul": "evil\0.jpg",
    "header": "evil.jpg\r\nSet-Cookie: liuhen_session=stolen\r\n\r\n<html>",
    "quotes": "evil\".jpg\"; filename*=UTF-8''other.exe",
    "terminal": "\x1b]0;owned\x07\x1b[2J\x9b31mevil.jpg",
    "turned": "scene\u202egpj.exe",
    "isolates": "a\u2066b\u2069c\u200f\u200e.jpg",
    "formula": "=1+cmd|' '!A0.jpg",
    "markup": "<img src=x onerror=alert(1)>.jpg",
    "dots": "..",
    "long": "长" * 5000 + ".jpg",
    "lines": "one\u2028two\u2029three.jpg",
    "zero_width": "evil\u200b\ufeff.jpg",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("names")
    with workshop(folder / "data") as shop:
        with shop.resources.transaction() as session:
            person.sign_in(session, login="admin", right=True, token="token", address="", now=shop.resources.now())
        with (
            served(create_app(shop.resources)) as url,
            httpx.Client(base_url=url, headers={"Origin": url}, cookies={COOKIE: "token"}, trust_env=False) as client,
        ):
            yield folder, shop, client


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_leads_nowhere(site, kind: str, caplog: pytest.LogCaptureFixture):
    folder, shop, client = site
    caplog.set_level(logging.INFO)
    body = input_file("turned.jpg").read_bytes() + kind.encode()
    before = outside(folder)
    told = {"Upload-Length": str(len(body)), "Upload-Metadata": metadata(filename=NAMES[kind])}
    answer = client.post(PATH, headers={**BODY, **told}, content=body)
    if answer.status_code == httpx.codes.BAD_REQUEST:
        assert answer.json()["code"] == "malformed"
        return
    number = answer.headers["Liuhen-Number"]
    name = shop.item(number).name
    assert name
    assert "/" not in name
    assert "\\" not in name
    assert name not in (".", "..")
    assert len(name) <= 512
    assert all(visible(letter) for letter in name), ascii(name)
    assert outside(folder) == before, "a file appeared where none belongs"

    download = client.get(f"/api/v1/items/{number}/download")
    assert download.content == body
    assert "Set-Cookie" not in download.headers
    disposition = download.headers["Content-Disposition"]
    assert disposition.isprintable()
    assert disposition.isascii()
    assert disposition.count('"') == 2
    assert "/" not in disposition
    assert "\\" not in disposition

    for address in (f"/items/{number}", "/items", "/inbox", f"/items/{number}/panel"):
        page = client.get(address).text
        assert "<img src=x" not in page
        assert not any(control in page for control in "\x1b\x9b\u202e\u2066\0")
    rows = list(csv.reader(io.StringIO(client.get("/items.csv").text)))
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row)
    assert json.loads(client.get(f"/api/v1/items/{number}").text)["name"] == name
    assert all(visible(letter) or letter in "\n\t" for record in caplog.records for letter in record.getMessage())


def visible(letter: str) -> bool:
    return letter == " " or not unicodedata.category(letter).startswith(("C", "Z"))


def outside(folder: Path) -> set[str]:
    """Every file under the test's folder but those that the archive names itself."""
    ours = ("originals/", ".temp/", "derived/", "data/spool/", "data/run/", "data/scratch/", "data/liuhen.db")
    found = (str(path.relative_to(folder)).removeprefix("data/store/") for path in folder.rglob("*") if not path.is_dir())
    return {path for path in found if not path.startswith(ours)}
