"""Bytes of stored objects over HTTP: capped answers for playback, whole files for download.

Playback answers each request with at most 1 MiB, a shorter 206 than was asked for, which RFC 9110 section 15.3.7 allows («a server … might
… send only a subset of the range requested»), so that what was granted bounds what can have been watched. A request without a range is
treated as one for `bytes=0-`: players cope, and no route hands out a whole original by accident. Downloads are their own route.

Invariants: an answer's bytes are those of one version, because the entity tag is the digest; If-Range with another tag gets the file from
its beginning. A request for several ranges gets the first.

Not guaranteed: that the bytes still hash to the tag; that is what fixity checks are for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from archive.actions.rendition import RenditionView
from archive.core.errors import Mismatch, RangeUnsatisfiable
from archive.core.instant import SECOND
from archive.ports import ObjectStore
from archive.web.threads import READING

CAP: Final = 1024 * 1024
"""The most bytes of one playback answer."""

AHEAD: Final = 4 * CAP
AHEAD_US: Final = 5 * SECOND
"""How much of a file's beginning, and of its end, where its index may lie, a player is sent before it plays it: five seconds' worth, and
no less than 4 MiB. A browser that prepares a file reads its index and some three seconds of it, whatever its rate."""

_GATHER: Final = 4 * 1024 * 1024  # of one download's hop to a worker thread; a hop for each 64 KiB costs half the speed
_RANGE: Final = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*(?:,.*)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of bytes."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.stop - self.start


def asked_span(header: str | None, size: int) -> Span | None:
    """Return the range that a Range header asks for, cut at the end of the file; None if it asks for none that is understood.

    Source: RFC 9110, section 14: a header in another unit or of another form is ignored, one outside the file is not satisfiable.

    Raises:
        RangeUnsatisfiable: It lies outside the file.
    """
    matched = None if header is None else _RANGE.fullmatch(header.strip(" \t"))
    if matched is None:
        return None
    first, last = matched.groups()
    if not first and not last:
        return None
    if not first:
        span = Span(max(0, size - int(last)), size)
    else:
        if last and int(last) < int(first):
            return None
        span = Span(int(first), min(size, int(last) + 1) if last else size)
    if span.size <= 0:
        raise RangeUnsatisfiable(size=size)
    return span


def ahead(request: Request, *, size: int, etag: str, duration_us: int | None) -> bool:
    """Whether a request says that its file is not being played yet (`?ahead`) and asks for no more than what may be sent for that.

    A request for anything between the file's ends is one for playing it, whatever it says of itself.

    Raises:
        RangeUnsatisfiable: The range lies outside the file.
    """
    if "ahead" not in request.query_params:
        return False
    span = _wanted(request, size, etag) or Span(0, size)
    reach = max(AHEAD, size * AHEAD_US // max(duration_us, AHEAD_US)) if duration_us else AHEAD
    return min(span.stop, span.start + CAP) <= reach or span.start >= size - reach


def capped(request: Request, store: ObjectStore, key: str, *, version: str, size: int, etag: str, media_type: str) -> Response:
    """Answer a player: at most `CAP` bytes of what it asked for, as 206.

    Args:
        request: A GET or HEAD request.
        store: Where the object is.
        key: Its name there.
        version: The version that the record names.
        size: Its size in bytes.
        etag: Its SHA-256 in hexadecimal.
        media_type: What to call it.

    Raises:
        RangeUnsatisfiable: The range lies outside the file.
        ObjectMissing: The store has no such object.
    """
    headers, media_type = _headers(etag, "private, no-cache"), served_as(media_type)
    if (unchanged := _unchanged(request, etag, headers)) is not None:
        return unchanged
    if size == 0:
        return Response(b"", media_type=media_type, headers=headers)
    span = _wanted(request, size, etag) or Span(0, size)
    span = Span(span.start, min(span.stop, span.start + CAP))
    headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    if request.method == "HEAD":
        return _head(206, span.size, media_type, headers)
    content = b"".join(store.read(key, span.start, span.stop, version=version))
    if len(content) != span.size:
        raise Mismatch(key=key, expected=span.size, actual=len(content))
    return Response(content, status_code=206, media_type=media_type, headers=headers)


def whole(
    request: Request,
    store: ObjectStore,
    key: str,
    *,
    version: str,
    size: int,
    etag: str,
    media_type: str,
    filename: str | None,
    x_accel_prefix: str = "",
) -> Response:
    """Answer with the whole object or the range asked for, to be saved under `filename` or shown.

    Args:
        request: A GET or HEAD request.
        store: Where the object is.
        key: Its name there.
        version: The version that the record names.
        size: Its size in bytes.
        etag: Its SHA-256 in hexadecimal.
        media_type: What to call it.
        filename: The name to propose; any characters. None: it is shown in the page, not saved.
        x_accel_prefix: The location under which nginx serves the store itself (X-Accel-Redirect); empty: we send the bytes.

    Raises:
        RangeUnsatisfiable: The range lies outside the file.
        ObjectMissing: The store has no such object.
    """
    headers, media_type = _headers(etag, "private, no-cache"), served_as(media_type)
    if filename is not None:
        headers["Content-Disposition"] = disposition(filename)
    if (unchanged := _unchanged(request, etag, headers)) is not None:
        return unchanged
    if x_accel_prefix:
        # nginx answers the range, length and HEAD itself, from the file; our tag is kept.
        headers["X-Accel-Redirect"] = f"{x_accel_prefix.rstrip('/')}/{quote(key)}"
        return Response(media_type=media_type, headers=headers)
    span = _wanted(request, size, etag)
    status = 200 if span is None else 206
    if span is None:
        span = Span(0, size)
    else:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    if request.method == "HEAD":
        return _head(status, span.size, media_type, headers)
    headers["Content-Length"] = str(span.size)
    pieces = store.read(key, span.start, span.stop, version=version)
    return StreamingResponse(_gathered(pieces), status_code=status, media_type=media_type, headers=headers)


def copy_of(request: Request, store: ObjectStore, copy: RenditionView) -> Response:
    """Answer with a rendition: media by capped ranges, everything else whole.

    Raises:
        As `capped` and `whole` do.
    """
    media = copy.media_type.startswith(("video/", "audio/"))
    answer = capped if media else partial(whole, filename=None)
    return answer(
        request,
        store,
        copy.key,
        version=copy.stored_version,
        size=copy.size,
        etag=copy.digest.hex,
        media_type=copy.media_type,
    )


def disposition(filename: str) -> str:
    """Return the Content-Disposition of a download: a plain name for old programs and the full one in UTF-8.

    Source: RFC 6266 and RFC 8187 (which replaced RFC 5987). Control characters and path separators are not passed on.
    """
    clean = "".join("_" if char in '/\\"' or not char.isprintable() else char for char in filename).strip(". ") or "download"
    plain = "".join(char if " " <= char <= "~" and char not in "%;" else "_" for char in clean)
    # A lone surrogate has no UTF-8; a question mark stands for it.
    encoded = quote(clean.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def small(request: Request, make: Callable[[], bytes], *, etag: str, media_type: str) -> Response:
    """Answer with something small and whole that is made on the spot, or with 304 to who has it: then it is not made."""
    headers, media_type = _headers(etag, "private, no-cache"), served_as(media_type)
    del headers["Accept-Ranges"]
    if (unchanged := _unchanged(request, etag, headers)) is not None:
        return unchanged
    return Response(make(), media_type=media_type, headers=headers)


def _headers(etag: str, cache: str) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "ETag": f'"{etag}"',
        "Cache-Control": cache,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _SANDBOX,
    }


_SANDBOX: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
"""What came from outside is no page of ours: opened by its address it has no origin, runs nothing and loads nothing."""
_SHOWN: Final = re.compile(r"(?:video|audio|image)/(?!svg)[a-z0-9.+-]+|text/vtt(?:; charset=utf-8)?|application/(?:json|pdf)")


def served_as(media_type: str) -> str:
    """Return the media type to send bytes as that strangers made: their own where a browser can only show it, else just bytes.

    An HTML page, an SVG or a script among the originals would otherwise be a page, a picture or a script of our own site.
    """
    return media_type if _SHOWN.fullmatch(media_type) else "application/octet-stream"


def _wanted(request: Request, size: int, etag: str) -> Span | None:
    """Return the range asked for; none, if the sender holds another version (RFC 9110, 13.1.5: If-Range compares strongly)."""
    condition = request.headers.get("if-range")
    if condition is not None and condition.strip() != f'"{etag}"':
        return None
    return asked_span(request.headers.get("range"), size)


def _unchanged(request: Request, etag: str, headers: dict[str, str]) -> Response | None:
    """Return a 304 if the sender holds these very bytes (RFC 9110, 13.1.2: If-None-Match compares weakly)."""
    tags = request.headers.get("if-none-match")
    if tags is None or "range" in request.headers:
        return None
    known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
    return Response(status_code=304, headers=headers) if f'"{etag}"' in known or "*" in known else None


def _head(status: int, length: int, media_type: str, headers: dict[str, str]) -> Response:
    return Response(status_code=status, media_type=media_type, headers={**headers, "Content-Length": str(length)})


async def _gathered(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces, reading several in one hop to a worker thread."""

    def some() -> list[bytes]:
        batch: list[bytes] = []
        while sum(map(len, batch)) < _GATHER and (piece := next(pieces, b"")):
            batch.append(piece)
        return batch

    try:
        while batch := await READING.run(some):
            for piece in batch:
                yield piece
    finally:
        if (close := getattr(pieces, "close", None)) is not None:
            close()  # whoever stops listening gives file or connection back at once
