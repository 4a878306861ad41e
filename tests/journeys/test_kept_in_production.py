"""In production: the scheduler has the stores tried, an original gets its second copy, and the status page tells what keeps it."""

from __future__ import annotations

import json
import re
import time

from archive.adapters.s3_client import S3Client
from tests import services
from tests.media_files import media_file
from tests.server import RunningServer, wait_until_verified
from tests.station import Station


def test_the_status_page_shows_the_store_refusing_what_it_must_and_an_original_with_two_copies(tmp_path):
    services.start_all()
    second = services.fresh_buckets()
    client = S3Client(second.endpoint, access_key=second.access_key, secret_key=second.secret_key)
    client.sdk.make_bucket(second.replica, object_lock=True)
    client.close()
    replica = {
        "LIUHEN_REPLICA_ENDPOINT": second.endpoint,
        "LIUHEN_REPLICA_ACCESS_KEY": second.access_key,
        "LIUHEN_REPLICA_SECRET_KEY": second.secret_key,
        "LIUHEN_REPLICA_BUCKET": second.replica,
    }
    with RunningServer(tmp_path / "data", profile="production", settings=replica) as server:
        with Station(server.base_url, server.enrol_station("dock-1")) as station:
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
