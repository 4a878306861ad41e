"""Every route × every caller: who is let in is one table, and this walks it."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import delete
from starlette.routing import Mount

from archive.actions import person, station, upload
from archive.adapters import signing
from archive.core.access import Act, Nobody, PersonCaller, StationCaller, allowed
from archive.core.instant import Instant
from archive.records.people import SignIn
from archive.records.stations import Nonce, Station, StationToken
from archive.resources import opened
from archive.settings import read
from archive.web.app import create_app
from archive.web.identity import COOKIE, Allow

ROUTES = {
    "GET /healthz": Act.PUBLIC,
    "GET /readyz": Act.PUBLIC,
    "GET /metrics": Act.METRICS_READ,
    "OPTIONS /api/v1/uploads": Act.PUBLIC,
    "OPTIONS /api/v1/uploads/{upload_id}": Act.PUBLIC,
    "POST /api/v1/uploads": Act.UPLOAD_CREATE,
    "POST /api/v1/uploads/{upload_id}": Act.UPLOAD_TOUCH,
    "HEAD /api/v1/uploads/{upload_id}": Act.UPLOAD_TOUCH,
    "GET /api/v1/uploads/{upload_id}": Act.UPLOAD_TOUCH,
    "PATCH /api/v1/uploads/{upload_id}": Act.UPLOAD_TOUCH,
    "DELETE /api/v1/uploads/{upload_id}": Act.UPLOAD_TOUCH,
    "GET /api/v1/direct/{upload_id}": Act.UPLOAD_TOUCH,
    "POST /api/v1/direct/{upload_id}/parts": Act.UPLOAD_TOUCH,
    "POST /api/v1/direct/{upload_id}/complete": Act.UPLOAD_TOUCH,
    "POST /api/v1/stations/nonces": Act.STATION_PROVE,
    "POST /api/v1/stations/tokens": Act.STATION_PROVE,
    "GET /api/v1/receipts": Act.RECEIPT_READ,
    "POST /api/v1/items/{number}/release": Act.RELEASE,
    "POST /api/v1/items/{number}/release/done": Act.RELEASE,
    "GET /api/v1/rules/carrier": Act.RULE_READ,
    "GET /api/v1/rules/carrier/history": Act.RULE_READ,
    "PUT /api/v1/rules/carrier": Act.RULE_WRITE,
    "GET /api/v1/items": Act.ITEM_LIST,
    "GET /api/v1/items/{number}": Act.ITEM_READ,
    "GET /api/v1/items/{number}/receipt": Act.RECEIPT_READ,
    "GET /api/v1/items/{number}/events": Act.ITEM_READ,
    "GET /api/v1/items/{number}/jobs": Act.ITEM_READ,
    "GET /api/v1/items/{number}/run": Act.ITEM_READ,
    "GET /api/v1/items/{number}/original": Act.ITEM_REPLAY,
    "HEAD /api/v1/items/{number}/original": Act.ITEM_REPLAY,
    "GET /api/v1/items/{number}/download": Act.ITEM_DOWNLOAD,
    "HEAD /api/v1/items/{number}/download": Act.ITEM_DOWNLOAD,
    "GET /api/v1/items/{number}/renditions/{recipe}": Act.ITEM_REPLAY,
    "HEAD /api/v1/items/{number}/renditions/{recipe}": Act.ITEM_REPLAY,
    "GET /api/v1/items/{number}/pages": Act.ITEM_READ,
    "GET /api/v1/items/{number}/pages/{leaf}/view": Act.ITEM_REPLAY,
    "HEAD /api/v1/items/{number}/pages/{leaf}/view": Act.ITEM_REPLAY,
    "POST /api/v1/items/{number}/pages/{leaf}/view": Act.ITEM_REPLAY,
    "GET /api/v1/items/{number}/pages/{leaf}/thumb": Act.ITEM_REPLAY,
    "HEAD /api/v1/items/{number}/pages/{leaf}/thumb": Act.ITEM_REPLAY,
    "GET /api/v1/items/{number}/pages/{leaf}/tiles": Act.ITEM_REPLAY,
    "POST /api/v1/items/{number}/pages/{leaf}/tiles": Act.ITEM_REPLAY,
    "GET /api/v1/items/{number}/pages/{leaf}/tiles/{level}/{x}_{y}": Act.ITEM_REPLAY,
    "POST /api/v1/cases": Act.CASE_WRITE,
    "GET /api/v1/cases": Act.CASE_READ,
    "GET /api/v1/cases/{case_id}": Act.CASE_READ,
    "POST /api/v1/cases/{case_id}/bindings": Act.CASE_WRITE,
    "DELETE /api/v1/cases/{case_id}/bindings/{binding_id}": Act.CASE_WRITE,
    "GET /api/v1/cases/{case_id}/timeline": Act.CASE_READ,
    "GET /api/v1/jobs": Act.JOB_READ,
    "POST /api/v1/jobs/{job_id}/rerun": Act.JOB_RERUN,
    "GET /": Act.PUBLIC,
    "GET /sign-in": Act.PUBLIC,
    "POST /sign-in": Act.PUBLIC,
    "POST /sign-out": Act.PUBLIC,
    "POST /language": Act.PUBLIC,
    "GET /inbox": Act.ITEM_LIST,
    "GET /inbox/uploads": Act.UPLOAD_LIST,
    "GET /upload": Act.UPLOAD_CREATE,
    "GET /upload/papers": Act.UPLOAD_CREATE,
    "GET /upload/case": Act.CASE_READ,
    "GET /upload/states": Act.ITEM_LIST,
    "GET /items": Act.ITEM_LIST,
    "GET /items.csv": Act.ITEM_LIST,
    "GET /items/{number}": Act.ITEM_READ,
    "GET /items/{number}/receipt": Act.RECEIPT_READ,
    "GET /items/{number}/sheets": Act.ITEM_READ,
    "GET /items/{number}/panel": Act.ITEM_READ,
    "GET /items/{number}/progress": Act.ITEM_READ,
    "GET /items/{number}/replay": Act.ITEM_READ,
    "GET /items/{number}/bind": Act.ITEM_READ,
    "POST /items/{number}/bind": Act.CASE_WRITE,
    "GET /cases": Act.CASE_READ,
    "GET /cases.csv": Act.CASE_READ,
    "GET /cases/new": Act.CASE_WRITE,
    "POST /cases/new": Act.CASE_WRITE,
    "GET /cases/{case_id}": Act.CASE_READ,
    "GET /cases/{case_id}/bind": Act.CASE_READ,
    "POST /cases/{case_id}/bind": Act.CASE_WRITE,
    "POST /cases/{case_id}/bindings/{binding_id}/end": Act.CASE_WRITE,
    "POST /cases/{case_id}/runs": Act.CASE_WRITE,
    "GET /cases/{case_id}/items.csv": Act.CASE_READ,
    "GET /jobs": Act.JOB_READ,
    "GET /jobs.csv": Act.JOB_READ,
    "POST /jobs/{job_id}/rerun": Act.JOB_RERUN,
    "GET /quarantine": Act.UPLOAD_LIST,
    "GET /carrier": Act.RULE_READ,
    "GET /quarantine.csv": Act.UPLOAD_LIST,
    "GET /status": Act.STATUS_READ,
}
UNGUARDED = {"/api/openapi.json", "/static"}
"""The description of the interface and the pages' own assets: the same for everybody."""

