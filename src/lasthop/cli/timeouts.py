"""`lasthop timeouts`: after how long a silent connection is forgotten; and changing the three that LVS lets one set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.edits import make
from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import Column, print_table
from lasthop.cli.text import duration

if TYPE_CHECKING:
    from lasthop.api.client import Client

COLUMNS = (Column("STATE"), Column("SECONDS", right=True), Column("IN-WORDS", right=True))
_SETTABLE = {"tcp": "tcp_established", "tcp_fin": "tcp_fin_wait", "udp": "udp"}


@click.command("timeouts")
@click.option(
    "--set-tcp", "tcp", type=click.FloatRange(min=1), metavar="S", help="Seconds of tcp_established from now on."
)
@click.option("--set-tcp-fin", "tcp_fin", type=click.FloatRange(min=1), metavar="S", help="Of tcp_fin_wait.")
@click.option("--set-udp", "udp", type=click.FloatRange(min=1), metavar="S", help="Of udp.")
@json_option
@click.pass_obj
def timeouts(client: Client, *, tcp: float | None, tcp_fin: float | None, udp: float | None, as_json: bool) -> None:
    """Show after how long a silent connection is forgotten, by its state; or set some, as `ipvsadm --set` does.

    Names are the keys of [timeouts]. A change holds for live connections from their next look on, and
    survives a restart.
    """
    given = {"tcp": tcp, "tcp_fin": tcp_fin, "udp": udp}
    if any(given.values()):
        make(client, [{"kind": "set_timeouts", **{key: value for key, value in given.items() if value}}])
        told = ", ".join(f"{_SETTABLE[key]} = {value:g}" for key, value in given.items() if value)
        click.echo(f"set: {told}")
        return
    if as_json:
        print_json(client, "timeouts")
        return
    seconds = client.timeouts()["seconds"]
    print_table(COLUMNS, [(key, f"{value:g}", duration(value)) for key, value in seconds.items()], empty="")
