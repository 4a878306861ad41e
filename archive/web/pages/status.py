"""How the archive is: what the stores enforce, what confines the tools, how much room there is, what waits, what read-backs found.

Invariant: nothing here is green but a verdict that was reached; what nobody checked is grey, what waits or is less than it could be is
amber, what must be seen to is red.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from archive.actions import fixity, hosts, replica, status, store
from archive.adapters import health
from archive.core.access import Act, Caller
from archive.core.instant import DAY, SECOND, Instant
from archive.resources import tried
from archive.web.identity import allow, resources_of
from archive.web.pages import shapes, stores
from archive.web.pages.language import catalogue, chosen
from archive.web.pages.render import page
from archive.web.pages.words import N_, Say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from archive.adapters.jail import Jail
    from archive.resources import Resources

router = APIRouter()

LATE = 600 * SECOND
"""A job due for longer than this waits for a worker that does not come, or for more work than there are processors."""

JAIL = {
    "bubblewrap": N_(
        "bubblewrap: a tool sees one original, read only, and its own empty folder, and nothing else of this machine."
    ),
    "unshare": N_("Less than the best: a tool has no network, but can read every file that the archive's user can read."),
    "limits": N_("Limits only: a tool can reach the network, and can read every file that the archive's user can read."),
}
KEEPS_OUT = (
    ("network_cut", N_("No network"), N_("Network reachable")),
    ("files_hidden", N_("Other files hidden"), N_("Other files readable")),
    ("limits", N_("Memory, time and file sizes limited"), N_("No limits")),
    ("calls_filtered", N_("Dangerous system calls refused"), N_("System calls not filtered")),
)
LANE = {
    "quick": N_("Examination"),
    "verify": N_("Read-backs"),
    "media": N_("Previews and pages"),
    "heavy": N_("Playable copies and repair"),
}
VERDICT = {
    "intact": ("is-verified", N_("intact")),
    "altered": ("is-flaw", N_("altered")),
    "missing": ("is-flaw", N_("missing")),
    "unreadable": ("is-flaw", N_("unreadable")),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One fact: its name, what it is, how it is coloured, and what to do about it where there is something."""

    name: str
    said: str
    colour: str = ""
    advice: str = ""


@router.get("/status")
def overview(request: Request, caller: Annotated[Caller, Depends(allow(Act.STATUS_READ))]) -> Response:
    """Show how the archive is."""
    resources = resources_of(request)
    say = catalogue(chosen(request)).gettext
    now, tools = resources.now(), health.tools(resources.jail)
    with resources.reading() as session:
        lanes = status.lanes(session, now=now)
        checked, standing = status.read_backs(session), fixity.checks(session)
        settings = resources.settings
        kept = status.stores(session, names=tried(settings), now=now)
        second = replica.counts(session, store=settings.replica_name) if resources.replica is not None else None
        soon = Instant(now + settings.lock_days * DAY // 4)
        return page(
            request,
            caller,
            "status.html",
            session=session,
            jail=_jail(resources.jail, say),
            room=list(_room(resources, say)),
            house=list(_house(resources, session, now, say)),
            hosts=list(_hosts(resources, session, now, say)),
            stores=[stores.card(each, say) for each in kept],
            locks=list(stores.locks(store.locks(session, now=now, soon=soon), say)) if settings.production else [],
            copies=list(stores.copies(second, say)) if settings.production else [],
            tools=tools,
            lanes=[_lane(lane, now, say) for lane in lanes],
            checked=checked,
            standing=standing,
            overdue=_overdue(standing, settings.fixity_days, now),
            verdicts=[
                (*VERDICT.get(verdict, ("is-flaw", N_("unreadable"))), count)
                for verdict, count in sorted(checked.verdicts.items())
            ],
            last=status.LAST,
        )


def _overdue(standing: fixity.Checks, days: int, now: Instant) -> bool:
    """Say whether an original has waited to be read again for a tenth longer than it should, and a day."""
    return days > 0 and standing.oldest is not None and now - standing.oldest > days * DAY * 11 // 10 + DAY


def _jail(jail: Jail, say: Say) -> dict[str, Any]:
    told = jail.describe()
    kept = [(say(good if told.get(key) else bad), "" if told.get(key) else "is-waiting") for key, good, bad in KEEPS_OUT]
    return {
        "said": say(JAIL[jail.kind]),
        "colour": "" if jail.kind == "bubblewrap" else "is-waiting",
        "kept": kept,
        "why": jail.why,
    }


def _room(resources: Resources, say: Say) -> Iterator[Line]:
    settings = resources.settings
    disk = health.disk(settings.data_dir)
    spool = health.size(settings.data_dir / "spool")
    full = disk.free <= settings.free_space_floor
    low = disk.free < disk.total // 10
    advice = say(N_("Uploads are refused until there is room.")) if full else ""
    yield Line(say(N_("Free on the disk")), shapes.size(disk.free), "is-flaw" if full else "is-waiting" if low else "", advice)
    yield Line(say(N_("Size of the disk")), shapes.size(disk.total))
    yield Line(say(N_("Left free by uploads")), shapes.size(settings.free_space_floor))
    yield Line(say(N_("Uploads under way")), shapes.size(spool))


def _hosts(resources: Resources, session: Session, now: Instant, say: Say) -> Iterator[Line]:
    gone = resources.peers.all_gone(at=time.monotonic())
    for host in hosts.every(session):
        ago = max(0, now - host.beat) // SECOND * SECOND
        said = (
            say(N_("heard of %(ago)s ago")) % {"ago": shapes.duration(ago).removesuffix(".000")}
            if ago
            else say(N_("heard of just now"))
        )
        silent = host.name in gone
        yield Line(
            host.name, said, "is-waiting" if silent else "", say(N_("Nothing was heard of it for too long.")) if silent else ""
        )


def _house(resources: Resources, session: Session, now: Instant, say: Say) -> Iterator[Line]:
    settings = resources.settings
    profile = say(N_("production: many hosts")) if settings.production else say(N_("embedded: one machine"))
    yield Line(say(N_("Profile")), profile)
    yield Line(say(N_("Database")), status.database(session))
    yield Line(say(N_("Agency")), f"{settings.agency_name} {settings.agency}".strip())
    yield Line(say(N_("Receipts are signed as")), settings.signer_name)
    yield Line(say(N_("Database schema")), status.schema(session))
    yield Line(say(N_("Clock of the server")), shapes.clock(now, settings.tz))
    yield Line(say(N_("Time zone")), settings.zone)


def _lane(lane: status.Lane, now: Instant, say: Say) -> dict[str, Any]:
    age = None if lane.oldest is None else now - lane.oldest
    late = age is not None and age > LATE
    return {
        "name": say(LANE[lane.name]),
        "waiting": lane.waiting,
        "running": lane.running,
        "dead": lane.dead,
        "oldest": None if age is None else shapes.duration(max(0, age) // SECOND * SECOND).removesuffix(".000"),
        "colour": "is-waiting" if late else "",
    }
