"""In production: the scheduler has the stores tried, an original gets its second copy, and the status page tells what keeps it; a fleet's
large file goes from the real dock straight to the store, and a worker under its own role takes it in.

One archive, from its first original on.
"""

from __future__ import annotations

import json
import re
import secrets
import time

import pytest

from archive.adapters.s3_client import S3Client
from archive.dock.journal import Journal
from tests import services
from tests.media_files import media_file
from tests.server import RunningServer, wait_until_verified
from tests.station import Station

MIB = 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A production archive with a second store, to whose first stations send large files themselves."""
    services.start_all()
    second = services.fresh_buckets()
    client = S3Client(second.endpoint, access_key=second.access_key, secret_key=second.secret_key)
    client.sdk.make_bucket(second.replica, object_lock=True)
    client.close()
    settings = {
        "LIUHEN_REPLICA_ENDPOINT": second.endpoint,
        "LIUHEN_REPLICA_ACCESS_KEY": second.access_key,
        "LIUHEN_REPLICA_SECRET_KEY": second.secret_key,
        "LIUHEN_REPLICA_BUCKET": second.replica,
        "LIUHEN_DIRECT_UPLOADS": "1",
        "LIUHEN_DIRECT_FROM_BYTES": str(5 * MIB),
        "LIUHEN_DIRECT_PART_BYTES": str(5 * MIB),
    }
    with RunningServer(tmp_path_factory.mktemp("production") / "data", profile="production", settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def enrolled(server):
    return server.enrol_station("dock-1")


def test_the_status_page_shows_the_store_refusing_what_it_must_and_an_original_with_two_copies(server, enrolled):
    with Station(server.base_url, enrolled) as station:
        number = station.upload(media_file("photo.png")).number
    with server.sign_in() as client:
        client.cookies.set("liuhen_language", "en")
        wait_until_verified(client, number)

        deadline = time.monotonic() + 120
        while True:
            page = client.get("/status").text.split('id="stores"')[1].split("</section>")[0]
            both = page.count('is-verified">It refused everything that it must refuse.') == 2
            if both and "<dt>Originals with two copies</dt><dd>1</dd>" in page:
                break
            assert time.monotonic() < deadline, re.sub(r"<[^>]*>|\s+", " ", page)
            time.sleep(0.5)
        assert "is-flaw" not in page
        assert "Originals whose lock was not read back yet" not in page
        assert "Two; the second read back" in client.get(f"/items/{number}").text
        assert "PostgreSQL 15" in client.get("/status").text
    tried = [json.loads(line) for line in server.run("store", "probe", "--json").splitlines()]
    assert [(each["standing"], each["alarming"]) for each in tried] == [("holds", [])] * 2
    assert "clean: 1 originals" in server.run("fsck", "--deep")


def test_a_large_file_goes_straight_to_the_store_and_comes_back_as_a_verified_receipt(server, enrolled, tmp_path):
    card = tmp_path / "card"
    card.mkdir()
    (card / "a.bin").write_bytes(secrets.token_bytes(12 * MIB))
    (card / "b.bin").write_bytes(secrets.token_bytes(MIB))
    done = server.dock(enrolled, card, "--journal", tmp_path / "journal", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["state"] for row in json.loads(done.stdout)["files"]] == ["verified"] * 2
    with Journal.reading(tmp_path / "journal") as journal:
        (large,) = [row for row in journal.entries() if row.path == b"a.bin"]
    upload = (large.upload_url or "").rpartition("/")[2]
    assert len(upload) == 32, "an id that names no web host"
    with server.sign_in() as client:
        events = client.get(f"/api/v1/items/{large.number}/events").json()
        assert [event["kind"] for event in events].count("ingestion") == 1
        assert "fixity check" in {event["kind"] for event in events}
