"""`lasthop dump` and `lasthop zero`: the running configuration as a file; statistics from here on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.verbs import service_option, where

if TYPE_CHECKING:
    from lasthop.api.client import Client


@click.command("dump")
@click.pass_obj
def dump(client: Client) -> None:
    """Print the running configuration, with what commands changed of it, as TOML.

    `lasthop apply` of that changes nothing.
    """
    click.echo(client.dump(), nl=False)


@click.command("zero")
@service_option
@click.pass_obj
def zero(client: Client, *, service: str | None) -> None:
    """Count connections, packets and bytes from here on: what --stats shows of services and real servers."""
    client.zero(service)
    click.echo(f"statistics count from here on {where(service)}")
