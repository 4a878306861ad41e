"""A docking station that never stops and never lies: it sends file after file, resumes whatever a fault broke off, and keeps books.

Written from the protocol (tus 1.0.0 and the station's part of it), without the dock's code, so that what the archive acknowledges is judged
by a second reading. It waits for no particular answer: whatever is no refusal is tried again, from where the archive says it stands.
A file's signed manifest is the same each time it is sent, also by a later run: whoever did not hear the answer asks again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
import time
from dataclasses import dataclass, field

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.core.digest import Digest
from archive.core.instant import Instant
from archive.core.manifest import SIGNING_CONTEXT, Carrier, Manifest
from tests.soak.books import Book
from tests.soak.material import File, file_of

UPLOADS = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}
WHOLE = 4 * 2**20
"""Bytes of a file that goes with its creation."""
PIECE = 3 * 2**20
AGAIN = frozenset({408, 409, 423, 425, 429, 460})
"""Not now; 460 is a body whose checksum did not hold, cut off as it may have been."""
SHORTEST_S, LONGEST_S = 0.05, 0.8
ANSWER_S = 60
REST_S = 0.3
"""Between two questions for receipts while nothing is sent: four stations that ask without pause are the load of a city."""
AHEAD = 6
"""Files that a station sends before it has the receipts of those before."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Who a station is."""

    name: str
    key: Ed25519PrivateKey


class Again(Exception):
    """Nothing came of it; ask where things stand."""


