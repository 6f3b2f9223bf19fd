"""`lasthop mark add` and `lasthop mark delete`: mark rules of their own, as `iptables -j MARK` beside LVS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.completion import legs, real_servers
from lasthop.cli.edits import make

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.api.client import Client

MAX_MARK = 2**32 - 1

_OPTIONS = (
    click.option("--mark", type=click.IntRange(1, MAX_MARK), required=True, help="The service's mark."),
    click.option("--leg", metavar="LEG", shell_complete=legs, help="Packets that arrive on this leg."),
    click.option(
        "--source-real-server",
        metavar="NAME",
        shell_complete=real_servers,
        help='Frames from this real server; "*": from any.',
    ),
    click.option("--family", type=click.Choice(["ipv4", "ipv6"]), help="Packets of this family."),
    click.option(
        "--protocol", metavar="PROTOCOL", help="tcp, udp, sctp, icmp, icmpv6, gre, esp, ah, ipip; or a number."
    ),
    click.option("--source", metavar="PREFIX", help="From addresses in this prefix."),
    click.option("--destination", metavar="PREFIX", help="To addresses in this prefix."),
    click.option("--source-port", metavar="PORTS", help="80, or 8000-8080."),
    click.option("--destination-port", metavar="PORTS", help="80, or 8000-8080."),
    click.option("--dscp", type=click.IntRange(0, 63), help="Of this differentiated-services code point."),
)


def _rule_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group("mark")
def mark() -> None:
    """Add or delete a mark rule: which packets get a service's mark.

    A rule is told by its conditions, all of which must hold. Rules are tried after the matches of the
    services in the file; `lasthop dump` shows them as [[mark]].
    """


@mark.command("add")
@_rule_options
@click.pass_obj
def add(client: Client, /, **conditions: object) -> None:
    """Give packets a mark, after all other rules."""
    _edit(client, "add_mark", conditions)
    click.echo(f"packets like that get mark {conditions['mark']}")


@mark.command("delete")
@_rule_options
@click.pass_obj
def delete(client: Client, /, **conditions: object) -> None:
    """Delete the rule of exactly these conditions."""
    _edit(client, "delete_mark", conditions)
    click.echo("the rule is deleted; live connections go on")


def _edit(client: Client, kind: str, conditions: dict[str, object]) -> None:
    make(client, [{"kind": kind, **{key: value for key, value in conditions.items() if value is not None}}])
