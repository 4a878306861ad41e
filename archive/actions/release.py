"""Freeing a recorder: leave to remove one file from its carrier, and what the station then did.

A station asks with the manifest that it signed for the very file, so that the archive knows which carrier and name are meant: the same
bytes may lie on two carriers under one item. Invariants: leave is given only while the last read-back found the bytes intact and the
carrier rule has nothing against it; each file's removal is one custody event, however often a station that was cut off tells of it;
whatever keeps a file on its carrier is an event too, once for each reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from archive.actions import custody, rule
from archive.core import release as rules
from archive.core.access import StationCaller
from archive.core.canonical import Json
from archive.core.custody import EventKind
from archive.core.errors import Malformed, ManifestWrong, NotFound, NotVerified, ReleaseBarred, TooEarly
from archive.core.instant import Instant, iso
from archive.core.manifest import Manifest, decode, signing_bytes
from archive.core.note import Verify
from archive.core.release import Bar, Bound, Reason
from archive.records import locks
from archive.records.cases import Binding, Case
from archive.records.items import Item, StoredObject, item_by_number
from archive.records.papers import Paper, PaperPage
from archive.records.releases import Release, release_of
from archive.records.stations import Station


@dataclass(frozen=True, slots=True)
class Signed:
    """A file as a station signed it: the manifest's bytes and the signature over them."""

    manifest: bytes
    signature: bytes

    @property
    def file(self) -> str:
        """The name of this file in the table of releases."""
        return hashlib.sha256(self.manifest).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a file: granted, done or kept, with the reason; `refusal` is what to tell a station that may not."""

    state: str
    reason: str | None
    refusal: ReleaseBarred | None = None


def ask(session: Session, *, number: str, signed: Signed, caller: StationCaller, verify: Verify, now: Instant) -> Standing:
    """Give a station leave to remove this file from its carrier, or record why it stays; asking again asks anew.

    The refusal in the answer is raised by the caller once the transaction has committed, so that its event stands.

    Raises:
        NotFound: there is no such item, or it is another station's.
        ManifestWrong: the manifest is not this station's, not for these bytes, or its signature does not hold.
        TooEarly: the rule asks for the examination's finding, which is not there yet.
        NotVerified: the bytes were not found intact the last time they were read.
    """
    item, manifest = _item(session, number, signed, caller=caller, verify=verify)
    stored = session.get(StoredObject, item.sha256)
    assert stored is not None
    if not rules.intact(verdict=stored.verdict, verified=item.verified_at is not None):
        raise NotVerified(number=number, verdict=stored.verdict or "unchecked")
    row = release_of(session, item.id, signed.file)
    holds = rule.carrier(session)
    barred = rules.bars(
        holds.rule,
        key_mark=item.key_mark or manifest.key_mark,
        damaged=item.condition == "damaged",
        cases=_cases(session, item),
        docked_at=Instant(item.stored_at),
        now=now,
    )
    if barred:
        reason = "; ".join(each.reason.value if each.case is None else f"{each.reason.value} {each.case}" for each in barred)
        facts: dict[str, Json] = {"rule": holds.version, "bars": [_told(bar) for bar in barred]}
        _keep(session, row, item, manifest, signed, caller=caller, reason=reason, facts=facts, now=now)
        return Standing("kept", reason, _refusal(number, barred))
    if holds.rule.damaged and item.condition == "unchecked":
        raise TooEarly(number=number, reason="unexamined")
    if row is None:
        row = Release(item_id=item.id, file=signed.file, station_id=caller.id, state="granted", asked_at=now)
        session.add(row)
    elif row.state != "done":  # a file that was removed and is there again is removed again; its event stands already
        row.state, row.asked_at, row.ended_at, row.reason = "granted", now, None, None
    session.flush()
    return Standing("granted", None)


def report(
    session: Session,
    *,
    number: str,
    signed: Signed,
    kept: str | None,
    caller: StationCaller,
    verify: Verify,
    now: Instant,
) -> Standing:
    """Record what a station did: it removed the file, or kept it for the reason in `kept`; telling it again changes nothing.

    A file that is gone though no leave was given is recorded as that.

    Raises:
        NotFound: there is no such item, or it is another station's.
        ManifestWrong: the manifest is not this station's, not for these bytes, or its signature does not hold.
        Malformed: no station keeps a file for such a reason.
    """
    if kept is not None and kept not in rules.STATION_SAYS:
        raise Malformed(what="reason", value=kept[:40])
    item, manifest = _item(session, number, signed, caller=caller, verify=verify)
    row = release_of(session, item.id, signed.file)
    if row is not None and row.state == "done":
        return Standing("done", None)
    if kept is None and row is not None and row.state == "granted":
        row.state, row.ended_at = "done", now
        facts = {**_facts(item, manifest), "rule": rule.carrier(session).version}
        _record(session, EventKind.RELEASED, item, facts, caller=caller, now=now)
        return Standing("done", None)
    reason = kept or Reason.GONE.value
    _keep(session, row, item, manifest, signed, caller=caller, reason=reason, facts={"reason": reason}, now=now)
    return Standing("kept", reason)


def _item(session: Session, number: str, signed: Signed, *, caller: StationCaller, verify: Verify) -> tuple[Item, Manifest]:
    item = item_by_number(session, number)
    if item is None or item.station_id != caller.id:
        raise NotFound(what="item", number=number[:64])
    manifest = decode(signed.manifest)
    if manifest.station != caller.name or manifest.sha256.hex != item.sha256:
        raise ManifestWrong(reason="describes_another_file", station=caller.name)
    if not verify(caller.public_key, signed.signature, signing_bytes(signed.manifest)):
        raise ManifestWrong(reason="signature", station=caller.name)
    locks.row(session, Item, item.id)  # a station that was cut off asks again while its first question is still being answered
    return item, manifest


def _cases(session: Session, item: Item) -> list[Bound]:
    """Return the cases that the item is bound to, and those of a document that it is a page of; a title stands in for a missing matter."""
    papers = select(Paper.item_id).join(PaperPage, PaperPage.paper_id == Paper.id).where(PaperPage.item_id == item.id)
    rows = session.execute(
        select(Case.id, Case.number, Case.matter, Case.title)
        .join(Binding, Binding.case_id == Case.id)
        .where(Binding.unbound_at.is_(None), or_(Binding.item_id == item.id, Binding.item_id.in_(papers)))
        .order_by(Case.id)
        .distinct()
    )
    return [Bound(number, matter or title) for _id, number, matter, title in rows]


def _keep(
    session: Session,
    row: Release | None,
    item: Item,
    manifest: Manifest,
    signed: Signed,
    *,
    caller: StationCaller,
    reason: str,
    facts: dict[str, Json],
    now: Instant,
) -> None:
    if row is not None and (row.state == "done" or (row.state, row.reason) == ("kept", reason)):
        return
    if row is None:
        row = Release(item_id=item.id, file=signed.file, station_id=caller.id, asked_at=now)
        session.add(row)
    row.state, row.reason, row.ended_at = "kept", reason, now
    session.flush()
    _record(session, EventKind.RELEASE_BARRED, item, {**_facts(item, manifest), **facts}, caller=caller, now=now)


def _record(
    session: Session, kind: EventKind, item: Item, facts: dict[str, Json], *, caller: StationCaller, now: Instant
) -> None:
    custody.record(session, kind=kind, at=now, actor=caller.actor, subject=item.number, item_id=item.id, facts=facts)


def _facts(item: Item, manifest: Manifest) -> dict[str, Json]:
    return {
        "number": item.number,
        "carrier": manifest.carrier.label,
        "carrier_identity": manifest.carrier.identity,
        "name": manifest.name,
        "sha256": item.sha256,
        "verified_at": None if item.verified_at is None else iso(Instant(item.verified_at)),
    }


def _told(bar: Bar) -> dict[str, Json]:
    return {"reason": bar.reason.value, "case": bar.case, "until": None if bar.until is None else iso(bar.until)}


def _refusal(number: str, barred: Sequence[Bar]) -> ReleaseBarred:
    first = barred[0]
    facts: dict[str, str | int] = {"number": number, "reason": ", ".join(dict.fromkeys(bar.reason.value for bar in barred))}
    cases = [bar.case for bar in barred if bar.case is not None]
    if cases:
        facts["case"] = ", ".join(cases)
    if first.until is not None:
        facts["until"] = iso(first.until)
    return ReleaseBarred(**facts)


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that a station was to remove and that is still on its carrier: the item, its name, why, and since when."""

    number: str
    name: str
    station: str
    reason: str
    since: Instant


def kept(session: Session, *, limit: int) -> list[Kept]:
    """Return what still lies on carriers though a station asked to remove it, the newest first."""
    rows = session.execute(
        select(Item.number, Item.name, Station.name, Release.reason, Release.ended_at)
        .join(Item, Item.id == Release.item_id)
        .join(Station, Station.id == Release.station_id)
        .where(Release.state == "kept", Release.reason != Reason.GONE.value)
        .order_by(Release.ended_at.desc(), Release.id.desc())
        .limit(limit)
    )
    return [Kept(number, name, station, reason or "", Instant(since or 0)) for number, name, station, reason, since in rows]
