"""A refusal or a fault as a page, in the reader's language."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.responses import RedirectResponse

from archive.core.access import Caller, Nobody
from archive.core.errors import Fault, LiuhenError, Refusal
from archive.web.identity import caller_of
from archive.web.pages import words
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.render import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def told(request: Request, error: LiuhenError) -> tuple[str, str]:
    """Return a refusal's title and what to do about it, in the reader's language."""
    otherwise = words.FAULT if isinstance(error, Fault) else words.OTHER_REFUSAL
    title, advice = words.REFUSAL.get(error.code, otherwise)
    say = catalogue(chosen(request)).gettext
    return say(title), say(advice)


def error_page(request: Request, error: LiuhenError, status: int) -> Response:
    """Return the page of a refusal or fault; whoever should sign in first is sent there and comes back."""
    if error.code == "sign_in_required" and request.method == "GET":
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if request.headers.get("hx-request"):
            # A fragment that polls must not swap a sign-in page into itself; htmx goes there as a whole.
            return _to_sign_in(request)
        return RedirectResponse("/sign-in" if back == "/" else f"/sign-in?{urlencode({'next': back})}", status_code=303)
    title, advice = told(request, error)
    return page(
        request,
        _caller(request, error),
        "error.html",
        status=status,
        title=title,
        advice=advice,
        code=error.code,
        number=str(error.facts.get("number", ""))[:80],
        fault=isinstance(error, Fault),
    )


def _caller(request: Request, error: LiuhenError) -> Caller:
    """Who reads the page: an address that leads nowhere has no route that would have found out."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    if isinstance(error, Fault):
        # What broke may be what would tell who is calling.
        return Nobody()
    try:
        return caller_of(request)
    except Refusal:
        return Nobody()


def _to_sign_in(request: Request) -> Response:
    response = page(
        request, Nobody(), "error.html", status=401, title="", advice="", code="sign_in_required", number="", fault=False
    )
    response.headers["HX-Redirect"] = "/sign-in"
    return response
