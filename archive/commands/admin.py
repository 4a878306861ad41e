"""`liuhen admin`: accounts, and the database's steps."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from archive.actions import person
from archive.adapters import signing
from archive.commands.common import DATA, settings_of
from archive.commands.migrate import migrate
from archive.resources import opened


@click.group("admin")
def admin_group() -> None:
    """Accounts, and the database's steps."""


@admin_group.command("password")
@click.argument("login", default="admin")
@DATA
def new_password(login: str, data_dir: Path | None) -> None:
    """Give an account a new password, printed once, and sign it out everywhere."""
    password = secrets.token_urlsafe(12)
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.transaction() as session:
        person.set_password(
            session, login=login, password=password, password_hash=signing.hash_password(password), now=resources.now()
        )
    click.echo(f"name: {login}\npassword: {password}")


admin_group.add_command(migrate)
