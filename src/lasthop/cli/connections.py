"""`lasthop connections`: the live connections, with where their responses go."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from lasthop.cli.completion import real_servers, services
from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import FAINT, GOOD, Cell, Column, Styled, print_table
from lasthop.cli.text import duration, present, seconds

if TYPE_CHECKING:
    from lasthop.api.client import Client, Filters, Report

#: What a person, or a program that did not ask for more, gets of a table of millions.
DEFAULT_LIMIT = 1000

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


def _seconds(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """Seconds of a duration; see `lasthop.cli.text.seconds`."""
    try:
        return None if text is None else seconds(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no duration: write it like 90s, 10m, 2h or 1d.") from None


@click.command("connections")
@click.option(
    "--service",
    metavar="SERVICE",
    shell_complete=services,
    help='Only of this service: "FWM 1", or its mark alone.',
)
@click.option("--server", metavar="NAME", shell_complete=real_servers, help="Only of this real server.")
@click.option("--state", metavar="STATE", help="Only in this state, for example ESTABLISHED.")
@click.option("--client", "prefix", metavar="PREFIX", help="Only opened from this address or prefix.")
@click.option("--older-than", callback=_seconds, metavar="DURATION", help="Only opened so long ago: 90s, 10m, 2h, 1d.")
@click.option(
    "--top",
    type=click.Choice(["packets", "bytes", "age"]),
    help="Those first that have most of it; requests and responses together.",
)
@click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help=f"At most so many; 0: all.  [default: {DEFAULT_LIMIT}]"
)
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
    older_than: int | None,
    top: str | None,
    limit: int | None,
    count: bool,
    as_json: bool,
) -> None:
    """Show live connections; addresses are as the originator sent them.

    A hop is shown as the real server's name, if it is one's, MAC address, @, leg. LAST-HOP is where the requests
    came from and the responses go. PACKETS and BYTES are requests/responses. For ICMP and ICMPv6 queries the port
    is the identifier; of protocols without ports it is 0, and PROTO has GRE's key beside it.
    Without --top, rows are ordered by zone and source.
    """
    if count and (limit is not None or top is not None):
        raise click.UsageError("--count counts all that match: leave out --limit and --top.")
    filters: Filters = {
        "service": service, "server": server, "state": state, "client": prefix, "older_than": older_than
    }  # fmt: skip
    limit = DEFAULT_LIMIT if limit is None else limit
    part: Filters = filters | {"top": top, "limit": limit}
    if count and as_json:
        print_json(client, "connections/count", filters)
    elif count:
        click.echo(client.count_connections(**filters))
    elif as_json:
        total = print_json(client, "connections", part)
        if total is not None:
            _tell_of_the_rest(limit, min(total, limit or total), total)
    else:
        total, found = client.some_connections(**part)
        if top is None:
            found.sort(key=_order)
        print_table(COLUMNS, [_row(connection) for connection in found], empty="No connections match.")
        _tell_of_the_rest(limit, len(found), total)


def _tell_of_the_rest(limit: int, shown: int, total: int) -> None:
    """Nobody shall take a part for the whole."""
    if shown < total:
        why = "--limit 0 shows all" if 0 < limit < total else "the others have ended or moved meanwhile"
        click.echo(f"{shown:,} of {total:,} shown; {why}", err=True)


def _order(connection: Report) -> tuple[object, ...]:
    source = ip_address(connection["source"])
    return (connection["zone"], source.version, source, connection["source_port"], connection["destination"])


def _row(connection: Report) -> tuple[Cell, ...]:
    established = connection["state"] in {"ESTABLISHED", "SCTP_ESTABLISHED"}
    return (
        connection["zone"],
        _protocol(connection),
        _endpoint(connection["source"], connection["source_port"]),
        _endpoint(connection["destination"], connection["destination_port"]),
        Styled(connection["state"], GOOD if established else ""),
        "yes" if connection["assured"] else "no",
        present(connection["service"]),
        present(connection["real_server"]),
        "the kernel's routes" if connection["bypassed"] else _hop(connection["forward_hop"]),
        _hop(connection["last_hop"]),
        f"{connection['packets']['request']}/{connection['packets']['response']}",
        f"{connection['bytes']['request']}/{connection['bytes']['response']}",
        duration(connection["age_s"]),
        duration(connection["idle_s"]),
        Styled(duration(connection["expires_s"]), FAINT),
    )


def _protocol(connection: Report) -> str:
    key = connection["key"]
    return str(connection["protocol"]) if key is None else f"{connection['protocol']} key {key}"


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _hop(hop: Report) -> str:
    vlan = "" if hop["vlan"] is None else f".{hop['vlan']}"
    name = f"{hop['name']} " if hop["name"] else ""
    return f"{name}{hop['mac'] or '?'}@{hop['leg']}{vlan}"
