"""`lasthop hops`: where frames are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import Cell, Column, print_table
from lasthop.cli.text import present

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

COLUMNS = (
    Column("ID", right=True),
    Column("LEG"),
    Column("MAC"),
    Column("VLAN", right=True, spare=2),
    Column("ADDRESS", spare=1),
    Column("SERVER"),
    Column("ROLE", spare=1),
    Column("CONNECTIONS", right=True),
    Column("MOVED", right=True),
)


@click.command("hops")
@json_option
@click.pass_obj
def hops(client: Client, *, as_json: bool) -> None:
    """Show the hops: where frames are sent.

    SERVER is the real server that the hop is. ROLE is what else is known of it: a gateway of its leg,
    or a neighbour that the kernel knows; others were learned from packets. CONNECTIONS have it as
    their forward hop or last hop. MOVED counts how often its MAC address changed.
    """
    if as_json:
        print_json(client, "hops")
        return
    print_table(COLUMNS, [_row(hop) for hop in client.hops()], empty="No hops are known.")


def _row(hop: Report) -> tuple[Cell, ...]:
    return (
        str(hop["id"]),
        hop["leg"],
        present(hop["mac"]),
        present(hop["vlan"]),
        present(hop["address"]),
        present(hop["name"]),
        present(hop["role"]),
        str(hop["connections"]),
        str(hop["moved"]),
    )
