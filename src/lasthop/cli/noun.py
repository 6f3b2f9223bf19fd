"""What all nouns share: the option --json and what it prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lasthop.api.client import Client, Filters

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")


def print_json(client: Client, noun: str, filters: Filters | None = None) -> int | None:
    """Print the director's own document, unread: a table of a million connections need not fit in here.

    Returns how many reports there are if the document may have a part of them.
    """
    return client.copy(noun, sys.stdout.buffer, filters)
