"""The tables' common ground: one metadata, one naming of constraints, and the types of columns.

Instants are integers (microseconds UTC), digests 64 hexadecimal digits checked by the database itself.
"""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

IntKey = Annotated[int, mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)]
Whole = Annotated[int, mapped_column(BigInteger().with_variant(Integer, "sqlite"))]
MaybeWhole = Annotated[int | None, mapped_column(BigInteger().with_variant(Integer, "sqlite"))]
When = Annotated[int, mapped_column(BigInteger)]
MaybeWhen = Annotated[int | None, mapped_column(BigInteger)]
Size = Annotated[int, mapped_column(BigInteger)]
Hex = Annotated[str, mapped_column(String(64))]
Version = Annotated[str, mapped_column(String(1024), default="", server_default="")]
Facts = Annotated[dict[str, Any], mapped_column(JSON)]


class Base(DeclarativeBase):
    """The root of every table."""

    metadata = MetaData(naming_convention=NAMING)
