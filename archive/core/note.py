"""Signed notes (C2SP signed-note v1.0.0): a text, a blank line, and one line for each signature.

    key ID = SHA-256(name || 0x0A || 0x01 || public key)[:4]
    line   = "— " name " " base64(key ID || signature)
    vkey   = name "+" hex(key ID) "+" base64(0x01 || public key)

Type 0x01 is Ed25519. Signing and verifying are passed in, so that this file stays with the standard library.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archive.core.errors import Malformed, Mismatch

_ED25519 = b"\x01"
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_MAX_NOTE = 64 * 1024
_MAX_SIGNATURES = 16
"""The specification asks verifiers to accept at least 16; more is somebody wasting our time."""

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, message) -> whether the signature holds."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not self.name or any(c.isspace() or c == "+" for c in self.name) or len(self.public) != _KEY_BYTES:
            raise Malformed(what="verifier_key", value=self.name[:64])

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Return the key that a vkey line spells.

        Raises:
            Malformed: no vkey, not Ed25519, or the key ID is not that of the key.
        """
        parts = text.strip().split("+", 2)
        try:
            name, key_id, encoded = parts
            typed = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as why:
            raise Malformed(what="verifier_key", value=text[:80]) from why
        if typed[:1] != _ED25519:
            raise Malformed(what="verifier_key", reason="type")
        key = cls(name, typed[1:])
        if key.key_id.hex() != key_id:
            raise Malformed(what="verifier_key", reason="key_id")
        return key

    @property
    def key_id(self) -> bytes:
        """The four bytes that name this key in a signature line."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


def write(text: str, *, key: VerifierKey, sign: Sign) -> str:
    """Return the text as a note signed by the key.

    Raises:
        Malformed: the text does not end in a line feed or holds control characters.
    """
    _check(text)
    signature = sign(text.encode())
    return f"{text}\n— {key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


def read(note: str, *, keys: Sequence[VerifierKey], verify: Verify) -> str:
    """Return the note's text once one of these keys is seen to have signed it.

    Signatures by unknown keys are passed over; a bad signature by a known key spoils the note, as the specification says.

    Raises:
        Malformed: this is no signed note.
        Mismatch: no known key signed it, or a known key's signature does not hold.
    """
    if len(note) > _MAX_NOTE or "\n\n" not in note:
        raise Malformed(what="signed_note")
    body, _, signatures = note.rpartition("\n\n")
    text = body + "\n"
    _check(text)
    lines = signatures.removesuffix("\n").split("\n")
    if not signatures.endswith("\n") or len(lines) > _MAX_SIGNATURES:
        raise Malformed(what="signed_note", reason="signatures")
    held = False
    for line in lines:
        name, key_id, signature = _signature(line)
        for key in keys:
            if (key.name, key.key_id) != (name, key_id):
                continue
            if not verify(key.public, signature, text.encode()):
                raise Mismatch(what="note_signature", key=name)
            held = True
    if not held:
        raise Mismatch(what="note_signature", reason="no_known_key")
    return text


def _check(text: str) -> None:
    if not text.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in text):  # noqa: PLR2004 - ASCII control characters
        raise Malformed(what="note_text")


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    try:
        dash, name, encoded = parts
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as why:
        raise Malformed(what="signed_note", reason="signature_line") from why
    if dash != "—" or len(raw) != 4 + _SIGNATURE_BYTES:
        raise Malformed(what="signed_note", reason="signature_line")
    return name, raw[:4], raw[4:]
