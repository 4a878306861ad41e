"""Signing in and out. A wrong name costs as long as a wrong password, and which of them was wrong is not said."""

from __future__ import annotations

import secrets
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from archive.actions import person
from archive.adapters import signing
from archive.core.access import Act, Caller, Nobody, PersonCaller
from archive.core.errors import LiuhenError, TooManyAttempts, WrongCredentials
from archive.web.errors import STATUS
from archive.web.identity import COOKIE, allow, require_same_site, resources_of
from archive.web.pages.errors import told
from archive.web.pages.language import within
from archive.web.pages.render import page

router = APIRouter()


@router.get("/")
def front(_caller: Annotated[Caller, Depends(allow(Act.PUBLIC))]) -> Response:
    """Lead to the inbox."""
    return RedirectResponse("/inbox", status_code=303)


@router.get("/sign-in")
def form(
    request: Request,
    caller: Annotated[Caller, Depends(allow(Act.PUBLIC))],
    next: Annotated[str, Query(max_length=2000)] = "/inbox",  # noqa: A002 - the name in the address bar
) -> Response:
    """Show the form; whoever is signed in goes on."""
    if isinstance(caller, PersonCaller):
        return RedirectResponse(within(next), status_code=303)
    return page(request, caller, "sign_in.html", next=within(next), login="", refused=None)


@router.post("/sign-in")
def sign_in(
    request: Request,
    _caller: Annotated[Caller, Depends(allow(Act.PUBLIC))],
    login: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/inbox",  # noqa: A002 - the form's field
) -> Response:
    """Sign somebody in, or show the form again with why not."""
    require_same_site(request)
    resources = resources_of(request)
    token = secrets.token_urlsafe(32)
    refusal: LiuhenError | None = None
    now = resources.now()
    try:
        with resources.reading() as session:
            known_hash = person.password_hash(session, login=login.strip(), now=now)
        # An unknown name is held against a hash that no password has, so that it costs the same time.
        right = signing.check_password(password, known_hash or _decoy())
        with resources.transaction() as session:
            known = person.sign_in(
                session,
                login=login.strip(),
                right=right and known_hash is not None,
                token=token,
                address=request.client.host if request.client else "",
                now=now,
            )
        if known is None:
            refusal = WrongCredentials()
    except TooManyAttempts as why:
        refusal = why
    if refusal is not None:
        return page(
            request,
            Nobody(),
            "sign_in.html",
            status=STATUS[refusal.code],
            next=within(next),
            login=login,
            refused=told(request, refusal)[1],
        )
    response = RedirectResponse(within(next), status_code=303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=person.SIGN_IN_LIFE // 1_000_000,
        httponly=True,
        samesite="lax",
        secure=resources.settings.secure_cookies,
        path="/",
    )
    return response


@router.post("/sign-out")
def sign_out(request: Request, _caller: Annotated[Caller, Depends(allow(Act.PUBLIC))]) -> Response:
    """End this browser's sign-in."""
    resources = resources_of(request)
    cookie = request.cookies.get(COOKIE)
    if cookie:
        with resources.transaction() as session:
            person.sign_out(session, token=cookie)
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(COOKIE, path="/")
    return response


@cache
def _decoy() -> str:
    """A hash of what nobody knows, for unknown names to be checked against."""
    return signing.hash_password(secrets.token_urlsafe(32))
