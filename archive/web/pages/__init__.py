"""Pages: what people see. Every page calls the same actions as the JSON interface, and every route names its act."""

from __future__ import annotations

from fastapi import APIRouter

from archive.web.pages import (
    carrier,
    cases,
    documents,
    inbox,
    item,
    items,
    jobs,
    language,
    quarantine,
    receipt,
    runs,
    session,
    status,
    upload,
)
from archive.web.pages.errors import error_page

__all__ = ["error_page", "router"]

router = APIRouter(include_in_schema=False)
for _each in (session, language, inbox, upload, items, item, documents, receipt, cases, jobs, quarantine, status, runs, carrier):
    router.include_router(_each.router)
