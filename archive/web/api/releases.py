"""Freeing a recorder: a station asks leave for one file, removes it, and tells so."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from archive.actions import release
from archive.adapters import signing
from archive.core.access import Act, Caller, StationCaller
from archive.core.errors import Malformed, NotAllowed
from archive.core.manifest import MAX_ENCODED
from archive.web.identity import allow, resources_of

router = APIRouter(prefix="/api/v1/items", tags=["releases"])

_NO_STORE = {"Cache-Control": "no-store"}
_MAX_MANIFEST = MAX_ENCODED * 4 // 3 + 4


class File(BaseModel):
    """The very file: the manifest that was signed for it and the signature, both in base64."""

    manifest: str = Field(max_length=_MAX_MANIFEST)
    signature: str = Field(max_length=128)


class Done(File):
    """What was done with it; `reason` says why it was kept."""

    outcome: Literal["removed", "kept"]
    reason: Literal["changed", "unreadable", "not_removable"] | None = None


@router.post("/{number}/release")
def ask(number: str, file: File, request: Request, caller: Annotated[Caller, Depends(allow(Act.RELEASE))]) -> JSONResponse:
    """Give leave to remove the file from its carrier; the carrier rule may bar it, and only verified bytes are freed."""
    resources = resources_of(request)
    with resources.transaction() as session:
        standing = release.ask(
            session, number=number, signed=_signed(file), caller=_station(caller), verify=signing.verify, now=resources.now()
        )
    if standing.refusal is not None:
        raise standing.refusal
    return JSONResponse({"number": number, "state": standing.state}, headers=_NO_STORE)


@router.post("/{number}/release/done")
def done(number: str, told: Done, request: Request, caller: Annotated[Caller, Depends(allow(Act.RELEASE))]) -> JSONResponse:
    """Record that the file was removed, or why it was kept; telling it again changes nothing."""
    if (told.outcome == "kept") is (told.reason is None):
        raise Malformed(what="reason", outcome=told.outcome)
    resources = resources_of(request)
    with resources.transaction() as session:
        standing = release.report(
            session,
            number=number,
            signed=_signed(told),
            kept=told.reason,
            caller=_station(caller),
            verify=signing.verify,
            now=resources.now(),
        )
    return JSONResponse({"number": number, "state": standing.state, "reason": standing.reason}, headers=_NO_STORE)


def _station(caller: Caller) -> StationCaller:
    if not isinstance(caller, StationCaller):
        raise NotAllowed(act=Act.RELEASE.value)
    return caller


def _signed(file: File) -> release.Signed:
    try:
        return release.Signed(base64.b64decode(file.manifest, validate=True), base64.b64decode(file.signature, validate=True))
    except binascii.Error as why:
        raise Malformed(what="manifest", reason="base64") from why
