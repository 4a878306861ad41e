"""`liuhen admin migrate`: the database brought to this program's step, and its roles given their rights."""

from __future__ import annotations

from pathlib import Path

import click

from archive.commands.common import DATA, log_plainly, settings_of
from archive.records import migrations
from archive.records.postgresql import as_faults, examine, open_postgresql
from archive.records.roles import CannotMakeRoles, Roles, grant
from archive.resources import opened
from archive.settings import BadSettings, Settings

_SHIPPED = Roles()


@click.command("migrate")
@click.option("--web-role", default=_SHIPPED.web, show_default=True, help="The role of web processes and of the command line.")
@click.option("--worker-role", default=_SHIPPED.worker, show_default=True, help="The role of workers and the beat.")
@click.option("--audit-role", default=_SHIPPED.audit, show_default=True, help="The role that may only read, and no secrets.")
@DATA
def migrate(web_role: str, worker_role: str, audit_role: str, data_dir: Path | None) -> None:
    """Bring the database to this program's step and give its roles their rights.

    In production nothing else does: stop web processes and workers, run this with a LIUHEN_DATABASE_URL of the role that owns the tables,
    start them again as their own roles. Run a second time it changes nothing. An embedded archive migrates itself when it is opened.
    """
    log_plainly()
    settings = settings_of(data_dir=data_dir)
    if not settings.production:
        with opened(settings, new=False):
            click.echo(f"schema: step {migrations.head()}")
        return
    try:
        roles = Roles(web_role, worker_role, audit_role)
        _migrate(settings, roles)
    except (CannotMakeRoles, ValueError, migrations.UnknownStep) as why:
        raise BadSettings(str(why)) from why


def _migrate(settings: Settings, roles: Roles) -> None:
    engine = open_postgresql(settings.database_url, name="liuhen migrate", connections=2, patient=True)
    try:
        standing = examine(engine)
        if standing.flaws:
            raise BadSettings("\n".join(standing.flaws))
        with as_faults():
            migrations.upgrade(engine)
            with engine.begin() as connection:
                made = grant(connection, roles)
        for note in standing.notes:
            click.echo(f"note: {note}", err=True)
        click.echo(f"schema: step {migrations.head()}")
        click.echo(f"roles: {roles.web}, {roles.worker}, {roles.audit}")
        for name in made:
            click.echo(f"made: {name}, which has no password yet: ALTER ROLE {name} PASSWORD '…'")
    finally:
        engine.dispose()
