"""Cases and what is bound to them. A binding that ends is kept with its end."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from archive.records.base import Base, IntKey, MaybeWhen, When
from archive.records.items import Item


class Case(Base):
    """A case under its number; `matter` is its 案由, empty where nobody gave one."""

    __tablename__ = "cases"

    id: Mapped[IntKey]
    number: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    subject: Mapped[str]
    matter: Mapped[str] = mapped_column(default="", server_default="")
    opened_at: Mapped[When]
    opened_by_id: Mapped[int] = mapped_column(ForeignKey("people.id"))


class Binding(Base):
    """An item bound to a case and a stage; `at` is the time on the paper, where a person gave one."""

    __tablename__ = "bindings"
    __table_args__ = (
        CheckConstraint("stage IN ('opening', 'investigation', 'review', 'decision', 'service', 'enforcement')", name="stage"),
    )

    id: Mapped[IntKey]
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)
    stage: Mapped[str]
    at: Mapped[MaybeWhen]
    bound_at: Mapped[When]
    bound_by_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    unbound_at: Mapped[MaybeWhen]
    unbound_by_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))

    item: Mapped[Item] = relationship(lazy="raise")
    case: Mapped[Case] = relationship(lazy="raise")
