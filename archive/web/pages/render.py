"""Templates into pages: one environment a language, autoescape always on, nothing inline that a strict content policy would refuse."""

from __future__ import annotations

import json
from functools import cache, partial
from importlib import resources as package_files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from archive.actions import item as items
from archive.actions import jobs
from archive.core.access import PersonCaller
from archive.core.instant import iso
from archive.web.pages import shapes, words
from archive.web.pages.language import catalogue, chosen

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from fastapi import Request
    from sqlalchemy.orm import Session

    from archive.core.access import Caller


@cache
def environment(language: str, zone: ZoneInfo) -> Environment:
    """Return the environment in which every `_()` speaks this language and every time is the zone's.

    Both belong to the environment and not to a page, because imported macros see no page's variables.
    """
    made = Environment(
        loader=PackageLoader("archive.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    translations = catalogue(language)
    made.install_gettext_callables(translations.gettext, translations.ngettext, newstyle=True)  # type: ignore[attr-defined] # the i18n extension adds it
    for name in (
        "KIND",
        "STAGE",
        "STATE",
        "STATE_SHORT",
        "CONDITION",
        "UPLOAD",
        "JOB_KIND",
        "JOB_STATE",
        "RECIPE",
        "EVENT",
        "STARTED_FROM",
        "NO_PREVIEW",
    ):
        made.globals[name] = getattr(words, name)
    made.globals.update(
        language=language,
        assets=assets(),
        player_words={key: translations.gettext(text) for key, text in words.PLAYER.items()},
        link=link,
        say=translations.gettext,
    )
    made.filters.update(
        clock=partial(shapes.clock, zone=zone),
        short_clock=partial(shapes.short_clock, zone=zone),
        utc=shapes.utc,
        iso=iso,
        duration=shapes.duration,
        size=shapes.size,
        grouped=shapes.grouped,
        attribute=_attribute,
        path=lambda text: quote(str(text), safe=""),
    )
    return made


@cache
def assets() -> dict[str, Any]:
    """Return the addresses of the built script and styles.

    Raises:
        FileNotFoundError: the pages were not built.
    """
    manifest = json.loads((package_files.files("archive.web") / "static" / "manifest.json").read_text(encoding="utf-8"))
    entry = manifest["main.ts"]
    return {
        "script": f"/static/{entry['file']}",
        "styles": [f"/static/{name}" for name in entry.get("css", [])],
        "icon": f"/static/{manifest['icon.svg']['file']}",
        "entries": {name.removesuffix(".entry.ts"): _entry(one) for name, one in manifest.items() if name.endswith(".entry.ts")},
    }


def _entry(built: dict[str, Any]) -> dict[str, Any]:
    """The addresses of what one kind of page needs beside the rest."""
    return {"script": f"/static/{built['file']}", "styles": [f"/static/{name}" for name in built.get("css", [])]}


def page(
    request: Request, caller: Caller, name: str, *, session: Session | None = None, status: int = 200, **context: object
) -> HTMLResponse:
    """Return a page in the reader's language; with a session, the counts beside the navigation are shown."""
    resources = request.app.state.resources
    counts: dict[str, int | None] = {"inbox": None, "failed": None}
    if session is not None and isinstance(caller, PersonCaller):
        counts = {"inbox": items.unbound_count(session), "failed": jobs.failed(session)}
    template = environment(chosen(request), resources.settings.tz).get_template(name)
    return HTMLResponse(
        template.render(
            here=request.url.path,
            address=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            person=caller if isinstance(caller, PersonCaller) else None,
            agency=resources.settings.agency_name,
            counts=counts,
            **context,
        ),
        status_code=status,
        headers={"Cache-Control": "no-store"},
    )


def link(base: str, query: dict[str, Any], **changes: object) -> str:
    """Return an address with the query's filled fields, after changes; None and the empty text leave a field out."""
    merged = {**query, **changes}
    filled = {key: value for key, value in merged.items() if value not in (None, "")}
    return f"{base}?{urlencode(filled)}" if filled else base


def _attribute(value: object) -> Markup:
    """A value as JSON, escaped so that it may stand between the quotes of an attribute."""
    return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
