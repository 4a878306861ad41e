"""Cases in their first form: open one, bind items to it and to a stage, and read its timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from archive.actions import custody
from archive.actions.item import number_meant
from archive.actions.run import run_of, runs_of
from archive.core.access import PersonCaller
from archive.core.accession import Kind
from archive.core.cases import Stage, comparable, required_text
from archive.core.custody import EventKind
from archive.core.errors import AlreadyBound, CaseExists, NotFound
from archive.core.instant import Instant
from archive.core.runs import JOIN_GAP, Join, Run
from archive.core.timeline import Span, Stretch, position, rows, stretches
from archive.records import locks
from archive.records.cases import Binding, Case
from archive.records.items import Item, item_by_number
from archive.records.people import Person


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case as lists and heads show it."""

    id: int
    number: str
    title: str
    subject: str
    matter: str
    opened_at: Instant
    opened_by: str
    items: int


@dataclass(frozen=True, slots=True)
class Bound:
    """An item within a case: where it stands and what it is."""

    binding_id: int
    stage: Stage
    at: Instant | None
    number: str
    kind: Kind
    name: str
    recorder: str | None
    officer: str | None
    started_at: Instant | None
    duration_us: int | None
    clock_verified: bool
    condition: str
    verified_at: Instant | None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something drawn on the timeline; `left` and `right` are permyriads of the axis, `row` counts within its lane."""

    bound: Bound
    span: Span
    left: int
    right: int
    row: int


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a bar; `place` is its place in the whole run, from 1, `bound` whether it is bound to the case."""

    number: str
    span: Span
    place: int
    bound: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A run as a case draws it: from its first bound file to its last, with what lies between, bound or not.

    `joins` are what lies between parts; `files` is how many files the run has, `missing` how many of them are not bound to the case.
    """

    bound: Bound
    parts: Sequence[Part]
    joins: Sequence[Join]
    files: int
    missing: int
    span: Span
    left: int
    right: int
    row: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane: a recorder's recordings, or the documents and photos.

    `marks` are its items and `rows` how many rows they need; `bars` and `bar_rows` are the same for the runs of recordings.
    """

    recorder: str | None
    officer: str | None
    marks: Sequence[Mark]
    rows: int
    bars: Sequence[Bar] = ()
    bar_rows: int = 0


@dataclass(frozen=True, slots=True)
class StageBar:
    """From the first to the last thing on record of a stage."""

    stage: Stage
    span: Span
    left: int
    right: int
    row: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """A case's timeline; `undated` is what has no time to stand at."""

    case: CaseView
    axis: Sequence[Stretch]
    stages: Sequence[StageBar]
    recorders: Sequence[Lane]
    documents: Lane
    undated: Sequence[Bound]
    bound: Sequence[Bound]


def open_case(
    session: Session, *, number: str, title: str, subject: str, matter: str = "", by: PersonCaller, now: Instant
) -> int:
    """Open a case and return its id; `matter` is its 案由, empty where nobody gives one.

    Raises:
        Malformed: number, title or subject is empty, or any of them longer than 200 characters, or holds control characters.
        CaseExists: the number is taken, perhaps in another spelling; the refusal names the number that stands.
    """
    clean = required_text("case_number", number)
    locks.hold(session, locks.Noun.CASES)
    standing = _same_number(session, clean)
    if standing is not None:
        raise CaseExists(number=standing[1])
    case = Case(
        number=clean,
        title=required_text("case_title", title),
        subject=required_text("case_subject", subject),
        matter=required_text("case_matter", matter) if matter.strip() else "",
        opened_at=now,
        opened_by_id=by.id,
    )
    session.add(case)
    session.flush()
    custody.record(
        session, kind=EventKind.CASE_OPENED, at=now, actor=by.actor, subject=clean, case_id=case.id, facts={"case": clean}
    )
    return case.id


