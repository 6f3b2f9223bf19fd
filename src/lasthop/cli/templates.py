"""`lasthop templates`: persistence templates, which client is bound to which real server."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import FAINT, Cell, Column, Styled, print_table
from lasthop.cli.text import duration, present

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

COLUMNS = (
    Column("SERVICE"),
    Column("CLIENT"),
    Column("SERVER"),
    Column("CONNECTIONS", right=True),
    Column("ASSURED", spare=1),
    Column("EXPIRES", right=True),
)


@click.command("templates")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@json_option
@click.pass_obj
def templates(client: Client, *, count: bool, as_json: bool) -> None:
    """Show persistence templates: which client is bound to which real server.

    CONNECTIONS are the live ones that a template scheduled; while there are any it does not expire.
    Each new connection of the client sets EXPIRES back to the service's persistence time-out.
    """
    if as_json and not count:
        print_json(client, "templates")
        return
    found = sorted(client.templates(), key=_order)
    if count:
        click.echo(len(found))
        return
    print_table(COLUMNS, [_row(each) for each in found], empty="No client is bound.")


def _order(template: Report) -> tuple[object, ...]:
    client = ip_address(template["client"])
    return template["service"], client.version, client


def _row(template: Report) -> tuple[Cell, ...]:
    client = ip_address(template["client"])
    return (
        template["service"],
        str(client) if template["prefix"] == client.max_prefixlen else f"{client}/{template['prefix']}",
        present(template["real_server"]),
        str(template["connections"]),
        "yes" if template["assured"] else "no",
        Styled(duration(template["expires_s"]), FAINT),
    )
