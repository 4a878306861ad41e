"""Who may do what: the one place.

Four callers exist so far: nobody, a station, a signed-in person, a monitor that reads figures. What each may do is this table; roles and
grants come to stand beside it. A caller is told `sign_in_required` when signing in would help and `not_allowed` when it would not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from archive.core.errors import NotAllowed, SignInRequired


class Act(StrEnum):
    """Something that a route lets a caller do."""

    PUBLIC = "public"
    STATION_PROVE = "station.prove"
    UPLOAD_CREATE = "upload.create"
    UPLOAD_TOUCH = "upload.touch"
    UPLOAD_LIST = "upload.list"
    RECEIPT_READ = "receipt.read"
    ITEM_LIST = "item.list"
    ITEM_READ = "item.read"
    ITEM_REPLAY = "item.replay"
    ITEM_DOWNLOAD = "item.download"
    CASE_READ = "case.read"
    CASE_WRITE = "case.write"
    JOB_READ = "job.read"
    JOB_RERUN = "job.rerun"
    STATUS_READ = "status.read"
    RELEASE = "release"
    RULE_READ = "rule.read"
    RULE_WRITE = "rule.write"
    METRICS_READ = "metrics.read"


@dataclass(frozen=True, slots=True)
class Nobody:
    """A caller who has not said who they are."""

    @property
    def actor(self) -> str:
        """The name in logs and custody events."""
        return "nobody"


@dataclass(frozen=True, slots=True)
class StationCaller:
    """A docking station, by its upload token."""

    id: int
    name: str
    public_key: bytes

    @property
    def actor(self) -> str:
        """The name in logs and custody events."""
        return f"station:{self.name}"


@dataclass(frozen=True, slots=True)
class PersonCaller:
    """A signed-in person."""

    id: int
    login: str
    name: str

    @property
    def actor(self) -> str:
        """The name in logs and custody events."""
        return f"person:{self.login}"


@dataclass(frozen=True, slots=True)
class MonitorCaller:
    """A program that watches over the archive, by the token of the settings; it reads figures and nothing else."""

    @property
    def actor(self) -> str:
        """The name in logs and custody events."""
        return "monitor"


Caller = Nobody | StationCaller | PersonCaller | MonitorCaller

_ANYBODY = frozenset({Act.PUBLIC, Act.STATION_PROVE})
_STATION = _ANYBODY | {Act.UPLOAD_CREATE, Act.UPLOAD_TOUCH, Act.RECEIPT_READ, Act.RELEASE}
_MONITOR = _ANYBODY | {Act.METRICS_READ}
_PERSON = frozenset(Act) - {Act.RELEASE}


def allowed(caller: Caller, act: Act) -> bool:
    """Say whether the caller may do this."""
    if isinstance(caller, PersonCaller):
        return act in _PERSON
    if isinstance(caller, StationCaller):
        return act in _STATION
    if isinstance(caller, MonitorCaller):
        return act in _MONITOR
    return act in _ANYBODY


def require(caller: Caller, act: Act) -> None:
    """Pass, or refuse.

    Raises:
        SignInRequired: nobody is signed in, and somebody may.
        NotAllowed: this caller may not.
    """
    if allowed(caller, act):
        return
    if isinstance(caller, Nobody):
        raise SignInRequired(act=act.value)
    raise NotAllowed(act=act.value)
