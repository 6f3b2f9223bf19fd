"""`lasthop legs`: the interfaces, or VLANs of them, that the data plane is attached to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import BAD, GOOD, Cell, Column, Styled, print_table
from lasthop.cli.text import present

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

COLUMNS = (
    Column("LEG"),
    Column("INTERFACE"),
    Column("VLAN", right=True),
    Column("ZONE"),
    Column("MODE"),
    Column("STATE"),
    Column("MAC"),
    Column("MTU", right=True, spare=2),
    Column("XDP-TRANSMIT", spare=1),
    Column("HOPS", right=True),
)


@click.command("legs")
@json_option
@click.pass_obj
def legs(client: Client, *, as_json: bool) -> None:
    """Show the legs: interfaces, or VLANs of them, that the data plane is attached to.

    MODE is what is attached. XDP-TRANSMIT says whether a test frame proved that XDP frames may
    leave through the leg. HOPS are those learned or resolved on it.
    """
    if as_json:
        print_json(client, "legs")
        return
    print_table(COLUMNS, [_row(leg) for leg in client.legs()], empty="No legs are configured.")


def _row(leg: Report) -> tuple[Cell, ...]:
    return (
        leg["name"],
        leg["interface"],
        present(leg["vlan"]),
        leg["zone"],
        present(leg["mode"]),
        Styled(leg["state"], GOOD if leg["state"] == "up" else BAD),
        present(leg["mac"]),
        str(leg["mtu"]),
        "yes" if leg["xdp_transmit"] else "no",
        str(leg["hops"]),
    )
