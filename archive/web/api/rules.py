"""Rules that differ by place, to be read and set by programs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse

from archive.actions import rule
from archive.core.access import Act, Caller
from archive.core.instant import iso
from archive.core.release import CarrierRule
from archive.web.identity import allow, resources_of

router = APIRouter(prefix="/api/v1/rules", tags=["rules"])

_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/carrier", dependencies=[Depends(allow(Act.RULE_READ))])
def read_carrier_rule(request: Request) -> JSONResponse:
    """Return the carrier rule in force: what keeps a file on its recorder."""
    with resources_of(request).reading() as session:
        return JSONResponse(as_json(rule.carrier(session)), headers=_NO_STORE)


@router.get("/carrier/history", dependencies=[Depends(allow(Act.RULE_READ))])
def read_carrier_history(request: Request) -> JSONResponse:
    """Return every version of the carrier rule, the shipped one first."""
    with resources_of(request).reading() as session:
        return JSONResponse([as_json(version) for version in rule.carrier_history(session)], headers=_NO_STORE)


@router.put("/carrier")
def set_carrier_rule(
    facts: Annotated[dict[str, Any], Body()], request: Request, caller: Annotated[Caller, Depends(allow(Act.RULE_WRITE))]
) -> JSONResponse:
    """Put a new version in force; the one that holds already makes no new version."""
    resources = resources_of(request)
    wanted = CarrierRule.of(facts)
    with resources.transaction() as session:
        made = rule.set_carrier(session, rule=wanted, by=caller.actor, now=resources.now())
    return JSONResponse(as_json(made), headers=_NO_STORE)


def as_json(view: rule.CarrierRuleView) -> dict[str, object]:
    """Return a version as programs see it."""
    made_at = None if view.made_at is None else iso(view.made_at)
    return {"version": view.version, "rule": view.rule.facts(), "made_by": view.made_by, "made_at": made_at}
