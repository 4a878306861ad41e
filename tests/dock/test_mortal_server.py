"""Claims about a dock whose archive dies under it: a server that is killed, or dies of itself, and is started again."""

import pytest

from tests.dock.test_dock import MIB, Station, card, ended, fresh, items, put, until
from tests.server import RunningServer

__all__ = ["card"]  # a fixture


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive that dies again and again, and in which everything is in order when all is over."""
    with RunningServer(tmp_path_factory.mktemp("mortal") / "data") as running:
        yield running
        running.run("fsck", "--deep")


@pytest.fixture(scope="module")
def enrolled(archive):
    return archive.enrol_station("dock-1")


@pytest.fixture
def mortal(archive, enrolled, tmp_path):
    """A station enrolled with it."""
    return Station(archive, enrolled, tmp_path / "journal")


def test_a_dock_outlives_its_server(mortal, card):
    data = [fresh(2 * MIB) for _ in range(2)]
    for number, each in enumerate(data):
        put(card, f"{number}.bin", each)
    with mortal.start(card, "--limit", "1Mi", "--patience", "90") as process:
        until(lambda: len([row for row in mortal.files() if row.upload_url]) == 2)
        mortal.server.kill()
        mortal.server.start()
        code, _, words = ended(process)
    assert code == 0, words
    with mortal.server.sign_in() as reader:
        assert [len(items(reader, each)) for each in data] == [1, 1]


@pytest.mark.parametrize(("failpoint", "size"), [("accession.committed", 5 * MIB), ("small.committed", MIB)])
def test_a_server_that_dies_in_the_accession_acknowledges_once(mortal, card, failpoint, size):
    data = fresh(size)
    put(card, "a.bin", data)
    mortal.server.stop()
    mortal.server.settings |= {"LIUHEN_FAILPOINT": failpoint, "LIUHEN_WORKER": "0"}
    try:
        mortal.server.start()
    finally:
        del mortal.server.settings["LIUHEN_FAILPOINT"], mortal.server.settings["LIUHEN_WORKER"]
    with mortal.start(card, "--patience", "90") as process:
        assert mortal.server.ended(wait_s=60), "the failpoint was not passed"
        mortal.server.kill()
        mortal.server.start()
        code, _, words = ended(process)
    assert code == 0, words
    with mortal.server.sign_in() as reader:
        assert len(items(reader, data)) == 1