CHANGING = [
    line
    for line, act in ROUTES.items()
    if line.split(" ")[0] in {"POST", "PUT", "DELETE", "PATCH"} and not allowed(Nobody(), act)
]
UPLOAD = "0" * 32
NUMBER = "131102-LX-2026-00000001"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory):
    with opened(read({}, data_dir=tmp_path_factory.mktemp("access") / "data", agency="131102")) as resources:
        with resources.transaction() as session:
            person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=resources.now())
        yield create_app(resources)


@pytest.fixture
def app(house):
    """The application, with one station under the token «token» and one person under the cookie «cookie», whatever the test before did."""
    resources = house.state.resources
    with resources.transaction() as session:
        now = resources.now()
        for table in (StationToken, Nonce, Station, SignIn):
            session.execute(delete(table))
        station.enrol(session, name="dock-1", public_key=signing.public_of(bytes(32)), by="operator", now=now)
        person.sign_in(session, login="admin", right=True, token="cookie", address="", now=now)
        station.give_nonce(session, name="dock-1", nonce="n", now=now)
        station.give_token(session, name="dock-1", nonce="n", signature=b"", verify=lambda *_: True, token="token", now=now)
    return house


def guarded(app) -> dict[str, Act]:
    """Return each route's act, found in what the route really depends on."""
    found: dict[str, Act] = {}
    for context in iter_route_contexts([*app.routes]):
        route = context.route
        if route.path in UNGUARDED or isinstance(route, Mount):
            continue
        assert isinstance(route, APIRoute), route
        acts = list(acts_of(route.dependant))
        for method in route.methods:
            assert len(acts) == 1, f"{method} {route.path} names {len(acts)} acts"
            found[f"{method} {route.path}"] = acts[0]
    return found


