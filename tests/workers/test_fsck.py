"""The judge is judged: each thing that must not be is done to a good archive, and fsck finds it."""

from __future__ import annotations

import json
import shutil

import pytest
from sqlalchemy import text

from archive import resources
from archive.actions import custody, fsck, housekeeping, jobs
from archive.core.digest import Digest, original_key
from archive.core.instant import HOUR, Instant
from tests.media_files import Workshop, media_file, workshop


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """An archive that is well, to be copied, and the number of the photo in it."""
    with workshop(tmp_path_factory.mktemp("good") / "archive") as made:
        made.process(media_file("tone.wav"))
        made.photo = made.process(media_file("photo.jpg"))
        made.process(media_file("tone.wav"))
    return made


@pytest.fixture
def shop(good, tmp_path):
    """A copy of it, for one test to do something to."""
    whole = good.resources.settings
    settings = whole.model_copy(update={"data_dir": shutil.copytree(whole.data_dir, tmp_path / "archive")})
    with resources.opened(settings, new=False) as held:
        made = Workshop(held, good.caller)
        made.photo = good.photo
        yield made


def findings(shop, *, deep: bool = True) -> list[fsck.Finding]:
    seen: list[tuple[str, int, int]] = []
    with shop.resources.reading() as session:
        now = Instant(shop.resources.now() + HOUR)
        found = list(fsck.check(session, shop.resources.store, deep=deep, now=now, progress=lambda *at: seen.append(at)))
    assert seen[-1][1] == seen[-1][2]
    return found


def flaws(shop, **how) -> set[str]:
    return {finding.code for finding in findings(shop, **how) if finding.flaw}


def stored(shop, name: str):
    key = original_key(Digest.of(media_file(name).read_bytes()))
    path = shop.resources.settings.data_dir / "store" / key
    path.chmod(0o644)
    return path


def run(shop, *statements: str) -> None:
    with shop.resources.engine.connect() as connection:
        connection.execute(text("PRAGMA foreign_keys=OFF"))
        connection.commit()
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")
        for statement in statements:
            connection.execute(text(statement))
        connection.commit()


UNGUARD = ("DROP TRIGGER custody_events_no_update", "DROP TRIGGER custody_events_no_delete")


def test_a_good_archive_is_clean(shop):
    assert findings(shop) == []


def test_custody_events_stand_in_the_order_of_their_times(shop):
    with shop.resources.reading() as session:
        times = [json.loads(link.body)["at"] for link in custody.chain(session)]
    assert len(times) > 8
    assert times == sorted(times)


def test_a_missing_original_is_found(shop):
    stored(shop, "photo.jpg").unlink()
    assert flaws(shop, deep=False) == {"bytes_missing"}


def test_a_shorter_original_is_found_without_reading_it(shop):
    with stored(shop, "tone.wav").open("r+b") as file:
        file.truncate(100)
    assert flaws(shop, deep=False) == {"size_differs"}


def test_one_flipped_bit_is_found_by_reading(shop):
    with stored(shop, "tone.wav").open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    assert flaws(shop, deep=False) == set()
    assert flaws(shop) == {"bytes_altered"}


def test_a_rotten_rendition_is_found(shop):
    (_recipe, view), *_ = shop.renditions(shop.photo).items()
    path = shop.resources.settings.data_dir / "store" / view.key
    path.chmod(0o644)
    path.write_bytes(b"x" * view.size)
    assert flaws(shop) == {"bytes_altered"}


def test_a_removed_item_leaves_a_gap_that_custody_explains(shop):
    run(shop, "DELETE FROM items WHERE id=1")
    found = {finding.code: finding for finding in findings(shop) if finding.flaw}
    assert {"number_gap", "upload_without_item"} <= set(found)
    assert "the row was removed" in found["number_gap"].detail


