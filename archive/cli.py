"""The command `liuhen`. Exit codes: 0 done, 1 refused or flawed, 2 misuse, 3 fault.

A command's own module is loaded when it is called: a station that sends a card has no need of a web framework.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Final

import click

from archive.commands.common import FAULT, MISUSE, REFUSED
from archive.core.errors import Fault, Refusal
from archive.dock import words
from archive.settings import BadSettings

COMMANDS: Final[Mapping[str, str]] = {
    "admin": "archive.commands.admin:admin_group",
    "beat": "archive.commands.work:beat",
    "demo": "archive.demo.command:demo",
    "dock": "archive.dock.command:dock",
    "fsck": "archive.commands.fsck:fsck",
    "rule": "archive.commands.rule:rule_group",
    "serve": "archive.commands.serve:serve",
    "station": "archive.commands.station:station_group",
    "store": "archive.commands.store:store_group",
    "work": "archive.commands.work:work",
}
"""Where each command is."""


class Commands(click.Group):
    """The commands, each loaded when somebody asks for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        """Return their names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's own signature
        """Return one of them, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        # What a module makes stays to the end; looking through all of it for garbage, again and again while it grows, is a quarter of a
        # start. `freeze` keeps it out of what is looked through later as well.
        gc.disable()
        try:
            found = getattr(import_module(module), name)
        finally:
            gc.freeze()
            gc.enable()
        assert isinstance(found, click.Command)
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="liuhen")
def cli() -> None:
    """Liuhen (留痕): an archive for recordings and documents of administrative enforcement."""


def main() -> None:
    """Run the command and end with its code."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as why:
        why.show()
        sys.exit(MISUSE)
    except BadSettings as why:
        click.UsageError(str(why)).show()
        sys.exit(MISUSE)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.Exit as why:
        sys.exit(why.exit_code)
    except Refusal as why:
        click.echo(words.ending(why, words.language(os.environ)), err=True)
        sys.exit(REFUSED)
    except Fault as why:
        click.echo(words.ending(why, words.language(os.environ)), err=True)
        sys.exit(FAULT)


if __name__ == "__main__":
    main()
