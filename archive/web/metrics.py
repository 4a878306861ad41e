"""/metrics: what a monitor reads, in Prometheus's text format.

It is a registry of our own, so that nothing a library adds to the common one is told to whoever may read this. Nothing here names a
person, a case, a file or a recorder. The database is asked at most every `FRESH` seconds however many ask, by one of them, outside the
event loop; if it does not answer, that is what is told, and the rest with it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Depends
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.actions import metrics
from archive.core.access import Act
from archive.core.errors import LiuhenError
from archive.core.instant import SECOND
from archive.core.tus import is_upload_id
from archive.resources import Resources
from archive.web.identity import allow

FRESH: Final = 5.0
"""Seconds for which what the database said is said again."""
_API: Final = frozenset(
    {"uploads", "stations", "receipts", "items", "rules", "cases", "jobs", "runs", "direct"},
)
_PROBES: Final = frozenset({"healthz", "readyz", "metrics"})

router = APIRouter()


def route_class(path: str) -> str:
    """Return what kind of request this is, one of a dozen words: whatever paths somebody thinks up, the figures stay few."""
    first, _, rest = path.lstrip("/").partition("/")
    if first == "api":
        noun = rest.removeprefix("v1/").partition("/")[0]
        return f"api_{noun}" if noun in _API else "api_other"
    if first in _PROBES:
        return "probe"
    return "static" if first == "static" else "pages"


class Figures(Collector):
    """What this process counted, and what the archive's database and this host's spool say."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._guard = threading.Lock()
        self._said: tuple[float, list[Metric]] = (float("-inf"), [])
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter("liuhen_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry)
        self.registry.register(self)

    def text(self) -> bytes:
        """Return the figures as they are sent."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what is asked for anew."""
        with self._guard:
            said_at, said = self._said
            if time.monotonic() - said_at > FRESH:
                said = [*self._of_archive(), *self._of_host()]
                self._said = (time.monotonic(), said)
        yield from said

    def _of_archive(self) -> Iterator[Metric]:
        try:
            with self._resources.reading() as session:
                load = metrics.load(session, now=self._resources.now())
        except LiuhenError:
            yield GaugeMetricFamily("liuhen_database_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("liuhen_database_up", "Whether the database answers.", 1)
        waited = GaugeMetricFamily(
            "jobs_waiting_seconds", "For how long the oldest job has waited for a worker: what to scale on.", labels=["lane"]
        )
        jobs = GaugeMetricFamily("jobs", "Jobs that are not done.", labels=["lane", "state"])
        for name, lane in load.lanes.items():
            waited.add_metric([name], lane.waited / SECOND)
            for state in ("waiting", "paused", "running", "dead"):
                jobs.add_metric([name, state], getattr(lane, state))
        uploads = GaugeMetricFamily("liuhen_uploads", "Uploads under way on each web host.", labels=["host", "state"])
        for (host, state), count in load.uploads.items():
            uploads.add_metric([host, state], count)
        yield from (waited, jobs, uploads)

    def _of_host(self) -> Iterator[Metric]:
        settings = self._resources.settings
        disk = 0
        with suppress(OSError):  # a figure that nobody knows is not told
            spooled = _spooled(settings.data_dir / "spool")
            yield GaugeMetricFamily("liuhen_spool_bytes", "Bytes of unfinished uploads on this host.", spooled)
        try:
            free = os.statvfs(settings.data_dir)
            disk = free.f_bavail * free.f_frsize
        except OSError:
            disk = 0
        yield GaugeMetricFamily("liuhen_data_free_bytes", "Bytes free where this host keeps its data.", disk)
        info = GaugeMetricFamily("liuhen_build_info", "The program that answers.", labels=["version", "profile", "host"])
        info.add_metric([metadata.version("liuhen"), settings.profile.value, settings.web_name], 1)
        yield info


def _spooled(directory: Path) -> int:
    """Return how many bytes of uploads lie in a spool that is being worked in: what is gone while we look is gone."""
    size = 0
    with os.scandir(directory) as found:
        for entry in found:
            if is_upload_id(entry.name):  # and not what says whose spool it is
                with suppress(FileNotFoundError):
                    size += entry.stat(follow_symlinks=False).st_size
    return size


class CountRequests:
    """Counts answers by kind and status, without touching their bodies."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, and count it; a request that got no answer has the status 0."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._figures.requests.labels(route_class(scope["path"]), method, str(status)).inc()


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@router.get("/metrics", dependencies=[Depends(allow(Act.METRICS_READ))], include_in_schema=False)
def read(request: Request) -> Response:
    """Return the figures."""
    figures = request.app.state.figures
    assert isinstance(figures, Figures)
    return Response(figures.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"})
