"""A copy's lock is on record by itself: it was locked when it was made, and not when its original was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the step."""
    op.add_column("replicas", sa.Column("locked_until", sa.BigInteger(), nullable=True))
    op.create_index("ix_replicas_locked", "replicas", ["store", "locked_until", "sha256"], unique=False)
