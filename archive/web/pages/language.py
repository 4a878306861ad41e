"""Languages: Chinese first, English beside it; the reader's choice is a cookie.

Catalogues are compiled beforehand (`make web`); a missing one is a fault of the installation and stops the first page, rather than
quietly showing another language.
"""

from __future__ import annotations

import gettext
from functools import cache
from importlib import resources as package_files
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse

from archive.core.access import Act, Caller
from archive.web.identity import allow

if TYPE_CHECKING:
    from starlette.responses import Response

COOKIE = "liuhen_language"
LANGUAGES = {"zh-CN": "zh_CN", "en": "en"}
DEFAULT = "zh-CN"
_YEAR = 366 * 24 * 3600

router = APIRouter()


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Return the catalogue of a language of `LANGUAGES`.

    Raises:
        FileNotFoundError: the catalogues were not compiled.
    """
    compiled = package_files.files("archive.web") / "locale" / LANGUAGES[language] / "LC_MESSAGES" / "messages.mo"
    with compiled.open("rb") as file:
        return gettext.GNUTranslations(file)


def chosen(request: Request) -> str:
    """Return the reader's language: the cookie's if it is one of ours, else Chinese."""
    wanted = request.cookies.get(COOKIE, DEFAULT)
    return wanted if wanted in LANGUAGES else DEFAULT


def within(path: str) -> str:
    """Return the path if it leads to a page of this archive, else the first page: a form field must not send people elsewhere."""
    sound = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if sound else "/"


@router.post("/language", include_in_schema=False)
def choose(
    _caller: Annotated[Caller, Depends(allow(Act.PUBLIC))],
    language: Annotated[str, Form()],
    back: Annotated[str, Form()] = "/",
) -> Response:
    """Keep the reader's choice and go back to where they were."""
    response = RedirectResponse(within(back), status_code=303)
    if language in LANGUAGES:
        response.set_cookie(COOKIE, language, max_age=_YEAR, httponly=True, samesite="lax", path="/")
    return response
