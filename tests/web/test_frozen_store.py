"""A store that takes requests and answers none: who waits for it keeps nobody else waiting."""

import asyncio
import os
import time

import httpx
import pytest
from sqlalchemy import select

from archive.actions import person
from archive.core.digest import Digest
from archive.records.items import Item
from archive.web.identity import COOKIE
from archive.web.threads import AT_ONCE
from tests.direct_house import PART, TUS, house, speaker
from tests.lying import Lying
from tests.services import fresh_buckets

MANY = AT_ONCE + 5
TOKEN = "0" * 32
BYTES = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def store():
    with Lying(fresh_buckets().endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def archive(store, tmp_path_factory):
    with house(tmp_path_factory.mktemp("frozen") / "data", fresh_buckets(), endpoint=store.endpoint) as resources:
        with resources.transaction() as session:
            now = resources.now()
            person.bootstrap(session, login="admin", name="王敏", password_hash="", now=now)
            assert person.sign_in(session, login="admin", right=True, token=TOKEN, address="test", now=now)
        yield resources


@pytest.fixture(scope="module")
def dock(archive):
    with speaker(archive) as station:
        yield station


def stored(archive, dock):
    """Take in a file and return its item's address."""
    data = os.urandom(3000)
    head = {**TUS, "Upload-Length": str(len(data)), "Upload-Metadata": dock.metadata(data), "Content-Type": BYTES["Content-Type"]}
    assert dock.ask("POST", "/api/v1/uploads", headers=head, content=data).status_code == 201
    with archive.reading() as session:
        return "/api/v1/items/" + session.scalars(select(Item.number).where(Item.sha256 == Digest.of(data).hex)).one()


@pytest.fixture(params=["small files", "last bytes", "parts", "replays", "downloads"])
def asked(request, archive, dock):
    """Return what many ask for at once, as (method, path, more), and the answer that each gets in the end."""
    datas = [os.urandom(3000 + n) for n in range(MANY)]
    person_asks = {"headers": {"Cookie": f"{COOKIE}={TOKEN}"}}
    match request.param:
        case "small files":
            heads = [{"Upload-Length": str(len(data)), "Upload-Metadata": dock.metadata(data)} for data in datas]
            said = [TUS | dock.headers | head | {"Content-Type": BYTES["Content-Type"]} for head in heads]
            posts = [{"headers": head, "content": data} for head, data in zip(said, datas, strict=True)]
            return [("POST", "/api/v1/uploads", post) for post in posts], 201
        case "last bytes":
            where = [dock.create(data, headers=TUS).headers["Location"] for data in datas]
            patches = [{"headers": BYTES | dock.headers, "content": data} for data in datas]
            return [("PATCH", path, patch) for path, patch in zip(where, patches, strict=True)], 204
        case "parts":
            upload = dock.begin(os.urandom(PART + 1))
            wanted = {"headers": dock.headers, "json": {"parts": [{"number": 1, "sha256": "0" * 64}]}}
            return [("POST", f"/api/v1/direct/{upload}/parts", wanted)] * MANY, 200
        case "replays":
            return [("GET", stored(archive, dock) + "/original", person_asks)] * MANY, 206
    return [("GET", stored(archive, dock) + "/download", person_asks)] * MANY, 200


def test_a_page_is_answered_while_more_wait_for_the_store_than_there_are_threads(archive, dock, store, asked):
    requests, answer = asked

    async def go():
        transport = httpx.ASGITransport(app=dock.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://archive.test", timeout=None) as client:
            before, store.frozen = sum(store.asked.values()), True
            waiting = [asyncio.create_task(client.request(method, path, **more)) for method, path, more in requests]
            until = time.monotonic() + 30
            while sum(store.asked.values()) < before + AT_ONCE and time.monotonic() < until:  # noqa: ASYNC110 - told by another thread
                await asyncio.sleep(0.02)
            assert sum(store.asked.values()) >= before + AT_ONCE, "as many as there are threads wait for the store"
            try:
                async with asyncio.timeout(10):
                    page = await client.get("/items", headers={"Cookie": f"{COOKIE}={TOKEN}"})
                assert page.status_code == 200
                assert not any(task.done() for task in waiting), "the store has answered nobody"
            finally:
                store.frozen = False
                answers = await asyncio.gather(*waiting)
            assert {each.status_code for each in answers} == {answer}

    asyncio.run(go())
