"""`liuhen work` and `liuhen beat`: who does the work, and who sees to it that it is not forgotten."""

from __future__ import annotations

from pathlib import Path

import click

from archive.commands.common import DATA, log_plainly, settings_of
from archive.core.jobs import LANES
from archive.resources import opened


def _lanes(_context: click.Context, _option: click.Parameter, given: str | None) -> tuple[str, ...]:
    if given is None:
        return LANES
    asked = tuple(dict.fromkeys(lane.strip() for lane in given.split(",")))
    if odd := [lane for lane in asked if lane not in LANES]:
        raise click.BadParameter(f"{', '.join(odd) or 'nothing'}: lanes are {', '.join(LANES)}")
    return asked


@click.command()
@click.option(
    "--lanes", callback=_lanes, help=f"Lanes to serve, with commas between; all of them if not given: {','.join(LANES)}."
)
@click.option(
    "--threads", type=click.IntRange(1, 64), help="Threads for each lane; quick 2, verify 2, media 1, heavy 1 if not given."
)
@DATA
def work(lanes: tuple[str, ...], threads: int | None, data_dir: Path | None) -> None:
    """Run a worker.

    Production: start as many as there is work for, on any host; SIGTERM ends it within 20 seconds and hands back what it was doing.
    Embedded: `serve` starts one by itself; this one serves all lanes and ends when standard input closes.
    """
    log_plainly()
    settings = settings_of(data_dir=data_dir)
    if not settings.production and (lanes != LANES or threads is not None):
        raise click.UsageError(
            "the embedded worker serves every lane with one thread each; --lanes and --threads are production's"
        )
    with opened(settings, new=False) as resources:
        if settings.production:
            from workers import celery_app  # noqa: PLC0415 - the tools are loaded in the process that needs them

            celery_app.run(resources, lanes=lanes, threads=threads)
        else:
            from workers import embedded  # noqa: PLC0415 - the same

            embedded.run(resources)


@click.command()
@DATA
def beat(data_dir: Path | None) -> None:
    """Promise what is due by the calendar, and ring again for what was not heard; production only.

    Several may run at once, on different hosts; if none does, work is only later.
    """
    log_plainly()
    settings = settings_of(data_dir=data_dir)
    if not settings.production:
        raise click.UsageError("the embedded profile needs no beat: its worker looks after itself")
    with opened(settings, new=False) as resources:
        from workers import beat as beating  # noqa: PLC0415 - the tools are loaded in the process that needs them

        beating.run(resources)
