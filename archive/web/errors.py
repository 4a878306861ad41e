"""The one table from codes to HTTP statuses, and how a refusal or fault is told: problem+json (RFC 9457) to programs, a page to people."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from archive.core.errors import Fault, Internal, LiuhenError, Malformed, NotFound

log = logging.getLogger("liuhen.web")

STATUS: dict[str, int] = {
    "malformed": 400,
    "wrong_credentials": 401,
    "sign_in_required": 401,
    "not_allowed": 403,
    "cross_site": 403,
    "station_revoked": 403,
    "final_upload": 403,
    "release_barred": 403,
    "manifest_missing": 400,
    "manifest_wrong": 400,
    "nonce_spent": 400,
    "length_fixed": 400,
    "not_found": 404,
    "not_playable": 404,
    "body_stalled": 408,
    "station_exists": 409,
    "not_verified": 409,
    "case_exists": 409,
    "already_bound": 409,
    "job_not_dead": 409,
    "offset_conflict": 409,
    "parts_apart": 409,
    "parts_unfinished": 409,
    "parts_differ": 409,
    "wrong_way": 409,
    "upload_taken_over": 409,
    "numbers_spent": 409,
    "lease_lost": 409,
    "journal_busy": 409,
    "server_refused": 409,
    "source_changed": 409,
    "page_taken": 409,
    "host_gone": 410,
    "upload_gone": 410,
    "tus_version_unsupported": 412,
    "upload_too_large": 413,
    "past_length": 413,
    "body_too_large": 413,
    "wrong_content_type": 415,
    "range_unsatisfiable": 416,
    "upload_busy": 423,
    "too_early": 425,
    "too_many_attempts": 429,
    "checksum_unsupported": 400,
    "checksum_mismatch": 460,
    "digest_mismatch": 460,
    "internal": 500,
    "mismatch": 500,
    "object_missing": 500,
    "tool_failed": 500,
    "rendition_rejected": 500,
    "unavailable": 503,
    "store_refuses": 503,
    "disk_full": 507,
}
"""460 is tus 1.0.0's status for a checksum that does not hold."""

RETRY_AFTER: dict[str, int] = {
    "too_early": 2,
    "unavailable": 5,
    "store_refuses": 60,
    "disk_full": 60,
    "upload_busy": 1,
    "too_many_attempts": 900,
}
"""Seconds after which asking again makes sense, for the codes where it does."""


def install(app: FastAPI, *, page_of: Callable[[Request, LiuhenError, int], Response]) -> None:
    """Make the app tell every refusal and fault in its caller's form; `page_of` renders one for people."""

    def told(request: Request, error: Exception) -> Response:
        assert isinstance(error, LiuhenError)
        status = STATUS[error.code]
        if isinstance(error, Fault):
            log.error("%s %s: %s", request.method, request.url.path, error)
        return tell(request, error, status, page_of)

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) if error.errors() else "body"
        return told(request, Malformed(what=where[:80]))

    def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.NOT_FOUND:
            return told(request, NotFound(what="page"))
        return tell(request, Malformed(what="request", status=error.status_code), error.status_code, page_of)

    def unforeseen(request: Request, _error: Exception) -> Response:
        # The server logs the exception itself after this answer.
        return told(request, Internal())

    app.add_exception_handler(LiuhenError, told)
    app.add_exception_handler(Exception, unforeseen)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def tell(request: Request, error: LiuhenError, status: int, page_of: Callable[[Request, LiuhenError, int], Response]) -> Response:
    """Return the answer that tells of this refusal or fault."""
    headers = {"Cache-Control": "no-store"}
    if error.code in RETRY_AFTER:
        headers["Retry-After"] = str(RETRY_AFTER[error.code])
    if error.code == "range_unsatisfiable":
        headers["Content-Range"] = f"bytes */{error.facts['size']}"
    if status == HTTPStatus.UNAUTHORIZED and request.url.path.startswith(("/api/", "/metrics")):
        headers["WWW-Authenticate"] = "Bearer"
    if request.url.path.startswith(("/api/", "/healthz", "/readyz", "/metrics")):
        return JSONResponse(problem(error, status), status, headers, "application/problem+json")
    page = page_of(request, error, status)
    page.headers.update(headers)
    return page


def problem(error: LiuhenError, status: int) -> dict[str, object]:
    """Return the problem details: a stable code, whether to try again, and the facts."""
    again = error.again if isinstance(error, Fault) else error.code in RETRY_AFTER
    return {
        "type": "about:blank",
        "title": (type(error).__doc__ or error.code).strip().splitlines()[0],
        "status": status,
        "code": error.code,
        "again": again,
        "facts": {name: value for name, value in error.facts.items() if name != "tail"},
    }
