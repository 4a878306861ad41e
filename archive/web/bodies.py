"""How long a request's body may be: forms and JSON are read whole, and before anybody asks who sends them, so that nobody may send much.

Uploads alone are longer: those who receive them ask first who sends, and hold a few MiB of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.core import tus
from archive.core.errors import BodyTooLarge, LiuhenError
from archive.web import errors
from archive.web.lingering import Lingering

MOST: Final = 2**20
"""Bytes of any other body; the longest that is honest has a few KiB. infra/nginx.conf says the same."""


class BodyCap:
    """Refuses a body that is declared, or found, to be longer than `MOST`; what is left of it is thrown away as it comes."""

    def __init__(self, app: ASGIApp, page_of: Callable[[Request, LiuhenError, int], Response]) -> None:
        self._app, self._page_of = app, page_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, or refuse."""
        if scope["type"] != "http" or _is_upload(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if _declared(request) > MOST:
            await self._refuse(request, receive, send)
            return
        came, started, over = 0, False, False

        async def counted() -> Message:
            nonlocal came, over
            message = await receive()
            came += len(message.get("body", b""))
            if came > MOST and not started:
                over = True
                raise BodyTooLarge(most=MOST)
            return message

        async def unless_over(message: Message) -> None:
            nonlocal started
            if not over:  # whoever parses a body makes any error of it a malformed one
                started = True
                await send(message)

        with suppress(BodyTooLarge):
            await self._app(scope, counted, unless_over)
        if over:
            await self._refuse(request, receive, send)

    async def _refuse(self, request: Request, receive: Receive, send: Send) -> None:
        error = BodyTooLarge(most=MOST)
        told = await run_in_threadpool(errors.tell, request, error, errors.STATUS[error.code], self._page_of)
        await Lingering.of(told)(request.scope, receive, send)


def _is_upload(path: str) -> bool:
    return path == tus.UPLOADS or path.startswith(f"{tus.UPLOADS}/")


def _declared(request: Request) -> int:
    """Return what Content-Length says, 0 if it says nothing that is a length."""
    said = request.headers.get("content-length", "").strip()
    return int(said[:20]) if said.isascii() and said.isdigit() else 0
