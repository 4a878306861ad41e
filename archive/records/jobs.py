"""The job table, which is the queue: written in the action's own transaction, so that work is promised exactly when facts are."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from archive.records.base import Base, Facts, IntKey, MaybeWhen, When


class Job(Base):
    """One promised piece of work.

    waiting → running → done, or back to waiting after a failure until the attempts are spent, then dead. The lease says until when
    the claim holds; `attempt` fences: a worker that lost its lease cannot finish. Housekeeping has no item.

    `agency` and `source` (a station, a person, the archive) are whose turn it is; `turn` is the job's place in the round of its lane.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'dead')", name="state"),
        CheckConstraint("lane IN ('quick', 'media', 'heavy', 'verify')", name="lane"),
        Index("ix_jobs_due", "lane", "state", "priority", "run_after", "id"),
        Index("ix_jobs_turn", "lane", "state", "priority", "agency", "turn", "id"),
        Index("ix_jobs_source", "lane", "source", "state", "priority", "turn"),
    )

    id: Mapped[IntKey]
    kind: Mapped[str]
    lane: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"), index=True)
    sha256: Mapped[str | None]
    agency: Mapped[str] = mapped_column(default="", server_default="")
    source: Mapped[str] = mapped_column(default="archive", server_default="archive")
    turn: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    payload: Mapped[Facts]
    priority: Mapped[int]
    state: Mapped[str] = mapped_column(default="waiting")
    run_after: Mapped[When]
    lease_owner: Mapped[str | None]
    lease_until: Mapped[MaybeWhen]
    attempt: Mapped[int] = mapped_column(default=0)
    permille: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(default="")
    error: Mapped[str | None]
    error_tail: Mapped[str | None]
    created_at: Mapped[When]
    started_at: Mapped[MaybeWhen]
    ended_at: Mapped[MaybeWhen]


class LaneTurn(Base):
    """When an agency was last served in a lane."""

    __tablename__ = "lane_turns"

    lane: Mapped[str] = mapped_column(primary_key=True)
    agency: Mapped[str] = mapped_column(primary_key=True)
    served_at: Mapped[When]


def jobs_of(session: Session, item_id: int) -> list[Job]:
    """Return the jobs of an item in the order they were promised."""
    return list(session.scalars(select(Job).where(Job.item_id == item_id).order_by(Job.id)))
