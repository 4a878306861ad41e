"""Two web hosts of one archive behind a real nginx: two processes with spools of their own over one database and one store.

They are of the embedded profile, whose database file and store the second one sees under its own directory by links: what concerns hosts is
the same in both profiles, and this needs no other server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.proxy import configuration
from infra.services import free_port
from infra.services.nginx import Nginx, running
from tests.server import RunningServer
from tests.web.tus import signed_in

GONE = 5


@dataclass
class Two:
    """Web hosts a and b, and the proxy before them."""

    a: RunningServer
    b: RunningServer
    proxy: Nginx

    def host(self, where: str) -> RunningServer:
        """Return the host that an upload's address names."""
        return {"a": self.a, "b": self.b}[where.rpartition("/")[2].partition("-")[0]]

    def other(self, server: RunningServer) -> RunningServer:
        return self.b if server is self.a else self.a

    def client(self, login: RunningServer | None = None) -> httpx.Client:
        """Return a client of the proxy, with a person's session of its own."""
        made = signed_in(login or self.a)
        made.base_url = httpx.URL(self.proxy.base_url)
        made.headers["Origin"] = self.proxy.base_url
        return made


@contextmanager
def two_hosts(directory: Path, **settings: str) -> Iterator[Two]:
    """Give two web hosts behind a proxy, for as long as the context lasts."""
    shared = {"LIUHEN_WORKER": "0", "LIUHEN_FREE_SPACE_FLOOR": "0", "LIUHEN_WEB_GONE_SECONDS": str(GONE), **settings}
    shared["LIUHEN_KEYS_DIR"] = str(directory / "a" / "keys")
    with ExitStack() as stack:
        first = RunningServer(directory / "a", port=free_port(), settings={**shared, "LIUHEN_WEB_NAME": "a"})
        stack.enter_context(first)
        second = directory / "b"
        second.mkdir()
        for name in ("liuhen.db", "store"):
            (second / name).symlink_to(directory / "a" / name)
        other = RunningServer(second, port=free_port(), settings={**shared, "LIUHEN_WEB_NAME": "b"})
        stack.enter_context(other)
        port = free_port()
        hosts = {"a": f"127.0.0.1:{first.port}", "b": f"127.0.0.1:{other.port}"}
        shipped = configuration(hosts, listen=f"127.0.0.1:{port}")
        # A host that was away is asked again after less than it takes to start: else the next one killed would leave none to ask.
        proxy = stack.enter_context(running(directory / "nginx", shipped.replace("=5s;", "=1s;"), port=port))
        yield Two(first, other, proxy)


def until(reached, *, within_s: float = 20) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)
