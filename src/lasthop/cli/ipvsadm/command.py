"""`lasthop ipvsadm …`: the door to ipvsadm's command line. Nothing of it is read here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from lasthop.cli.ipvsadm.program import run

if TYPE_CHECKING:
    from lasthop.api.client import Client


class Untouched(click.Command):
    """A command that takes every word as it is, also those that click would read: --help, --, unknown options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep them all."""
        ctx.params["words"] = list(args)
        return []


@click.command("ipvsadm", cls=Untouched, add_help_option=False)
@click.argument("words", nargs=-1)
@click.pass_context
def ipvsadm(ctx: click.Context, words: list[str]) -> None:
    """Do what ipvsadm does, with ipvsadm's words."""
    client: Client = ctx.obj
    status = run(words, client)
    sys.stdout.flush()
    if status:
        ctx.exit(status)
