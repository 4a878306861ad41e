"""Who is calling, and whether they may: every route names its act, and this is where it is decided and, when refused, logged.

A station and a monitor show a bearer token, a person a cookie. A browser sends cookies by itself, so a changing request that carries one
must come from our own pages: Sec-Fetch-Site says so, or, in its absence, Origin.
"""

from __future__ import annotations

import hmac
import logging
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request

from archive.actions import person, station
from archive.core.access import Act, Caller, MonitorCaller, Nobody, require
from archive.core.errors import CrossSite, NotAllowed, SignInRequired
from archive.resources import Resources

COOKIE = "liuhen_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

log = logging.getLogger("liuhen.access")


class Allow:
    """A dependency that gives the caller of a route, if they may do what the route does."""

    def __init__(self, act: Act) -> None:
        self.act = act

    def __call__(self, request: Request) -> Caller:
        """Return the caller.

        Raises:
            SignInRequired: nobody is signed in, and this needs somebody.
            NotAllowed: this caller may not do this.
            CrossSite: the request comes from another site's page.
        """
        caller = caller_of(request)
        try:
            require(caller, self.act)
        except (NotAllowed, SignInRequired) as why:
            log.warning("refused %s to %s: %s %s", self.act.value, caller.actor, request.method, request.url.path)
            request.state.caller = caller
            raise why from None
        request.state.caller = caller
        return caller


def allow(act: Act) -> Allow:
    """Return the dependency for a route that does this."""
    return Allow(act)


def resources_of(connection: HTTPConnection) -> Resources:
    """Return what the process holds."""
    found = connection.app.state.resources
    assert isinstance(found, Resources)
    return found


def caller_of(request: Request) -> Caller:
    """Return who is calling; an unknown or expired token is nobody's.

    Raises:
        CrossSite: a cookie came with a changing request from another site's page.
    """
    resources = resources_of(request)
    now = resources.now()
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        if _is_monitor(resources, token.strip()):
            return MonitorCaller()
        with resources.asking() as session:
            return station.by_token(session, token=token.strip(), now=now) or Nobody()
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        return Nobody()
    require_same_site(request)
    with resources.asking() as session:
        return person.by_token(session, token=cookie, now=now) or Nobody()


def _is_monitor(resources: Resources, token: str) -> bool:
    """Say whether this is the monitor's token; found out without the database, which the monitor is to say is away."""
    known = resources.settings.metrics_token
    return bool(known) and hmac.compare_digest(known.encode(), token.encode())


def require_same_site(request: Request) -> None:
    """Pass a request that changes nothing or comes from our own pages.

    Raises:
        CrossSite: it comes from elsewhere, or does not say where from.
    """
    if request.method in _SAFE and "x-http-method-override" not in request.headers:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site in {"same-origin", "none"}:
            return
    elif urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host"):
        return
    log.warning("refused a cross-site %s %s from %s", request.method, request.url.path, request.headers.get("origin", "?"))
    raise CrossSite(origin=request.headers.get("origin", "")[:200])
