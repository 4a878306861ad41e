"""What every command begins with: its settings, and its words on standard error."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from archive import failpoints
from archive.settings import BadSettings, Settings, read

REFUSED, MISUSE, FAULT = 1, 2, 3
"""Exit codes beside 0."""

DATA = click.option("--data", "data_dir", type=click.Path(path_type=Path), help="Data directory (LIUHEN_DATA_DIR).")


def settings_of(**overrides: object) -> Settings:
    """Return the settings, or end with what is wrong with them."""
    try:
        made = read(os.environ, **overrides)
    except BadSettings as why:
        raise click.UsageError(str(why)) from why
    failpoints.arm(made.failpoint)
    return made


def log_plainly() -> None:
    """Log to standard error, one line an event."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
