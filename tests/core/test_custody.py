"""The links between custody events."""

from dataclasses import replace

from archive.core.custody import GENESIS, EventKind, Link, flaws, link
from archive.core.instant import Instant


def chain(length: int) -> list[Link]:
    made: list[Link] = []
    for seq in range(1, length + 1):
        made.append(
            link(
                seq=seq,
                prev=made[-1].hash if made else GENESIS,
                kind=EventKind.STORED,
                at=Instant(seq),
                actor="station:s1",
                subject=f"n-{seq}",
                facts={"size": seq},
            )
        )
    return made


def test_an_event_has_these_bytes_and_this_hash():
    # golden: these bytes must not change silently, or old chains stop verifying
    first = chain(1)[0]
    assert first.body == (
        '{"actor":"station:s1","at":"1970-01-01T00:00:00.000001Z","facts":{"size":1},"kind":"ingestion",'
        f'"prev":"{GENESIS}","seq":1,"subject":"n-1","v":1}}'
    )
    assert first.hash == "39973f715127811436fd28273a76508cd6014ec8bf579896214212b7b93676d4"


def test_an_intact_chain_has_no_flaws():
    assert flaws(chain(5)) == []
    assert flaws([]) == []


def test_a_changed_event_is_found():
    links = chain(4)
    links[1] = replace(links[1], body=links[1].body.replace('"size":2', '"size":9'))
    assert [flaw.seq for flaw in flaws(links)] == [2]


def test_a_changed_event_with_its_hash_made_anew_breaks_the_next_link():
    links = chain(4)
    forged = link(
        seq=2, prev=links[0].hash, kind=EventKind.STORED, at=Instant(2), actor="station:s1", subject="n-2", facts={"size": 9}
    )
    links[1] = forged
    assert [flaw.seq for flaw in flaws(links)] == [3]


def test_a_removed_event_is_found():
    links = chain(4)
    del links[1]
    assert {flaw.seq for flaw in flaws(links)} == {3}


def test_two_events_that_changed_places_are_found():
    links = chain(4)
    links[1], links[2] = links[2], links[1]
    assert flaws(links)
