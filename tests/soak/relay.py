"""A line between the archive and its object store that can be cut, and made slow, at any moment, by whoever holds it.

It passes bytes on as they are: requests are signed for the relay's own address, which the store does not mind. In a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field

from infra.services import free_port

PIECE = 64 * 1024


@dataclass(slots=True)
class Relay:
    """From `start` to `stop`, whoever connects to `port` speaks with the target's port."""

    target: int
    port: int = field(default_factory=free_port)
    delay_s: float = 0.0
    """How long every 64 KiB are held back, both ways."""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _server: asyncio.Server | None = None
    _lines: set[asyncio.Task[None]] = field(default_factory=set)
    _thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """Its address, as an S3 endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to pass on."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self.up()

    def stop(self) -> None:
        """End, with every connection."""
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join()
        self._loop.close()

    def up(self) -> None:
        """Take connections."""
        self._done(self._up())

    def down(self) -> None:
        """Take none, and cut those there are."""
        self._done(self._down())

    def _done(self, what) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _up(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._line, "127.0.0.1", self.port)

    async def _down(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        far: asyncio.StreamWriter | None = None
        try:
            answers, far = await asyncio.open_connection("127.0.0.1", self.target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._passed(reader, far))
                both.create_task(self._passed(answers, writer))
        except (OSError, ExceptionGroup):
            pass  # a broken line is what this is for: both ends are closed below
        except asyncio.CancelledError:
            pass  # cut by `down`, which waits for this
        finally:
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()
            self._lines.discard(line)

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PIECE):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
