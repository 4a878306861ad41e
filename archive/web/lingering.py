"""An answer to a request whose body is not read to its end.

Closing a connection that still has bytes unread makes the kernel reset it, and the reset may overtake the answer. So the answer goes out
first, complete; then what still comes is read and thrown away for a while; then the connection closes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

LINGER_SECONDS: Final = 5.0


class Lingering(Response):
    """A response that is sent at once and keeps reading before it lets the connection close."""

    @classmethod
    def of(cls, response: Response) -> Lingering:
        """Return the same answer, lingering."""
        lingering = cls(bytes(response.body), status_code=response.status_code)
        lingering.raw_headers = [*response.raw_headers, (b"connection", b"close")]
        return lingering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, read on, and end."""
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
