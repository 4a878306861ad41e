"""One file's way into the archive: made known, sent piece by piece, acknowledged; from wherever an earlier run left it.

Invariants: bytes go only under a manifest that is signed and journaled; the address of a large upload is journaled before its first byte
goes; the last byte goes only if the file is still what was hashed; an acknowledgement counts only if it names the digest that was signed.
A small file goes whole with the request that makes it known: one answer instead of two, and if that answer is lost, the same signed
manifest is told its number again.

Not guaranteed: that an empty file, whose creation is its acknowledgement, is not acknowledged twice if the station dies in that instant.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archive.core.errors import Mismatch, ServerRefused, SourceChanged, Unavailable
from archive.dock import direct
from archive.dock.client import Accepted, Created, Gone, OutOfStep
from archive.dock.direct import Arrived, NotStraight
from archive.dock.pace import Turns
from archive.dock.reading import CHUNK, opened, require_unchanged
from archive.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from archive.core.instant import Instant
    from archive.dock.client import Server
    from archive.dock.direct import Way
    from archive.dock.journal import Entry, Journal
    from archive.dock.pace import Limit, Patience, Stop
    from archive.dock.reading import Position
    from archive.dock.scan import Source

PIECE = 32 * 1024 * 1024
"""Bytes of one PATCH: small enough for proxies that bound a body, large enough not to matter."""
SMALL = 4 * 1024 * 1024
"""Bytes of a file that goes in one request: what the server gathers before it writes, and little enough to send again."""
_MAX_CREATIONS = 3


@dataclass(frozen=True, slots=True)
class Sent:
    """What the archive acknowledged, and how many bytes this run sent for it."""

    accepted: Accepted
    size: int


@dataclass(frozen=True, slots=True)
class Means:
    """What sending a file takes; shared by all files of a run, except `patience` and `position`."""

    server: Server
    journal: Journal
    limit: Limit
    stop: Stop
    now: Callable[[], Instant]
    turns: Turns = field(default_factory=Turns)
    """Files with the same bytes go one after the other, so that the second finds the first docked."""
    piece: int = PIECE
    small: int = SMALL
    way: Way | None = None
    """The way straight to the store, where the archive offers it; None: everything goes through the archive."""
    detour: Callable[[Entry, str], None] = lambda _entry, _reason: None
    """Hears that a file goes through the archive after all, and why."""


def send(source: Source, entry: Entry, *, means: Means, patience: Patience, position: Position) -> Sent:
    """Return the archive's acknowledgement, after sending whatever it has not got yet; `position` hears how far it is.

    Raises:
        ServerRefused: the archive says no.
        Mismatch: it acknowledged something else than was signed.
        SourceChanged: the file is not what was hashed; the upload is given up.
        Unavailable: patience is spent; the next run goes on from here.
        Arrived: all of it is in the store, and the archive has yet to take it in.
        Stopped: somebody asked.
    """
    upload = _Upload(source, entry, means=means, patience=patience, position=position)
    while True:
        means.stop.check()
        try:
            accepted = upload.go_on()
        except Unavailable as why:
            asked = why.facts.get("retry_after_s")
            patience.wait(why, asked_s=float(asked) if isinstance(asked, int) else None)
        except SourceChanged:
            upload.give_up()
            raise
        else:
            if accepted.sha256 != entry.sha256:
                said = accepted.sha256.hex
                raise Mismatch(what="acknowledged_digest", signed=entry.sha256.hex, said=said, number=accepted.number)
            return Sent(accepted, entry.size - upload.began_at)


class _Upload:
    """One upload under way: where it is on the server, if anywhere."""

    def __init__(self, source: Source, entry: Entry, *, means: Means, patience: Patience, position: Position) -> None:
        self._source = source
        self._entry = entry
        self._means = means
        self._patience = patience
        self._position = position
        self._url = None if entry.upload_url is None else means.server.resolve(entry.upload_url)
        self._creations = 0
        self.began_at = 0 if self._url is None else entry.size
        """From which byte on this run sends; of what goes in parts, as many bytes before the end as it sent."""
        self._straight = 0

    def go_on(self) -> Accepted:
        """Go on from where the server stands, to the acknowledgement."""
        try:
            stands = self._create() if self._url is None else self._means.server.found(self._url)
            if stands.part_size is not None:
                try:
                    return self._send_straight(stands.part_size)
                except NotStraight as why:
                    self._means.detour(self._entry, str(why))
                    self._keep(None, 0)
                    stands = self._create()  # asked for without, it comes here from now on
            return stands.accepted if stands.accepted is not None else self._send_from(stands.offset)
        except Gone:
            accepted = self._what_became()
            if accepted is not None:
                return accepted
            self._keep(None, 0)
            raise OutOfStep(what="upload_gone") from None

    def give_up(self) -> None:
        """Tell the server that these bytes are no longer wanted; if it does not hear, the upload expires."""
        if self._url is not None:
            with contextlib.suppress(Gone, ServerRefused, Unavailable):
                self._means.server.terminate(self._url)
            self._keep(None, 0)

    def _create(self) -> Created:
        if self._creations == _MAX_CREATIONS:
            raise ServerRefused(reason="uploads_vanish", path=self._entry.shown)
        whole = self._whole()
        straight = self._means.way is not None and self._means.way.is_open
        created = self._means.server.create(
            length=self._entry.size, metadata=_metadata(self._entry), body=whole, direct=straight and not whole
        )
        self._creations += 1
        self.began_at = min(self.began_at, 0 if created.accepted is not None else created.offset)
        failpoint("dock.created")
        if created.accepted is None:
            self._keep(created.url, created.offset)
            failpoint("dock.address_kept")
        elif whole:
            failpoint("dock.piece_sent")
            self._patience.progress()
        return created

    def _whole(self) -> bytes:
        """Return all bytes of a file that goes in one request, none of one that goes in pieces or at a limited pace."""
        if self._entry.size > self._means.small or self._means.limit.rate is not None:
            return b""
        with opened(self._source) as descriptor, contextlib.closing(self._body(descriptor, 0, self._entry.size)) as body:
            return b"".join(body)

    def _send_straight(self, part_size: int) -> Accepted:
        """Send the parts that the store has not got, and hear what became of them."""
        assert self._url is not None
        if self._means.way is None:
            raise NotStraight("")
        sending = direct.Sending(
            source=self._source,
            entry=self._entry,
            url=self._url,
            part_size=part_size,
            server=self._means.server,
            way=self._means.way,
            limit=self._means.limit,
            stop=self._means.stop,
            patience=self._patience,
            position=self._position,
        )
        try:
            direct.send(sending)
        finally:
            self._straight += sending.sent
        self.began_at = self._entry.size - min(self._straight, self._entry.size)
        return self._ask()

    def _send_from(self, offset: int) -> Accepted:
        assert self._url is not None
        size = self._entry.size
        if not 0 <= offset <= size:
            raise ServerRefused(reason="offset_beyond_length", offset=offset, path=self._entry.shown)
        accepted: Accepted | None = None
        with opened(self._source) as descriptor:
            self._position(offset)
            self.began_at = min(self.began_at, offset)
            while offset < size:
                until = min(offset + self._means.piece, size)
                with contextlib.closing(self._body(descriptor, offset, until)) as body:
                    offset, accepted = self._means.server.append(self._url, offset=offset, length=until - offset, body=body)
                failpoint("dock.piece_sent")
                self._patience.progress()
                if offset < size:
                    self._keep(self._url, offset)
                    failpoint("dock.offset_kept")
        return accepted if accepted is not None else self._ask()

    def _body(self, descriptor: int, at: int, until: int) -> Generator[bytes, None, None]:
        """Yield the bytes from `at` to `until` at the pace the limit allows; the file's last only while it is unchanged."""
        step = self._means.limit.chunk or CHUNK
        while at < until:
            self._means.stop.check()
            count = min(step, until - at)
            self._means.limit.take(count)
            data = os.pread(descriptor, count, at)
            if not data or at + len(data) == self._source.size:
                require_unchanged(self._source, descriptor)
            if not data:
                raise SourceChanged(path=self._source.shown)
            yield data
            at += len(data)
            self._position(at)

    def _ask(self) -> Accepted:
        assert self._url is not None
        standing = self._means.server.standing(self._url)
        if standing.accepted is not None:
            return standing.accepted
        if standing.state == "refused":
            raise ServerRefused(server_code=standing.refusal or "refused", status=0)
        if standing.state == "receiving":
            raise OutOfStep(what="accession")  # the archive is at it
        if standing.state == "arrived":
            raise Arrived(self._straight)
        raise Gone(standing.state)

    def _what_became(self) -> Accepted | None:
        if self._url is None:
            return None
        try:
            return self._ask()
        except (Gone, OutOfStep):
            return None

    def _keep(self, url: str | None, offset: int) -> None:
        self._url = url
        self._means.journal.sending(self._entry, upload_url=url, offset=offset, now=self._means.now())


def _metadata(entry: Entry) -> dict[str, bytes]:
    return {
        "filename": entry.path.rpartition(b"/")[2].decode("utf-8", "replace").encode()[:1024],
        "manifest": entry.manifest,
        "signature": entry.signature,
        "sha256": entry.sha256.hex.encode(),
    }
