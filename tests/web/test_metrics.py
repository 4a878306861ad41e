"""What a monitor reads: who may, what it says, and that it says so when the database is away."""

from __future__ import annotations

import contextlib
import dataclasses
import os

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from archive.actions import hosts, jobs, person, upload
from archive.adapters import signing
from archive.core.access import PersonCaller
from archive.core.errors import Unavailable
from archive.core.instant import SECOND, Instant
from archive.resources import Resources, opened
from archive.settings import read
from archive.web import metrics
from archive.web.app import create_app
from archive.web.identity import COOKIE
from tests.serving import served

TOKEN = {"Authorization": "Bearer a-token-of-the-monitor"}


@pytest.fixture
def resources(tmp_path):
    settings = read({"LIUHEN_METRICS_TOKEN": "a-token-of-the-monitor"}, data_dir=tmp_path / "data", agency="131102")
    with opened(settings) as made:
        with made.transaction() as session:
            person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=made.now())
            person.sign_in(session, login="admin", right=True, token="cookie", address="", now=made.now())
        yield made


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return each figure by its name and the values of its labels, in the order of their names."""
    families = text_string_to_metric_families(text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_a_monitor_reads_by_its_token_a_person_by_signing_in_and_nobody_else(resources):
    with served(create_app(resources)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": "Bearer another"}).status_code == 401
        answer = client.get("/metrics", headers=TOKEN)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert client.get("/api/v1/items", headers=TOKEN).status_code == 403
        assert client.post("/api/v1/uploads", headers={**TOKEN, "Tus-Resumable": "1.0.0"}).status_code == 403
        client.cookies.set(COOKIE, "cookie")
        assert client.get("/metrics").status_code == 200


def test_the_oldest_job_that_waits_says_how_long_and_one_that_pauses_does_not(resources):
    now = resources.now()
    with resources.transaction() as session:
        for number, age in enumerate((90, 30, 300)):
            jobs.enqueue(session, kind="canary", payload={"n": number}, now=Instant(now - age * SECOND))
        for _ in range(2):
            running = jobs.claim(session, lane="verify", owner="w", now=now)
        jobs.fail(session, running, error="unavailable", tail="", again=True, now=now)
    with served(create_app(resources)) as url:
        found = samples(httpx.get(f"{url}/metrics", headers=TOKEN, trust_env=False).text)
    states = {state: found["jobs", "verify", state] for state in ("waiting", "paused", "running", "dead")}
    assert states == {"waiting": 1, "paused": 1, "running": 1, "dead": 0}
    assert 300 <= found["jobs_waiting_seconds", "verify"] < 330
    assert found["jobs_waiting_seconds", "quick"] == 0
    assert found["liuhen_database_up",] == 1
    assert found["liuhen_uploads", "", "receiving"] == 0


def test_requests_are_counted_by_a_few_words_whatever_paths_are_thought_up(resources):
    with served(create_app(resources)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        for path in ("/healthz", "/api/v1/items/1", "/api/v1/items/2", "/nowhere/1", "/nowhere/2", "/api/odd/1"):
            client.get(path)
        found = samples(client.get("/metrics", headers=TOKEN).text)
    counted = {labels[1:]: value for labels, value in found.items() if labels[0] == "liuhen_requests_total"}
    assert counted["GET", "probe", "200"] == 1
    assert counted["GET", "api_items", "401"] == 2
    assert sum(value for labels, value in counted.items() if labels[1] in {"pages", "api_other"}) == 3
    assert {labels[1] for labels in counted} == {"probe", "api_items", "pages", "api_other"}


def test_a_database_that_is_away_is_a_figure_and_the_rest_is_told(resources):
    class Away(Resources):
        @contextlib.contextmanager
        def reading(self):
            raise Unavailable(what="database")
            yield

    away = Away(**{field.name: getattr(resources, field.name) for field in dataclasses.fields(resources)})
    found = samples(metrics.Figures(away).text().decode())
    assert found["liuhen_database_up",] == 0
    assert ("jobs_waiting_seconds", "quick") not in found
    assert found["liuhen_spool_bytes",] == 0


def test_uploads_under_way_are_told_for_each_host_so_that_one_can_be_taken_away(resources):
    now = resources.now()
    caller = PersonCaller(1, "admin", "管理员")
    with resources.transaction() as session:
        hosts.claim(session, name="a", nonce="a", now=now)
        hosts.claim(session, name="b", nonce="b", now=now)
        for number, host in enumerate(("a", "a", "")):
            upload.create(
                session,
                upload_id=f"{number:032x}",
                caller=caller,
                length=1,
                metadata={"filename": b"x.mp4"},
                verify=signing.verify,
                now=now,
                expires_at=Instant(now + 60 * SECOND),
                host=host,
            )
    found = samples(metrics.Figures(resources).text().decode())
    under_way = {host: found["liuhen_uploads", host, "receiving"] for host in ("a", "b", "")}
    assert under_way == {"a": 2, "b": 0, "": 1}
    assert found["liuhen_uploads", "b", "arrived"] == 0


def test_a_spool_is_as_large_as_its_uploads_whatever_else_lies_in_it_or_goes_meanwhile(resources, monkeypatch):
    spool = resources.settings.data_dir / "spool"
    stays, goes = spool / ("a" * 32), spool / ("a-" + "b" * 32)
    for path, size in ((spool / ".host", 35), (stays, 10), (goes, 5)):
        path.write_bytes(bytes(size))
    assert samples(metrics.Figures(resources).text().decode())["liuhen_spool_bytes",] == 15

    @contextlib.contextmanager
    def listed(directory, real=os.scandir):
        with real(directory) as entries:
            found = list(entries)
        goes.unlink()
        yield iter(found)

    monkeypatch.setattr(metrics.os, "scandir", listed)
    assert samples(metrics.Figures(resources).text().decode())["liuhen_spool_bytes",] == 10
    monkeypatch.undo()
    stays.unlink()
    assert samples(metrics.Figures(resources).text().decode())["liuhen_spool_bytes",] == 0
