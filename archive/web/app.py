"""The web process: routes, headers that every answer carries, and the sweep that finishes what a crash left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.actions import jobs, status
from archive.core.access import Act
from archive.resources import Resources, tried
from archive.web import bodies, errors, intake, metrics, straight
from archive.web.api import cases, direct, items, receipts, releases, rules, runs, stations, uploads
from archive.web.api import jobs as jobs_api
from archive.web.api import pages as page_pictures
from archive.web.identity import allow
from archive.web.pages import error_page
from archive.web.pages import router as pages

STATIC = Path(__file__).parent / "static"
SWEEP_SECONDS = 60
SOON_SECONDS = 5
"""As long as nobody has tried the stores out, which is done within a minute of the first start; somebody waits to see it."""

log = logging.getLogger("liuhen.web")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeaders:
    """Adds the headers to every answer without touching its body, so that streams stay streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def create_app(resources: Resources) -> FastAPI:
    """Return the application over these resources, which the caller closes after it."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(app, resources))
        try:
            yield
        finally:
            sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeping

    app = FastAPI(
        title="Liuhen",
        version="1",
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.resources = resources
    app.state.stores = "unknown"
    app.state.figures = metrics.Figures(resources)
    app.add_middleware(bodies.BodyCap, page_of=error_page)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(metrics.CountRequests, figures=app.state.figures)
    errors.install(app, page_of=error_page)
    ours = (uploads, direct, stations, receipts, runs, items, page_pictures, releases, rules, cases, jobs_api)
    for router in (*(module.router for module in ours), metrics.router, pages):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")

    @app.get("/healthz", dependencies=[Depends(allow(Act.PUBLIC))])
    def healthz() -> JSONResponse:
        """Say that the process answers, how tools are confined on this machine, and in one word what the stores enforce."""
        return JSONResponse({"status": "ok", "jail": resources.jail.describe(), "stores": app.state.stores})

    @app.get("/readyz", dependencies=[Depends(allow(Act.PUBLIC))])
    def readyz() -> JSONResponse:
        """Say whether the database answers."""
        with resources.reading() as session:
            return JSONResponse({"status": "ready", "jobs": jobs.counts(session)})

    return app


async def _sweep(app: FastAPI, resources: Resources) -> None:
    def stores() -> None:
        # Looked up here and not when /healthz is asked, which answers whatever becomes of the database.
        with resources.reading() as session:
            app.state.stores = status.worst(status.stores(session, names=tried(resources.settings), now=resources.now()))

    while True:
        for what, do in (
            ("the look at what the stores enforce", stores),
            ("the sweep of uploads", lambda: intake.sweep(resources, now=resources.now())),
            ("the sweep of direct uploads", lambda: straight.sweep(resources, now=resources.now())),
        ):
            try:
                await asyncio.to_thread(do)
            except Exception:  # whatever it was: a sweep that ended for good would leave uploads where they are, and tell nobody
                log.exception("%s did not finish; it runs again", what)
        await asyncio.sleep(SOON_SECONDS if app.state.stores == "untried" else SWEEP_SECONDS)
