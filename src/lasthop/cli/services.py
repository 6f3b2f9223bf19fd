"""`lasthop services`: the virtual services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import BAD, NOTABLE, Cell, Column, Styled, print_table
from lasthop.cli.text import ABSENT, duration
from lasthop.cli.traffic import traffic_cells, traffic_columns, traffic_options

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

COLUMNS = (
    Column("SERVICE"),
    Column("SCHEDULER"),
    Column("PERSISTENCE"),
    Column("WHEN-EMPTY", spare=1),
    Column("SERVERS", right=True),
    Column("USABLE", right=True),
    Column("ACTIVE", right=True),
    Column("INACTIVE", right=True),
    Column("PERSISTENT", right=True),
)


@click.command("services")
@traffic_options
@json_option
@click.pass_obj
def services(client: Client, *, shown: str | None, as_json: bool) -> None:
    """Show the virtual services: what a mark leads to.

    SERVERS are its real servers, USABLE those that can be given new connections now. ACTIVE and
    INACTIVE count connections as LVS does, PERSISTENT the live persistence templates. With --stats
    or --rates PACKETS and BYTES are requests/responses, since `lasthop zero` or the beginning.
    """
    if as_json:
        print_json(client, "services")
        return
    if shown:
        columns = (COLUMNS[0], *traffic_columns(shown))
        rows = [(each["service"], *traffic_cells(each, shown)) for each in client.services()]
        print_table(columns, rows, empty="No services are configured.")
        return
    print_table(COLUMNS, [_row(service) for service in client.services()], empty="No services are configured.")


def _row(service: Report) -> tuple[Cell, ...]:
    return (
        service["service"],
        _scheduler(service),
        ABSENT if service["persistence_s"] is None else duration(service["persistence_s"]),
        service["when_empty"],
        str(service["real_servers"]),
        Styled(str(service["usable"]), _usable_style(service["usable"], service["real_servers"])),
        str(service["active"]),
        str(service["inactive"]),
        str(service["persistent"]),
    )


def _scheduler(service: Report) -> str:
    """As ipvsadm prints it: the name, and the flags in parentheses."""
    flags = service["scheduler_flags"]
    return f"{service['scheduler']} ({','.join(flags)})" if flags else str(service["scheduler"])


def _usable_style(usable: int, configured: int) -> str:
    if not usable:
        return BAD
    return NOTABLE if usable < configured else ""
