"""Web hosts: each holds, in its own spool, the bytes of the uploads that began there."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from archive.records.base import Base, When


class Host(Base):
    """One web host, by the name with which the ids of its uploads begin; `nonce` is that of the spool it was last seen with."""

    __tablename__ = "hosts"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    nonce: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[When]
    seen_at: Mapped[When]
