"""What a trial of a store means: whether it keeps what is written once, as Object Lock promises.

The trial itself (`archive.adapters.s3_probe`) does to objects of its own everything that must be refused and says what came of it; here
that is judged. A refusal counts only beside its control: an account that may delete nothing at all is refused too, and shows nothing of a
lock. So the same account first deletes a version that is not locked.

What a store must do, for originals to be safe from whoever holds its keys, is *needed*: if it does not, that is alarming. What is merely
*good to know* (a wrong checksum is taken, a create-only put overwrites) is a limitation that nothing here relies on: every byte is read
back and hashed, and every read names its version.

Not guaranteed: anything about whoever holds the disks. A lock is kept by the store's own program; the bytes under it are files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from archive.core.canonical import Json
from archive.core.instant import DAY, HOUR, SECOND, Instant

DIRECTORY: Final = "directory"
S3: Final = "s3"

LOCK: Final = DAY
"""How long the objects of a trial are locked: the shortest that some stores take, and what a trial leaves behind is gone a day later."""
CLOCK_OFF: Final = 30 * SECOND
"""A store that this far disagrees about the time is told; a date header has whole seconds and the answer took some."""
CLOCK_WRONG: Final = HOUR
"""By this much a lock would end too early or be refused: stores go by their own clock."""
MICROSECONDS: Final = 6
"""Digits of a second's fraction that ISO 8601 readers take; some stores write nine."""

OVERDUE: Final = 26 * HOUR
"""A daily trial that is older than this did not take place."""
LONG_OVERDUE: Final = 3 * DAY


class Trial(StrEnum):
    """What is tried."""

    VERSIONING = "versioning"
    BUCKET_LOCK = "bucket_lock"
    LOCKED_PUT = "locked_put"
    LOCKED_MULTIPART = "locked_multipart"
    DELETE_VERSION = "delete_version"
    DELETE_BYPASS = "delete_bypass"
    DELETE_BATCH = "delete_batch"
    SHORTEN = "shorten"
    SHORTEN_BYPASS = "shorten_bypass"
    WEAKEN = "weaken"
    EXTEND = "extend"
    OVERWRITE = "overwrite"
    MARKER = "marker"
    HOLD = "hold"
    HOLD_LIFTED = "hold_lifted"
    CLOCK = "clock"
    CHECKSUM = "checksum"
    CONTENT_MD5 = "content_md5"
    CREATE_ONLY = "create_only"
    DATES = "dates"


KNOWN: Final = frozenset(
    {Trial.LOCKED_MULTIPART, Trial.CHECKSUM, Trial.CONTENT_MD5, Trial.CREATE_ONLY, Trial.DATES, Trial.HOLD_LIFTED}
)
"""What is good to know and relied on nowhere (what was sent in parts is locked by a request of its own, and its lock read back); every
other trial is needed."""

_DELETIONS: Final = (Trial.DELETE_VERSION, Trial.DELETE_BYPASS, Trial.DELETE_BATCH)
_SHORTENINGS: Final = (Trial.SHORTEN, Trial.SHORTEN_BYPASS, Trial.WEAKEN)


class Outcome(StrEnum):
    """What a trial showed of the store."""

    ENFORCED = "enforced"
    NOT_ENFORCED = "not_enforced"
    UNKNOWN = "unknown"


class Standing(StrEnum):
    """What all trials of a store together come to."""

    HOLDS = "holds"
    UNPROVED = "unproved"
    """Nothing that is needed failed, and something of it was not shown."""
    BROKEN = "broken"
    NOTHING = "nothing"
    """A directory: it enforces nothing and was never said to."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one trial showed, and whether somebody must see to it."""

    trial: Trial
    outcome: Outcome
    alarming: bool


def judge(facts: Mapping[str, Json]) -> tuple[Judgement, ...]:
    """Return what each trial showed, in the order of `Trial`; what the facts do not tell of is unknown.

    `facts` has `kind`, `versioning` and `object_lock` as the store words them, `clock_us` (its clock less ours), `fraction_digits` of its
    dates, and under `steps` for each thing done the `status` it answered, and whether the locked version `survived` unchanged, or until
    when (`until`, microseconds) and how (`mode`) it was locked afterwards.
    """
    steps = _mapping(facts.get("steps"))
    outcomes: dict[Trial, Outcome] = {
        Trial.VERSIONING: _said(facts.get("versioning"), "Enabled"),
        Trial.BUCKET_LOCK: _said(facts.get("object_lock"), "Enabled"),
        Trial.LOCKED_PUT: _locked(_mapping(steps.get("locked_put"))),
        Trial.LOCKED_MULTIPART: _locked(_mapping(steps.get("locked_multipart"))),
        Trial.EXTEND: _extended(_mapping(steps.get("extend"))),
        Trial.OVERWRITE: _kept(_mapping(steps.get("overwrite"))),
        Trial.MARKER: _kept(_mapping(steps.get("marker"))),
        Trial.HOLD_LIFTED: _gone(_mapping(steps.get("hold_lifted"))),
        Trial.CLOCK: _clock(facts.get("clock_us"), CLOCK_OFF),
        Trial.CHECKSUM: _turned_away(_mapping(steps.get("checksum"))),
        Trial.CONTENT_MD5: _turned_away(_mapping(steps.get("content_md5"))),
        Trial.CREATE_ONLY: _turned_away(_mapping(steps.get("create_only"))),
        Trial.DATES: _digits(facts.get("fraction_digits")),
    }
    may_delete = _gone(_mapping(steps.get("control"))) is Outcome.ENFORCED
    for trial in _DELETIONS:
        outcomes[trial] = _undeleted(_mapping(steps.get(trial.value)), may=may_delete)
    outcomes[Trial.HOLD] = _undeleted(_mapping(steps.get("hold")), may=outcomes[Trial.HOLD_LIFTED] is Outcome.ENFORCED)
    for trial in _SHORTENINGS:
        outcomes[trial] = _unshortened(
            _mapping(steps.get(trial.value)), may=outcomes[Trial.EXTEND] is Outcome.ENFORCED, weaken=trial is Trial.WEAKEN
        )
    return tuple(Judgement(trial, outcomes[trial], _alarming(trial, outcomes[trial], facts)) for trial in Trial)


