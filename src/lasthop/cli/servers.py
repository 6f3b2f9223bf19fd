"""`lasthop servers`: real servers, one row for each service that one is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import BAD, GOOD, NOTABLE, Cell, Column, Styled, print_table
from lasthop.cli.text import present
from lasthop.cli.traffic import traffic_cells, traffic_columns, traffic_options

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

COLUMNS = (
    Column("SERVICE"),
    Column("SERVER"),
    Column("ADDRESS", spare=1),
    Column("WEIGHT", right=True, spare=3),
    Column("EFF", right=True),
    Column("HEALTH"),
    Column("ACTIVE", right=True),
    Column("INACTIVE", right=True),
    Column("PERSIST", right=True, spare=2),
    Column("LEG", spare=4),
    Column("MAC"),
)


@click.command("servers")
@traffic_options
@json_option
@click.pass_obj
def servers(client: Client, *, shown: str | None, as_json: bool) -> None:
    """Show the real servers of each service.

    EFF is the effective weight: what new connections are scheduled by now, where WEIGHT is the
    configured one. PERSIST counts persistence templates. An unresolved real server has no MAC
    address yet and gets no packets; one that is full has reached its upper threshold. With --stats
    or --rates PACKETS and BYTES are requests/responses, since `lasthop zero` or the beginning.
    """
    if as_json:
        print_json(client, "servers")
        return
    if shown:
        columns = (*COLUMNS[:2], *traffic_columns(shown))
        rows = [(each["service"], each["name"], *traffic_cells(each, shown)) for each in client.servers()]
        print_table(columns, rows, empty="No real servers are configured.")
        return
    print_table(COLUMNS, [_row(server) for server in client.servers()], empty="No real servers are configured.")


def _health(server: Report) -> Cell:
    """What keeps it from new connections, or that nothing does."""
    if server["admin"] != "enabled":
        return Styled(server["admin"], NOTABLE)
    if server["health"] == "standby":
        return Styled("standby", NOTABLE)
    if server["health"] != "up":
        return Styled(server["health"], BAD)
    return Styled("full", NOTABLE) if server["overloaded"] else Styled("up", GOOD)


def _row(server: Report) -> tuple[Cell, ...]:
    reduced = server["effective_weight"] != server["weight"]
    return (
        server["service"],
        f"{server['name']} ({server['stand_in']})" if server["stand_in"] else server["name"],
        server["address"],
        str(server["weight"]),
        Styled(str(server["effective_weight"]), NOTABLE if reduced else ""),
        _health(server),
        str(server["active"]),
        str(server["inactive"]),
        str(server["persistent"]),
        present(server["leg"]),
        present(server["mac"]),
    )
