"""`liuhen rule`: rules that differ by place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

import click

from archive.actions import rule
from archive.commands.common import DATA, settings_of
from archive.core.errors import Malformed
from archive.core.instant import iso
from archive.core.release import CarrierRule
from archive.resources import opened


@click.group("rule")
def rule_group() -> None:
    """Rules that differ by place: shown, and set with their legal basis."""


@rule_group.group("carrier")
def carrier_rule() -> None:
    """What keeps a file on its recorder after docking."""


@carrier_rule.command("show")
@DATA
def show_carrier_rule(data_dir: Path | None) -> None:
    """Print the carrier rule in force, as JSON."""
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.reading() as session:
        _print_rule(rule.carrier(session))


@carrier_rule.command("history")
@DATA
def carrier_rule_history(data_dir: Path | None) -> None:
    """Print every version there was, one a line, the shipped one first."""
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.reading() as session:
        for version in rule.carrier_history(session):
            _print_rule(version, indent=None)


@carrier_rule.command("set")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@DATA
def set_carrier_rule(file: TextIO, data_dir: Path | None) -> None:
    """Put the rule in FILE (JSON; - for standard input) in force and print it.

    FILE holds what `show` prints, or its field `rule` alone. The version before is kept, and the change is a custody event.
    """
    try:
        given = json.load(file)
    except (ValueError, RecursionError) as why:
        raise Malformed(what="carrier_rule", reason="no_json") from why
    wanted = CarrierRule.of(given["rule"] if isinstance(given, dict) and "rule" in given else given)
    with opened(settings_of(data_dir=data_dir), new=False) as resources, resources.transaction() as session:
        made = rule.set_carrier(session, rule=wanted, by="operator", now=resources.now())
    _print_rule(made)


def _print_rule(view: rule.CarrierRuleView, *, indent: int | None = 2) -> None:
    made_at = None if view.made_at is None else iso(view.made_at)
    facts = {"version": view.version, "rule": view.rule.facts(), "made_by": view.made_by, "made_at": made_at}
    click.echo(json.dumps(facts, ensure_ascii=False, indent=indent))