def standing(facts: Mapping[str, Json]) -> Standing:
    """Return what a store's facts come to."""
    if facts.get("kind") == DIRECTORY:
        return Standing.NOTHING
    judged = judge(facts)
    if any(each.alarming for each in judged):
        return Standing.BROKEN
    if any(each.outcome is Outcome.UNKNOWN and each.trial not in KNOWN for each in judged):
        return Standing.UNPROVED
    return Standing.HOLDS


def outcomes(judged: Sequence[Judgement]) -> dict[str, Json]:
    """Return what each trial showed as JSON, so that two trials can be compared and a change be told."""
    return {each.trial.value: each.outcome.value for each in judged}


def overdue(last: Instant | None, *, now: Instant) -> bool:
    """Say whether a store's last trial is too long ago to speak for it."""
    return last is None or now - last > OVERDUE


def _alarming(trial: Trial, outcome: Outcome, facts: Mapping[str, Json]) -> bool:
    if facts.get("kind") == DIRECTORY or outcome is not Outcome.NOT_ENFORCED or trial in KNOWN:
        return False
    return trial is not Trial.CLOCK or _clock(facts.get("clock_us"), CLOCK_WRONG) is Outcome.NOT_ENFORCED


def _said(value: Json, wanted: str) -> Outcome:
    if not isinstance(value, str):
        return Outcome.UNKNOWN
    return Outcome.ENFORCED if value == wanted else Outcome.NOT_ENFORCED


def _locked(step: Mapping[str, Json]) -> Outcome:
    """A put that brings its lock is locked by it, in the mode that nobody can lift, and at least as long as was asked."""
    until, asked = step.get("until"), step.get("asked")
    if "status" not in step:
        return Outcome.UNKNOWN
    held = step.get("mode") == "COMPLIANCE" and isinstance(until, int) and isinstance(asked, int) and until >= asked - SECOND
    return Outcome.ENFORCED if _taken(step) and held else Outcome.NOT_ENFORCED


def _extended(step: Mapping[str, Json]) -> Outcome:
    until, asked = step.get("until"), step.get("asked")
    if not isinstance(until, int) or not isinstance(asked, int):
        return Outcome.UNKNOWN
    return Outcome.ENFORCED if _taken(step) and until >= asked - SECOND else Outcome.NOT_ENFORCED


def _kept(step: Mapping[str, Json]) -> Outcome:
    """What is allowed (a newer version, a marker) leaves the locked version as it was; whoever may not even do that shows nothing."""
    if step.get("survived") is False:
        return Outcome.NOT_ENFORCED
    return Outcome.ENFORCED if step.get("survived") is True and _taken(step) else Outcome.UNKNOWN


def _gone(step: Mapping[str, Json]) -> Outcome:
    """What is not locked can be deleted: the control, without which a refusal shows nothing."""
    if step.get("survived") is True:
        return Outcome.NOT_ENFORCED
    return Outcome.ENFORCED if step.get("survived") is False else Outcome.UNKNOWN


def _undeleted(step: Mapping[str, Json], *, may: bool) -> Outcome:
    """A locked version outlived the deletion, which was refused; a store that says it deleted may yet do so."""
    if step.get("survived") is False or (step.get("survived") is True and _taken(step)):
        return Outcome.NOT_ENFORCED
    return Outcome.ENFORCED if step.get("survived") is True and may else Outcome.UNKNOWN


def _unshortened(step: Mapping[str, Json], *, may: bool, weaken: bool) -> Outcome:
    """The lock is as long, and as strict, as before; whatever the store answered."""
    until, before = step.get("until"), step.get("before")
    if not isinstance(until, int) or not isinstance(before, int):
        return Outcome.UNKNOWN
    if until < before or (weaken and step.get("mode") != "COMPLIANCE"):
        return Outcome.NOT_ENFORCED
    return Outcome.ENFORCED if may else Outcome.UNKNOWN


def _turned_away(step: Mapping[str, Json]) -> Outcome:
    """A put that contradicts itself is refused for that, and not for want of rights."""
    status = step.get("status")
    if not isinstance(status, int) or status in (401, 403):
        return Outcome.UNKNOWN
    return Outcome.NOT_ENFORCED if _taken(step) else Outcome.ENFORCED


def _clock(value: Json, bound: int) -> Outcome:
    if not isinstance(value, int):
        return Outcome.UNKNOWN
    return Outcome.ENFORCED if abs(value) <= bound else Outcome.NOT_ENFORCED


def _digits(value: Json) -> Outcome:
    if not isinstance(value, int):
        return Outcome.UNKNOWN
    return Outcome.ENFORCED if value <= MICROSECONDS else Outcome.NOT_ENFORCED


def _taken(step: Mapping[str, Json]) -> bool:
    status = step.get("status")
    return isinstance(status, int) and 200 <= status < 300  # noqa: PLR2004 - HTTP's own numbers


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
