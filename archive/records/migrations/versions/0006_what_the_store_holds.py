"""Uploads of which the store may hold something are found without a look at those that were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

HELD = "multipart IS NOT NULL"
UPLOADS = sa.table(
    "uploads",
    sa.column("state", sa.String()),
    sa.column("direct", sa.Boolean()),
    sa.column("multipart", sa.JSON()),
)


def upgrade() -> None:
    """Take the step."""
    over = (UPLOADS.c.direct, UPLOADS.c.state.not_in(("receiving", "arrived")), UPLOADS.c.multipart["id"].as_string().is_(None))
    op.execute(UPLOADS.update().where(*over).values(multipart=sa.null()))
    op.create_index(
        "ix_uploads_held",
        "uploads",
        ["ended_at", "id"],
        unique=False,
        postgresql_where=sa.text(HELD),
        sqlite_where=sa.text(HELD),
    )
