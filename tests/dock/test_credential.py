"""Claims about a station's credential and the receipts it knows."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.core import note
from archive.core.accession import AccessionNumber
from archive.core.digest import Digest
from archive.core.errors import Malformed, Mismatch
from archive.core.instant import Instant
from archive.core.receipt import Receipt
from archive.dock.credential import load, verify
from archive.dock.journal import Entry, State
from archive.dock.receipts import check

SERVER = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
KEY = note.VerifierKey("archive.example", SERVER.public_key().public_bytes_raw())
NUMBER = "131102-LX-2026-00000001"
RECEIPT = Receipt(AccessionNumber.parse(NUMBER), Digest.of(b"bytes"), 5, "dock-1", Instant(10), Instant(20))


def a_credential(tmp_path, **changes):
    path = tmp_path / "dock.json"
    value = {
        "type": "liuhen.credential",
        "v": 1,
        "station": "dock-1",
        "private_key": base64.b64encode(b"\x07" * 32).decode(),
        "server_keys": [str(KEY)],
        "agency": "131102",
        "zone": "Asia/Shanghai",
        **changes,
    }
    path.write_text(json.dumps(value), "utf-8")
    path.chmod(0o600)
    return path


def an_entry(**changes):
    entry = Entry(
        id=1,
        archive="a",
        carrier="c",
        path=b"p",
        size=5,
        mtime_ns=7,
        state=State.STORED,
        sha256=Digest.of(b"bytes"),
        sm3=None,
        manifest=b"",
        signature=b"",
        upload_url=None,
        offset=0,
        number=NUMBER,
        again=False,
        same_bytes_as=None,
        receipt=None,
        trouble=None,
        changed_at=Instant(0),
    )
    return replace(entry, **changes)


def a_note(receipt=RECEIPT, key=KEY, private=SERVER):
    return note.write(receipt.text(), key=key, sign=private.sign)


def test_a_credential_signs_as_its_station(tmp_path):
    found = load(a_credential(tmp_path))
    public = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key().public_bytes_raw()
    assert verify(public, found.sign(b"message"), b"message")
    assert verify(public, found.sign_nonce("n"), b"liuhen station token v1\ndock-1\nn\n")
    assert not verify(public, found.sign(b"message"), b"massage")


def test_a_credential_never_shows_its_key(tmp_path):
    assert "private" not in repr(load(a_credential(tmp_path))).lower()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_credential_that_others_may_read_is_refused(tmp_path, mode):
    path = a_credential(tmp_path)
    path.chmod(mode)
    with pytest.raises(Malformed, match="readable_by_others"):
        load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "liuhen.manifest"},
        {"v": 2},
        {"private_key": "AAAA"},
        {"private_key": "no base64!"},
        {"server_keys": []},
        {"server_keys": ["archive.example+00000000+AAAA"]},
        {"zone": "Mars/Olympus"},
        {"zone": "../../etc/passwd"},
        {"more": 1},
        {"private_key": None},
    ],
)
def test_a_credential_that_is_wrong_is_refused(tmp_path, changes):
    with pytest.raises(Malformed):
        load(a_credential(tmp_path, **changes))


def test_a_credential_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Malformed):
        load(tmp_path / "none")
    (tmp_path / "list").write_text("[]", "utf-8")
    (tmp_path / "list").chmod(0o600)
    with pytest.raises(Malformed):
        load(tmp_path / "list")


def test_a_receipt_for_exactly_this_file_is_believed(tmp_path):
    assert check(a_note(), an_entry(), credential=load(a_credential(tmp_path))) == RECEIPT


@pytest.mark.parametrize(
    "receipt",
    [
        replace(RECEIPT, number=AccessionNumber.parse("131102-LX-2026-00000002")),
        replace(RECEIPT, sha256=Digest.of(b"other")),
        replace(RECEIPT, size=6),
        replace(RECEIPT, station="dock-2"),
        replace(RECEIPT, station=None),
        replace(RECEIPT, verified_at=Instant(9)),
    ],
)
def test_a_genuine_receipt_for_something_else_is_not_believed(tmp_path, receipt):
    with pytest.raises(Mismatch):
        check(a_note(receipt), an_entry(), credential=load(a_credential(tmp_path)))


def test_a_receipt_signed_by_somebody_else_is_not_believed(tmp_path):
    other = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
    key = note.VerifierKey("archive.example", other.public_key().public_bytes_raw())
    with pytest.raises(Mismatch):
        check(a_note(key=key, private=other), an_entry(), credential=load(a_credential(tmp_path)))
    with pytest.raises(Mismatch):
        check(a_note(private=other), an_entry(), credential=load(a_credential(tmp_path)))


def test_a_receipt_that_was_touched_is_not_believed(tmp_path):
    with pytest.raises(Mismatch):
        check(a_note().replace('"size":5', '"size":6'), an_entry(size=6), credential=load(a_credential(tmp_path)))


@pytest.mark.parametrize("text", ["", "hello", "{}\n\n", "<html></html>"])
def test_what_is_no_receipt_is_refused(tmp_path, text):
    with pytest.raises(Malformed):
        check(text, an_entry(), credential=load(a_credential(tmp_path)))
