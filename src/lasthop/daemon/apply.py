"""`lasthop apply`: let a file be the configuration of the running director, or see what it would change.

Owns what is printed. The file is judged by the director; only its reading happens here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lasthop.config import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.api.client import Client, Report

_COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}
_WHY = {
    "removed": "which is removed",
    "disabled": "which is disabled",
    "unresolved": "which has no MAC address",
    "down": "whose leg is down",
}


@click.command("apply")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of sentences.")
@click.pass_obj
def apply(client: Client, file: Path, *, dry_run: bool, as_json: bool) -> None:
    """Let FILE be the configuration of the running director.

    Every mistake in FILE is shown, and nothing changes if there is one, or if FILE does not fit the
    machine. Live connections stay where they are, also those of real servers that are removed; the
    table is resized while they go on.
    """
    report = client.apply(str(file.resolve()), read(file), dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    for line in sentences(report):
        click.echo(line)


def sentences(report: Report) -> Iterator[str]:
    """A ChangeReport as lines of text, with colours, which `click.echo` takes out where nobody would see them."""
    if not report["changes"]:
        yield "nothing to change"
        return
    runs = f"Director {report['director']} runs {report['configuration']} now:"
    would = f"Nothing was applied; {report['configuration']} would change:"
    yield runs if report["applied"] else would
    for change in report["changes"]:
        details = f": {'; '.join(change['details'])}" if change["details"] else ""
        yield f"  {change['subject']} {click.style(change['kind'], _COLOURS[change['kind']])}{details}"
    for each in report["stranded"]:
        connections = f"{each['connections']} live connection{'s' * (each['connections'] != 1)}"
        verb = "is" if each["connections"] == 1 else "are"
        yield f"  {connections} of {each['service']} {verb} on {each['real_server']}, {_WHY[each['why']]}"
