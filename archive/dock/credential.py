"""A station's credential: its name, its private key, and the keys by which it knows the archive's receipts.

Invariants: the private key never leaves this object, which signs; a file that others may read is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from archive.core.errors import Malformed
from archive.core.note import VerifierKey

if TYPE_CHECKING:
    from pathlib import Path

_MAX_FILE = 64 * 1024
_FIELDS = frozenset({"type", "v", "station", "private_key", "server_keys", "agency", "zone", "sm3"})
_SEED = 32
TOKEN_CONTEXT = b"liuhen station token v1\n"


@dataclass(frozen=True, slots=True)
class Credential:
    """What `liuhen station enrol` handed out; `zone` is the agency's, in which recorders' clocks are read unless told otherwise.

    `sm3`: this station's files are hashed with SM3 (GB/T 32905) beside SHA-256.
    """

    station: str
    agency: str
    zone: ZoneInfo
    server_keys: tuple[VerifierKey, ...]
    _key: Ed25519PrivateKey = field(repr=False, compare=False)
    sm3: bool = False

    @property
    def archive(self) -> str:
        """The archive's identity in the journal: whom it signs as and for which agency, so that it may change address and keys."""
        return hashlib.sha256(f"{self.agency}\n{self.server_keys[0].name}".encode()).hexdigest()[:32]

    @property
    def earlier_archives(self) -> tuple[str, ...]:
        """What journals of the first version called this archive: a digest of one of its keys."""
        return tuple(hashlib.sha256(str(key).encode()).hexdigest()[:32] for key in self.server_keys)

    def sign(self, message: bytes) -> bytes:
        """Return the station's Ed25519 signature."""
        return self._key.sign(message)

    def sign_nonce(self, nonce: str) -> bytes:
        """Return the proof for a token: the signature over context, station and nonce."""
        return self.sign(TOKEN_CONTEXT + f"{self.station}\n{nonce}\n".encode())


def load(path: Path, *, handed_over: bool = False) -> Credential:
    """Return the credential in this file.

    `handed_over`: systemd put it there for this service alone. It grants the reading by an access control list, whose mask then stands
    where the group's rights would.

    Raises:
        Malformed: the file cannot be read, is open to others than its owner, or is no credential of this version.
    """
    try:
        with path.open("rb") as stream:
            status = path.stat()
            data = stream.read(_MAX_FILE)
    except OSError as why:
        raise Malformed(what="credential", path=str(path), reason=why.strerror or "unreadable") from why
    if stat.S_IMODE(status.st_mode) & (0o037 if handed_over else 0o077):
        raise Malformed(what="credential", path=str(path), reason="readable_by_others", wanted="0600")
    try:
        value = json.loads(data)
        if value["type"] != "liuhen.credential" or value["v"] != 1 or value.keys() - _FIELDS:
            raise Malformed(what="credential", path=str(path), reason="type_or_version")
        seed = base64.b64decode(value["private_key"], validate=True)
        keys = tuple(VerifierKey.parse(text) for text in value["server_keys"])
        zone = ZoneInfo(value["zone"])
        station, agency = str(value["station"]), str(value["agency"])
        sm3 = value.get("sm3", False) is True
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, OSError) as why:
        raise Malformed(what="credential", path=str(path), reason="content") from why
    if len(seed) != _SEED or not keys:
        raise Malformed(what="credential", path=str(path), reason="keys")
    return Credential(station, agency, zone, keys, Ed25519PrivateKey.from_private_bytes(seed), sm3)


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether the Ed25519 signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
