"""The way straight to the archive's object store: parts of large files, several at once, to addresses that the archive signed.

Invariants: a part goes only to an address that the archive gave for its very bytes; nothing but those bytes goes there, no token among it;
memory stays bounded, since parts are read from the carrier while they are sent; the last word on a file is the archive's, once every part
is there and the file is still what was hashed. A store that this station cannot reach, or that does not take what the archive signed, is
given up for a while, and files go through the archive itself.

Not guaranteed: anything the store says. The archive reads what came before it takes it in.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx

from archive.core.digest import Digest
from archive.core.errors import ServerRefused, SourceChanged, Unavailable
from archive.core.parts import Parts
from archive.dock.client import OutOfStep, trust
from archive.dock.reading import CHUNK, opened, require_unchanged
from archive.failpoints import failpoint

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from archive.dock.client import Server
    from archive.dock.journal import Entry
    from archive.dock.pace import Limit, Patience, Stop
    from archive.dock.reading import Position
    from archive.dock.scan import Source

AT_ONCE: Final = 4
"""Parts on their way at once, over all files of the station: past that a store of one disk gains nothing, and a line does not either."""
NEVER_REACHED_S: Final = 5.0
"""How long a store is tried that this station has not reached yet: a firewall between them does not go away by waiting."""
LOST_S: Final = 120.0
"""How long one is tried that it has reached before: a store that is started anew is back by then."""
CLOSED_S: Final = 900.0
"""How long the way counts as closed; then it is tried again."""
_DENIALS: Final = 3
"""Refusals in a row, for each part under way, after which the way counts as closed: the store does not know the archive's signature, or
one of their clocks is wrong."""
_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 60.0
_MOST_PROBLEM: Final = 64 * 1024


class NotStraight(Exception):
    """The way to the store is closed; the words say why."""


class Denied(OutOfStep):
    """The store does not take this address: it has run out, or was never good."""


class Arrived(Exception):
    """All bytes are in the store, `sent` of them by this run, and the archive has not taken them in yet."""

    def __init__(self, sent: int) -> None:
        super().__init__()
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Held:
    """A direct upload's state, and the sizes of the parts that the store has of it, by number."""

    state: str
    parts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a part goes, and the headers that must go with it."""

    url: str
    headers: Mapping[str, str]


def held(server: Server, url: str) -> Held:
    """Return which parts the store has of an upload.

    Raises:
        Gone: it has ended or expired.
        ServerRefused, Unavailable: as ever.
    """
    told = server.told("GET", _path(url))
    try:
        sizes = {int(number): int(size) for number, size in cast("list[list[int]]", told["parts"])}
        return Held(str(told["state"]), sizes)
    except (ValueError, KeyError, TypeError) as why:
        raise ServerRefused(reason="no_parts") from why


def address(server: Server, url: str, *, number: int, sha256: Digest) -> Address:
    """Return where a part goes that has this digest; the address runs out.

    Raises:
        Gone: the upload has ended or expired.
        ServerRefused, Unavailable: as ever.
    """
    told = server.told("POST", _path(url) + "/parts", {"parts": [{"number": number, "sha256": sha256.hex}]})
    try:
        (given,) = cast("list[Any]", told["parts"])
        return Address(str(given["url"]), {str(name).lower(): str(value) for name, value in given["headers"].items()})
    except (ValueError, KeyError, TypeError, AttributeError) as why:
        raise ServerRefused(reason="no_address") from why


def _path(url: str) -> str:
    """Return where the archive is asked about a direct upload, from the upload's own address."""
    return f"/api/v1/direct/{url.rpartition('/')[2]}"


