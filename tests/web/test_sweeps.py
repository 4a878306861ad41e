"""The sweeps of a web process go on, whatever one of them comes upon."""

import asyncio
import contextlib
from types import SimpleNamespace

from starlette.datastructures import State

from archive.resources import opened
from archive.settings import Settings
from archive.web import app as app_module


def test_a_sweep_that_breaks_off_for_whatever_reason_runs_again(tmp_path, monkeypatch):
    seen = []

    def broken(_resources, *, now):
        seen.append(now)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(app_module.intake, "sweep", broken)
    monkeypatch.setattr(app_module.straight, "sweep", broken)
    monkeypatch.setattr(app_module, "SWEEP_SECONDS", 0.01)

    async def some():
        task = asyncio.create_task(app_module._sweep(SimpleNamespace(state=State()), resources))
        await asyncio.wait([task], timeout=0.5)  # it does not end by itself
        assert not task.done()
        assert len(seen) >= 4
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with opened(Settings(data_dir=tmp_path, agency="131102")) as resources:
        asyncio.run(some())