def test_a_number_that_was_never_given_is_told_apart(shop):
    run(shop, "UPDATE serials SET last = last + 1 WHERE letters='LY'")
    (gap,) = [finding for finding in findings(shop) if finding.code == "number_gap"]
    assert gap.detail == "no custody event names it"


def test_a_counter_that_was_set_back_is_found(shop):
    run(shop, "UPDATE serials SET last = last - 1 WHERE letters='LY'")
    assert flaws(shop) == {"number_ahead"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE custody_events SET body = replace(body, 'ingestion', 'ingestioN') WHERE seq = 2",
        "DELETE FROM custody_events WHERE seq = 2",
        "UPDATE custody_events SET hash = substr(hash, 2) || 'x' WHERE seq = 2",
    ],
)
def test_a_custody_event_that_was_tampered_with_is_found(shop, statement):
    run(shop, *UNGUARD, statement)
    assert "custody_chain" in flaws(shop)


def test_an_sm3_that_is_not_that_of_the_bytes_is_found_by_reading(shop):
    run(shop, f"UPDATE objects SET sm3 = '{'a' * 64}'")
    assert flaws(shop, deep=False) == set()
    assert flaws(shop) == {"sm3_differs"}


def test_a_release_without_its_event_and_one_of_bytes_never_verified_are_found(shop):
    run(shop, f"INSERT INTO releases (item_id, file, station_id, state, asked_at) VALUES (1, '{'a' * 64}', 1, 'done', 1)")
    assert flaws(shop, deep=False) == {"release_events"}
    run(shop, "UPDATE items SET verified_at = NULL WHERE id = 1")
    assert flaws(shop, deep=False) == {"release_events", "released_unverified"}


def test_an_item_without_its_ingestion_event_is_found(shop):
    run(shop, *UNGUARD, "UPDATE custody_events SET item_id = NULL WHERE kind = 'ingestion' AND item_id = 1")
    assert flaws(shop) == {"ingestion_events"}


def test_an_item_called_verified_without_a_check_on_record_is_found(shop):
    run(shop, *UNGUARD, "UPDATE custody_events SET item_id = NULL WHERE kind = 'fixity check' AND item_id = 1")
    assert flaws(shop) == {"verified_unproved"}


def test_work_that_was_never_promised_is_found(shop):
    run(
        shop,
        "DELETE FROM jobs WHERE kind = 'read_back' AND item_id = 1",
        "UPDATE items SET verified_at = NULL WHERE id = 1",
        *UNGUARD,
        "UPDATE custody_events SET item_id = NULL WHERE kind = 'fixity check' AND item_id = 1",
    )
    assert flaws(shop) == {"job_missing"}


def test_finished_jobs_that_were_removed_leave_no_flaw(shop):
    with shop.resources.transaction() as session:
        while housekeeping.prune(session, before=Instant(shop.resources.now() + HOUR), limit=3):
            pass
    with shop.resources.reading() as session:
        assert jobs.counts(session)["done"] == 0
    assert findings(shop) == []


def test_an_upload_that_names_another_item_is_found(shop):
    run(shop, "UPDATE uploads SET item_id = 2 WHERE item_id = 1")
    assert flaws(shop) == {"upload_differs"}


def test_what_a_crash_may_leave_is_a_note_and_no_flaw(shop):
    store = shop.resources.settings.data_dir / "store"
    for folder in ("originals/sha256/00/00", "derived/sha256/00/00/0/remux-v1"):
        (store / folder).mkdir(parents=True)
        (store / folder / "left").write_bytes(b"x")
    run(
        shop,
        "UPDATE jobs SET state = 'dead', error = 'tool_failed' WHERE id = 1",
        "UPDATE jobs SET state = 'running', lease_until = 1 WHERE id = 2",
    )
    found = findings(shop)
    assert not any(finding.flaw for finding in found)
    assert sorted(finding.code for finding in found) == ["job_dead", "job_lost", "unreferenced", "unreferenced"]