def bind(session: Session, *, case_id: int, number: str, stage: Stage, at: Instant | None, by: PersonCaller, now: Instant) -> int:
    """Bind an item to a case and a stage and return the binding's id; `at` is the time written on the paper, where there is one.

    The number may lack its agency, as pages show it, where that names one item.

    Raises:
        NotFound: no such case or item.
        AlreadyBound: it is bound to this case and stage.
    """
    case = _case(session, case_id, held=True)
    item = item_by_number(session, number_meant(session, number.strip()))
    if item is None:
        raise NotFound(what="item", number=number[:64])
    standing = select(Binding.id).where(
        Binding.case_id == case.id, Binding.item_id == item.id, Binding.stage == stage.value, Binding.unbound_at.is_(None)
    )
    if session.scalar(standing) is not None:
        raise AlreadyBound(number=number, stage=stage.value)
    bound = Binding(case_id=case.id, item_id=item.id, stage=stage.value, at=at, bound_at=now, bound_by_id=by.id)
    session.add(bound)
    session.flush()
    custody.record(
        session,
        kind=EventKind.BOUND,
        at=now,
        actor=by.actor,
        subject=item.number,
        item_id=item.id,
        case_id=case.id,
        facts={"case": case.number, "number": item.number, "stage": stage.value},
    )
    return bound.id


def bind_run(
    session: Session, *, case_id: int, number: str, stage: Stage, join_gap: int, by: PersonCaller, now: Instant
) -> list[str]:
    """Bind every file of an item's run that is not bound to the case, to this stage, and return their numbers.

    A file of which another accession of the same bytes is bound counts as bound.

    Raises:
        NotFound: no such case or item.
    """
    _case(session, case_id, held=True)
    standing = set(
        session.scalars(
            select(Item.number)
            .join(Binding, Binding.item_id == Item.id)
            .where(Binding.case_id == case_id, Binding.unbound_at.is_(None))
        )
    )
    members = run_of(session, number, join_gap=join_gap).run.members
    missing = [member.recording.number for member in members if standing.isdisjoint(member.numbers)]
    for each in missing:
        bind(session, case_id=case_id, number=each, stage=stage, at=None, by=by, now=now)
    return missing


def unbind(session: Session, *, case_id: int, binding_id: int, by: PersonCaller, now: Instant) -> None:
    """End a binding; that it was is kept.

    Raises:
        NotFound: no such binding stands in this case.
    """
    bound = None if locks.row(session, Case, case_id) is None else session.get(Binding, binding_id, populate_existing=True)
    if bound is None or bound.case_id != case_id or bound.unbound_at is not None:
        raise NotFound(what="binding", id=binding_id)
    bound.unbound_at, bound.unbound_by_id = now, by.id
    case, item = session.get(Case, bound.case_id), session.get(Item, bound.item_id)
    assert case is not None
    assert item is not None
    custody.record(
        session,
        kind=EventKind.UNBOUND,
        at=now,
        actor=by.actor,
        subject=item.number,
        item_id=item.id,
        case_id=case.id,
        facts={"case": case.number, "number": item.number, "stage": bound.stage},
    )


def cases(session: Session, *, q: str | None = None, before: int | None = None, limit: int = 50) -> list[CaseView]:
    """Return cases, newest first, those with an id below `before`; `q` is looked for in number, title and subject."""
    query = select(Case, Person.name).join(Person, Person.id == Case.opened_by_id).order_by(Case.id.desc()).limit(limit)
    if q:
        query = query.where(or_(*(column.icontains(q, autoescape=True) for column in (Case.number, Case.title, Case.subject))))
    if before is not None:
        query = query.where(Case.id < before)
    return [_view(session, case, opened_by) for case, opened_by in session.execute(query)]


def count(session: Session, *, q: str | None = None) -> int:
    """Return how many cases there are, of those in which `q` is found."""
    query = select(func.count()).select_from(Case)
    if q:
        query = query.where(or_(*(column.icontains(q, autoescape=True) for column in (Case.number, Case.title, Case.subject))))
    return session.scalar(query) or 0


