"""How a station proves that it is itself: a nonce, a signature, a token of 15 minutes."""

from __future__ import annotations

import base64
import binascii
import secrets

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from archive.actions import station
from archive.adapters import signing
from archive.core.access import Act
from archive.core.errors import Malformed
from archive.core.instant import iso
from archive.web.identity import allow, resources_of

router = APIRouter(prefix="/api/v1/stations", tags=["stations"])


class NonceWanted(BaseModel):
    """A station that wants to prove itself."""

    station: str = Field(max_length=64)


class Proof(BaseModel):
    """A signed nonce; the signature in base64."""

    station: str = Field(max_length=64)
    nonce: str = Field(max_length=128)
    signature: str = Field(max_length=128)


@router.post("/nonces", status_code=201, dependencies=[Depends(allow(Act.STATION_PROVE))])
def give_nonce(wanted: NonceWanted, request: Request) -> JSONResponse:
    """Give a nonce to sign within two minutes."""
    resources = resources_of(request)
    nonce = secrets.token_urlsafe(32)
    with resources.transaction() as session:
        station.give_nonce(session, name=wanted.station, nonce=nonce, now=resources.now())
    return JSONResponse({"nonce": nonce}, 201, {"Cache-Control": "no-store"})


@router.post("/tokens", status_code=201, dependencies=[Depends(allow(Act.STATION_PROVE))])
def give_token(proof: Proof, request: Request) -> JSONResponse:
    """Give an upload token for a signed nonce."""
    resources = resources_of(request)
    try:
        signature = base64.b64decode(proof.signature, validate=True)
    except binascii.Error as why:
        raise Malformed(what="signature") from why
    token = secrets.token_urlsafe(32)
    with resources.transaction() as session:
        expires_at = station.give_token(
            session,
            name=proof.station,
            nonce=proof.nonce,
            signature=signature,
            verify=signing.verify,
            token=token,
            now=resources.now(),
        )
    return JSONResponse({"token": token, "expires_at": iso(expires_at)}, 201, {"Cache-Control": "no-store"})
