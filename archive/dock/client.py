"""The archive as a station talks to it: tokens, tus uploads, receipts; one request at a time, nothing kept but the token.

Invariants: the token goes to the address that was given and nowhere else (no redirect is followed, no other origin's upload address is
taken); every failure is told apart as «try again» (`Unavailable`, `OutOfStep`) or «no» (`ServerRefused`).

Not guaranteed: anything the server says. Callers hold its answers against what the station signed.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urljoin

import httpx

from archive.core.accession import AccessionNumber
from archive.core.digest import Digest
from archive.core.errors import DiskFull, Malformed, ServerRefused, Unavailable

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from archive.dock.credential import Credential

UPLOADS = "/api/v1/uploads"
_TUS = {"Tus-Resumable": "1.0.0"}
_BYTES = "application/offset+octet-stream"
_CONNECT_S = 10.0
_ANSWER_S = 300.0
"""The answer to the last piece waits for fsync and accession, which a loaded disk may take minutes over."""
_BUSY = frozenset({408, 409, 423, 425, 429})
_FINAL = frozenset({"mismatch", "object_missing"})
"""What the archive's own fault cannot be cured of by asking again."""
_MAX_PROBLEM = 64 * 1024
RECEIPTS_AT_ONCE = 100
"""Numbers in one question: what a reverse proxy still takes for a request line."""


class OutOfStep(Unavailable):
    """Server and station do not agree how far an upload is; ask, and go on from there."""


class Gone(Exception):
    """The server knows no such upload any more."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The archive's acknowledgement of an upload."""

    number: str
    sha256: Digest
    same_bytes_as: str | None


