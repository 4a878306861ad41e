"""What a run came to: one outcome for each file, for people and for scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archive.dock.journal import Entry
    from archive.dock.release import Freed
    from archive.dock.scan import Passed


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    `state` is the journal's, or waiting, changing, unreadable; `sent` says that this run sent it, and `sent_bytes` how much of it (an
    earlier run may have sent the rest); `again` that its bytes were docked before under `number`; `trouble` is None where all is well, and
    `fault` says that another run may get on.
    """

    path: str
    size: int
    state: str
    sha256: str | None = None
    number: str | None = None
    sent: bool = False
    sent_bytes: int = 0
    again: bool = False
    same_bytes_as: str | None = None
    trouble: str | None = None
    fault: bool = False


def of_entry(entry: Entry) -> Outcome:
    """Return the outcome that a journal's row tells."""
    return Outcome(
        path=entry.shown,
        size=entry.size,
        state=entry.state.value,
        sha256=entry.sha256.hex,
        number=entry.number,
        again=entry.again,
        same_bytes_as=entry.same_bytes_as,
        trouble=None if entry.state.done else entry.trouble,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """What became of everything; `unverified` counts acknowledged files whose receipt did not come in time, `gone` pulled carriers."""

    station: str
    outcomes: tuple[Outcome, ...]
    passed: tuple[Passed, ...]
    unverified: int
    flawed_receipts: tuple[str, ...]
    ended_by: str | None
    refused: bool
    stopped: bool
    releases: tuple[Freed, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 done, 1 refused or flawed, 3 a fault after which another run goes on."""
        flaws = any(row.trouble and not row.fault for row in self.outcomes) or any(row.is_flaw for row in self.passed)
        if flaws or self.flawed_receipts or self.refused or any(row.flaw for row in self.releases):
            return 1
        faults = self.ended_by or self.stopped or self.unverified or any(row.trouble for row in self.outcomes)
        faults = faults or any(row.fault for row in self.releases) or any(row.is_early for row in self.passed)
        return 3 if faults else 0

    def facts(self) -> dict[str, object]:
        """Return the report for a script."""
        return {
            "station": self.station,
            "files": [asdict(row) for row in self.outcomes],
            "passed_over": [asdict(row) for row in self.passed],
            "sent": sum(row.sent for row in self.outcomes),
            "sent_bytes": sum(row.sent_bytes for row in self.outcomes),
            "unverified": self.unverified,
            "flawed_receipts": list(self.flawed_receipts),
            "releases": [asdict(row) for row in self.releases],
            "released": sum(row.state == "released" for row in self.releases),
            "carriers_gone": list(self.gone),
            "ended_by": self.ended_by,
            "stopped": self.stopped,
            "exit_code": self.exit_code,
        }
