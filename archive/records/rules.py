"""Rules that differ by place: data with a legal basis, versioned, never changed and never removed."""

from __future__ import annotations

from sqlalchemy import UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session

from archive.records.base import Base, Facts, IntKey, When


class Rule(Base):
    """One version of an agency's rule; the highest version of a kind is in force. The database refuses to change or remove one."""

    __tablename__ = "rules"
    __table_args__ = (UniqueConstraint("kind", "version", name="uq_rules_version"),)

    id: Mapped[IntKey]
    kind: Mapped[str]
    version: Mapped[int]
    body: Mapped[Facts]
    basis: Mapped[str]
    made_by: Mapped[str]
    made_at: Mapped[When]


def rule_versions(session: Session, kind: str) -> list[Rule]:
    """Return every version of a rule, the first one first."""
    return list(session.scalars(select(Rule).where(Rule.kind == kind).order_by(Rule.version)))


def rule_in_force(session: Session, kind: str) -> Rule | None:
    """Return the version of a rule that holds, None if nobody ever set one."""
    return session.scalar(select(Rule).where(Rule.kind == kind).order_by(Rule.version.desc()).limit(1))