@dataclass(frozen=True, slots=True)
class Created:
    """An upload: how many bytes the server has of it, and the acknowledgement if these were all.

    `part_size` is set if its bytes are to go straight to the store, in parts of that size.
    """

    url: str
    offset: int
    accepted: Accepted | None
    part_size: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of an upload: state, bytes received, and the acknowledgement or refusal."""

    state: str
    accepted: Accepted | None
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Receipts:
    """Receipts by number, and the numbers of which the archive says that it knows none of them."""

    texts: Mapping[str, str]
    unknown: frozenset[str]


class Server:
    """A connection pool to one archive for one station; a context manager, safe from any thread."""

    def __init__(self, base_url: str, credential: Credential, *, ca: Path | None = None, connections: int = 8) -> None:
        url = httpx.URL(base_url)
        if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
            raise Malformed(what="server", value=base_url[:200])
        self._base = str(url).rstrip("/")
        self._origin = (url.scheme, url.host, url.port)
        self._credential = credential
        self._token: str | None = None
        self._token_lock = threading.Lock()
        self._http = httpx.Client(
            verify=trust(ca) if url.scheme == "https" else True,
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
            # a docking station talks to its archive and to nobody in between
            trust_env=False,
            headers={"User-Agent": "liuhen-dock"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def sign_in(self) -> None:
        """Get a token now, so that a wrong credential shows before anything is hashed.

        Raises:
            ServerRefused: the station is unknown or revoked.
            Unavailable: the server does not answer.
        """
        self._fresh_token(stale=self._token)

    def create(self, *, length: int, metadata: Mapping[str, bytes], body: bytes = b"", direct: bool = False) -> Created:
        """Open an upload with its first bytes, or all of them, and return its address (tus 1.0.0, Creation With Upload).

        A server that takes no bytes with a creation says nothing of an offset, which then is 0. If the answer gets lost, asking again
        opens nothing twice: the same signed manifest leads to the same upload. `direct` says that its bytes may go straight to the store;
        the server chooses, and an upload that went there goes here from then on if it is asked for without.

        Raises:
            ServerRefused: the archive does not want it.
            Unavailable: try again.
        """
        headers = {"Upload-Length": str(length), "Upload-Metadata": encode_metadata(metadata), "Content-Length": str(len(body))}
        if body:
            headers["Content-Type"] = _BYTES
        if direct:
            headers["Liuhen-Direct"] = "1"
        answer = self._asked("POST", self._base + UPLOADS, headers=headers, body=body or None)
        location = answer.headers.get("Location", "")
        url = urljoin(self._base + UPLOADS, location)
        ours = self.resolve(url) if location and self._is_ours(url) else None
        if answer.status_code != httpx.codes.CREATED or ours is None:
            raise ServerRefused(reason="no_upload_address", status=answer.status_code)
        offset = answer.headers.get("Upload-Offset", "0")
        if not (offset.isascii() and offset.isdigit()):
            raise ServerRefused(reason="no_offset", status=answer.status_code)
        return Created(ours, int(offset), _accepted(answer.headers), _part_size(answer.headers))

    def found(self, url: str) -> Created:
        """Return how many bytes the server has of an upload (tus 1.0.0, HEAD).

        Raises:
            Gone: it has ended or expired.
            ServerRefused, Unavailable: as ever.
        """
        answer = self._asked("HEAD", url)
        try:
            return Created(url, int(answer.headers["Upload-Offset"]), None, _part_size(answer.headers))
        except (KeyError, ValueError) as why:
            raise ServerRefused(reason="no_offset", status=answer.status_code) from why

    def append(self, url: str, *, offset: int, length: int, body: Iterator[bytes]) -> tuple[int, Accepted | None]:
        """Send `length` bytes from `offset` on; return the new offset, and the acknowledgement if these were the last.

        Raises:
            OutOfStep: the server stands elsewhere.
            Gone: it has ended or expired.
            ServerRefused, Unavailable: as ever.
        """
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": _BYTES,
            "Content-Length": str(length),
        }
        answer = self._asked("PATCH", url, headers=headers, body=body)
        if answer.headers.get("Upload-Offset") != str(offset + length):
            raise OutOfStep(what="offset", said=answer.headers.get("Upload-Offset", "")[:20], wanted=offset + length)
        return offset + length, _accepted(answer.headers)

    def terminate(self, url: str) -> None:
        """Give an upload up (tus 1.0.0, Termination).

        Raises:
            Gone, ServerRefused, Unavailable: it could not be; it will expire.
        """
        self._asked("DELETE", url)

    def standing(self, url: str) -> Standing:
        """Return what became of an upload.

        Raises:
            Gone: the server never heard of it.
            ServerRefused, Unavailable: as ever.
        """
        answer = self._asked("GET", url)
        try:
            told = answer.json()
            accepted = None
            if told["state"] == "stored":
                same = told.get("same_bytes_as")
                number = AccessionNumber.parse(str(told["number"]))
                accepted = Accepted(str(number), Digest(str(told["sha256"])), None if same is None else str(same))
            return Standing(str(told["state"]), accepted, None if told.get("refusal") is None else str(told["refusal"]))
        except (ValueError, KeyError, TypeError, Malformed) as why:
            raise ServerRefused(reason="no_standing", status=answer.status_code) from why

    def receipts(self, numbers: Sequence[str]) -> Receipts | None:
        """Return the receipts of up to `RECEIPTS_AT_ONCE` items in one answer; None from an archive that gives them one by one only.

        Raises:
            ServerRefused, Unavailable: as ever.
        """
        query = "&".join(f"number={quote(number)}" for number in numbers)
        try:
            answer = self._asked("GET", f"{self._base}/api/v1/receipts?{query}")
        except Gone:
            return None
        try:
            told = answer.json()
            texts = {str(number): str(text) for number, text in told["receipts"].items()}
            return Receipts(texts, frozenset(map(str, told["unknown"])))
        except (ValueError, KeyError, TypeError, AttributeError) as why:
            raise ServerRefused(reason="no_receipts", status=answer.status_code) from why

    def receipt(self, number: str) -> str | None:
        """Return an item's receipt, None as long as there is none.

        Raises:
            ServerRefused, Unavailable: as ever.
        """
        try:
            answer = self._asked("GET", f"{self._base}/api/v1/items/{number}/receipt")
        except OutOfStep:  # 425: not read back yet
            return None
        except Gone as why:
            raise ServerRefused(code="not_found", number=number, status=404) from why
        return answer.text

    def post(self, path: str, facts: Mapping[str, str | None]) -> dict[str, object]:
        """Tell the archive these facts (JSON) and return its answer's.

        Raises:
            ServerRefused: it says no; what it says of the reason is in `server_reason` and `server_case`.
            Unavailable: as ever.
        """
        try:
            return self.told("POST", path, facts)
        except Gone as why:
            raise ServerRefused(server_code="not_found", status=404) from why

    def told(self, method: str, path: str, facts: Mapping[str, object] | None = None) -> dict[str, object]:
        """Ask this of the archive, with these facts (JSON) if there are any, and return its answer's.

        Raises:
            Gone: there is no such thing.
            ServerRefused, Unavailable: as ever.
        """
        body = None if facts is None else json.dumps(facts).encode()
        headers = {} if body is None else {"Content-Type": "application/json", "Content-Length": str(len(body))}
        answer = self._asked(method, self._base + path, headers=headers, body=body)
        try:
            found = answer.json()
        except ValueError as why:
            raise ServerRefused(reason="no_answer", status=answer.status_code) from why
        if not isinstance(found, dict):
            raise ServerRefused(reason="no_answer", status=answer.status_code)
        return found

    def _asked(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: Iterator[bytes] | bytes | None = None
    ) -> httpx.Response:
        """Send with the token; a token that has run out is renewed once, if the body can be sent again."""
        token = self._token or self._fresh_token(stale=None)
        answer = self._sent(method, url, token=token, headers=headers, body=body)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = self._fresh_token(stale=token)
            if not (body is None or isinstance(body, bytes)):
                raise OutOfStep(what="token")
            answer = self._sent(method, url, token=token, headers=headers, body=body)
        _require_yes(answer)
        return answer

    def _sent(
        self, method: str, url: str, *, token: str | None, headers: Mapping[str, str] | None, body: Iterator[bytes] | bytes | None
    ) -> httpx.Response:
        all_headers = {**_TUS, **(headers or {})}
        if token is not None:
            all_headers["Authorization"] = f"Bearer {token}"
        try:
            return self._http.request(method, url, headers=all_headers, content=body)
        except httpx.TransportError as why:
            raise Unavailable(what="server", reason=f"{type(why).__name__}: {why}"[:200]) from why
        except httpx.HTTPError as why:
            raise Unavailable(what="server", reason=str(why)[:200]) from why

    def _fresh_token(self, *, stale: str | None) -> str:
        with self._token_lock:
            if self._token is not None and self._token != stale:
                return self._token
            nonce = self._proved("nonces", {"station": self._credential.station}, "nonce")
            signature = base64.b64encode(self._credential.sign_nonce(nonce)).decode()
            asked = {"station": self._credential.station, "nonce": nonce, "signature": signature}
            self._token = self._proved("tokens", asked, "token")
            return self._token

    def _proved(self, what: str, asked: Mapping[str, str], field: str) -> str:
        body = iter([json.dumps(asked).encode()])
        headers = {"Content-Type": "application/json", "Content-Length": str(len(json.dumps(asked).encode()))}
        answer = self._sent("POST", f"{self._base}/api/v1/stations/{what}", token=None, headers=headers, body=body)
        try:
            _require_yes(answer)
        except Gone as why:
            raise ServerRefused(reason="no_archive_there", server=self._base, status=answer.status_code) from why
        try:
            found = answer.json()[field]
        except (ValueError, KeyError, TypeError) as why:
            raise ServerRefused(reason="no_" + field, status=answer.status_code) from why
        return str(found)

    def _is_ours(self, url: str) -> bool:
        found = httpx.URL(url)
        return (found.scheme, found.host, found.port) == self._origin

    def resolve(self, kept: str) -> str | None:
        """Return a kept upload address at the server's present address, None if it is no upload of ours."""
        _, found, upload_id = httpx.URL(kept).path.rpartition(UPLOADS + "/")
        return self._base + UPLOADS + "/" + upload_id if found and upload_id and "/" not in upload_id else None