@dataclass(slots=True)
class Docking:
    """A station at work in a thread of its own, from `start` to `stop`; `hold` lets it come to rest, `go_on` sets it going again."""

    base_url: str
    credential: Credential
    book: Book
    seed: int
    large: bool = False
    pause_s: float = 0.05
    """Between two files, and between two pieces of a large one: under way is where a fault should meet it."""
    most: int | None = None
    """Files after which it holds by itself."""
    acknowledged_at: list[float] = field(default_factory=list)
    """`time.monotonic()` of each acknowledgement."""
    troubles: dict[str, int] = field(default_factory=dict)
    """What it was told beside answers, and how often."""
    failed: BaseException | None = None
    _finish: bool = True
    _held: threading.Event = field(default_factory=threading.Event)
    _idle: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _token: str = ""

    def start(self) -> None:
        """Begin, behind the last file that the book knows; what was offered and not acknowledged is sent first."""
        self._thread = threading.Thread(target=self._run, name=self.credential.name, daemon=True)
        self._thread.start()

    def hold(self, *, finish: bool = True) -> None:
        """Begin no further file; one in hand is finished, or stays under way after its next answer that is not the last."""
        self._finish = finish
        self._idle.clear()
        self._held.set()

    def idle(self, within_s: float) -> bool:
        """Wait until it rests and every file acknowledged is receipted, and say whether that was in time."""
        return self._idle.wait(within_s)

    def go_on(self) -> None:
        """Send again."""
        self._held.clear()
        self._idle.clear()

    def stop(self) -> None:
        """End; what is under way stays so."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with httpx.Client(base_url=self.base_url, timeout=httpx.Timeout(ANSWER_S, connect=5), trust_env=False) as client:
                self._work(client)
        except BaseException as why:  # told where the run looks, since nobody sees a thread's last words
            self.failed = why
            raise

    def _work(self, client: httpx.Client) -> None:
        known = self.book.deposits()
        serial = 0
        for serial, deposit in enumerate(known, 1):
            if deposit.number is None:
                self._deposit(client, self._file(serial - 1))
        while not self._stop.is_set():
            if serial == self.most:
                self._held.set()
            if self._held.is_set() or len(self._unreceipted()) >= AHEAD:
                self._rest(client)
                continue
            self._deposit(client, self._file(serial))
            serial += 1
            self._collect(client)
            self._stop.wait(self.pause_s)

    def _rest(self, client: httpx.Client) -> None:
        """Collect receipts for a moment, and say so when there are none to wait for."""
        self._collect(client)
        if self._held.is_set() and not self._unreceipted():
            self._idle.set()
        self._stop.wait(REST_S)

    def _file(self, serial: int) -> File:
        return file_of(self.seed, self.credential.name, serial, large=self.large)

    def _deposit(self, client: httpx.Client, file: File) -> None:
        self.book.offered(file.name, sha256=file.sha256, size=len(file.content))
        where, wait_s = None, SHORTEST_S
        while not self._stop.is_set():
            try:
                where, number = self._once(client, file, where)
                wait_s = SHORTEST_S
            except Again as why:
                self.troubles[str(why)] = self.troubles.get(str(why), 0) + 1
                self._stop.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_S)
                continue
            if number is not None:
                # The clock first: what is written down takes its time, and is not the archive's.
                self.acknowledged_at.append(time.monotonic())
                self.book.acknowledged(file.name, number=number[0], sha256=number[1])
                return
            while self._held.is_set() and not self._finish and not self._stop.is_set():
                self._rest(client)
            if self.large and not self._held.is_set():
                self._stop.wait(self.pause_s)

    def _once(self, client: httpx.Client, file: File, where: str | None) -> tuple[str | None, tuple[str, str] | None]:
        """Do the next thing for a file: open it, or send it a piece; return where it is, and its number when it is stored."""
        if where is None:
            whole = file.content if len(file.content) <= WHOLE else b""
            headers = {
                **(BODY if whole else TUS),
                "Upload-Length": str(len(file.content)),
                "Upload-Metadata": self._metadata(file),
            }
            answer = self._asked(client, "POST", UPLOADS, headers=headers, content=whole)
            self._taken(answer, file)
            return answer.headers["Location"], _number(answer)
        answer = self._asked(client, "HEAD", where, headers=TUS)
        if answer.status_code in {404, 410}:
            return self._what_became(client, where)
        self._taken(answer, file)
        offset = int(answer.headers["Upload-Offset"])
        piece = file.content[offset : offset + PIECE]
        headers = {**BODY, "Upload-Offset": str(offset)}
        if offset // PIECE % 2:
            headers["Upload-Checksum"] = f"sha256 {base64.b64encode(hashlib.sha256(piece).digest()).decode()}"
        answer = self._asked(client, "PATCH", where, headers=headers, content=piece)
        if answer.status_code in {404, 410}:
            return self._what_became(client, where)
        self._taken(answer, file)
        return where, _number(answer)

    def _what_became(self, client: httpx.Client, where: str) -> tuple[str | None, tuple[str, str] | None]:
        """Ask about an upload that is no longer under way: stored, or to be sent again from the start."""
        answer = self._asked(client, "GET", where, headers=TUS)
        if answer.status_code == 200 and answer.json()["state"] == "stored":
            return where, (answer.json()["number"], answer.json()["sha256"])
        self.troubles["gone"] = self.troubles.get("gone", 0) + 1
        return None, None

    def _taken(self, answer: httpx.Response, file: File) -> None:
        if not answer.is_success:
            self.book.refused(file.name, status=answer.status_code, why=answer.text[:300])
            raise Again(f"refused {answer.status_code}")

    def _collect(self, client: httpx.Client) -> None:
        """Get the receipts that are to be had."""
        waiting = {deposit.number: deposit.name for deposit in self._unreceipted()}
        if not waiting:
            return
        with contextlib.suppress(Again):
            answer = self._asked(client, "GET", "/api/v1/receipts", params={"number": list(waiting)[:50]})
            if answer.status_code == 200:
                for number, receipt in answer.json()["receipts"].items():
                    self.book.receipted(waiting[number], receipt=receipt)
                for number in answer.json()["unknown"]:
                    self.book.refused(waiting[number], status=200, why=f"{number} was acknowledged and is unknown")

    def _unreceipted(self):
        return [deposit for deposit in self.book.deposits() if deposit.number is not None and deposit.receipt is None]

    def _asked(self, client: httpx.Client, method: str, url: str, **how) -> httpx.Response:
        """Ask, with a token; whatever may be otherwise next time is `Again`."""
        headers = how.pop("headers", {})
        try:
            if not self._token:
                self._token = self._authorised(client)
            answer = client.request(method, url, headers={**headers, "Authorization": f"Bearer {self._token}"}, **how)
        except httpx.HTTPError as why:
            raise Again(type(why).__name__) from why
        if answer.status_code == 401:
            self._token = ""
            raise Again("401")
        if answer.status_code >= 500 or answer.status_code in AGAIN:
            raise Again(f"{method} {answer.status_code} {_code(answer)}")
        return answer

    def _authorised(self, client: httpx.Client) -> str:
        name = self.credential.name
        answer = client.post("/api/v1/stations/nonces", json={"station": name})
        if not answer.is_success:
            raise Again(f"nonces {answer.status_code} {_code(answer)}")
        nonce = answer.json()["nonce"]
        signature = self.credential.key.sign(b"liuhen station token v1\n" + f"{name}\n{nonce}\n".encode())
        proof = {"station": name, "nonce": nonce, "signature": base64.b64encode(signature).decode()}
        answer = client.post("/api/v1/stations/tokens", json=proof)
        if not answer.is_success:
            raise Again(f"tokens {answer.status_code} {_code(answer)}")
        return str(answer.json()["token"])

    def _metadata(self, file: File) -> str:
        manifest = Manifest(
            station=self.credential.name, name=file.name, sha256=Digest(file.sha256), size=len(file.content), recorder=None,
            officer=None, sequence=None, started_at=None, started_from=None, clock_offset_us=None,
            carrier=Carrier(label="card", identity="soak", kind="folder"), modified=Instant(1), station_clock=Instant(1),
        ).encode()  # fmt: skip
        values = {
            "filename": file.name.rpartition("/")[2].encode(),
            "manifest": manifest,
            "signature": self.credential.key.sign(SIGNING_CONTEXT + manifest),
            "sha256": file.sha256.encode(),
        }
        return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in values.items())


def _number(answer: httpx.Response) -> tuple[str, str] | None:
    number = answer.headers.get("Liuhen-Number")
    return None if number is None else (number, answer.headers["Liuhen-Sha256"])


def _code(answer: httpx.Response) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(answer.json().get("code", ""))
    return ""
