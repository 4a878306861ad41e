"""A player is sent the ends of the next file before it plays it. Whoever says «ahead» and watches all the same is logged as watching.

Without the bound on what `?ahead` is given, its requests could fetch a whole original and leave no replay in the ledger; without a log of
their own, the ends of every original could be had unseen.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.requests import Request

from archive.actions import person
from archive.adapters import signing
from archive.core.instant import SECOND
from archive.resources import opened
from archive.settings import Settings
from archive.web.api import ranges
from archive.web.api.ranges import AHEAD, AHEAD_US, CAP
from archive.web.app import create_app
from tests.serving import served
from tests.web.pages_world import PASSWORD, Intake, World

SIZE = 2 * AHEAD + 3 * CAP
FILM = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomavc1" + bytes(SIZE - 24)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("ahead") / "data"
    folder.mkdir()
    with opened(Settings(data_dir=folder, agency="131102", worker=False)) as resources:
        with resources.transaction() as session:
            password = signing.hash_password(PASSWORD)
            person.bootstrap(session, login="admin", name="王敏", password_hash=password, now=resources.now())
        built = World(resources)
        intake = Intake(resources)
        for count in range(6):
            built.numbers[str(count)] = intake.take(FILM + bytes([count]), f"{count}.MP4")
        with served(create_app(resources)) as url:
            built.url = url
            yield built


def fetched(archive: World, name: str, *spans: tuple[int, int], query: str = "?ahead=1", method: str = "GET") -> list[str]:
    """Ask for ranges of a file and return what was logged of it."""
    number = archive.numbers[name]
    with archive.client() as client:
        for start, stop in spans:
            answer = client.request(
                method, f"/api/v1/items/{number}/original{query}", headers={"Range": f"bytes={start}-{stop - 1}"}
            )
            assert answer.status_code == httpx.codes.PARTIAL_CONTENT
            assert len(answer.content) <= CAP
        events = client.get(f"/api/v1/items/{number}/events").json()
    return [event["facts"]["what"] for event in events if event["kind"] == "viewing"]


def test_the_ends_of_a_file_are_logged_as_sent_ahead_and_no_replay(archive: World) -> None:
    assert fetched(archive, "0", (0, CAP), (AHEAD - CAP, AHEAD), (SIZE + 1 - AHEAD, SIZE + 1)) == ["ahead"]


@pytest.mark.parametrize("start", [AHEAD - CAP + 1, AHEAD, SIZE + 1 - AHEAD - 1])
def test_what_lies_between_is_a_replay_whatever_the_request_says(archive: World, start: int) -> None:
    name = {AHEAD - CAP + 1: "1", AHEAD: "2"}.get(start, "3")
    assert fetched(archive, name, (start, start + CAP)) == ["replay"]


def test_asking_without_a_range_or_for_all_of_it_gets_the_beginning_alone(archive: World) -> None:
    assert fetched(archive, "4", (0, SIZE)) == ["ahead"]


def test_a_player_that_shows_what_came_ahead_is_logged_by_its_word_and_nothing_is_said_ahead_of_what_is_watched(
    archive: World,
) -> None:
    assert fetched(archive, "5", (0, CAP)) == ["ahead"]
    with archive.client() as client:
        client.head(f"/api/v1/items/{archive.numbers['5']}/original")
    assert fetched(archive, "5", (0, CAP), (AHEAD, AHEAD + CAP)) == ["ahead", "replay"]


def test_five_seconds_of_a_file_of_a_high_rate_are_ahead_and_a_minute_is_not() -> None:
    minute, size = 60 * SECOND, 180_000_000
    five = size * AHEAD_US // minute

    def said_to_be_ahead(start: int, stop: int) -> bool:
        scope = {"type": "http", "query_string": b"ahead=1", "headers": [(b"range", f"bytes={start}-{stop - 1}".encode())]}
        return ranges.ahead(Request(scope), size=size, etag="x", duration_us=minute)

    assert said_to_be_ahead(five - CAP, five)
    assert said_to_be_ahead(size - five, size)
    assert not said_to_be_ahead(five - CAP + 1, five + 1)
    assert not said_to_be_ahead(size - five - 1, size)