def find(session: Session, case_id: int) -> CaseView:
    """Return a case.

    Raises:
        NotFound: there is none.
    """
    case = _case(session, case_id)
    person = session.get(Person, case.opened_by_id)
    return _view(session, case, person.name if person else "")


def by_number(session: Session, number: str) -> int:
    """Return the id of the case of this number, however its spaces, widths and brackets are typed.

    Raises:
        NotFound: there is none.
    """
    found = _same_number(session, number.strip())
    if found is None:
        raise NotFound(what="case", number=number[:64])
    return found[0]


def timeline(session: Session, case_id: int, *, join_gap: int = JOIN_GAP) -> Timeline:
    """Return a case's timeline: recordings at their wall-clock span, as runs too, documents at the time on the paper.

    A recording whose clock is not verified stands at what its recorder's clock said, and says so. `join_gap` is the longest pause joined
    over, in microseconds.

    Raises:
        NotFound: there is no such case.
    """
    view = find(session, case_id)
    bound = _bound(session, case_id)
    placed = [(each, span) for each in bound if (span := _span(each)) is not None]
    axis = stretches(span for _each, span in placed)
    films = [(each, span) for each, span in placed if each.kind in (Kind.RECORDING, Kind.AUDIO)]
    papers = [(each, span) for each, span in placed if each.kind not in (Kind.RECORDING, Kind.AUDIO)]
    names = sorted({(each.recorder, each.officer) for each, _span in films}, key=lambda pair: (pair[0] or "", pair[1] or ""))
    found = runs_of(session, [each.number for each, _span in films if each.at is None], join_gap=join_gap)
    lanes = [
        _with_bars(
            _lane(name, officer, [f for f in films if (f[0].recorder, f[0].officer) == (name, officer)], axis), found, films, axis
        )
        for name, officer in names
    ]
    return Timeline(
        case=view,
        axis=axis,
        stages=_stage_bars(placed, axis),
        recorders=lanes,
        documents=_lane(None, None, papers, axis),
        undated=[each for each in bound if _span(each) is None],
        bound=bound,
    )


def _lane(recorder: str | None, officer: str | None, placed: list[tuple[Bound, Span]], axis: list[Stretch]) -> Lane:
    chosen = rows([span for _each, span in placed])
    marks = [
        Mark(each, span, position(axis, span.start), position(axis, span.end), row)
        for (each, span), row in zip(placed, chosen, strict=True)
    ]
    return Lane(recorder, officer, marks, max(chosen, default=0) + 1)


def _with_bars(lane: Lane, found: list[Run], films: list[tuple[Bound, Span]], axis: list[Stretch]) -> Lane:
    everywhere = {each.number for each, _span in films}
    own = {mark.bound.number: mark for mark in reversed(lane.marks)}
    drawn: list[Bar] = []
    placed: set[str] = set()
    for run in found:
        parts = _parts(run, {number: mark for number, mark in own.items() if mark.bound.at is None}, everywhere)
        if parts:
            placed.update(part.number for part in parts)
            drawn.append(_bar(run, parts, own, everywhere))
    for number, mark in own.items():
        if number not in placed and mark.bound.at is not None:
            drawn.append(Bar(mark.bound, [Part(number, mark.span, 1, bound=True)], [], 1, 0, mark.span, 0, 0, 0))
    drawn.sort(key=lambda bar: bar.span)
    chosen = rows([bar.span for bar in drawn])
    bars = [
        replace(bar, left=position(axis, bar.span.start), right=position(axis, bar.span.end), row=row)
        for bar, row in zip(drawn, chosen, strict=True)
    ]
    return replace(lane, bars=bars, bar_rows=max(chosen, default=0) + 1)


