"""Alembic's entry: run the steps on the connection that `upgrade` opened, in its transaction."""

from __future__ import annotations

from alembic import context

from archive.records import cases, custody, items, jobs, people, stations, uploads
from archive.records.base import Base

TABLES = (cases, custody, items, jobs, people, stations, uploads)
"""Named so that every table is known to the metadata."""

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True)
context.run_migrations()
