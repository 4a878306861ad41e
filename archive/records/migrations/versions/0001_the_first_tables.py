"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


GUARDS = (
    (
        "CREATE TRIGGER custody_events_no_update BEFORE UPDATE ON custody_events"
        " BEGIN SELECT RAISE(ABORT, 'custody events are never changed'); END;"
    ),
    (
        "CREATE TRIGGER custody_events_no_delete BEFORE DELETE ON custody_events"
        " BEGIN SELECT RAISE(ABORT, 'custody events are never removed'); END;"
    ),
)
"""SQLite itself defends the events against whoever comes through it; PostgreSQL's guards come with the third step, before which it was
not spoken."""

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Whole numbers that pass 32 bits: PostgreSQL's integer has no more, SQLite's has 64."""


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "failed_sign_ins",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_sign_ins")),
    )
    with op.batch_alter_table("failed_sign_ins", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_failed_sign_ins_login"), ["login"], unique=False)

    op.create_table(
        "objects",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("leaves", sa.JSON(), nullable=True),
        sa.CheckConstraint("verdict IN ('intact', 'altered', 'missing', 'unreadable')", name=op.f("ck_objects_verdict")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_objects_sha256")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_objects")),
    )
    op.create_table(
        "people",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sa.UniqueConstraint("login", name=op.f("uq_people_login")),
    )
    op.create_table(
        "serials",
        sa.Column("agency", sa.String(), nullable=False),
        sa.Column("letters", sa.String(length=2), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "letters", "year", name=op.f("pk_serials")),
    )
    op.create_table(
        "stations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stations")),
        sa.UniqueConstraint("name", name=op.f("uq_stations_name")),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_by_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["opened_by_id"], ["people.id"], name=op.f("fk_cases_opened_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("number", name=op.f("uq_cases_number")),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("agency", sa.String(), nullable=False),
        sa.Column("letters", sa.String(length=2), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("upload_id", sa.String(length=64), nullable=False),
        sa.Column("same_bytes_as_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("container", sa.String(), nullable=False),
        sa.Column("station_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("manifest", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("recorder", sa.String(), nullable=True),
        sa.Column("officer", sa.String(), nullable=True),
        sa.Column("sequence", WHOLE, nullable=True),
        sa.Column("carrier", sa.JSON(), nullable=True),
        sa.Column("clock_started_at", sa.BigInteger(), nullable=True),
        sa.Column("clock_offset_us", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("started_from", sa.String(), nullable=True),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column("condition", sa.String(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("technical", sa.JSON(), nullable=False),
        sa.CheckConstraint("condition IN ('unchecked', 'sound', 'damaged', 'unrecognised')", name=op.f("ck_items_condition")),
        sa.CheckConstraint("kind IN ('recording', 'photo', 'audio', 'document')", name=op.f("ck_items_kind")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_items_person_id")),
        sa.ForeignKeyConstraint(["same_bytes_as_id"], ["items.id"], name=op.f("fk_items_same_bytes_as_id")),
        sa.ForeignKeyConstraint(["sha256"], ["objects.sha256"], name=op.f("fk_items_sha256")),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name=op.f("fk_items_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
        sa.UniqueConstraint("agency", "letters", "year", "serial", name="uq_items_serial"),
        sa.UniqueConstraint("number", name=op.f("uq_items_number")),
        sa.UniqueConstraint("upload_id", name=op.f("uq_items_upload_id")),
    )
    with op.batch_alter_table("items", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_items_kind"), ["kind"], unique=False)
        batch_op.create_index(batch_op.f("ix_items_officer"), ["officer"], unique=False)
        batch_op.create_index(batch_op.f("ix_items_recorder"), ["recorder"], unique=False)
        batch_op.create_index(batch_op.f("ix_items_sha256"), ["sha256"], unique=False)
        batch_op.create_index("ix_items_started", ["started_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_items_stored_at"), ["stored_at"], unique=False)

    op.create_table(
        "nonces",
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("station_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name=op.f("fk_nonces_station_id")),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_nonces")),
    )
    with op.batch_alter_table("nonces", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_nonces_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "renditions",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["objects.sha256"], name=op.f("fk_renditions_sha256")),
        sa.PrimaryKeyConstraint("sha256", "recipe", name=op.f("pk_renditions")),
        sa.UniqueConstraint("key", name=op.f("uq_renditions_key")),
    )
    op.create_table(
        "sign_ins",
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_sign_ins_person_id")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_sign_ins")),
    )
    with op.batch_alter_table("sign_ins", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sign_ins_person_id"), ["person_id"], unique=False)

    op.create_table(
        "bindings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("case_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.Column("bound_at", sa.BigInteger(), nullable=False),
        sa.Column("bound_by_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unbound_at", sa.BigInteger(), nullable=True),
        sa.Column("unbound_by_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.CheckConstraint(
            "stage IN ('opening', 'investigation', 'review', 'decision', 'service', 'enforcement')",
            name=op.f("ck_bindings_stage"),
        ),
        sa.ForeignKeyConstraint(["bound_by_id"], ["people.id"], name=op.f("fk_bindings_bound_by_id")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_bindings_case_id")),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_bindings_item_id")),
        sa.ForeignKeyConstraint(["unbound_by_id"], ["people.id"], name=op.f("fk_bindings_unbound_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bindings")),
    )
    with op.batch_alter_table("bindings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bindings_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_bindings_item_id"), ["item_id"], unique=False)

    op.create_table(
        "custody_events",
        sa.Column("seq", WHOLE, autoincrement=False, nullable=False),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("case_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_custody_events_case_id")),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_custody_events_item_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_custody_events")),
        sa.UniqueConstraint("hash", name=op.f("uq_custody_events_hash")),
    )
    with op.batch_alter_table("custody_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_custody_events_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_custody_events_item_id"), ["item_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_custody_events_kind"), ["kind"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("run_after", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("permille", sa.Integer(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("error_tail", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("lane IN ('quick', 'media', 'heavy', 'verify')", name=op.f("ck_jobs_lane")),
        sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'dead')", name=op.f("ck_jobs_state")),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_jobs_item_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("key", name=op.f("uq_jobs_key")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index("ix_jobs_due", ["lane", "state", "priority", "run_after", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_jobs_item_id"), ["item_id"], unique=False)

    op.create_table(
        "station_tokens",
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("station_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["nonce"], ["nonces.nonce"], name=op.f("fk_station_tokens_nonce")),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name=op.f("fk_station_tokens_station_id")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_station_tokens")),
        sa.UniqueConstraint("nonce", name=op.f("uq_station_tokens_nonce")),
    )
    with op.batch_alter_table("station_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_station_tokens_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sent_metadata", sa.String(), nullable=False),
        sa.Column("declared_sha256", sa.String(length=64), nullable=True),
        sa.Column("station_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("manifest", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("refusal", sa.String(), nullable=True),
        sa.CheckConstraint("state <> 'stored' OR item_id IS NOT NULL", name=op.f("ck_uploads_stored_item")),
        sa.CheckConstraint("state IN ('receiving', 'stored', 'refused', 'terminated', 'expired')", name=op.f("ck_uploads_state")),
        sa.CheckConstraint("(station_id IS NULL) <> (person_id IS NULL)", name=op.f("ck_uploads_one_source")),
        sa.CheckConstraint("length >= 0", name=op.f("ck_uploads_length")),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_uploads_item_id")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_uploads_person_id")),
        sa.ForeignKeyConstraint(["station_id"], ["stations.id"], name=op.f("fk_uploads_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.create_index("ix_uploads_signature", ["signature"], unique=False)
        batch_op.create_index(batch_op.f("ix_uploads_state"), ["state"], unique=False)

    op.create_table(
        "viewings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_viewings_item_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_viewings")),
    )
    with op.batch_alter_table("viewings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_viewings_item_id"), ["item_id"], unique=False)

    op.create_table(
        "quarantine",
        sa.Column("upload_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("declared_sha256", sa.String(length=64), nullable=False),
        sa.Column("actual_sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name=op.f("fk_quarantine_upload_id")),
        sa.PrimaryKeyConstraint("upload_id", name=op.f("pk_quarantine")),
    )
    for guard in GUARDS if op.get_bind().dialect.name == "sqlite" else ():
        op.execute(guard)
