"""What the verbs share: sending edits, and telling what the director warns of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report


def make(client: Client, edits: list[Report]) -> None:
    """Make edits, all or none; each warning is a line on standard error. Raises EditError."""
    for warning in client.edit(edits)["warnings"]:
        click.echo(f"lasthop: {warning}", err=True)
