"""Claims about a dock whose archive dies under it: a server of one's own for each test, killed and started again."""

import pytest

from tests.dock.test_dock import MIB, Station, card, ended, fresh, items, put, until
from tests.server import RunningServer

__all__ = ["card"]  # a fixture


@pytest.fixture
def mortal(tmp_path):
    """A server of one's own, to be killed, and a station enrolled with it."""
    with RunningServer(tmp_path / "mortal") as running:
        yield Station(running, running.enrol_station("dock-1"), tmp_path / "journal")


def test_a_dock_outlives_its_server(mortal, card):
    data = [fresh(2 * MIB) for _ in range(2)]
    for number, each in enumerate(data):
        put(card, f"{number}.bin", each)
    with mortal.start(card, "--limit", "512Ki", "--patience", "90") as process:
        until(lambda: len([row for row in mortal.files() if row.upload_url]) == 2)
        mortal.server.kill()
        mortal.server.start()
        code, _, words = ended(process)
    assert code == 0, words
    with mortal.server.sign_in() as reader:
        assert [len(items(reader, each)) for each in data] == [1, 1]
    mortal.server.run("fsck", "--deep")


@pytest.mark.parametrize(("failpoint", "size"), [("accession.committed", 5 * MIB), ("small.committed", MIB)])
def test_a_server_that_dies_in_the_accession_acknowledges_once(mortal, card, failpoint, size):
    data = fresh(size)
    put(card, "a.bin", data)
    mortal.server.stop()
    mortal.server.settings["LIUHEN_FAILPOINT"] = failpoint
    mortal.server.start()
    del mortal.server.settings["LIUHEN_FAILPOINT"]
    with mortal.start(card, "--patience", "90") as process:
        assert mortal.server.ended(wait_s=60), "the failpoint was not passed"
        mortal.server.kill()
        mortal.server.start()
        code, _, words = ended(process)
    assert code == 0, words
    with mortal.server.sign_in() as reader:
        assert len(items(reader, data)) == 1