def acts_of(dependant):
    for each in dependant.dependencies:
        if isinstance(each.call, Allow):
            yield each.call.act
        yield from acts_of(each)


def ask(app, line: str, headers: dict[str, str]) -> httpx.Response:
    method, path = line.split(" ")
    for name, value in {
        "number": NUMBER,
        "recipe": "poster",
        "leaf": "1",
        "level": "0",
        "x": "0",
        "y": "0",
        "upload_id": UPLOAD,
        "case_id": "1",
        "job_id": "1",
        "binding_id": "1",
    }.items():
        path = path.replace(f"{{{name}}}", value)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://archive.test") as client:
            return await client.request(method, path, headers={"Origin": "http://archive.test", **headers})

    return asyncio.run(send())


def test_every_route_names_its_act_and_the_table_knows_it(app):
    assert guarded(app) == ROUTES


@pytest.mark.parametrize("line", ROUTES)
def test_a_route_lets_in_whom_the_table_says(app, line):
    act = ROUTES[line]
    if line == "POST /sign-in":
        assert ask(app, line, {}).status_code == 401  # let in, and told that no name was given
        return
    api = line.split(" ")[1].startswith("/api/")
    tus = {"Tus-Resumable": "1.0.0"} if "/uploads" in line else {}
    nobody = ask(app, line, tus)
    at_station = ask(app, line, {"Authorization": "Bearer token", **tus})
    signed_in = ask(app, line, {"Cookie": f"{COOKIE}=cookie", **tus})
    turned_away = {401, 403} if api else {303, 401, 403}
    if not allowed(Nobody(), act):
        assert nobody.status_code in turned_away, nobody.text
        if nobody.status_code == 303:
            assert nobody.headers["location"].startswith("/sign-in")
    if allowed(StationCaller(1, "dock-1", b""), act):
        assert at_station.status_code not in {401, 403}, at_station.text
    else:
        assert at_station.status_code in {303, 403}, at_station.text
    if allowed(PersonCaller(1, "admin", "管理员"), act):
        assert signed_in.status_code not in {401, 403}, signed_in.text
    else:
        assert signed_in.status_code == 403, signed_in.text
    assert all(answer.status_code < 500 for answer in (nobody, at_station, signed_in))


@pytest.mark.parametrize(
    "line", [line for line in ROUTES if line.split(" ")[0] in {"POST", "PUT", "DELETE", "PATCH"} and "stations" not in line]
)
@pytest.mark.parametrize(
    "site", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://elsewhere.test"}]
)
def test_another_sites_page_cannot_change_anything_with_our_cookie(app, line, site):
    answer = ask(app, line, {"Cookie": f"{COOKIE}=cookie", "Tus-Resumable": "1.0.0", **site})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer other"}, {"Cookie": f"{COOKIE}=other"}, {"Authorization": "Basic eDp5"}]
)
def test_an_unknown_token_is_nobodys(app, headers):
    assert ask(app, "GET /api/v1/items", headers).status_code == 401


def test_a_token_ends_after_fifteen_minutes_and_with_its_station(app):
    resources = app.state.resources
    with resources.reading() as session:
        assert station.by_token(session, token="token", now=resources.now()) is not None
        assert station.by_token(session, token="token", now=Instant(resources.now() + station.TOKEN_LIFE)) is None
    with resources.transaction() as session:
        station.revoke(session, name="dock-1", by="operator", now=resources.now())
    assert ask(app, "GET /api/v1/items/{number}/receipt", {"Authorization": "Bearer token"}).status_code == 401


def test_a_station_sees_no_other_stations_upload(app):
    resources = app.state.resources
    with resources.transaction() as session:
        upload.create(
            session,
            upload_id=UPLOAD,
            caller=person.by_token(session, token="cookie", now=resources.now()),
            length=1,
            metadata={},
            verify=signing.verify,
            now=resources.now(),
            expires_at=Instant(resources.now() + 10**9),
        )
    resources.spool.begin(UPLOAD)
    tus = {"Tus-Resumable": "1.0.0"}
    assert ask(app, "HEAD /api/v1/uploads/{upload_id}", {"Authorization": "Bearer token", **tus}).status_code == 404
    assert ask(app, "HEAD /api/v1/uploads/{upload_id}", {"Cookie": f"{COOKIE}=cookie", **tus}).status_code == 200
