"""Broken forms of every container, through everything that looks at a file: sniffing, our own parsers, the jailed tools, the plan.

Whatever the bytes: no exception that nobody foresaw, no run past its limit, no finding that pages have no words for. The same forms on
every run; `make soak` makes more of them. One that fails is written to the file that the failure names; once understood, it comes to stay
under `tests/vectors/media/`, which are run every time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archive.actions.technical import CONDITIONS
from archive.core import sidecar
from archive.core.digest import Digest
from archive.core.errors import ToolFailed
from archive.core.media import boxes, capture_time, media_plan, packets, rebuild, remake, telemetry, tracks, transport
from archive.core.media.sniff import HEAD_SIZE, TAIL_SIZE, sniff
from archive.web.pages import words
from tests.corpus.inputs import input_file
from tests.fuzz.mutations import SEEDS, mutated
from tests.media_files import Workshop, workshop
from workers import media as media_jobs
from workers.bench import Bench

VECTORS = Path(__file__).parent.parent / "vectors" / "media"
PARSED, PROBED = 120, 2  # broken forms of each seed in make test
SOAK = 25  # times as many in make soak
PARSE_SECONDS, PROBE_SECONDS = 5, 60


def parse(data: bytes) -> None:
    """Everything of ours that reads bytes without a tool."""
    head, tail = data[:HEAD_SIZE], data[-TAIL_SIZE:]
    sniffed = sniff(head, tail)
    reads = 0

    def read_at(offset: int, count: int) -> bytes:
        nonlocal reads
        reads += 1
        assert offset >= 0
        assert 0 <= count <= 2**31, "asked for more than there can be"
        assert reads < 1_000_000, "read for ever"
        return data[offset : offset + count]

    capture_time.head_created(data[: capture_time.HEAD_SIZE])
    telemetry.points([telemetry.Packet(0, 1_000_000, data[-5000:])])
    sidecar.read("x.xml", data[:5000])
    outline = boxes.outline(sniffed.container, len(data), read_at)
    plan = media_plan.plan(tracks.facts(None), sniffed)
    assert plan.reason in media_plan.REASONS
    if sniffed.container == "mpegts":
        walk = transport.Walk(transport.stride_of(head))
        walk.feed(data)
        walk.finish()
    if outline is None:
        return
    assert outline.missing >= 0
    if sniffed.container == "mov":
        measured = packets.measured(outline, len(data), read_at)
        assert measured is None or measured.held_us >= 0
        span = boxes.media_span(outline, len(data), read_at)
        if span is not None:
            found = rebuild.walk(likeness(), *span, read_at)
            assert len(remake.head(likeness(), found)) > 0


def likeness() -> rebuild.Likeness:
    """What is learnt from a healthy file of the same recorder."""
    if not _LIKENESS:
        data = input_file("plain.mp4").read_bytes()

        def read_at(offset: int, count: int) -> bytes:
            return data[offset : offset + count]

        outline = boxes.outline("mov", len(data), read_at)
        assert outline is not None
        index = packets.index_of(outline, len(data), read_at)
        assert index is not None
        _LIKENESS.append(rebuild.learn(index, read_at))
    return _LIKENESS[0]


_LIKENESS: list[rebuild.Likeness] = []


def holds(data: bytes, name: str, check: Callable[[bytes], None], limit: float) -> None:
    """Run a check; what fails it is kept in a file that the failure names."""
    started = time.monotonic()
    try:
        check(data)
        taken = time.monotonic() - started
        assert taken < limit, f"took {taken:.0f} s"
    except Exception as error:
        with tempfile.NamedTemporaryFile(prefix="liuhen-fuzz-", suffix=f"-{name}", delete=False) as file:
            file.write(data)
        raise AssertionError(f"{name}: {type(error).__name__}: {error}; the bytes are in {file.name}") from error


@pytest.mark.parametrize("seed", SEEDS)
def test_our_own_parsers_bear_any_bytes(seed: str):
    for number in range(PARSED):
        holds(mutated(seed, number), f"{number}-{seed}", parse, PARSE_SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_our_own_parsers_bear_any_bytes_many_times(seed: str):
    for number in range(PARSED, PARSED * SOAK):
        holds(mutated(seed, number), f"{number}-{seed}", parse, PARSE_SECONDS)


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], None]]:
    """Examine bytes as the worker does, with its tools in the jail; a tool may judge, and must not have to be stopped."""
    folder = tmp_path_factory.mktemp("fuzz")
    with workshop(folder / "data") as shop:
        yield lambda data: _look(shop, folder, data)


def _look(shop: Workshop, folder: Path, data: bytes) -> None:
    source = folder / "source"
    source.write_bytes(data)
    with shop.resources.scratch() as scratch:
        sniffed = sniff(data[:HEAD_SIZE], data[-TAIL_SIZE:])
        view = shop.resources.jail.view(source, scratch)
        bench = Bench(shop.resources, lambda *_: None, Digest.of(data), source, len(data), scratch, sniffed, view)
        broke: ToolFailed | None = None
        try:
            _, plan, findings, *_ = media_jobs._examined(bench)
        except ToolFailed as failed:
            broke = failed
    if broke is not None:
        assert media_jobs._crashed(broke), broke.facts
        return
    assert plan.reason in media_plan.REASONS
    assert all(finding["code"] in words.FINDING for finding in findings), findings
    assert media_jobs._condition(plan, findings) in CONDITIONS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_tools_bear_any_bytes_and_so_does_what_judges_their_words(looked: Callable[[bytes], None], seed: str):
    for number in range(PROBED):
        holds(mutated(seed, number), f"{number}-{seed}", looked, PROBE_SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_tools_bear_any_bytes_many_times(looked: Callable[[bytes], None], seed: str):
    for number in range(PROBED, PROBED * SOAK * 2):
        holds(mutated(seed, number), f"{number}-{seed}", looked, PROBE_SECONDS)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*")), ids=lambda path: path.name)
def test_what_once_broke_something_is_borne(looked: Callable[[bytes], None], path: Path):
    holds(path.read_bytes(), path.name, parse, PARSE_SECONDS)
    holds(path.read_bytes(), path.name, looked, PROBE_SECONDS)
