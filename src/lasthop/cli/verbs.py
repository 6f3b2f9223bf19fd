"""The verbs that change one real server: weight, enable, disable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.completion import real_servers, services
from lasthop.cli.edits import make

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.api.client import Client

MAX_WEIGHT = 65_535


def service_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the option --service."""
    option = click.option(
        "--service",
        metavar="SERVICE",
        callback=_label,
        shell_complete=services,
        help='In this service alone: "FWM 1", or its mark.',
    )
    return option(command)


def _label(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """A service's label; a number is a mark."""
    return f"FWM {text}" if text is not None and text.isdecimal() else text


def where(service: str | None) -> str:
    """In words."""
    return f"in {service}" if service else "in every service"


@click.command("weight")
@click.argument("server", shell_complete=real_servers)
@click.argument("weight", type=click.IntRange(0, MAX_WEIGHT))
@service_option
@click.pass_obj
def weight(client: Client, *, server: str, weight: int, service: str | None) -> None:
    """Give real server SERVER another WEIGHT: its share of new connections.

    At 0 it gets none, and keeps those it has.
    """
    make(client, [{"kind": "weigh", "server": server, "weight": weight, "service": service}])
    click.echo(f"real server {server} has weight {weight} {where(service)}")


@click.command("enable")
@click.argument("server", shell_complete=real_servers)
@service_option
@click.pass_obj
def enable(client: Client, *, server: str, service: str | None) -> None:
    """Let real server SERVER take new connections again, after `drain` or `disable`.

    No live connection moves back to it.
    """
    make(client, [{"kind": "enable", "server": server, "service": service}])
    click.echo(f"real server {server} takes new connections {where(service)}")


@click.command("disable")
@click.argument("server", shell_complete=real_servers)
@service_option
@click.pass_obj
def disable(client: Client, *, server: str, service: str | None) -> None:
    """Take real server SERVER out at once.

    It gets nothing any more; each of its connections goes the way of its service's on_death, from its
    next packet on. `lasthop drain` waits for them instead.
    """
    make(client, [{"kind": "disable", "server": server, "service": service}])
    click.echo(f"real server {server} is disabled {where(service)}")
