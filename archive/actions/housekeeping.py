"""The queue's own upkeep: finished jobs are removed after a while, so that the table holds what is to be done and little else.

Failed jobs stay until somebody has looked at them. What a job did is told by what it made and by custody events, never by its row.
"""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from archive.core.instant import Instant
from archive.records.jobs import Job


def prune(session: Session, *, before: Instant, limit: int) -> int:
    """Remove up to `limit` jobs that were done before then, the oldest first, and return how many; those that failed for good stay."""
    old = select(Job.id).where(Job.state == "done", Job.ended_at < before).order_by(Job.ended_at).limit(limit)
    chosen = list(session.scalars(old.with_for_update(skip_locked=True)))
    session.execute(delete(Job).where(Job.id.in_(chosen)), execution_options={"synchronize_session": False})
    return len(chosen)
