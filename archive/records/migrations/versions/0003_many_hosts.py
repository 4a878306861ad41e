"""Many hosts: versions in the store, whose turn a job is, web hosts, probes and copies; PostgreSQL's own guards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = "state IN ('receiving', 'arrived', 'stored', 'joined', 'refused', 'terminated', 'expired')"

GUARDED = ("custody_events", "rules")
"""Tables that are only ever added to. SQLite has its triggers from the steps that made them."""

_READY = "state = 'waiting' AND lease_until IS NULL"
JOB_INDEXES = (
    ("ix_jobs_turn", ["lane", "priority", "agency", "turn", "id"], _READY),
    ("ix_jobs_source", ["lane", "priority", "agency", "source", "turn"], _READY),
    ("ix_jobs_oldest", ["lane", "run_after"], _READY),
    ("ix_jobs_until", ["lane", "lease_until"], "lease_until IS NOT NULL"),
    ("ix_jobs_ended", ["ended_at"], "state = 'done'"),
)
"""They hold what their question is about and nothing else, so that neither what is done nor what waits makes a claim dearer."""

FEW = (
    ("ix_objects_flawed", "objects", "sha256", "verdict <> 'intact'"),
    ("ix_items_unverified", "items", "id", "verified_at IS NULL"),
)
"""The few among many that somebody has to look after."""


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "hosts",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hosts")),
    )
    op.create_table(
        "probes",
        sa.Column("id", ID, nullable=False),
        sa.Column("store", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_probes")),
    )
    op.create_index("ix_probes_store", "probes", ["store", "at"], unique=False)
    op.create_table(
        "replicas",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("store", sa.String(length=255), nullable=False),
        sa.Column("version_id", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("copied_at", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.CheckConstraint("verdict IN ('intact', 'altered', 'missing', 'unreadable')", name=op.f("ck_replicas_verdict")),
        sa.ForeignKeyConstraint(["sha256"], ["objects.sha256"], name=op.f("fk_replicas_sha256")),
        sa.PrimaryKeyConstraint("sha256", "store", name=op.f("pk_replicas")),
    )
    op.create_table(
        "lane_turns",
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("agency", sa.String(), nullable=False),
        sa.Column("served_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "agency", name=op.f("pk_lane_turns")),
    )
    for table in ("renditions", "quarantine", "objects"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column("version_id", sa.String(length=1024), server_default="", nullable=False))
    with op.batch_alter_table("objects", schema=None) as batch_op:
        batch_op.add_column(sa.Column("locked_until", sa.BigInteger(), nullable=True))
        batch_op.create_index("ix_objects_locked", ["locked_until", "sha256"], unique=False)
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("agency", sa.String(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("source", sa.String(), server_default="archive", nullable=False))
        batch_op.add_column(sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.alter_column("item_id", existing_type=ID, nullable=True)
        batch_op.alter_column("sha256", existing_type=sa.String(), nullable=True)
        batch_op.drop_index("ix_jobs_due")
        batch_op.create_index(batch_op.f("ix_jobs_sha256"), ["sha256"], unique=False)
        batch_op.create_index("ix_jobs_state", ["state", "id"], unique=False)
    for name, columns, where in JOB_INDEXES:
        op.create_index(name, "jobs", columns, unique=False, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
    for name, table, column, where in FEW:
        op.create_index(name, table, [column], unique=False, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("host", sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column("direct", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("multipart", sa.JSON(), nullable=True))
        batch_op.drop_constraint(op.f("ck_uploads_state"), type_="check")
        batch_op.create_check_constraint(op.f("ck_uploads_state"), STATES)
        batch_op.create_index(batch_op.f("ix_uploads_host"), ["host"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        # Every job is written four times; what that leaves behind is swept up before a claim has to step over it.
        op.execute("ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500)")
        _guard()


def _guard() -> None:
    """Let the database itself refuse to change or remove what is only ever added to."""
    op.execute(
        """
        CREATE FUNCTION liuhen_never() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '% are never changed or removed', TG_TABLE_NAME; END $$
        """
    )
    for table in GUARDED:
        op.execute(
            f"CREATE TRIGGER {table}_never BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION liuhen_never()"
        )