def _parts(run: Run, own: dict[str, Mark], everywhere: set[str]) -> list[Part]:
    """Return the run's files from the first that this lane has to the last; none if it has none."""
    parts: list[Part] = []
    for place, member in enumerate(run.members, 1):
        mine = next((number for number in member.numbers if number in own), None)
        number = mine or member.recording.number
        span = own[mine].span if mine is not None else member.recording.span
        if span is not None:
            parts.append(Part(number, span, place, bound=not everywhere.isdisjoint(member.numbers)))
    held = [index for index, part in enumerate(parts) if part.number in own]
    return parts[held[0] : held[-1] + 1] if held else []


def _bar(run: Run, parts: list[Part], own: dict[str, Mark], everywhere: set[str]) -> Bar:
    missing = sum(everywhere.isdisjoint(member.numbers) for member in run.members)
    joins = run.joins[parts[0].place - 1 : parts[-1].place - 1]
    span = Span(parts[0].span.start, parts[-1].span.end)
    return Bar(own[parts[0].number].bound, parts, joins, len(run.members), missing, span, 0, 0, 0)


def _stage_bars(placed: list[tuple[Bound, Span]], axis: list[Stretch]) -> list[StageBar]:
    spans: list[tuple[Stage, Span]] = []
    for stage in Stage:
        own = [span for each, span in placed if each.stage is stage]
        if own:
            spans.append((stage, Span(min(s.start for s in own), max(s.end for s in own))))
    chosen = rows([span for _stage, span in spans])
    return [
        StageBar(stage, span, position(axis, span.start), position(axis, span.end), row)
        for (stage, span), row in zip(spans, chosen, strict=True)
    ]


def _span(each: Bound) -> Span | None:
    start = each.at if each.at is not None else each.started_at
    if start is None:
        return None
    return Span(start, Instant(start + (each.duration_us or 0)))


def _bound(session: Session, case_id: int) -> list[Bound]:
    found = session.execute(
        select(Binding, Item)
        .join(Item, Item.id == Binding.item_id)
        .where(Binding.case_id == case_id, Binding.unbound_at.is_(None))
        .order_by(func.coalesce(Binding.at, Item.started_at, Item.stored_at), Binding.id)
    )
    return [
        Bound(
            binding_id=bound.id,
            stage=Stage(bound.stage),
            at=None if bound.at is None else Instant(bound.at),
            number=item.number,
            kind=Kind(item.kind),
            name=item.name,
            recorder=item.recorder,
            officer=item.officer,
            started_at=None if item.started_at is None else Instant(item.started_at),
            duration_us=item.duration_us,
            clock_verified=item.clock_offset_us is not None,
            condition=item.condition,
            verified_at=None if item.verified_at is None else Instant(item.verified_at),
        )
        for bound, item in found
    ]


def _same_number(session: Session, number: str) -> tuple[int, str] | None:
    """Return the id and number of the case of this number: the one spelled so, else the oldest that `comparable` says is the same.

    The table keeps numbers as they were typed only, so the second look reads every case's id and number, and nothing else of it.
    """
    exact = session.execute(select(Case.id, Case.number).where(Case.number == number)).first()
    if exact is not None:
        return exact[0], exact[1]
    wanted = comparable(number)
    every = session.execute(select(Case.id, Case.number).order_by(Case.id))
    return next(((case_id, found) for case_id, found in every if comparable(found) == wanted), None)


def _case(session: Session, case_id: int, *, held: bool = False) -> Case:
    case = locks.row(session, Case, case_id) if held else session.get(Case, case_id)
    if case is None:
        raise NotFound(what="case", id=case_id)
    return case


def _view(session: Session, case: Case, opened_by: str) -> CaseView:
    bound = select(func.count(Binding.item_id.distinct())).where(Binding.case_id == case.id, Binding.unbound_at.is_(None))
    items = session.scalar(bound) or 0
    return CaseView(case.id, case.number, case.title, case.subject, case.matter, Instant(case.opened_at), opened_by, items)
