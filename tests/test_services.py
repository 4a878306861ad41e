"""Claims about the servers that tests run on: they are real, everybody's are apart, and a fault done to one is undone."""

import io
import secrets
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from kombu import Connection, Queue
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.error import S3Error
from minio.retention import Retention

from infra.services import Daemon, environment, patiently
from infra.services.postgres import Postgres
from tests import services


def _rows(url, statement):
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def test_each_database_is_migrated_durable_and_nobody_else_s(postgres_url):
    with services.fresh_database() as other:
        with psycopg.connect(other) as connection:
            connection.execute("CREATE TABLE mine (a int)")
        assert _rows(other, "SELECT to_regclass('items') IS NOT NULL, to_regclass('mine') IS NOT NULL") == [(True, True)]
    assert _rows(postgres_url, "SELECT to_regclass('items') IS NOT NULL, to_regclass('mine') IS NULL") == [(True, True)]
    shown = [
        _rows(postgres_url, f"SHOW {name}")[0][0]
        for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
    ]
    assert shown == ["on"] * 4
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(other)


def test_each_virtual_host_has_queues_of_its_own(rabbit_url):
    other = services.fresh_vhost()
    with Connection(rabbit_url) as here, Connection(other) as there:
        queue = Queue("quick")
        queue(here.channel()).declare()
        with pytest.raises(there.channel_errors, match="NOT_FOUND"):
            queue(there.channel()).queue_declare(passive=True)


def test_the_object_store_enforces_its_locks(s3):
    address = s3.endpoint.removeprefix("http://")
    client = Minio(address, access_key=s3.access_key, secret_key=s3.secret_key, secure=False)
    client.make_bucket(s3.originals, object_lock=True)
    until = datetime.now(UTC) + timedelta(days=1)
    put = client.put_object(s3.originals, "a", io.BytesIO(b"x"), 1, retention=Retention(COMPLIANCE, until))
    with pytest.raises(S3Error, match="AccessDenied"):
        client.remove_object(s3.originals, "a", version_id=put.version_id)
    client._http.clear()


def test_a_server_that_is_killed_comes_back_on_its_port_with_what_was_committed():
    place = services.directory() / f"own-{secrets.token_hex(4)}"
    server = Postgres(place)
    try:
        server.start()
        server.execute("CREATE TABLE kept (a int)")
        server.kill()
        assert not server.answers()
        Postgres(place).start()
        assert _rows(server.url(), "SELECT count(*) FROM kept") == [(0,)]
    finally:
        server.stop()
    assert server.daemon.pid() is None


def test_a_recorded_number_that_went_to_another_process_is_left_alone(tmp_path):
    sleeper = Daemon(tmp_path, "sleeper")
    sleeper.spawn(["sleep", "60"], environ=environment(tmp_path))
    try:
        number, born = (tmp_path / "sleeper.pid").read_text().split()
        other = Daemon(tmp_path, "other")
        (tmp_path / "other.pid").write_text(f"{number} {int(born) + 1}\n")
        other.kill()
        other.stop()
        assert sleeper.pid() == int(number)
    finally:
        sleeper.stop()
    assert patiently(lambda: sleeper.pid() is None, within_s=5)
