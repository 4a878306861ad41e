"""Originals are read again on a schedule: those first whose last check is longest past."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the step."""
    op.create_index("ix_objects_checked", "objects", ["checked_at", "sha256"], unique=False)
