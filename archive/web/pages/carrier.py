"""What stays on recorders: the carrier rule with its legal basis, every version there was, and the files that it keeps."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from archive.actions import release, rule
from archive.core.access import Act, Caller
from archive.web.identity import allow, resources_of
from archive.web.pages import facts, releases
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.render import page

router = APIRouter()
SHOWN = 200


@router.get("/carrier")
def carrier(request: Request, caller: Annotated[Caller, Depends(allow(Act.RULE_READ))]) -> Response:
    """Show the rule in force and what it keeps; it is set by the command `liuhen rule carrier set` or by a program."""
    say = catalogue(chosen(request)).gettext
    with resources_of(request).reading() as session:
        versions = rule.carrier_history(session)
        kept = release.kept(session, limit=SHOWN + 1)
        return page(
            request,
            caller,
            "carrier.html",
            session=session,
            versions=[(each, None if each.made_by is None else facts.actor(each.made_by, say)) for each in reversed(versions)],
            kept=[(each, releases.why(each.reason, say)) for each in kept[:SHOWN]],
            more=len(kept) > SHOWN,
            shown=SHOWN,
        )
