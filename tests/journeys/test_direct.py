"""A fleet's large file on the production profile: the real dock, straight to the store, and a worker under its own role."""

import json
import secrets

from archive.dock.journal import Journal
from tests.server import RunningServer

MIB = 2**20


def test_a_large_file_goes_straight_to_the_store_and_comes_back_as_a_verified_receipt(tmp_path):
    settings = {"LIUHEN_DIRECT_UPLOADS": "1", "LIUHEN_DIRECT_FROM_BYTES": str(5 * MIB), "LIUHEN_DIRECT_PART_BYTES": str(5 * MIB)}
    card = tmp_path / "card"
    card.mkdir()
    (card / "a.bin").write_bytes(secrets.token_bytes(12 * MIB))
    (card / "b.bin").write_bytes(secrets.token_bytes(MIB))
    with RunningServer(tmp_path / "data", profile="production", settings=settings) as server:
        credential = server.enrol_station("dock-1")
        done = server.dock(credential, card, "--journal", tmp_path / "journal", "--json")
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
