"""The embedded worker ends when it is told to or its parent is gone, at once, however long it would have waited for a ring."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from archive.resources import bell_path, opened
from archive.settings import Settings
from workers import embedded

LONG = 60.0


@pytest.fixture
def handlers_kept():
    """Give the signals back to whom they belonged."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("how", ["told to stop", "its parent is gone"])
def test_a_worker_that_rests_ends_at_once(tmp_path: Path, monkeypatch, handlers_kept, how):
    readable, writable = os.pipe()
    monkeypatch.setattr(embedded, "GLANCE", LONG)

    def end() -> None:
        while not bell_path(resources.settings).exists():
            time.sleep(0.01)
        time.sleep(0.2)  # it rests
        if how == "told to stop":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            os.close(writable)

    with os.fdopen(readable) as stdin, opened(Settings(data_dir=tmp_path, agency="131102")) as resources:
        monkeypatch.setattr(sys, "stdin", stdin)
        ending = threading.Thread(target=end)
        ending.start()
        began = time.monotonic()
        embedded.run(resources)
        assert time.monotonic() - began < LONG / 2
        ending.join()
    if how == "told to stop":
        os.close(writable)
