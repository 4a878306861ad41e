"""`make soak`'s faults: the whole plan of a seed, resumable, written into docs/faults.md when it came to its end.

    python -m tests.soak.run --seed 3

Each finished step is a line of the seed's progress file, beside the archive that it was made on. Killed and started again, a run goes on
with the step that was not finished, on that archive, with the stations' books as they stand. A flaw ends it: what is broken stays to be
looked at, and the next start goes on behind it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.soak import report
from tests.soak.campaign import Campaign, Outcome
from tests.soak.plan import FULL, plan
from tests.soak.stack import running

PATIENCE_S = 400
"""What a recovery may take: a lease, a web host that counts as gone, a job's longest pause after failures in a row."""
PAUSE_S = 1.0


def main() -> int:
    """Run what is left of a seed's plan; 0 done, 1 flawed."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the run's directory is made")
    asked.add_argument("--drawn", type=int, default=FULL.drawn, help="steps beyond one of each kind")
    given = asked.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = given.folder / f"liuhen-soak-{given.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL and RabbitMQ run as others
    steps = plan(given.seed, dataclasses.replace(FULL, drawn=given.drawn))
    progress = Progress(folder / "progress.jsonl")
    done = {outcome.number for outcome in progress.outcomes()}
    left = [step for step in steps if step.number not in done]
    with running(folder / "stack") as (stack, judge):
        campaign = Campaign(stack, judge, seed=given.seed, hurry=False, patience_s=PATIENCE_S, pause_s=PAUSE_S)
        campaign.begin()
        try:
            for step in left:
                print(f"{step.number + 1}/{len(steps)} {step.name}, {step.lasts_s} s …", flush=True)
                outcome = campaign.run(step)
                progress.note(outcome)
                print(f"    first {outcome.first_s} s, jobs {outcome.done_s} s, {outcome.deposits} files", flush=True)
                if outcome.flaws or outcome.first_s is None or outcome.done_s is None:
                    print("\n".join(("    FLAWED", *outcome.flaws)), flush=True)
                    return 1
            flaws = tuple(map(str, campaign.judge_everything()))
        finally:
            campaign.end()
    run = report.Run(given.seed, _now(), _commit(), _machine(), tuple(progress.outcomes()), flaws)
    report.DOCUMENT.write_text(report.written(report.DOCUMENT.read_text("utf-8"), run), "utf-8")
    print(f"written to {report.DOCUMENT}: longest waits {report.worst(run.outcomes)}, {len(flaws)} flaws", flush=True)
    if not flaws:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if flaws else 0


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """The steps of a run that are finished, one JSON line each."""

    path: Path

    def outcomes(self) -> list[Outcome]:
        """Return them in order; a line that was cut off is a step that was not finished."""
        if not self.path.exists():
            return []
        whole = self.path.read_text("utf-8")
        lines = whole[: whole.rfind("\n") + 1].splitlines()
        said = {(made := json.loads(line))["number"]: made for line in lines}
        return [Outcome(**{**each, "flaws": tuple(each["flaws"]), "revived": tuple(each["revived"])}) for each in said.values()]

    def note(self, outcome: Outcome) -> None:
        """Write a finished step down."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(outcome), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _commit() -> str:
    told = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "an unknown commit"


def _machine() -> str:
    return f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"


if __name__ == "__main__":
    sys.exit(main())