class Way:
    """The way to the store, shared by all files of a station; a context manager, safe from any thread."""

    def __init__(self, *, secure: bool, ca: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Open it; nothing is sent yet. `secure`: the archive is spoken to over TLS, so the store must be too."""
        self._secure = secure
        self._clock = clock
        self._lock = threading.Lock()
        self._reached = False
        self._failing_since: float | None = None
        self._denials = 0
        self._closed: tuple[float, str] | None = None
        self._ca = ca
        self._client: httpx.Client | None = None
        self.pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="part")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def _http(self) -> httpx.Client:
        """Return the connections, made when the first part goes: most stations never need them."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    verify=trust(self._ca),
                    timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
                    limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
                    follow_redirects=False,
                    trust_env=False,
                    headers={"User-Agent": "liuhen-dock"},
                )
            return self._client

    @property
    def is_open(self) -> bool:
        """Whether files may be offered to go this way."""
        with self._lock:
            if self._closed is not None and self._clock() - self._closed[0] >= CLOSED_S:
                self._closed, self._failing_since, self._denials = None, None, 0
            return self._closed is None

    def require_open(self) -> None:
        """Pass, or say why not.

        Raises:
            NotStraight: the way is closed.
        """
        if not self.is_open:
            with self._lock:
                raise NotStraight(self._closed[1] if self._closed else "")

    def put(self, where: Address, body: Generator[bytes, None, None], size: int) -> None:
        """Send a part to its address.

        Raises:
            Denied: the address is not good (any more).
            OutOfStep: the store knows no such upload.
            Unavailable: try again.
            NotStraight: it is no use; the way is closed from now on.
        """
        parts = urlsplit(where.url)
        if parts.scheme != "https" and (self._secure or parts.scheme != "http"):
            self._close("not_encrypted")
        headers = {**where.headers, "content-length": str(size)}
        try:
            with self._http().stream("PUT", where.url, headers=headers, content=body) as answer:
                said = b"".join(_first(answer.iter_raw(), _MOST_PROBLEM))
        except httpx.TransportError as why:
            raise self._away(f"{type(why).__name__}: {why}"[:200], for_good=_is_certificate(why)) from why
        except httpx.HTTPError as why:
            raise self._away(str(why)[:200]) from why
        self._judge(answer.status_code, said, has_tag="etag" in answer.headers)

    def _judge(self, status: int, said: bytes, *, has_tag: bool) -> None:
        """Pass an answer with which the store says that it has the part."""
        if status == httpx.codes.OK and has_tag:
            with self._lock:
                self._reached, self._failing_since, self._denials = True, None, 0
            return
        code = _code_of(said)
        if status == httpx.codes.FORBIDDEN:
            with self._lock:
                self._denials += 1
                denials = self._denials
            if denials > _DENIALS * AT_ONCE:
                self._close(f"denied: {code}")
            raise Denied(what="address", reason=code)
        if status == httpx.codes.NOT_FOUND:
            raise OutOfStep(what="multipart", reason=code)
        raise self._away(f"{status} {code}".strip())

    def _away(self, reason: str, *, for_good: bool = False) -> Unavailable:
        """Note that the store could not be reached, or did not do its part, and return the fault; the way closes when that lasts.

        Raises:
            NotStraight: it has lasted.
        """
        with self._lock:
            now = self._clock()
            self._failing_since = now if self._failing_since is None else self._failing_since
            spent = now - self._failing_since >= (LOST_S if self._reached else NEVER_REACHED_S)
        if spent or for_good:
            self._close(reason)
        return Unavailable(what="store", reason=reason)

    def _close(self, reason: str) -> None:
        with self._lock:
            self._closed = self._closed or (self._clock(), reason)
        raise NotStraight(reason)


@dataclass(slots=True)
class Sending:
    """What sending one file straight takes; `sent` says how many bytes went."""

    source: Source
    entry: Entry
    url: str
    part_size: int
    server: Server
    way: Way
    limit: Limit
    stop: Stop
    patience: Patience
    position: Position
    sent: int = 0


def send(sending: Sending) -> None:
    """Send every part that the store has not got yet, and tell the archive that all are there.

    Raises:
        NotStraight: the file has to go through the archive.
        Gone: the upload has ended or expired.
        SourceChanged: the file is not what was hashed.
        ServerRefused, Unavailable, OutOfStep: as ever.
        Stopped: somebody asked.
    """
    sending.way.require_open()
    standing = held(sending.server, sending.url)
    if standing.state != "receiving":
        return
    parts = Parts(sending.entry.size, sending.part_size)
    with opened(sending.source) as descriptor:
        at_work = _AtWork(sending, parts, descriptor)
        missing = [number for number in parts.wrong(standing.parts) if number <= parts.count]
        at_work.has(parts.length - sum(map(parts.size_of, missing)))
        at_work.run(missing)
        require_unchanged(sending.source, descriptor)
    failpoint("dock.parts_sent")
    sending.server.told("POST", _path(sending.url) + "/complete", {})
    failpoint("dock.completed")
    sending.patience.progress()


