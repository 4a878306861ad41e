"""Signed notes, held against the specification's own example."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.adapters.signing import public_of, verify
from archive.core import note
from archive.core.errors import Malformed, Mismatch
from archive.core.note import VerifierKey

SEED = bytes(range(32))
KEY = VerifierKey("liuhen/131102", public_of(SEED))
SIGN = Ed25519PrivateKey.from_private_bytes(SEED).sign

# golang.org/x/mod/sumdb/note documentation, the example that C2SP signed-note grew from
PETER = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_of_another_implementation_is_read():
    assert note.read(PETERS_NOTE, keys=[PETER], verify=verify).startswith("If you think cryptography")


def test_what_is_written_is_read_back():
    signed = note.write("one\ntwo\n", key=KEY, sign=SIGN)
    assert note.read(signed, keys=[KEY], verify=verify) == "one\ntwo\n"
    assert VerifierKey.parse(str(KEY)) == KEY


def test_one_changed_letter_is_noticed():
    with pytest.raises(Mismatch):
        note.read(PETERS_NOTE.replace("answer", "Answer"), keys=[PETER], verify=verify)


def test_a_note_that_no_known_key_signed_is_not_believed():
    with pytest.raises(Mismatch):
        note.read(PETERS_NOTE, keys=[KEY], verify=verify)


def test_a_bad_signature_by_a_known_key_spoils_the_note_even_beside_a_good_one():
    signed = note.write("text\n", key=KEY, sign=SIGN)
    forged = base64.b64encode(PETER.key_id + bytes(64)).decode()
    with pytest.raises(Mismatch):
        note.read(f"{signed}— PeterNeumann {forged}\n", keys=[KEY, PETER], verify=verify)
    assert note.read(f"{signed}— PeterNeumann {forged}\n", keys=[KEY], verify=verify) == "text\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no blank line\n",
        "a\n\n",
        "a\n\n— x\n",
        "a\n\n- liuhen/131102 AAAA\n",
        "a\n\n— liuhen/131102 ****\n",
        "a\0\n\n— x AAAA\n",
    ],
)
def test_what_is_no_note_is_refused(text):
    with pytest.raises((Malformed, Mismatch)):
        note.read(text, keys=[KEY], verify=verify)


@pytest.mark.parametrize("text", ["", "x", "x+y", "x+00000000+AAAA", "a b+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(Malformed):
        VerifierKey.parse(text)
