"""`lasthop connections`: the live connections, with where their responses go."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import FAINT, GOOD, Cell, Column, Styled, print_table
from lasthop.cli.text import duration, present

if TYPE_CHECKING:
    from lasthop.api.client import Client, Filters, Report

COLUMNS = (
    Column("ZONE", spare=4),
    Column("PROTO"),
    Column("SOURCE"),
    Column("DESTINATION", spare=1),
    Column("STATE"),
    Column("ASSURED", spare=9),
    Column("SERVICE", spare=3),
    Column("SERVER"),
    Column("FORWARD-HOP", spare=7),
    Column("LAST-HOP", shrinks=True),
    Column("PACKETS", right=True, spare=8),
    Column("BYTES", right=True, spare=10),
    Column("AGE", right=True, spare=5),
    Column("IDLE", right=True, spare=2),
    Column("EXPIRES", right=True, spare=6),
)


@click.command("connections")
@click.option("--service", metavar="SERVICE", help='Only of this service: "FWM 1", or its mark alone.')
@click.option("--server", metavar="NAME", help="Only of this real server.")
@click.option("--state", metavar="STATE", help="Only in this state, for example ESTABLISHED.")
@click.option("--client", "prefix", metavar="PREFIX", help="Only opened from this address or prefix.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@json_option
@click.pass_obj
def connections(  # noqa: PLR0913 - one parameter per option
    client: Client,
    *,
    service: str | None,
    server: str | None,
    state: str | None,
    prefix: str | None,
    limit: int | None,
    count: bool,
    as_json: bool,
) -> None:
    """Show live connections; addresses are as the originator sent them.

    A hop is shown as real server or MAC address, @, leg. LAST-HOP is where the requests came from and the
    responses go. PACKETS and BYTES are requests/responses. For ICMP echo the port is the identifier.
    """
    if count and limit is not None:
        raise click.UsageError("--count counts all that match: leave out --limit.")
    filters: Filters = {"service": service, "server": server, "state": state, "client": prefix}
    if as_json:
        print_json(client, "connections/count" if count else "connections", filters | {"limit": limit})
    elif count:
        click.echo(client.count_connections(**filters))
    else:
        found = sorted(client.connections(**filters, limit=limit), key=_order)
        print_table(COLUMNS, [_row(connection) for connection in found], empty="No connections match.")


def _order(connection: Report) -> tuple[object, ...]:
    source = ip_address(connection["source"])
    return (connection["zone"], source.version, source, connection["source_port"], connection["destination"])


def _row(connection: Report) -> tuple[Cell, ...]:
    established = connection["state"] == "ESTABLISHED"
    return (
        connection["zone"],
        connection["protocol"],
        _endpoint(connection["source"], connection["source_port"]),
        _endpoint(connection["destination"], connection["destination_port"]),
        Styled(connection["state"], GOOD if established else ""),
        "yes" if connection["assured"] else "no",
        present(connection["service"]),
        present(connection["real_server"]),
        _hop(connection["forward_hop"]),
        _hop(connection["last_hop"]),
        f"{connection['packets']['request']}/{connection['packets']['response']}",
        f"{connection['bytes']['request']}/{connection['bytes']['response']}",
        duration(connection["age_s"]),
        duration(connection["idle_s"]),
        Styled(duration(connection["expires_s"]), FAINT),
    )


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _hop(hop: Report) -> str:
    vlan = "" if hop["vlan"] is None else f".{hop['vlan']}"
    return f"{hop['name'] or hop['mac'] or '?'}@{hop['leg']}{vlan}"