class _AtWork:
    """The parts of one file on their way."""

    def __init__(self, sending: Sending, parts: Parts, descriptor: int) -> None:
        self._sending = sending
        self._parts = parts
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._at = 0
        self._given_up = False

    def has(self, at: int) -> None:
        """Note how much the store has already."""
        self._at = at
        self._sending.position(at)

    def run(self, missing: list[int]) -> None:
        """Send these parts; the first trouble keeps further ones from being begun, and is raised when those under way have ended."""
        under_way: set[Future[None]] = set()
        # a limited pace is not reached any faster by several, and one at a time loses less
        width = AT_ONCE if self._sending.limit.rate is None else 1
        trouble: BaseException | None = None
        try:
            for number in missing:
                self._sending.stop.check()
                under_way.add(self._sending.way.pool.submit(self._part, number))
                while len(under_way) >= width:
                    under_way = self._ended(under_way)
            while under_way:
                under_way = self._ended(under_way)
        except BaseException as why:
            trouble = why
            raise
        finally:
            self._given_up = trouble is not None
            for each in under_way:
                each.cancel()
            # those under way end by themselves: their bodies hear of it at their next step, and every wait of theirs has an end
            wait(under_way)

    def _ended(self, under_way: set[Future[None]]) -> set[Future[None]]:
        done, left = wait(under_way, timeout=0.5, return_when=FIRST_COMPLETED)
        self._sending.stop.check()
        for each in done:
            each.result()
            self._sending.patience.progress()
        return left

    def _part(self, number: int) -> None:
        """Send one part; an address that has run out meanwhile is asked for anew, once."""
        start = self._parts.begin(number)
        stop = start + self._parts.size_of(number)
        digest = self._digest(start, stop)
        for last in (False, True):
            where = address(self._sending.server, self._sending.url, number=number, sha256=digest)
            failpoint("dock.address_given")
            began: list[int] = []
            try:
                with contextlib.closing(self._body(start, stop, began)) as body:
                    self._sending.way.put(where, body, stop - start)
                break
            except BaseException as why:
                self._moved(-sum(began))  # what did not arrive whole did not arrive
                if last or not isinstance(why, Denied):
                    raise
        failpoint("dock.part_sent")
        with self._lock:
            self._sending.sent += stop - start

    def _moved(self, count: int) -> None:
        with self._lock:
            self._at += count
            self._sending.position(self._at)

    def _digest(self, start: int, stop: int) -> Digest:
        whole = hashlib.sha256()
        for piece in self._pieces(start, stop, CHUNK):
            whole.update(piece)
        return Digest(whole.hexdigest())

    def _body(self, start: int, stop: int, began: list[int]) -> Generator[bytes, None, None]:
        """Yield a part's bytes at the pace the limit allows, and note how many went into `began`."""
        for piece in self._pieces(start, stop, self._sending.limit.chunk or CHUNK):
            self._sending.limit.take(len(piece))
            yield piece
            began.append(len(piece))
            self._moved(len(piece))

    def _pieces(self, start: int, stop: int, step: int) -> Generator[bytes, None, None]:
        while start < stop:
            self._sending.stop.check()
            if self._given_up:
                raise Unavailable(what="store", reason="given up")
            data = os.pread(self._descriptor, min(step, stop - start), start)
            if not data:
                raise SourceChanged(path=self._sending.source.shown)
            yield data
            start += len(data)


def _is_certificate(why: BaseException) -> bool:
    """Say whether a connection failed because the store's certificate is nobody's we trust; waiting does not change that."""
    seen: BaseException | None = why
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(why)


def _first(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Yield the pieces of an answer until there are enough of them; whatever answers there may never end."""
    for piece in pieces:
        yield piece
        most -= len(piece)
        if most <= 0:
            return


def _code_of(said: bytes) -> str:
    """Return the code with which an S3 store says why not, such as AccessDenied; nothing else of its answer is looked at."""
    try:
        found = ET.fromstring(said).findtext("Code")  # noqa: S314 - bounded above; expat refuses what explodes
    except (ET.ParseError, ValueError):
        return ""
    return (found or "")[:60]
