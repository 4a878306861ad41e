"""Alembic's entry: run the steps on the connection that `upgrade` opened, in its transaction."""

from __future__ import annotations

from alembic import context

from archive.records.base import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True)
context.run_migrations()
