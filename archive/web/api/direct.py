"""Direct uploads of stations: /api/v1/direct. Where the parts of a file go, which of them the store has, and that all are there.

    GET  /api/v1/direct/{upload_id}           {"state", "length", "part_size", "parts": [[number, size], …]}
                                              (of one that takes no parts any more, `part_size` is null and there are none)
    POST /api/v1/direct/{upload_id}/parts     {"parts": [{"number", "sha256"}, …]} → {"parts": [{"number", "url", "headers"}, …], "seconds"}
    POST /api/v1/direct/{upload_id}/complete  → {"state"}

The upload itself is created, ended and asked about at /api/v1/uploads. Only its owner is answered. An address is for one part of one
upload, of the size that the signed manifest gives it and of the bytes whose SHA-256 was asked for, and runs out after `seconds`.

Not guaranteed: that the store refuses other bytes, or that a part it lists is whole. What came is read and hashed before it is taken in.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from archive.adapters.s3_incoming import ADDRESS_SECONDS
from archive.core import parts
from archive.core.access import Act, Caller
from archive.core.digest import Digest
from archive.core.errors import UploadGone
from archive.web import straight
from archive.web.identity import allow, resources_of
from archive.web.threads import TAKING_IN

AT_ONCE: Final = 64
"""Addresses in one answer: two gigabytes of parts, and a few dozen kilobytes."""

router = APIRouter(prefix="/api/v1/direct", tags=["uploads"])

Sender = Annotated[Caller, Depends(allow(Act.UPLOAD_TOUCH))]
_FRESH: Final = {"Cache-Control": "no-store"}


class PartWanted(BaseModel):
    """A part that is about to be sent, with the SHA-256 of its bytes in hexadecimal."""

    number: int = Field(ge=1, le=parts.MOST)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class PartsWanted(BaseModel):
    """Parts that are about to be sent."""

    parts: list[PartWanted] = Field(min_length=1, max_length=AT_ONCE)


@router.get("/{upload_id}")
@TAKING_IN.answer
def standing(upload_id: str, request: Request, caller: Sender) -> JSONResponse:
    """Say where a direct upload stands, and which of its parts the store has."""
    resources = resources_of(request)
    incoming, found = straight.own(resources, upload_id, caller)
    found, held = straight.standing(resources, incoming, found)
    return JSONResponse(
        {
            "id": found.id,
            "state": found.state,
            "length": found.parts.length,
            "part_size": found.parts.size if found.under_way else None,
            "parts": [[part.number, part.size] for part in held],
        },
        headers=_FRESH,
    )


@router.post("/{upload_id}/parts")
@TAKING_IN.answer
def addresses(upload_id: str, wanted: PartsWanted, request: Request, caller: Sender) -> JSONResponse:
    """Give the addresses to which these parts go."""
    resources = resources_of(request)
    incoming, found = straight.own(resources, upload_id, caller)
    if not found.under_way:
        raise UploadGone(id=found.id, state=found.state)
    asked = [(part.number, found.parts.size_of(part.number), Digest(part.sha256)) for part in wanted.parts]
    found = straight.begun(resources, incoming, found)
    assert found.key is not None
    assert found.multipart is not None
    now = resources.now()
    straight.moved(resources, found, now=now)
    told = []
    for number, size, digest in asked:
        address = incoming.address(found.key, found.multipart, number, size=size, sha256=digest, now=now)
        told.append({"number": number, "url": address.url, "headers": address.headers})
    return JSONResponse({"parts": told, "seconds": ADDRESS_SECONDS}, headers=_FRESH)


@router.post("/{upload_id}/complete")
@TAKING_IN.answer
def complete(upload_id: str, request: Request, caller: Sender) -> JSONResponse:
    """Hear that all parts were sent; what came is taken in by a worker, which is not done yet when this is answered."""
    resources = resources_of(request)
    incoming, found = straight.own(resources, upload_id, caller)
    return JSONResponse({"id": found.id, "state": straight.complete(resources, incoming, found)}, headers=_FRESH)
