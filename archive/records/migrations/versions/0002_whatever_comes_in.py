"""Whatever comes in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


CHECKS = {
    "state": "state IN ('receiving', 'stored', 'joined', 'refused', 'terminated', 'expired')",
    "concat": "concat IN ('partial', 'final')",
}
"""The checks of uploads that are new, or other than they were; SQLite keeps the rest when it makes the table anew."""

GUARDS = (
    "CREATE TRIGGER rules_no_update BEFORE UPDATE ON rules BEGIN SELECT RAISE(ABORT, 'rules are never changed'); END;",
    "CREATE TRIGGER rules_no_delete BEFORE DELETE ON rules BEGIN SELECT RAISE(ABORT, 'rules are never removed'); END;",
)


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "rules",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules")),
        sa.UniqueConstraint("kind", "version", name="uq_rules_version"),
    )
    op.create_table(
        "papers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("intent", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.CheckConstraint("(station_id IS NULL) <> (person_id IS NULL)", name=op.f("ck_papers_one_source")),
        sa.CheckConstraint("pages >= 1", name=op.f("ck_papers_pages")),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_papers_item_id")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_papers_person_id")),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name=op.f("fk_papers_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_papers")),
        sa.UniqueConstraint("item_id", name=op.f("uq_papers_item_id")),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("file", sa.String(length=64), nullable=False),
        sa.Column("station_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('granted', 'done', 'kept')", name=op.f("ck_releases_state")),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_releases_item_id")),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name=op.f("fk_releases_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("item_id", "file", name="uq_releases_file"),
    )
    op.create_table(
        "paper_pages",
        sa.Column("paper_id", sa.String(length=32), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_paper_pages_item_id")),
        sa.ForeignKeyConstraint(["paper_id"], ["papers.id"], name=op.f("fk_paper_pages_paper_id")),
        sa.PrimaryKeyConstraint("paper_id", "page", name=op.f("pk_paper_pages")),
    )
    with op.batch_alter_table("paper_pages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_paper_pages_item_id"), ["item_id"], unique=False)

    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("matter", sa.String(), server_default="", nullable=False))

    with op.batch_alter_table("items", schema=None) as batch_op:
        batch_op.add_column(sa.Column("room", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("key_mark", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("belongs_to", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("clock_offset_from", sa.String(), nullable=True))
        batch_op.alter_column("upload_id", existing_type=sa.String(length=64), nullable=True)
        batch_op.create_index("ix_items_recorder_started", ["recorder", "started_at"], unique=False)

    with op.batch_alter_table("objects", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sm3", sa.String(length=64), nullable=True))

    with op.batch_alter_table("stations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sm3", sa.Boolean(), server_default=sa.false(), nullable=False))

    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("concat", sa.String(length=8), nullable=True))
        batch_op.add_column(sa.Column("parts", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("intent", sa.JSON(), nullable=True))
        batch_op.alter_column("length", existing_type=sa.BigInteger(), nullable=True)
        batch_op.drop_constraint(op.f("ck_uploads_state"), type_="check")
        for name, check in CHECKS.items():
            batch_op.create_check_constraint(op.f(f"ck_uploads_{name}"), check)
    # An offset that was known before stations could measure one had been given.
    op.execute("UPDATE items SET clock_offset_from = 'given' WHERE clock_offset_us IS NOT NULL")
    for guard in GUARDS if op.get_bind().dialect.name == "sqlite" else ():
        op.execute(guard)