def encode_metadata(metadata: Mapping[str, bytes]) -> str:
    """Return the Upload-Metadata header (tus 1.0.0): keys, each with its value in base64."""
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in metadata.items())


def trust(ca: Path | None) -> ssl.SSLContext:
    """Return what says whom to trust: this authority, or the system's.

    Raises:
        Malformed: it cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as why:
        raise Malformed(what="ca", path=str(ca), reason=str(why)[:200]) from why


def _accepted(headers: httpx.Headers) -> Accepted | None:
    number, digest = headers.get("Liuhen-Number"), headers.get("Liuhen-Sha256")
    if number is None or digest is None:
        return None
    try:
        return Accepted(str(AccessionNumber.parse(number)), Digest(digest), headers.get("Liuhen-Same-Bytes-As"))
    except Malformed as why:
        raise ServerRefused(reason="bad_acknowledgement") from why


def _part_size(headers: httpx.Headers) -> int | None:
    value = headers.get("Liuhen-Part-Size")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 12):  # noqa: PLR2004 - digits of what an S3 store takes
        raise ServerRefused(reason="no_part_size")
    return int(value)


def _require_yes(answer: httpx.Response) -> None:
    status = answer.status_code
    if httpx.codes.is_success(status):
        return
    code, told = _problem(answer)
    if status in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
        raise Gone(code)
    facts: dict[str, str | int] = {"server_code": code, "status": status, **told}
    asked = answer.headers.get("Retry-After", "")
    if asked.isdigit():
        facts["retry_after_s"] = int(asked)
    if status == httpx.codes.INSUFFICIENT_STORAGE:
        raise DiskFull(**facts)
    if status in _BUSY:
        raise OutOfStep(**facts)
    if httpx.codes.is_server_error(status) and code not in _FINAL:
        raise Unavailable(**facts)
    raise ServerRefused(**facts)


def _problem(answer: httpx.Response) -> tuple[str, dict[str, str | int]]:
    """Return a problem's code, and of its facts those that say why."""
    if "json" not in answer.headers.get("Content-Type", "") or len(answer.content) > _MAX_PROBLEM:
        return "", {}
    try:
        told = answer.json()
        facts = told.get("facts") or {}
        why: dict[str, str | int] = {f"server_{name}": str(facts[name])[:200] for name in ("reason", "case") if name in facts}
        return str(told.get("code", ""))[:64], why
    except (ValueError, AttributeError, TypeError):
        return "", {}
